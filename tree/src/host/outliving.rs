//! How operations outlive links.
//!
//! A link that breaks says nothing about the programs below it. Whoever had asked over it tells the root that these
//! nodes are *adrift* ([`Message::Adrift`]), and asks nobody else; the programs go on. A host that has a new parent
//! says what it was asked before ([`Message::Owes`]), and gives its answers again, those that its old parent may have
//! taken with it too; on the way to the root everybody notes where the answers will come from. The root alone decides
//! that a node is lost: when nobody has said for [`GONE_MS`] that it answers for it, or at the deadline.
//!
//! Where the way up from the console breaks, the last that is left of it asks again ([`Message::Resume`]) for what has
//! not come, and the root, the old or a new one, sends what it has and gathers the rest.
//!
//! Sessions do not outlive links: what is typed must not be lost unnoticed.

use super::Host;
use super::operations::{Given, Kept, Key, Operation, PARENT_LOST, WAY_LOST, less_slack};
use super::peers::{Direction, HOST_HEARTBEAT_MS, Link};
use crate::answer::Group;
use crate::auth::command::DEADLINE_MAX_MS;
use crate::id::{LinkId, OpId};
use crate::unreachable::{LinkEnd, Unreachable};
use crate::wire::message::{Message, PeerRole};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use vmatic_plan::NodeSet;

/// How long nodes are adrift until they are called lost. Who lost a parent finds another within a second or two; where
/// that fell silent, its children notice by their own clocks, and call it first.
const GONE_MS: u64 = 4_000;
const GONE_SILENT_MS: u64 = GONE_MS + 2 * HOST_HEARTBEAT_MS;
/// Most operations that are only passed on.
const PASSING_MAX: usize = 1024;

impl Host {
    /// A link is gone, over which somebody asked or was asked.
    pub(super) fn operations_lost(&mut self, link: LinkId, gone: &Link, how: LinkEnd) {
        let (peer, now_ms) = (gone.peer(), self.out.now_ms);
        let host = matches!(gone.who, Some(PeerRole::Host(_)));
        let seeks = gone.side == Direction::Child || self.seeker.is_on();
        if host && seeks {
            self.asker_lost(link, gone.side);
            self.asked_lost(link, gone.side, how == LinkEnd::Silent);
        }
        let unreachable = |nodes| Group::unreachable(nodes, Unreachable::Link(peer, how));
        self.operations.give_up(link, now_ms, unreachable);
        self.operations.cancel_all_of(link, &mut self.peers, &mut self.out);
    }

