//! Commands on their way: up to the root unchanged, and down, each host keeping for itself what it answers for.

use super::Host;
use super::event::Direction;
use super::operations::{Given, Kept, Operation, concise, less_slack};
use super::sessions;
use crate::answer::{Group, Outcome, Output};
use crate::auth::command::Command;
use crate::id::LinkId;
use crate::refusal::{CommandError, Refusal};
use crate::reply::Reply;
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::format;
use alloc::vec::Vec;
use vmatic_plan::{HostId, Node, NodeSet, RangeSet};

impl Host {
    /// Passes a command up to the root, or, at the root and below it, down.
    pub(super) fn command(&mut self, link: LinkId, signed: Vec<u8>, asked: NodeSet, remaining_ms: u32, again: bool) {
        let (command, author) = match self.authority.verify(&signed) {
            Ok(signed) => signed,
            Err(error) => return self.refuse_command(link, &signed, asked, error),
        };
        if let Order::SessionInput(feed) = &command.order {
            if self.is_heard(&command, &author) {
                let input =
                    sessions::Input { command: &command, by: author.serial(), feed, signed: &signed, remaining_ms };
                self.sessions().input(link, &input);
            }
            return;
        }
        let key = (command.op, link);
        let from_parent = self.peers.is_parent_side(link);
        if self.operations.contains(key) && !from_parent {
            return;
        }
        if let Some(why) = self.refusal(link, &command, &author, &asked) {
            let groups = [Group::failed(asked, why)].into();
            return self.peers.send(link, Message::Answers { op: command.op, groups }, &mut self.out);
        }
        self.may_have_parcel(&command.order, link);
        let remaining_ms = remaining_ms.min(command.deadline_ms);
        let given = Given { command: &command, author: &author, signed: &signed, left_ms: remaining_ms, again };
        if from_parent && self.operations.get_mut(key).is_some() {
            return self.ask_more(key, &given, asked);
        }
        let mut operation = Operation::new(&command, self.out.now_ms + u64::from(remaining_ms));
        operation.by = author.serial();
        operation.kept = (!self.peers.is_console(link) && operation.relay.is_none()).then(Kept::default);
        if !from_parent && operation.relay.is_none() {
            operation.signed = signed.clone();
        }
        match self.peers.parent() {
            // Who repeats what he heard would end the command of whoever is first, when he gives up.
            Some(parent) if !from_parent && self.operations.is_asked(command.op, parent) => {
                operation.add(Group::failed(asked, "rejected: duplicate command".into()), self.out.now_ms);
            }
            Some(parent) if !from_parent => {
                operation.outstanding.insert(parent, asked.clone());
                self.obeyed = Some(link);
                let up = Message::Command { signed: signed.clone(), asked, remaining_ms: less_slack(remaining_ms) };
                self.peers.send(parent, up, &mut self.out);
            }
            // Who is root is not known yet: whoever it is gives the command out.
            None if self.is_between() && operation.relay.is_none() => {
                (operation.homeless, operation.fresh) = (asked, true);
                self.obeyed = Some(link);
            }
            _ if !again && !self.operations.first_time(command.op, self.out.now_ms) => {
                let why = "rejected: duplicate command, or this console's clock is behind";
                operation.add(Group::failed(asked, why.into()), self.out.now_ms);
            }
            _ => {
                self.obeyed = Some(link);
                operation.is_first = !again;
                self.distribute(&mut operation, &given, asked);
            }
        }
        self.operations.insert(key, operation);
    }

    /// Turns away a command that is not the operator's. One that the parent passed down is answered as that one: others
    /// that it passed down go on. Consoles and hosts below know better than to pass on such a thing, if they are any.
    pub(super) fn refuse_command(&mut self, link: LinkId, signed: &[u8], asked: NodeSet, why: CommandError) {
        // One that a later version signed is nobody's fault.
        let is_signed = matches!(why, CommandError::NotUnderstood(_));
        match Command::claimed_op(signed) {
            Some(op) if self.peers.is_parent_side(link) || is_signed => {
                let groups = [Group::failed(asked, format!("refused: {why}"))].into();
                self.peers.send(link, Message::Answers { op, groups }, &mut self.out);
            }
            _ => self.refuse(link, Refusal::Command(why)),
        }
    }

