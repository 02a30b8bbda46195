//! Nodes that are asked later than others, since they are on their way when a command is given.
//!
//! A host that goes from one parent to another is in nobody's report for a moment, and below a root that has just taken
//! over nobody is yet. Such nodes are not called lost: the root asks them as soon as they are there, for a while
//! ([`REIGN_MS`] below a new root).
//!
//! Whether nodes that are adrift were asked before their links broke, nobody knows: the command may have ended with a
//! root that was about to give it out. When they are in the tree again and have not said that they owe an answer, they
//! are asked [again](Message::Again): who has obeyed gives the same answer, who has booted since does not obey, and all
//! others do.

use super::Host;
use super::operations::{Key, Operation};
use crate::answer::{Group, Outcome};
use crate::auth::authority::Author;
use crate::auth::command::Command;
use crate::unreachable::{LinkEnd, Peer, Unreachable};
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::vec::Vec;
use vmatic_plan::NodeSet;

/// How long after a root has taken over hosts may still come below it.
const REIGN_MS: u64 = 3_000;
/// How often it is looked whether they are there.
const LOOK_MS: u64 = 100;

/// When this host began, and when it became root.
#[derive(Debug, Default)]
pub(super) struct Latecomers {
    booted_ms: Option<u64>,
    reign_ms: Option<u64>,
    look_ms: u64,
}

impl Latecomers {
    /// The host is there since this time at the latest.
    pub fn booted(&mut self, now_ms: u64) {
        self.booted_ms.get_or_insert(now_ms);
    }

    /// The host is a root from now on.
    pub fn settled(&mut self, now_ms: u64) {
        self.reign_ms = Some(now_ms);
    }
}

/// A command as it came, and how much of its time is left.
pub(super) struct Given<'a> {
    pub command: &'a Command,
    pub author: &'a Author,
    pub signed: &'a [u8],
    /// How long whoever asked waits.
    pub left_ms: u32,
    /// Whether it is not known if those who are asked were asked before.
    pub again: bool,
}

impl Given<'_> {
    /// What a child is told.
    pub fn message(&self, asked: NodeSet, remaining_ms: u32) -> Message {
        let signed = self.signed.to_vec();
        match self.again {
            true => Message::Again { signed, asked, remaining_ms },
            false => Message::Command { signed, asked, remaining_ms },
        }
    }

    /// How long ago the operator gave it, at most: each level keeps some of the time for itself.
    fn age_ms(&self) -> u64 {
        u64::from(self.command.deadline_ms.saturating_sub(self.left_ms))
    }
}

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
        let up_ms = now_ms.saturating_sub(self.late.booted_ms.unwrap_or(now_ms));
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
        let reigns_until = self.late.reign_ms.map_or(0, |since| since + REIGN_MS);
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