    /// Whoever asked over this link is gone: what it asked for goes on for a while.
    fn asker_lost(&mut self, link: LinkId, side: Direction) {
        let now_ms = self.out.now_ms;
        let lost = if side == Direction::Parent { PARENT_LOST } else { WAY_LOST };
        let all = self.operations.all();
        let keys: Vec<Key> =
            all.iter().filter(|(key, o)| key.1 == link && o.relay.is_none()).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(mut operation) = all.remove(&key) else { continue };
            operation.orphan_ms = Some(now_ms);
            if let Some(before) = all.remove(&(key.0, lost)) {
                operation.merge(before, now_ms);
            }
            all.insert((key.0, lost), operation);
        }
    }

    /// Whoever was asked over this link is gone.
    fn asked_lost(&mut self, link: LinkId, side: Direction, silent: bool) {
        let now_ms = self.out.now_ms;
        let mut adrift = Vec::new();
        for (key, operation) in self.operations.all().iter_mut().filter(|(_, operation)| operation.relay.is_none()) {
            operation.promised.remove(&link);
            let Some(nodes) = operation.outstanding.remove(&link) else { continue };
            if side == Direction::Parent {
                operation.homeless = operation.homeless.union(&nodes);
            } else {
                let nodes = operation.drift(nodes, now_ms);
                adrift.push((*key, nodes));
            }
        }
        adrift.into_iter().for_each(|(key, nodes)| self.drift(key, nodes, silent));
    }

    /// Nodes of an operation answer over no link that is known here: the root is to know, or is this host.
    fn drift(&mut self, key: Key, nodes: NodeSet, silent: bool) {
        if nodes.is_empty() {
            return;
        }
        if self.peers.is_parent_side(key.1) {
            return self.peers.send(key.1, Message::Adrift { op: key.0, nodes, silent }, &mut self.out);
        }
        let now_ms = self.out.now_ms;
        if let Some(operation) = self.operations.get_mut(key) {
            operation.drift_alone(&nodes, now_ms, silent);
        }
        self.raise(key);
    }

    /// Nodes that are adrift for one who asked here are for the root to wait for, if this host is not the root itself.
    fn raise(&mut self, key: Key) {
        let (Some(parent), now_ms) = (self.peers.parent(), self.out.now_ms) else { return };
        let operators = self.knows_operators == Some(parent);
        let Some(operation) = self.operations.get_mut(key) else { return };
        // What a way that is lost asked for, or a parent, the root hears from who comes in its place. An operator's
        // waits until the parent has said that it knows operators.
        let waits = operation.by.is_some() && !operators || operation.signed.is_empty();
        if key.1 == WAY_LOST || key.1 == PARENT_LOST || key.1 == parent || waits {
            return;
        }
        let remaining_ms = operation.deadline_ms.saturating_sub(now_ms).try_into().unwrap_or(u32::MAX);
        operation.gathers = false;
        let mut asked = core::mem::take(&mut operation.homeless);
        let signed = operation.signed.clone();
        let mut new = core::mem::take(&mut operation.late);
        if core::mem::take(&mut operation.fresh) {
            new = new.union(&core::mem::take(&mut asked));
        }
        if !new.is_empty() {
            operation.ask(parent, &new);
            let command = Message::Command { signed: signed.clone(), asked: new, remaining_ms };
            self.peers.send(parent, command, &mut self.out);
        }
        asked = asked.union(&core::mem::take(&mut operation.adrift));
        if !asked.is_empty() {
            operation.ask(parent, &asked);
            self.peers.send(parent, Message::Resume { signed, asked, remaining_ms }, &mut self.out);
        }
    }

    /// A child says that it does not know any more where these nodes are.
    pub(super) fn told_adrift(&mut self, link: LinkId, op: OpId, nodes: &NodeSet, silent: bool) {
        let now_ms = self.out.now_ms;
        let mut adrift = Vec::new();
        for (key, operation) in self.operations.each_of(op) {
            // What it promised while another link counted, it does not keep.
            if let Some(promised) = operation.promised.get_mut(&link) {
                *promised = promised.difference(nodes);
            }
            let Some(asked) = operation.outstanding.get_mut(&link) else { continue };
            let part = asked.intersection(nodes);
            *asked = asked.difference(&part);
            if asked.is_empty() {
                operation.outstanding.remove(&link);
            }
            adrift.push((key, operation.drift(part, now_ms)));
        }
        adrift.into_iter().for_each(|(key, nodes)| self.drift(key, nodes, silent));
    }

    /// A child has a new parent, this host or one below, and says what it was asked before.
    pub(super) fn told_owes(&mut self, link: LinkId, op: OpId, nodes: NodeSet, remaining_ms: u32) {
        let up = self.peers.parent().unwrap_or(PARENT_LOST);
        let (now_ms, remaining_ms) = (self.out.now_ms, remaining_ms.min(DEADLINE_MAX_MS));
        let mut rest = nodes.clone();
        for (key, operation) in self.operations.each_of(op) {
            let adrift = operation.adrift.intersection(&nodes);
            let others = operation.outstanding.iter().filter(|(id, _)| **id != link && **id != up);
            let elsewhere = others.fold(NodeSet::new(), |all, (_, asked)| all.union(&asked.intersection(&nodes)));
            operation.adrift = operation.adrift.difference(&adrift);
            operation.ask(link, &adrift);
            operation.promise(link, &elsewhere);
            if !adrift.is_empty() {
                // Others may be on their way as well.
                operation.done_ms = None;
                operation.gone_ms = operation.gone_ms.max(now_ms + GONE_MS);
            }
            let gathers = key.1 != up && key.1 != PARENT_LOST;
            let known = operation.part();
            if gathers && !operation.outstanding.contains_key(&up) && operation.homeless.is_empty() {
                // Whatever it does not wait for was answered.
                rest = NodeSet::new();
            } else if !gathers {
                rest = rest.difference(&adrift).difference(&elsewhere).difference(&known);
            }
        }
        if rest.is_empty() || self.operations.all().len() >= PASSING_MAX {
            return;
        }
        let bare = || Operation::bare(now_ms + u64::from(remaining_ms));
        let passing = self.operations.all().entry((op, up)).or_insert_with(bare);
        passing.done_ms = None;
        passing.kept.get_or_insert_with(Kept::default);
        if up == PARENT_LOST {
            passing.orphan_ms.get_or_insert(now_ms);
        }
        let asked = passing.outstanding.entry(link).or_default();
        *asked = asked.union(&rest);
        if up != PARENT_LOST {
            let owes = Message::Owes { op, nodes: rest, remaining_ms: less_slack(remaining_ms) };
            self.peers.send(up, owes, &mut self.out);
        }
    }

    /// A new parent: it hears what is owed, and what was asked of the one before it.
    pub(super) fn operations_found(&mut self, parent: LinkId) {
        let now_ms = self.out.now_ms;
        let left = |operation: &Operation| operation.deadline_ms.saturating_sub(now_ms).try_into().unwrap_or(u32::MAX);
        let all = self.operations.all();
        // What this host gathered as root of its part, others may gather too: whoever asked may have another way by
        // now.
        let is_part = |key: &Key, o: &Operation| key.1 == PARENT_LOST || o.gathers;
        let keys: Vec<Key> = all.iter().filter(|(key, o)| is_part(key, o)).map(|(key, _)| *key).collect();
        for key in keys {
            let is_over = key.1 == PARENT_LOST || key.1 == WAY_LOST;
            let part = if is_over { all.remove(&key) } else { all.get(&key).cloned() };
            let Some(mut operation) = part else { continue };
            operation.belongs_to_a_root();
            let nodes = operation.part();
            if nodes.is_empty() {
                continue;
            }
            let owes = Message::Owes { op: key.0, nodes: nodes.clone(), remaining_ms: left(&operation) };
            self.peers.send(parent, owes, &mut self.out);
            operation.give_again(&nodes, now_ms);
            if let Some(before) = all.remove(&(key.0, parent)) {
                operation.merge(before, now_ms);
            }
            all.insert((key.0, parent), operation);
        }
        let waiting: Vec<Key> = all.keys().copied().collect();
        waiting.into_iter().for_each(|key| self.raise(key));
    }

    /// This host is the root: what was on its way up is for it to gather.
    pub(super) fn operations_settled(&mut self) {
        let all = self.operations.all();
        let keys: Vec<Key> = all.iter().filter(|(_, o)| !o.homeless.is_empty()).map(|(key, _)| *key).collect();
        let asked_twice = |key: &Key| keys.iter().filter(|other| other.0 == key.0).count() > 1;
        let mut shared = BTreeMap::new();
        for key in keys.iter().copied() {
            let Some(mut operation) = self.operations.all().remove(&key) else { continue };
            if asked_twice(&key) {
                // What this host has of it is for each that asks.
                let own = self.operations.all().get(&(key.0, PARENT_LOST)).cloned();
                let own = shared.entry(key.0).or_insert(own).clone();
                own.into_iter().for_each(|own| drop(self.operations.all().insert((key.0, PARENT_LOST), own)));
            }
            let asked = core::mem::take(&mut operation.homeless);
            if core::mem::take(&mut operation.fresh) {
                let signed = operation.signed.clone();
                self.begin(key, operation, signed, asked);
            } else {
                self.gather(key, operation, asked);
            }
        }
    }

    /// Distributes a command that waited until it was known that this host is the root.
    fn begin(&mut self, key: Key, mut operation: Operation, signed: Vec<u8>, asked: NodeSet) {
        let now_ms = self.out.now_ms;
        let left = operation.deadline_ms.saturating_sub(now_ms).try_into().unwrap_or(u32::MAX);
        match self.authority.verify(&signed) {
            Ok((command, author)) if self.operations.first_time(command.op, now_ms) => {
                operation.is_first = true;
                let given = Given { command: &command, author: &author, signed: &signed, left_ms: left, again: false };
                self.distribute(&mut operation, &given, asked);
            }
            _ => operation.add(Group::failed(asked, "rejected: duplicate command".into()), now_ms),
        }
        self.operations.insert(key, operation);
    }

    /// Gathers what hosts owe of an operation that another root began.
    fn gather(&mut self, key: Key, mut operation: Operation, asked: NodeSet) {
        let now_ms = self.out.now_ms;
        operation.drift_alone(&asked, now_ms, false);
        operation.gathers = true;
        if let Some(own) = self.operations.all().remove(&(key.0, PARENT_LOST)) {
            operation.merge(own, now_ms);
        }
        self.operations.insert(key, operation);
    }

    /// A host below asks again, in place of one that is gone.
    pub(super) fn told_resume(&mut self, link: LinkId, signed: Vec<u8>, asked: NodeSet, remaining_ms: u32) {
        let now_ms = self.out.now_ms;
        let (command, author) = match self.authority.verify(&signed) {
            Ok(signed) => signed,
            Err(error) => return self.refuse_command(link, &signed, asked, error),
        };
        let remaining_ms = remaining_ms.min(command.deadline_ms);
        if let Some(why) = self.refusal(link, &command, &author, &asked) {
            let groups = [Group::failed(asked, why)].into();
            return self.peers.send(link, Message::Answers { op: command.op, groups }, &mut self.out);
        }
        self.may_have_parcel(&command.order, link);
        let mut operation = Operation::new(&command, now_ms + u64::from(remaining_ms));
        operation.by = author.serial();
        if operation.relay.is_some() {
            return;
        }
        // What was given on the way that it came before may be lost. Where that way is gone this one takes its place;
        // else both are answered: whoever overheard a command must not take it from who gave it.
        let parent = self.peers.parent();
        let key = (command.op, link);
        let ways = self.operations.each_of(command.op).map(|(key, _)| key);
        let ways = ways.filter(|key| key.1 != PARENT_LOST && Some(key.1) != parent);
        let before = ways.min_by_key(|way| (*way != key, way.1 != WAY_LOST));
        let known = before.and_then(|before| match before.1 {
            way if way == WAY_LOST || way == link => self.operations.all().remove(&before),
            _ => self.operations.all().get(&before).cloned(),
        });
        let is_known = known.is_some();
        operation = known.unwrap_or(operation);
        (operation.orphan_ms, operation.done_ms) = (None, None);
        operation.kept.get_or_insert_with(Kept::default);
        operation.give_again(&asked, now_ms);
        operation.signed = signed;
        let missing = asked.difference(&operation.part()).difference(&operation.adrift).difference(&operation.late);
        if parent.is_some() || self.is_between() {
            operation.homeless = operation.homeless.union(&missing);
            self.operations.insert(key, operation);
            self.raise(key);
        } else {
            if !is_known {
                operation.is_first = self.operations.first_time(command.op, now_ms);
            }
            self.gather(key, operation, missing);
        }
    }
}

impl Operation {
    /// There is a root above, which knows of nodes that are adrift, and waits for those who are late.
    fn belongs_to_a_root(&mut self) {
        (self.orphan_ms, self.gathers, self.signed) = (None, false, Vec::new());
        (self.adrift, self.homeless, self.late) = Default::default();
        self.kept.get_or_insert_with(Kept::default);
    }

    /// These nodes are adrift where nobody above is to know.
    fn drift_alone(&mut self, nodes: &NodeSet, now_ms: u64, silent: bool) {
        self.adrift = self.adrift.union(nodes);
        self.drift_ms = now_ms;
        self.gone_ms = self.gone_ms.max(now_ms + if silent { GONE_SILENT_MS } else { GONE_MS });
    }
}