    /// Gives every asked node to whoever answers for it.
    pub(super) fn distribute(&mut self, operation: &mut Operation, given: &Given, asked: NodeSet) {
        let (command, below_ms, now_ms) = (given.command, less_slack(given.left_ms), self.out.now_ms);
        let number = self.membership.number;
        operation.gathers = !operation.signed.is_empty() && self.peers.parent().is_none();
        let (asked, mut rest) = self.admit(operation, command, given.author, asked);
        let mut own = NodeSet::new();
        if matches!(command.order, Order::Ping | Order::Unknown) {
            rest = self.answer_at_once(operation, &command.order, rest);
        } else {
            rest = self.adopt(operation, command, given.signed, rest, below_ms);
            // Apart from all else that is asked: for each of a thousand guests' links this host's part is looked at.
            own = self.own_part(operation, given, rest.intersection(&self.membership.subtree_of(number)));
            rest = rest.difference(&self.membership.subtree_of(number));
            let local = own.intersection(&self.membership.answers_for(&command.order));
            if !local.is_empty() {
                let (op, order) = (command.op, command.order.clone());
                let members = local.members(number).cloned().unwrap_or_default();
                let guests = members.difference(&RangeSet::span(0, 0));
                self.start(op, guests, order, below_ms);
                own = own.difference(&local);
                operation.local = local;
            }
            let (mut row, mut messages) = (Vec::new(), Vec::new());
            for (link, side, reach) in self.peers.reach(number) {
                let from = if side == Direction::Child { &mut rest } else { &mut own };
                let part = from.intersection(&self.membership.reached(reach, &command.order));
                if part.is_empty() {
                    continue;
                }
                *from = from.difference(&part);
                operation.ask(link, &part);
                let message = match side {
                    Direction::Guest(_) => {
                        Message::Task { op: command.op, order: command.order.clone(), remaining_ms: below_ms }
                    }
                    _ => given.message(concise(part, &asked), below_ms),
                };
                row.extend(self.peers.host_at(link).map(|host| (host, link)));
                messages.push((link, message));
            }
            self.send_out(&command.order, row, messages);
        }
        for group in self.status.absent(rest.union(&own), self.report(), &self.membership, now_ms) {
            self.add_absent(operation, given, group);
        }
    }

    /// Answers for nodes that are up, from what is known here; gives those that are not.
    fn answer_at_once(&self, operation: &mut Operation, order: &Order, asked: NodeSet) -> NodeSet {
        let (report, now_ms) = (self.report(), self.out.now_ms);
        let mut up = asked.intersection(&report.up);
        let rest = asked.difference(&up);
        let twins = report.twins.into_iter().map(|twins| (twins.host, Reply::Twins(twins)));
        let misplaced =
            self.misplaced_hosts().into_iter().map(|misplaced| (misplaced.host, Reply::Misplaced(misplaced)));
        let unknown = self.unknown_machines().into_iter().map(|(host, machines)| (host, Reply::Unknown(machines)));
        let replies: Vec<(HostId, Reply)> =
            if *order == Order::Ping { twins.chain(misplaced).collect() } else { unknown.collect() };
        for (host, reply) in replies {
            let nodes = up.intersection(&NodeSet::one(Node::host(host)));
            up = up.difference(&nodes);
            operation.add(Group { outcome: Outcome::Done(reply), output: Output::default(), nodes }, now_ms);
        }
        operation.add(Group { outcome: Outcome::Exit(0), output: Output::default(), nodes: up }, now_ms);
        rest
    }
}
