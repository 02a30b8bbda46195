//! Nodes that are asked later than others, since they are on their way when a command is given.
//!
//! A host that goes from one parent to another is in nobody's report for a moment, and below a root that has just taken
//! over nobody is yet. Such nodes are not called lost: the root asks them as soon as they are there, for a while
//! (`operations::late` says how long).
//!
//! Whether nodes that are adrift were asked before their links broke, nobody knows: the command may have ended with a
//! root that was about to give it out. When they are in the tree again and have not said that they owe an answer, they
//! are asked again (`Message::Again`): who has obeyed gives the same answer, who has booted since does not obey, and
//! all others do.

use super::Host;
use super::operations::{Given, Key, Operation};
use crate::answer::{Group, Outcome};
use crate::unreachable::{LinkEnd, Peer, Unreachable};
use crate::wire::order::Order;
use alloc::vec::Vec;
use vmatic_plan::NodeSet;

/// How often it is looked whether they are there.
const LOOK_MS: u64 = 100;

impl Host {
    /// Of the nodes of this host itself that are asked, those that are to obey: not where they may have done so before,
    /// or where the host has booted since.
    pub(super) fn own_part(&mut self, operation: &mut Operation, given: &Given, own: NodeSet) -> NodeSet {
        if own.is_empty() {
            return own;
        }
        let (now_ms, op) = (self.out.now_ms, given.command.op);
        operation.is_first = operation.is_first || self.operations.first_time(op, now_ms);
        let before = operation.started || self.operations.each_of(op).any(|(_, other)| other.started);
        let up_ms = self.late.up_ms(now_ms);
        if before || !operation.is_first || given.again && up_ms < given.age_ms() {
            operation.add(Group::unreachable(own, Unreachable::Link(Peer::Tree, LinkEnd::Lost)), now_ms);
            return NodeSet::new();
        }
        operation.started = true;
        own
    }

    /// A node cannot be asked: so it is, or it is waited for.
    pub(super) fn add_absent(&mut self, operation: &mut Operation, given: &Given, group: Group) {
        let (now_ms, gathers) = (self.out.now_ms, operation.gathers && self.seeker.is_on());
        let reigns_until = self.late.reigns_until_ms();
        let unknown = group.outcome == Outcome::Unreachable(Unreachable::NotJoined);
        if gathers && operation.is_late(&group.outcome, &group.nodes, now_ms) {
            return;
        }
        if gathers && unknown && now_ms < reigns_until && given.command.order != Order::Ping {
            return operation.wait_for(&group.nodes, reigns_until);
        }
        operation.add(group, now_ms);
    }

    /// More nodes are asked of an operation that was asked here before, or the same again.
    pub(super) fn ask_more(&mut self, key: Key, given: &Given, asked: NodeSet) {
        let Some(mut operation) = self.operations.all().remove(&key) else { return };
        if operation.relay.is_none() {
            operation.done_ms = None;
            operation.give_again(&asked, self.out.now_ms);
            let known = [&operation.adrift, &operation.homeless, &operation.late];
            let more = known.into_iter().fold(asked.difference(&operation.part()), |more, set| more.difference(set));
            self.distribute(&mut operation, given, more);
        }
        self.operations.insert(key, operation);
    }

    /// The root asks those who are there now, and gives up those who did not come.
    pub(super) fn ask_latecomers(&mut self) {
        let now_ms = self.out.now_ms;
        if now_ms < self.late.look_ms {
            return;
        }
        self.late.look_ms = now_ms + LOOK_MS;
        let waits = |operation: &Operation| operation.gathers && !operation.late.is_empty();
        let running = self.operations.running().iter();
        let keys: Vec<Key> = running.filter(|(_, operation)| waits(operation)).map(|(key, _)| *key).collect();
        if keys.is_empty() || self.has_parent() || self.is_between() {
            return;
        }
        let up = self.report().up;
        for key in keys {
            let Some(operation) = self.operations.get_mut(key) else { continue };
            let there = operation.late.intersection(&up);
            let over = if now_ms < operation.late_ms { NodeSet::new() } else { operation.late.difference(&there) };
            operation.late = operation.late.difference(&there).difference(&over);
            let doubtful = there.intersection(&operation.doubtful);
            self.ask_now(key, there.difference(&doubtful), false);
            self.ask_now(key, doubtful, true);
            let gone = self.status.absent(over, self.report(), &self.membership, now_ms);
            if let Some(operation) = self.operations.get_mut(key) {
                gone.into_iter().for_each(|group| operation.add(group, now_ms));
            }
        }
    }

    /// The root asks nodes that were not asked at first, or that may have been.
    pub(super) fn ask_now(&mut self, key: Key, nodes: NodeSet, again: bool) {
        if nodes.is_empty() {
            return;
        }
        let Some(mut operation) = self.operations.all().remove(&key) else { return };
        let left_ms = operation.deadline_ms.saturating_sub(self.out.now_ms).try_into().unwrap_or(u32::MAX);
        let signed = operation.signed.clone();
        match self.authority.verify(&signed) {
            Ok((command, author)) => {
                let given = Given { command: &command, author: &author, signed: &signed, left_ms, again };
                self.distribute(&mut operation, &given, nodes);
            }
            // Its author was revoked meanwhile.
            Err(why) => operation.add(Group::failed(nodes, alloc::format!("refused: {why}")), self.out.now_ms),
        }
        self.operations.insert(key, operation);
    }
}
