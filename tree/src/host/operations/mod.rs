//! Operations on one host: whom each still waits for, and what it has not yet passed on.
//!
//! * `operation`: one of them;
//! * `parts`: how parts of one come together, and what becomes of nodes whose link is gone;
//! * `kept`: answers that were given, for whoever asks in place of the one that had them;
//! * `late`: what says that a node is on its way.

mod kept;
mod late;
mod operation;
mod parts;

use super::event::{Action, Outbox};
use super::peers::Peers;
use crate::answer::{Group, Outcome, Output};
use crate::auth::command::Command;
use crate::auth::freshness::Freshness;
use crate::auth::replay::ReplayWindow;
use crate::id::{LinkId, OpId};
use crate::refusal::CommandError;
use crate::session::SESSIONS_MAX;
use crate::unreachable::Unreachable;
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
pub(super) use kept::Kept;
pub(super) use late::{Given, Latecomers};
pub(super) use operation::{Operation, concise, less_slack};
use vmatic_plan::{Node, NodeSet};

/// Most operations at a time.
const OPERATIONS_MAX: usize = 1024;
/// How long what was answered is kept for one who comes in place of whoever asked, and of how many operations.
const KEPT_MS: u64 = 30_000;
const KEPT_MAX: usize = 64;
/// How long programs go on after the way to whoever asked broke, and how long the root waits for one who lost its way:
/// a parent that ended without a word is noticed after its silence, and a part of the network may be away for longer.
/// Where the operator himself is gone, the host that he was attached to says so at once.
const ORPHAN_MS: u64 = 60_000;

/// Stand for the link of whoever asked, where that is gone: the parent, or somebody below.
pub(super) const PARENT_LOST: LinkId = 0;
pub(super) const WAY_LOST: LinkId = LinkId::MAX;

/// An operation here, and the link of whoever waits for it.
pub(super) type Key = (OpId, LinkId);

/// The operations of a host.
#[derive(Debug, Default)]
pub(super) struct Operations {
    running: BTreeMap<Key, Operation>,
    obeyed: ReplayWindow,
    fresh: Freshness,
}

impl Operations {
    #[cfg(test)]
    pub fn running_for_tests(&self) -> &BTreeMap<Key, Operation> {
        &self.running
    }

    /// Whether this operation runs for this link.
    pub fn contains(&self, key: Key) -> bool {
        self.running.get(&key).is_some_and(|operation| operation.done_ms.is_none())
    }

    /// An operation begins.
    pub fn insert(&mut self, key: Key, operation: Operation) {
        self.running.insert(key, operation);
    }

