//! Whose a host is that several children claim.

use super::world_tests::key;
use super::*;
use crate::bytes::JOINT_MAX_BYTES;
use crate::wire::message::VERSION;
use alloc::vec::Vec;
use vmatic_plan::{GuestId, HostId, HostNames, Node, NodeSet};

/// Host 1 of a plan, with these hosts as children over links 1, 2 and so on.
fn with_children(plan: Plan, children: &[u32]) -> Host {
    let mut host = Host::new(plan, HostId(1), key().verifying_key(), [0; 16]);
    for (link, child) in (1..).zip(children) {
        host.handle(0, Event::Opened { link, side: Direction::Child, from: None });
        let hello = Message::Hello { version: VERSION, who: PeerRole::Host(HostId(*child)), boot: [9; 16] };
        host.handle(0, Event::Received { link, message: hello });
    }
    host
}

fn set(hosts: &[u32]) -> RangeSet {
    RangeSet::from_ranges(hosts.iter().map(|n| (*n, *n)).collect())
}

#[test]
fn the_first_that_claims_a_host_keeps_it_until_it_gives_it_up() {
    let plan = Plan { cluster: [7; 16], ..Plan::new("t", HostNames::count(9).unwrap()) };
    let mut host = with_children(plan, &[2, 3, 4]);
    let mut claims = |link, hosts: &[u32]| {
        let up = NodeSet::product(&set(hosts), &RangeSet::one(0));
        host.handle(0, Event::Received { link, message: Message::Report(Report { up, ..Report::default() }) });
        let owned = |link| host.peers.links_for_tests()[&link].owned.clone();
        let total = host.report().up;
        assert_eq!(total.len(), 1 + (1..=3).map(|link| owned(link).len()).sum::<u64>(), "none is two's");
        [1, 2, 3].map(owned)
    };
    claims(1, &[2, 6]);
    assert_eq!(claims(2, &[3, 6, 7]), [set(&[2, 6]), set(&[3, 7]), set(&[])]);
    // The second was denied 6; the third claims what both have.
    assert_eq!(claims(3, &[4, 6, 7, 8]), [set(&[2, 6]), set(&[3, 7]), set(&[4, 8])]);
    assert_eq!(claims(2, &[3, 6, 4, 2]), [set(&[2, 6]), set(&[3]), set(&[4, 7, 8])], "a child is its own");
    assert_eq!(claims(1, &[2, 1]), [set(&[2]), set(&[3, 6]), set(&[4, 7, 8])], "the first that waits has it");
    host.handle(0, Event::Closed { link: 3 });
    let owned = |link| host.peers.links_for_tests()[&link].owned.clone();
    assert_eq!([1, 2].map(owned), [set(&[2]), set(&[3, 4, 6])], "what is lost is the others'");
}

/// A plan in which hosts can report what is long: 20,000 hosts of 7,000 guests.
fn large() -> Plan {
    let names = HostNames::count(20_000).unwrap();
    Plan { cluster: [7; 16], guests_per_host: 7_000, ..Plan::new("t", names) }
}

fn every_other(first: u32, last: u32) -> RangeSet {
    RangeSet::from_ranges((first..=last).step_by(2).map(|n| (n, n)).collect::<Vec<_>>())
}

/// Many guests of every host, as many ranges as can be: 14 kB on the wire.
fn dense() -> NodeSet {
    NodeSet::product(&RangeSet::span(2, 20_000), &every_other(0, 7_000))
}

/// Few guests of every second host: as many runs of hosts as can be: 74 kB on the wire.
fn sparse() -> NodeSet {
    NodeSet::product(&every_other(3, 20_000), &RangeSet::span(0, 2))
}

