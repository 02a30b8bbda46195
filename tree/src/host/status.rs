//! The states of this host's guests, what the host reports of its subtree, and what it believes of its children's.

use super::membership::Membership;
use super::peers::Peers;
use crate::answer::Group;
use crate::guest::GuestState;
use crate::unreachable::Unreachable;
use crate::wire::frame;
use crate::wire::message::{self, Message, Report};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use vmatic_plan::{GuestId, HostId, Node, NodeSet, RangeSet};

/// How long changes are gathered before they are reported upwards.
const REPORT_MS: u64 = 200;
/// Most different states of guests in a report; further ones are folded into one.
const STATES_MAX: usize = message::STATES_MAX - 1;

/// What is known of this host's guests, and what was reported of it.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// Why those guests are down that the launcher has told of.
    down: BTreeMap<GuestId, GuestState>,
    /// Guests whose agent has said hello: kept, since counting thousands of links at each event is slow.
    up: RangeSet,
    /// Those of them that have no agent: they take no commands.
    unmanaged: RangeSet,
    reported: Report,
    report_due_ms: Option<u64>,
    /// Whether the last report fitted no message.
    was_too_long: bool,
    /// The other hosts that are up below, as last seen.
    hosts: RangeSet,
    /// Since when those are not that were.
    lost_ms: BTreeMap<HostId, u64>,
    /// Hosts that called, and whose image is of this other cluster.
    strangers: BTreeMap<HostId, [u8; 16]>,
}

/// A report that fits no message, even without the reasons why guests are down.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong {
    /// Whether the one before did fit.
    pub first: bool,
}

impl Status {
    /// The guests that are up.
    pub fn up(&self) -> &RangeSet {
        &self.up
    }

    /// A guest's agent has said hello.
    pub fn linked(&mut self, guest: GuestId) {
        self.down.remove(&guest);
        self.up.insert(guest.0);
    }

    /// The last link to a guest's agent is gone.
    pub fn unlinked(&mut self, guest: GuestId) {
        self.up = self.up.difference(&RangeSet::one(guest.0));
    }

    /// The launcher says what a guest is doing; `linked` is whether it is up by a link of its own.
    pub fn set(&mut self, guest: GuestId, state: GuestState, linked: bool) {
        let one = RangeSet::one(guest.0);
        match state {
            GuestState::Up => {
                self.down.remove(&guest);
                if linked {
                    self.up.insert(guest.0);
                }
            }
            GuestState::Unmanaged => {
                self.down.remove(&guest);
                self.up.insert(guest.0);
                self.unmanaged.insert(guest.0);
            }
            state => {
                // What has an agent is up until its link says otherwise, or it is paused.
                if self.unmanaged.contains(guest.0) || state == GuestState::Paused {
                    self.unmanaged = self.unmanaged.difference(&one);
                    self.up = self.up.difference(&one);
                }
                if linked {
                    self.up.insert(guest.0);
                }
                self.down.insert(guest, state);
            }
        }
    }

    /// Something changed that the parent is to know.
    pub fn changed(&mut self, now_ms: u64) {
        self.report_due_ms.get_or_insert(now_ms + REPORT_MS);
    }

    /// These other hosts are up below now.
    pub fn see_hosts(&mut self, hosts: RangeSet, now_ms: u64) {
        if hosts != self.hosts {
            let lost = self.hosts.difference(&hosts);
            self.lost_ms.retain(|host, _| !hosts.contains(host.0));
            self.strangers.retain(|host, _| !hosts.contains(host.0));
            self.lost_ms.extend(lost.iter().map(|host| (HostId(host), now_ms)));
            self.hosts = hosts;
        }
    }

    /// A host called that is of another cluster.
    pub fn see_stranger(&mut self, host: HostId, cluster: [u8; 16]) {
        self.lost_ms.remove(&host);
        self.strangers.insert(host, cluster);
    }