    /// An operation that runs, to be changed; none if it has ended.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Operation> {
        self.running.get_mut(&key)
    }

    /// This operation, for each link that waits for it.
    pub fn each_of(&mut self, op: OpId) -> impl Iterator<Item = (Key, &mut Operation)> {
        self.running.range_mut((op, 0)..=(op, LinkId::MAX)).map(|(key, operation)| (*key, operation))
    }

    /// Whether somebody waits on this link.
    pub fn any_of(&self, link: LinkId) -> bool {
        self.running.iter().any(|(key, operation)| key.1 == link && operation.done_ms.is_none())
    }

    /// Whether somebody waits for an answer from this link.
    pub fn any_asked_of(&self, link: LinkId) -> bool {
        self.running.values().any(|operation| operation.outstanding.contains_key(&link))
    }

    /// Whether something is waited for over this link, from either side.
    pub fn involves(&self, link: LinkId) -> bool {
        self.any_of(link) || self.any_asked_of(link)
    }

    /// Whether somebody waits for answers to this operation from this link.
    pub fn is_asked(&self, op: OpId, link: LinkId) -> bool {
        self.running.range((op, 0)..=(op, LinkId::MAX)).any(|(_, operation)| operation.outstanding.contains_key(&link))
    }

    /// Why a command that is the operator's cannot be obeyed now.
    pub fn refusal(&self, command: &Command, asked: &NodeSet) -> Option<&'static str> {
        let sessions = || self.running.values().filter(|operation| operation.relay.is_some()).count();
        if !asked.difference(&command.nodes).is_empty() {
            Some("asked of nodes that the operator did not name")
        } else if self.running.values().filter(|operation| operation.done_ms.is_none()).count() >= OPERATIONS_MAX {
            Some("too many operations at a time")
        } else if matches!(command.order, Order::Console(_) | Order::Serial(_)) && sessions() >= SESSIONS_MAX {
            Some("too many console sessions at a time")
        } else {
            None
        }
    }

    /// Notes that a command is obeyed here; false if it was before, or is too old to tell.
    pub fn first_time(&mut self, op: OpId, now_ms: u64) -> bool {
        self.obeyed.first_time(op, self.fresh.latest_s(now_ms))
    }

    /// The host's clock says this time, in seconds since 1970.
    pub fn set_clock(&mut self, unix_s: u64, now_ms: u64) {
        self.fresh.set_clock(unix_s, now_ms);
    }

    /// Whether a command's time is not over, as far as this host knows the time, which it may learn from it.
    pub fn judge(&mut self, command: &Command, learn: bool, now_ms: u64) -> Result<(), CommandError> {
        self.fresh.judge(command.issued_s, command.deadline_ms, now_ms)?;
        if learn {
            self.fresh.obeyed(command.issued_s, now_ms);
        }
        Ok(())
    }

    /// By how many seconds this time is over, as far as this host knows.
    pub fn over_by_s(&self, end_s: u64, now_ms: u64) -> Option<u64> {
        self.fresh.over_by_s(end_s, now_ms)
    }

    /// Whether whoever is at a link has something to say of an operation, also where it says that it answers for nodes
    /// that another link counts for.
    pub fn may_answer(&self, op: OpId, link: LinkId) -> bool {
        let mut its = self.running.range((op, 0)..=(op, LinkId::MAX)).map(|(_, operation)| operation);
        its.any(|operation| operation.outstanding.contains_key(&link) || operation.promised.contains_key(&link))
    }

    /// When something is to be done without an event: deadlines, and answers that were gathered.
    pub fn due_ms(&self) -> impl Iterator<Item = u64> {
        let deadline = |operation: &Operation| operation.done_ms.is_none().then_some(operation.deadline_ms);
        self.running.values().flat_map(move |operation| [deadline(operation), operation.flush_at()]).flatten()
    }

    /// Takes answers that came over a link; `guest` is the guest at its other end, if it is one.
    pub fn receive(&mut self, link: LinkId, op: OpId, groups: &[Group], guest: Option<Node>, now_ms: u64) {
        for (_, operation) in self.each_of(op) {
            for group in groups {
                let mut group = group.clone();
                if let Some(guest) = guest {
                    group.nodes = NodeSet::one(guest);
                }
                operation.receive(link, group, now_ms);
            }
        }
    }

    /// This host's own task of an operation has ended.
    pub fn finish(&mut self, op: OpId, outcome: &Outcome, output: &Output, now_ms: u64) {
        for (_, operation) in self.each_of(op) {
            let nodes = core::mem::take(&mut operation.local);
            if !nodes.is_empty() {
                operation.add(Group { nodes, outcome: outcome.clone(), output: output.clone() }, now_ms);
            }
        }
    }

    /// Gives up on a link: what it has not answered is what `judge` makes of it.
    pub fn give_up(&mut self, link: LinkId, now_ms: u64, judge: impl Fn(NodeSet) -> Group) {
        for operation in self.running.values_mut() {
            operation.give_up(link, now_ms, &judge);
        }
    }

    /// Ends an operation for the link that asked for it, and below.
    pub fn cancel(&mut self, key: Key, peers: &mut Peers, out: &mut Outbox) {
        let Some(operation) = self.running.remove(&key) else { return };
        for below in operation.outstanding.into_keys().chain(operation.promised.into_keys()) {
            // Others may wait for the same, asked by another way.
            if !self.is_asked(key.0, below) {
                peers.send(below, Message::Cancel(key.0), out);
            }
        }
        let is_shared = self.each_of(key.0).any(|(_, other)| !other.local.is_empty());
        if !operation.local.is_empty() && !is_shared {
            out.push(Action::Stop { op: key.0 });
        }
    }

    /// Operations of operators of whose certificates this holds, by serial.
    pub fn keys_of(&self, its: impl Fn(u32) -> bool) -> Vec<Key> {
        self.running.iter().filter(|(_, operation)| operation.by.is_some_and(&its)).map(|(key, _)| *key).collect()
    }

    /// Ends an operation here and below; whoever waits for it hears why, for all that have not answered.
    pub fn end(&mut self, key: Key, why: String, peers: &mut Peers, out: &mut Outbox) {
        let Some(operation) = self.running.get_mut(&key) else { return };
        let mut nodes = core::mem::take(&mut operation.local);
        if !nodes.is_empty() {
            out.push(Action::Stop { op: key.0 });
        }
        let below = core::mem::take(&mut operation.outstanding);
        let promised = core::mem::take(&mut operation.promised);
        let (adrift, homeless) = (core::mem::take(&mut operation.adrift), core::mem::take(&mut operation.homeless));
        let late = core::mem::take(&mut operation.late);
        for set in below.values().chain([&adrift, &homeless, &late]) {
            nodes = nodes.union(set);
        }
        if !nodes.is_empty() {
            operation.add(Group::failed(nodes, why), out.now_ms);
        }
        let links: BTreeSet<LinkId> = below.into_keys().chain(promised.into_keys()).collect();
        for link in links {
            peers.send(link, Message::Cancel(key.0), out);
        }
    }

    /// Ends all that somebody on this link waited for.
    pub fn cancel_all_of(&mut self, link: LinkId, peers: &mut Peers, out: &mut Outbox) {
        let orphaned: Vec<Key> = self.running.keys().filter(|key| key.1 == link).copied().collect();
        for key in orphaned {
            self.cancel(key, peers, out);
        }
    }

    /// Passes answers up, ends what is over.
    pub fn advance(&mut self, peers: &mut Peers, out: &mut Outbox) {
        let now_ms = out.now_ms;
        self.end_orphans(peers, out);
        let (mut done, mut started) = (0, Vec::new());
        self.running.retain(|&(op, from), operation| {
            if operation.done_ms.is_none() && now_ms >= operation.deadline_ms {
                operation.time_is_up(op, peers, out);
            }
            if operation.flush_at().is_some_and(|at| at <= now_ms) {
                for pieces in operation.take_written() {
                    peers.send(from, Message::Written { op, pieces }, out);
                }
                for groups in operation.flush() {
                    peers.send(from, Message::Answers { op, groups }, out);
                }
            }
            if !operation.is_done() {
                return true;
            }
            operation.signed = Vec::new();
            let since = *operation.done_ms.get_or_insert(now_ms);
            done += 1;
            let keep = operation.kept.is_some() && now_ms < since + KEPT_MS && done <= KEPT_MAX;
            started.extend(Some(op).filter(|_| operation.started && !keep));
            keep
        });
        // Whoever else waits for the same remembers that it was obeyed here.
        started.into_iter().for_each(|op| self.each_of(op).for_each(|(_, operation)| operation.started = true));
    }

    /// Ends what nobody has asked for again in time.
    fn end_orphans(&mut self, peers: &mut Peers, out: &mut Outbox) {
        let over = |(key, operation): (&Key, &Operation)| {
            operation.orphan_ms.is_some_and(|since| out.now_ms >= since + ORPHAN_MS).then_some(*key)
        };
        for key in self.running.iter().filter_map(over).collect::<Vec<_>>() {
            self.cancel(key, peers, out);
        }
    }

    /// All operations.
    pub fn running(&self) -> &BTreeMap<Key, Operation> {
        &self.running
    }

    /// All operations, for whoever lets them outlive links.
    pub fn all(&mut self) -> &mut BTreeMap<Key, Operation> {
        &mut self.running
    }
}

impl Operation {
    /// What has not answered by now never will.
    fn time_is_up(&mut self, op: OpId, peers: &mut Peers, out: &mut Outbox) {
        let now_ms = out.now_ms;
        for link in self.outstanding.keys().copied().collect::<Vec<_>>() {
            self.give_up(link, now_ms, |nodes| Group::unreachable(nodes, Unreachable::TimedOut));
            peers.send(link, Message::Cancel(op), out);
        }
        let lost = core::mem::take(&mut self.adrift).union(&core::mem::take(&mut self.homeless));
        let lost = lost.union(&core::mem::take(&mut self.late));
        if !lost.is_empty() {
            self.add(Group::unreachable(lost, Unreachable::TimedOut), now_ms);
        }
        let nodes = core::mem::take(&mut self.local);
        if !nodes.is_empty() {
            self.add(Group { nodes, outcome: Outcome::TimedOut, output: Output::default() }, now_ms);
            out.push(Action::Stop { op });
        }
    }
}

#[cfg(test)]
mod tests;
