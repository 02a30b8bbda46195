//! Whether hosts live of which nobody has heard since the links to them broke: the root calls them.
//!
//! A host that lost its parent finds another within a second or two, unless it does not know yet: a parent that ended
//! without a word is noticed by its silence. So who does not come back is called before it is called lost. Whose
//! machine is there and takes no calls, twice, has ended, and its programs with it. Whoever takes the call lives, and
//! who cannot be reached may: both are waited for until the command's time is over.

use super::Host;
use super::operations::{Key, Operation, PARENT_LOST};
use crate::answer::Group;
use crate::unreachable::{LinkEnd, Peer, Unreachable};
use alloc::vec::Vec;
use vmatic_plan::{NodeSet, RangeSet};

/// How long nodes are adrift until their hosts are called.
const FIRST_MS: u64 = 2_000;
/// How often all this is looked at.
const LOOK_MS: u64 = 250;

impl Host {
    /// The root calls those lost of whom nobody has heard for long, and who take no calls.
    pub(super) fn give_up_gone(&mut self) {
        let now_ms = self.out.now_ms;
        for (host, probed) in self.seeker.probed() {
            self.probes.answered(host, probed, now_ms);
        }
        if now_ms < self.probes_look_ms {
            return;
        }
        self.probes_look_ms = now_ms + LOOK_MS;
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
        let gone = self.probes.gone();
        let late = self.probes.unplaced().union(&gone);
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
