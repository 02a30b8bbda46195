//! Which hosts are called to hear whether they live, and which of them are gone.

use super::position::Probed;
use crate::host::event::CallError;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use vmatic_plan::{GUESTS_MAX, HostId, NodeSet, RangeSet};

/// How long after a call that nobody took the next follows, and how many say that a host is gone.
const AGAIN_MS: u64 = 1_000;
const FAILURES: u8 = 2;
/// How long after a call that was taken the next follows.
const ALIVE_MS: u64 = 3_000;
/// Most calls at a time.
const CALLS_MAX: usize = 64;
/// What is known of a host that is called.
#[derive(Debug, Default)]
struct Probe {
    calling: bool,
    failures: u8,
    /// Nobody knows where it is: it cannot be called.
    unplaced: bool,
    next_ms: u64,
}

/// The hosts that are called.
#[derive(Debug, Default)]
pub struct Probes {
    hosts: BTreeMap<HostId, Probe>,
}

impl Probes {
    /// Looks at who is adrift now; gives those who are to be called.
    pub fn due(&mut self, adrift: &RangeSet, now_ms: u64) -> Vec<HostId> {
        self.hosts.retain(|host, _| adrift.contains(host.0));
        let mut calls = self.hosts.values().filter(|probe| probe.calling).count();
        let mut due = Vec::new();
        for host in adrift.iter().map(HostId) {
            if calls >= CALLS_MAX {
                break;
            }
            let probe = self.hosts.entry(host).or_default();
            if !probe.calling && !probe.unplaced && probe.failures < FAILURES && probe.next_ms <= now_ms {
                due.push(host);
                calls += 1;
            }
        }
        due
    }

    /// A host is called now.
    pub fn called(&mut self, host: HostId) {
        if let Some(probe) = self.hosts.get_mut(&host) {
            probe.calling = true;
        }
    }

    /// What came of a call.
    pub fn answered(&mut self, host: HostId, probed: Probed, now_ms: u64) {
        let Some(probe) = self.hosts.get_mut(&host) else { return };
        probe.calling = false;
        match probed {
            Probed::Alive(_) => (probe.failures, probe.next_ms) = (0, now_ms + ALIVE_MS),
            Probed::Not(CallError::Refused) => {
                (probe.failures, probe.next_ms) = (probe.failures + 1, now_ms + AGAIN_MS);
            }
            // Its machine may be off, or only out of reach.
            Probed::Not(CallError::Silent) => (probe.failures, probe.next_ms) = (0, now_ms + ALIVE_MS),
            Probed::Not(CallError::Unplaced) => probe.unplaced = true,
        }
    }

    /// Those whose machine is there and takes no calls, and their guests.
    pub fn gone(&self) -> NodeSet {
        self.nodes(|probe| probe.failures >= FAILURES)
    }

    /// Those that cannot be called.
    pub fn unplaced(&self) -> NodeSet {
        self.nodes(|probe| probe.unplaced)
    }

    fn nodes(&self, which: impl Fn(&Probe) -> bool) -> NodeSet {
        let hosts = self.hosts.iter().filter(|(_, probe)| which(probe)).map(|(host, _)| (host.0, host.0)).collect();
        NodeSet::product(&RangeSet::from_ranges(hosts), &RangeSet::span(0, GUESTS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::Node;

    /// Calls those who are due and gives all of them the same answer, so many times; whether they are gone then.
    fn probe(answer: Probed, times: u64) -> (Vec<u64>, bool) {
        let (mut probes, mut called) = (Probes::default(), Vec::new());
        for now_ms in (0..60_000).step_by(250) {
            if called.len() as u64 == times {
                break;
            }
            for host in probes.due(&RangeSet::one(7), now_ms) {
                called.push(now_ms);
                probes.called(host);
                probes.answered(host, answer, now_ms + 1);
            }
        }
        let gone = probes.gone();
        (called, gone.contains(Node::host(HostId(7))))
    }

    #[test]
    fn who_turns_calls_away_twice_is_gone_and_called_no_more() {
        assert!(!probe(Probed::Not(CallError::Refused), 1).1, "it may be starting just then");
        let (called, gone) = probe(Probed::Not(CallError::Refused), 9);
        assert!(gone && called.len() == 2, "{called:?}");
    }

    #[test]
    fn who_is_out_of_reach_or_lives_is_never_gone() {
        for answer in [Probed::Not(CallError::Silent), Probed::Alive(None), Probed::Not(CallError::Unplaced)] {
            let (called, gone) = probe(answer, 9);
            assert!(!gone, "{answer:?}: {called:?}");
            assert_eq!(called.len(), if answer == Probed::Not(CallError::Unplaced) { 1 } else { 9 }, "{answer:?}");
            assert!(called.windows(2).all(|two| two[1] - two[0] >= ALIVE_MS), "{answer:?}: {called:?}");
        }
    }

    #[test]
    fn few_are_called_at_a_time_and_whoever_came_back_is_forgotten() {
        let mut probes = Probes::default();
        let all = RangeSet::span(1, 1_000);
        let due = probes.due(&all, 0);
        assert_eq!(due.len(), CALLS_MAX);
        due.iter().for_each(|host| probes.called(*host));
        assert_eq!(probes.due(&all, 1), [], "all calls are under way");
        assert_eq!(probes.due(&RangeSet::one(999), 2), [HostId(999)]);
        assert_eq!(probes.hosts.len(), 1);
    }
}