/// What a host is told over links, one report after the other; gives its links that are left, and the bytes of all sets
/// that it keeps or makes of them.
fn told(host: &mut Host, reports: &[(u64, Report)]) -> (Vec<u64>, usize) {
    for (link, report) in reports {
        host.handle(0, Event::Received { link: *link, message: Message::Report(report.clone()) });
    }
    let size = |report: &Report| report.up.size() + report.down.iter().map(|(_, nodes)| nodes.size()).sum::<usize>();
    let links = host.peers.links_for_tests();
    let kept = links.values().map(|link| size(&link.report)).sum::<usize>() + size(&host.report());
    let all = host.membership.plan.all_nodes();
    let absent = host.status.absent(all, host.report(), &host.membership, 0);
    (links.keys().copied().collect(), kept + absent.iter().map(|group| group.nodes.size()).sum::<usize>())
}

fn up(up: NodeSet) -> Report {
    Report { up, ..Report::default() }
}

/// Most bytes of all that is made of reports, several sets of them.
const MADE_MAX_BYTES: usize = 5 * JOINT_MAX_BYTES as usize;

#[test]
fn reports_that_claim_the_same_hosts_make_no_set_longer_than_they_are() {
    // If they were believed, or the second were cut to what the first leaves, they would be as long as their product.
    let (first, second) = ((1, up(dense())), (2, up(sparse())));
    for reports in [[first.clone(), second.clone()], [second, first]] {
        let mut host = with_children(large(), &[2, 3]);
        let (links, bytes) = told(&mut host, &reports);
        assert!(links == [1] && bytes < MADE_MAX_BYTES, "{links:?}: {bytes} bytes");
        assert!(host.report().up.contains(Node::guest(HostId(6), GuestId(8))), "the longest is turned away");
    }
}

#[test]
fn the_reasons_of_one_report_make_no_set_longer_than_they_are() {
    let hosts = NodeSet::product(&every_other(3, 20_000), &RangeSet::one(0));
    let down = [(GuestState::Paused, dense()), (GuestState::Stopped, sparse())].into();
    let mut host = with_children(large(), &[3]);
    let (links, bytes) = told(&mut host, &[(1, Report { up: hosts.clone(), down, ..Report::default() })]);
    assert!(links == [1] && bytes < MADE_MAX_BYTES, "{links:?}: {bytes} bytes");
    assert!(host.report().up.contains(Node::host(HostId(5))), "it loses its reasons, not what is up");
}

#[test]
fn what_was_claimed_before_makes_no_set_longer_than_it_is() {
    let hosts = |hosts: RangeSet| up(NodeSet::product(&hosts, &RangeSet::one(0)));
    let mut host = with_children(large(), &[2, 3]);
    // The two share the hosts one by one; then each claims all that the other has.
    let all = || RangeSet::span(2, 20_000);
    let shared = [(1, hosts(every_other(2, 20_000))), (2, hosts(all())), (1, hosts(all()))];
    assert_eq!(told(&mut host, &shared).0, [1, 2]);
    let (links, bytes) = told(&mut host, &[(2, up(dense()))]);
    assert!(bytes < MADE_MAX_BYTES, "{links:?}: {bytes} bytes");
}

#[test]
fn no_number_of_children_makes_reports_longer_than_they_may_be() {
    // Each of 60 reports a part of the hosts, each host with guests of its own: 140 kB in a message.
    let of = |first: u32| {
        let runs = (first..first + 20).map(|n| {
            let members = every_other(n % 2, 7_000).difference(&RangeSet::span(n, n + 4));
            NodeSet::product(&RangeSet::one(n), &members)
        });
        runs.fold(NodeSet::new(), |all, run| all.union(&run))
    };
    let children: Vec<u32> = (0..60).map(|link| 2 + link * 20).collect();
    let mut host = with_children(large(), &children);
    let reports: Vec<_> = (1..).zip(&children).map(|(link, first)| (link, up(of(*first)))).collect();
    let (links, bytes) = told(&mut host, &reports);
    assert!((10..60).contains(&links.len()) && bytes < MADE_MAX_BYTES, "{} links, {bytes} bytes", links.len());
}