    /// A parent is new: it is to know everything at once.
    pub fn report_now(&mut self, now_ms: u64) {
        self.report_due_ms = Some(now_ms);
        self.reported = Report::default();
    }

    /// When a report is due, if one is.
    pub fn report_due_ms(&self) -> Option<u64> {
        self.report_due_ms
    }

    /// Whether a report is due now; it is taken for sent then.
    pub fn report_is_due(&mut self, now_ms: u64) -> bool {
        self.report_due_ms.take_if(|at| *at <= now_ms).is_some()
    }

    /// Whether a report differs from the last; it is taken for sent then.
    pub fn report_differs(&mut self, report: &Report) -> bool {
        let differs = self.reported != *report;
        if differs {
            self.reported = report.clone();
        }
        differs
    }

    /// The report as it can be sent: where it is too long, with one reason for all guests that are down.
    pub fn fitting(&mut self, mut report: Report) -> Result<Report, TooLong> {
        let fits = |report: &Report| frame::encode(&Message::Report(report.clone())).is_ok();
        let was_too_long = core::mem::replace(&mut self.was_too_long, false);
        if fits(&report) {
            return Ok(report);
        }
        let down = report.down.iter().fold(NodeSet::new(), |all, (_, nodes)| all.union(nodes));
        report.down = [(GuestState::Other, down)].into();
        if fits(&report) {
            return Ok(report);
        }
        self.was_too_long = true;
        Err(TooLong { first: !was_too_long })
    }

    /// What is up and down in the subtree of `host`, which is this one.
    pub fn report(&self, host: HostId, peers: &Peers) -> Report {
        let mut up = NodeSet::one(Node::host(host));
        let mut down: BTreeMap<GuestState, NodeSet> = BTreeMap::new();
        up = up.union(&NodeSet::product(&RangeSet::one(host.0), &self.up));
        for (&guest, state) in self.down.iter().filter(|(guest, _)| !self.up.contains(guest.0)) {
            let known = down.len() < STATES_MAX || down.contains_key(state);
            down.entry(if known { state.clone() } else { GuestState::Other })
                .or_default()
                .insert(Node::guest(host, guest));
        }
        for report in peers.reports() {
            up = up.union(&report.up);
            for (state, nodes) in &report.down {
                let known = down.len() < STATES_MAX || down.contains_key(state);
                let set = down.entry(if known { state.clone() } else { GuestState::Other }).or_default();
                *set = set.union(nodes);
            }
        }
        Report { up, down: down.into_iter().collect(), twins: Vec::new() }
    }

    /// Nodes that cannot be asked, by the reason.
    pub fn absent(&self, mut nodes: NodeSet, report: Report, membership: &Membership, now_ms: u64) -> Vec<Group> {
        let mut groups = Vec::new();
        for (state, set) in report.down {
            let part = nodes.intersection(&set);
            nodes = nodes.difference(&part);
            groups.push(Group::unreachable(part, Unreachable::Guest(state)));
        }
        let host = membership.number;
        let unmanaged = NodeSet::product(&RangeSet::one(host.0), &self.unmanaged);
        groups.push(Group::unreachable(nodes.intersection(&unmanaged), Unreachable::Unmanaged));
        nodes = nodes.difference(&unmanaged);
        let own = membership.subtree_of(host);
        groups.push(Group::unreachable(nodes.intersection(&own), Unreachable::NotReported));
        nodes = nodes.difference(&own);
        for (why, hosts) in self.gone(now_ms) {
            let part = nodes.intersection(&membership.subtrees_of(&hosts));
            nodes = nodes.difference(&part);
            groups.push(Group::unreachable(part, why));
        }
        groups.push(Group::unreachable(nodes, Unreachable::NotJoined));
        groups.retain(|group| !group.nodes.is_empty());
        groups
    }
}

