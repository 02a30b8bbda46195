//! Whether hosts live of which nobody has heard since the links to them broke: the root calls them.
//!
//! A host that lost its parent finds another within a second or two, unless it does not know yet: a parent that ended
//! without a word is noticed by its silence. So who does not come back is called before it is called lost. Whose
//! machine is there and takes no calls, twice, has ended, and its programs with it. Whoever takes the call lives, and
//! who cannot be reached may: both are waited for until the command's time is over.

use super::Host;
use super::event::CallError;
use super::operations::{Key, Operation, PARENT_LOST};
use super::seeker::Probed;
use crate::answer::Group;
use crate::unreachable::{LinkEnd, Peer, Unreachable};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use vmatic_plan::{GUESTS_MAX, HostId, NodeSet, RangeSet};

/// How long nodes are adrift until their hosts are called.
const FIRST_MS: u64 = 2_000;
/// How long after a call that nobody took the next follows, and how many say that a host is gone.
const AGAIN_MS: u64 = 1_000;
const FAILURES: u8 = 2;
/// How long after a call that was taken the next follows.
const ALIVE_MS: u64 = 3_000;
/// Most calls at a time.
const CALLS_MAX: usize = 64;
/// How often all this is looked at.
const LOOK_MS: u64 = 250;

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
pub(super) struct Probes {
    hosts: BTreeMap<HostId, Probe>,
    look_ms: u64,
}

impl Probes {
    /// Looks at who is adrift now; gives those who are to be called.
    fn due(&mut self, adrift: &RangeSet, now_ms: u64) -> Vec<HostId> {
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

    fn called(&mut self, host: HostId) {
        if let Some(probe) = self.hosts.get_mut(&host) {
            probe.calling = true;
        }
    }

    fn answered(&mut self, host: HostId, probed: Probed, now_ms: u64) {
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

    fn nodes(&self, which: impl Fn(&Probe) -> bool) -> NodeSet {
        let hosts = self.hosts.iter().filter(|(_, probe)| which(probe)).map(|(host, _)| (host.0, host.0)).collect();
        NodeSet::product(&RangeSet::from_ranges(hosts), &RangeSet::span(0, GUESTS_MAX))
    }
}

impl Host {
    /// The root calls those lost of whom nobody has heard for long, and who take no calls.
    pub(super) fn give_up_gone(&mut self) {
        let now_ms = self.out.now_ms;
        for (host, probed) in self.seeker.probed() {
            self.probes.answered(host, probed, now_ms);
        }
        if now_ms < self.probes.look_ms {
            return;
        }
        self.probes.look_ms = now_ms + LOOK_MS;
        let gathers = |(key, operation): &(&Key, &Operation)| key.1 != PARENT_LOST && !operation.adrift.is_empty();
        if !self.operations.all().iter().any(|each| gathers(&each)) || self.has_parent() || self.is_between() {
            return;
        }
        self.ask_again();
        let all = || self.operations.running().iter().filter(gathers);
        if self.seeker.is_on() {
            let long = all().filter(|(_, operation)| now_ms >= operation.drift_ms + FIRST_MS);
            let hosts = long.fold(RangeSet::default(), |hosts, (_, operation)| hosts.union(&operation.adrift.hosts()));
            for host in self.probes.due(&hosts, now_ms) {
                if self.probe(host) {
                    self.probes.called(host);
                }
            }
        }
        let report = self.report();
        let gone = self.probes.nodes(|probe| probe.failures >= FAILURES);
        let late = self.probes.nodes(|probe| probe.unplaced).union(&gone);
        let is_on = self.seeker.is_on();
        let lost = |operation: &Operation| match now_ms {
            now if !is_on && now >= operation.gone_ms => operation.adrift.clone(),
            now if now >= operation.gone_ms => operation.adrift.intersection(&late),
            now if now >= operation.drift_ms + FIRST_MS => operation.adrift.intersection(&gone),
            _ => NodeSet::new(),
        };
        let lost: Vec<(Key, NodeSet)> = self
            .operations
            .running()
            .iter()
            .filter(gathers)
            .map(|(key, operation)| (*key, lost(operation)))
            .filter(|(_, nodes)| !nodes.is_empty())
            .collect();
        for (key, nodes) in lost {
            let back = nodes.intersection(&report.up);
            let mut groups = self.status.absent(nodes.difference(&back), report.clone(), &self.membership, now_ms);
            groups.push(Group::unreachable(back, Unreachable::Link(Peer::Tree, LinkEnd::Lost)));
            let Some(operation) = self.operations.get_mut(key) else { continue };
            operation.adrift = operation.adrift.difference(&nodes);
            groups.into_iter().filter(|group| !group.nodes.is_empty()).for_each(|group| operation.add(group, now_ms));
        }
    }

    /// Those that are in the tree again and do not say that they owe an answer may never have been asked.
    fn ask_again(&mut self) {
        let (now_ms, mut up) = (self.out.now_ms, None);
        let running = self.operations.running().iter();
        let waits = |operation: &Operation| operation.gathers && now_ms >= operation.drift_ms + FIRST_MS;
        let keys: Vec<Key> = running.filter(|(_, operation)| waits(operation)).map(|(key, _)| *key).collect();
        for key in keys {
            let up = up.get_or_insert_with(|| self.report().up);
            let Some(operation) = self.operations.get_mut(key) else { continue };
            let back = operation.adrift.intersection(up);
            operation.adrift = operation.adrift.difference(&back);
            operation.doubtful = operation.doubtful.union(&back);
            self.ask_now(key, back, true);
        }
    }
}
