//! How parts of one operation come together, and what becomes of nodes whose link is gone.

use super::kept::Kept;
use super::late::{LATE_MS, was_lost_just_now};
use super::operation::Operation;
use crate::answer::{Group, Outcome};
use crate::id::LinkId;
use alloc::vec::Vec;
use vmatic_plan::NodeSet;

impl Operation {
    /// Takes nodes that whoever was asked has just lost for such as are on their way, at the root; false elsewhere.
    pub fn is_late(&mut self, outcome: &Outcome, nodes: &NodeSet, now_ms: u64) -> bool {
        let Some(ago_ms) = was_lost_just_now(outcome).filter(|_| self.gathers) else { return false };
        self.wait_for(nodes, now_ms + LATE_MS - ago_ms);
        true
    }

    /// Nodes are asked as soon as they are in the tree, until then.
    pub fn wait_for(&mut self, nodes: &NodeSet, until_ms: u64) {
        self.late = self.late.union(nodes);
        self.late_ms = self.late_ms.max(until_ms);
    }

    /// What was given to one who is gone is to be given again, as far as it is for these nodes.
    pub fn give_again(&mut self, nodes: &NodeSet, now_ms: u64) {
        let Some(kept) = &mut self.kept else { return };
        let (mut again, mut rest) = (Vec::new(), Kept::default());
        for group in core::mem::take(kept).answers.take() {
            let (part, other) = (group.nodes.intersection(nodes), group.nodes.difference(nodes));
            again.push(Group { nodes: part, ..group.clone() });
            rest.add(Group { nodes: other, ..group });
        }
        *kept = rest;
        again.into_iter().for_each(|group| self.add(group, now_ms));
    }

    /// Nodes that a link answered for are adrift: those that somebody promised are asked of that one; gives the others.
    pub fn drift(&mut self, mut nodes: NodeSet, now_ms: u64) -> NodeSet {
        for (link, promised) in &self.promised {
            let part = nodes.intersection(promised);
            if !part.is_empty() {
                nodes = nodes.difference(&part);
                let asked = self.outstanding.entry(*link).or_default();
                *asked = asked.union(&part);
            }
        }
        for (link, group) in core::mem::take(&mut self.early) {
            let mine = self.outstanding.get(&link).map(|asked| asked.intersection(&group.nodes)).unwrap_or_default();
            let rest = group.nodes.difference(&mine);
            if !rest.is_empty() {
                self.early.push((link, Group { nodes: rest, ..group.clone() }));
            }
            if let Some(asked) = self.outstanding.get_mut(&link).filter(|_| !mine.is_empty()) {
                *asked = asked.difference(&mine);
                if asked.is_empty() {
                    self.outstanding.remove(&link);
                }
                self.add(Group { nodes: mine, ..group }, now_ms);
            }
        }
        nodes
    }

    /// Nodes that are waited for nowhere any more: they have answered, or are waited for elsewhere.
    fn forget(&mut self, nodes: &NodeSet) {
        self.outstanding.retain(|_, asked| {
            *asked = asked.difference(nodes);
            !asked.is_empty()
        });
        for set in [&mut self.local, &mut self.adrift, &mut self.homeless, &mut self.late] {
            *set = set.difference(nodes);
        }
    }

    /// Takes in another part of the same operation. What both wait for is waited for once, what both were answered is
    /// one answer.
    pub fn merge(&mut self, other: Operation, now_ms: u64) {
        let mut answers = other.answers;
        let given = other.kept.map(|mut kept| kept.answers.take()).unwrap_or_default();
        for group in answers.take().into_iter().chain(given) {
            let nodes = group.nodes.difference(&self.answered());
            if !nodes.is_empty() {
                self.forget(&nodes);
                self.add(Group { nodes, ..group }, now_ms);
            }
        }
        let local = other.local.difference(&self.answered());
        self.forget(&local);
        self.local = self.local.union(&local);
        for (link, nodes) in other.outstanding {
            let known = self.part();
            self.ask(link, &nodes.difference(&known));
            self.promise(link, &nodes.intersection(&known).difference(&self.answered()));
        }
        other.promised.into_iter().for_each(|(link, nodes)| self.promise(link, &nodes));
        let known = self.part();
        for (set, more) in [(&mut self.adrift, other.adrift), (&mut self.homeless, other.homeless)] {
            *set = set.union(&more).difference(&known);
        }
        self.homeless = self.homeless.difference(&self.adrift);
        let known = known.union(&self.adrift).union(&self.homeless);
        self.late = self.late.union(&other.late).difference(&known);
        self.late_ms = self.late_ms.max(other.late_ms);
        other.written.into_iter().for_each(|written| self.write(written, now_ms));
        self.doubtful = self.doubtful.union(&other.doubtful);
        self.is_first |= other.is_first;
        self.started |= other.started;
        self.drift_ms = self.drift_ms.max(other.drift_ms);
        self.gone_ms = self.gone_ms.max(other.gone_ms);
        if self.signed.is_empty() {
            self.signed = other.signed;
        }
        self.by = self.by.or(other.by);
    }

    /// From now on a link is waited for with these nodes too.
    pub fn ask(&mut self, link: LinkId, nodes: &NodeSet) {
        if !nodes.is_empty() {
            let asked = self.outstanding.entry(link).or_default();
            *asked = asked.union(nodes);
        }
    }

    /// Whoever is at a link says that it answers for these nodes, for which another link counts.
    pub fn promise(&mut self, link: LinkId, nodes: &NodeSet) {
        if !nodes.is_empty() {
            let promised = self.promised.entry(link).or_default();
            *promised = promised.union(nodes);
        }
    }
}