impl Status {
    /// What is known of other hosts that are not in the tree.
    fn gone(&self, now_ms: u64) -> BTreeMap<Unreachable, RangeSet> {
        let lost = self.lost_ms.iter().map(|(host, at_ms)| {
            let seconds = u32::try_from(now_ms.saturating_sub(*at_ms) / 1000).unwrap_or(u32::MAX);
            let ago_s = if seconds < 60 { seconds } else { seconds / 60 * 60 };
            (*host, Unreachable::Lost { ago_s })
        });
        let strangers =
            self.strangers.iter().map(|(host, cluster)| (*host, Unreachable::OtherCluster { cluster: *cluster }));
        let mut gone: BTreeMap<Unreachable, Vec<(u32, u32)>> = BTreeMap::new();
        for (host, why) in lost.chain(strangers) {
            gone.entry(why).or_default().push((host.0, host.0));
        }
        gone.into_iter().map(|(why, hosts)| (why, RangeSet::from_ranges(hosts))).collect()
    }
}

/// What is believed of a child's report: of the nodes that it may report.
pub(super) fn credible(report: Report, may: &NodeSet) -> Report {
    let mut down = report.down;
    down.retain_mut(|(state, nodes)| {
        *nodes = nodes.intersection(may);
        !state.is_up() && !nodes.is_empty()
    });
    Report { up: report.up.intersection(may), down, twins: report.twins }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::StartMode;
    use crate::text::ShortText;
    use alloc::format;

    #[test]
    fn a_guest_that_was_heard_and_goes_on_is_up() {
        let mut status = Status::default();
        status.linked(GuestId(3));
        status.set(GuestId(3), GuestState::Paused, false);
        assert!(!status.up().contains(3));
        status.set(GuestId(3), GuestState::Starting(StartMode::Clone), true);
        assert!(status.up().contains(3));
    }

    /// Guests of so many hosts, every fourth from `first` on, other ones on each second host.
    fn scattered(hosts: u32, first: u32) -> NodeSet {
        let every =
            |first: u32, last: u32, step| RangeSet::from_ranges((first..last).step_by(step).map(|n| (n, n)).collect());
        let odd = NodeSet::product(&every(1, hosts, 2), &every(first, 800, 4));
        odd.union(&NodeSet::product(&every(2, hosts, 2), &every(first + 1, 800, 4)))
    }

    #[test]
    fn a_report_that_fits_no_message_loses_its_reasons_first() {
        let mut status = Status::default();
        let report = |hosts| Report {
            up: scattered(hosts, 1),
            down: [GuestState::Paused, GuestState::Stopped].map(|state| (state, scattered(hosts, 2))).into(),
            twins: Vec::new(),
        };
        let (short, long, too_long) = (report(300), report(600), report(1200));
        assert_eq!(status.fitting(short.clone()), Ok(short.clone()));
        let cut = status.fitting(long.clone()).unwrap();
        assert_eq!((cut.up, cut.down.len()), (long.up, 1), "what is reached is never guessed");
        assert_eq!(status.fitting(too_long.clone()), Err(TooLong { first: true }));
        assert_eq!(status.fitting(too_long.clone()), Err(TooLong { first: false }), "it is said once");
        assert_eq!(status.fitting(short.clone()), Ok(short));
        assert_eq!(status.fitting(too_long), Err(TooLong { first: true }));
    }

    #[test]
    fn a_host_reports_no_more_states_than_its_parent_believes() {
        let mut status = Status::default();
        for guest in 1..=100 {
            let mode = StartMode::Cold { no_template: ShortText::new(format!("reason {guest}")) };
            status.set(GuestId(guest), GuestState::Starting(mode), false);
        }
        let report = status.report(HostId(1), &Peers::default());
        assert_eq!(report.down.len(), STATES_MAX + 1);
        let may = report.down.iter().fold(NodeSet::default(), |all, (_, nodes)| all.union(nodes));
        assert_eq!(may.len(), 100);
        assert_eq!(credible(report, &may).down.iter().map(|(_, nodes)| nodes.len()).sum::<u64>(), 100);
    }
}
