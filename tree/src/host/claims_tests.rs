//! Whose a host is that several children claim.

use super::world_tests::key;
use super::*;
use crate::wire::message::VERSION;
use alloc::vec::Vec;
use vmatic_plan::{GuestId, HostId, HostNames, Node};

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

#[test]
fn reports_that_claim_the_same_hosts_make_no_set_longer_than_they_are() {
    // One child claims many guests of every host, the other few of every second: 2 and 35 kB on the wire, and
    // together, if they were believed, as long as their product.
    let names = HostNames::count(20_000).unwrap();
    let plan = Plan { cluster: [7; 16], guests_per_host: 7_000, ..Plan::new("t", names) };
    let every_other = |last: u32| RangeSet::from_ranges((1..=last).step_by(2).map(|n| (n, n)).collect::<Vec<_>>());
    let long = NodeSet::product(&RangeSet::span(2, 20_000), &every_other(7_000));
    let many = NodeSet::product(&every_other(20_000), &RangeSet::span(0, 2));
    let mut host = with_children(plan, &[2, 3]);
    for (link, up) in [(1, long.clone()), (2, many)] {
        host.handle(0, Event::Received { link, message: Message::Report(Report { up, ..Report::default() }) });
    }
    let up = host.report().up;
    assert!(up.contains(Node::guest(HostId(3), GuestId(2))) && up.contains(Node::guest(HostId(5), GuestId(7))));
    assert!(up.size() < 3 * long.size(), "{} bytes of {}", up.size(), long.size());
}
