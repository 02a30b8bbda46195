//! A host's state machine: its place in the tree, and the operations that pass through it.
//!
//! Takes [`Event`]s with the time; gives [`Action`]s. A command that comes from a console or from below goes up to
//! the root unchanged; from the root it goes down, each host keeping for itself what it answers for. Whatever
//! happens to links and processes, an operation ends by its deadline with every asked node in exactly one answer.

mod event;
mod operations;
mod peers;
mod sessions;
mod status;

use crate::answer::{Group, Outcome, Output};
use crate::auth::command::Command;
use crate::auth::replay::Seen;
use crate::guest::GuestState;
use crate::host::operations::{Operation, less_slack};
use crate::host::peers::Link;
use crate::id::OpId;
use crate::session::Relay;
use crate::unreachable::{LinkEnd, Peer, Unreachable};
use crate::wire::message::{Message, Report, VERSION, Who};
use crate::wire::order::Order;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ed25519_dalek::VerifyingKey;
pub use event::{Action, Event};
pub use peers::{GUEST_SILENCE_MS, HELLO_MS, HOST_HEARTBEAT_MS, HOST_SILENCE_MS, LinkId, Side};
use vmatic_plan::{Node, NodeSet, Plan, RangeSet};

/// Most links that were opened by others (hosts and consoles).
pub const LINKS_BELOW_MAX: usize = 256;
/// Most operations at a time.
pub const OPERATIONS_MAX: usize = 1024;
/// How long changes are gathered before they are reported upwards.
const REPORT_MS: u64 = 200;
/// Longest time between two looks at the links.
const TICK_MS: u64 = 500;

/// A host of the control tree.
pub struct Host {
    pub(crate) plan: Plan,
    pub(crate) number: u32,
    operator: VerifyingKey,
    boot: [u8; 16],
    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) operations: BTreeMap<(OpId, LinkId), Operation>,
    pub(crate) guests_down: BTreeMap<u32, GuestState>,
    /// Guests whose leaf has said hello: kept, since counting thousands of links at each event is slow.
    pub(crate) guests_up: RangeSet,
    /// Those of them that have no leaf: they take no commands.
    pub(crate) leafless: RangeSet,
    seen: Seen,
    reported: Report,
    report_due_ms: Option<u64>,
    pub(crate) now_ms: u64,
    looked_ms: u64,
    pub(crate) actions: Vec<Action>,
}

impl Host {
    /// Host `number` of `plan`, which obeys `operator`; `boot` is drawn at random at each boot.
    pub fn new(plan: Plan, number: u32, operator: VerifyingKey, boot: [u8; 16]) -> Self {
        Host {
            plan,
            number,
            operator,
            boot,
            links: BTreeMap::new(),
            operations: BTreeMap::new(),
            guests_down: BTreeMap::new(),
            guests_up: RangeSet::new(),
            leafless: RangeSet::new(),
            seen: Seen::default(),
            reported: Report::default(),
            report_due_ms: None,
            now_ms: 0,
            looked_ms: 0,
            actions: Vec::new(),
        }
    }

    /// Takes an event at a time (milliseconds that never run backwards); gives what is to be done.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        self.now_ms = self.now_ms.max(now_ms);
        match event {
            Event::Opened { link, side } => self.opened(link, side),
            Event::Received { link, message } => self.received(link, message),
            Event::Closed { link } => self.closed(link, LinkEnd::Lost),
            Event::Finished { op, outcome, output } => self.finished(op, outcome, output),
            Event::Said { op, said } => self.said(None, op, &said),
            Event::Guest { guest, state } => self.guest_state(guest, state),
            Event::Tick => {}
        }
        // Whatever comes how often: a host that is kept busy must not fall silent.
        if self.now_ms >= self.looked_ms + TICK_MS {
            self.looked_ms = self.now_ms;
            self.check_links();
        }
        self.check_operations();
        self.report_up();
        core::mem::take(&mut self.actions)
    }

    /// When [`Event::Tick`] is due at the latest.
    pub fn wake_ms(&self) -> u64 {
        let operations = self.operations.values().flat_map(|o| [Some(o.deadline_ms), o.flush_at()]);
        operations.chain([self.report_due_ms]).flatten().fold(self.looked_ms + TICK_MS, u64::min)
    }

    /// Whether a parent has welcomed this host.
    pub fn has_parent(&self) -> bool {
        self.links.values().any(Link::is_parent)
    }

    /// This host's guests that have reported.
    pub fn guests_up(&self) -> &RangeSet {
        &self.guests_up
    }

    pub(crate) fn send(&mut self, link: LinkId, message: Message) {
        if let Some(l) = self.links.get_mut(&link) {
            l.said_ms = self.now_ms;
            self.actions.push(Action::Send { link, message });
        }
    }

    fn refuse(&mut self, link: LinkId, why: &str) {
        self.send(link, Message::Refuse(why.into()));
        self.close(link, LinkEnd::Refused);
    }

    fn close(&mut self, link: LinkId, how: LinkEnd) {
        self.actions.push(Action::Close { link });
        self.closed(link, how);
    }

    pub(crate) fn changed(&mut self) {
        self.report_due_ms.get_or_insert(self.now_ms + REPORT_MS);
    }

    fn opened(&mut self, link: LinkId, side: Side) {
        let below = self.links.values().filter(|l| l.side == Side::Below).count();
        self.links.insert(link, Link::new(side, self.now_ms));
        match side {
            Side::Above => {
                let hello = Message::Hello { version: VERSION, who: Who::Host(self.number), boot: self.boot };
                self.send(link, hello);
            }
            Side::Below if below >= LINKS_BELOW_MAX => self.refuse(link, "too many links: try another host"),
            _ => {}
        }
    }

    fn received(&mut self, link: LinkId, message: Message) {
        let now_ms = self.now_ms;
        let Some(l) = self.links.get_mut(&link) else { return };
        l.heard_ms = now_ms;
        let (side, who) = (l.side, l.who);
        match (message, side, who) {
            (Message::Hello { version, who, boot }, Side::Below | Side::Guest(_), None) => {
                self.hello(link, side, version, who, boot);
            }
            (Message::Welcome { host, .. }, Side::Above, None) => {
                l.who = Some(Who::Host(host));
                self.report_due_ms = Some(now_ms);
                self.reported = Report::default();
                self.actions.push(Action::Note(format!("joined the tree below host {host}")));
            }
            (Message::Refuse(why), _, _) => self.refused(link, &why),
            (Message::Heartbeat, _, Some(_)) => {}
            (Message::Report(report), Side::Below, Some(Who::Host(_))) => {
                let report = self.credible(link, report);
                if let Some(l) = self.links.get_mut(&link) {
                    l.report = report;
                }
                self.changed();
            }
            (Message::Command { signed, asked, remaining_ms }, Side::Above | Side::Below, Some(_)) => {
                self.command(link, signed, asked, remaining_ms);
            }
            (Message::Cancel(op), Side::Above | Side::Below, Some(_)) => self.cancel(op, link),
            (Message::Said { op, said }, _, Some(_)) => self.said(Some(link), op, &said),
            (Message::Answers { op, groups }, _, Some(_)) => self.answers(link, op, groups),
            _ => self.refuse(link, "that message has no place here"),
        }
    }

    fn hello(&mut self, link: LinkId, side: Side, version: u16, who: Who, boot: [u8; 16]) {
        if version != VERSION {
            return self.refuse(link, &format!("host {} speaks version {VERSION} of the protocol", self.number));
        }
        match (side, who) {
            (Side::Guest(expected), Who::Guest(guest)) if guest == expected => {
                self.guests_down.remove(&guest);
                self.guests_up.insert(guest);
            }
            (Side::Below, Who::Host(host)) => {
                if let Err(why) = self.admit(host, boot) {
                    return self.refuse(link, &why);
                }
            }
            (Side::Below, Who::Console) => {}
            _ => return self.refuse(link, "this link is not for you"),
        }
        if let Some(l) = self.links.get_mut(&link) {
            (l.who, l.boot) = (Some(who), boot);
        }
        if let Who::Host(host) = who {
            self.adopt(link, host);
        }
        if side == Side::Below {
            let (host, plan) = (self.number, self.plan.encode());
            self.send(link, Message::Welcome { host, plan });
        }
        self.changed();
    }

    /// Whether a host may join below: a number is taken while the machine that has it is alive.
    fn admit(&mut self, host: u32, boot: [u8; 16]) -> Result<(), String> {
        if !self.plan.has(Node::host(host)) || host == self.number {
            return Err(format!("host {host} cannot join below host {}", self.number));
        }
        let old = self.links.iter().find(|(_, l)| l.side == Side::Below && l.who == Some(Who::Host(host)));
        if let Some((&old_link, old)) = old {
            let silent_ms = self.now_ms.saturating_sub(old.heard_ms);
            if old.boot != boot && silent_ms < 3 * HOST_HEARTBEAT_MS {
                return Err(format!("another machine is host {host} already, and alive"));
            }
            self.close(old_link, LinkEnd::Replaced);
        }
        Ok(())
    }

    /// The other end refuses: a parent refuses us, or a child refuses a command.
    fn refused(&mut self, link: LinkId, why: &str) {
        let peer = self.links.get(&link).map_or(Peer::Unknown, Link::peer);
        self.actions.push(Action::Note(format!("{peer}: {why}")));
        for op in self.operations.values_mut() {
            op.give_up(link, self.now_ms, |nodes| Group {
                outcome: Outcome::Failed(format!("refused: {why}")),
                output: Output::default(),
                nodes,
            });
        }
        // A parent that has welcomed us refuses a command, not us.
        if self.links.get(&link).is_some_and(|l| l.side == Side::Above && !l.is_parent()) {
            self.close(link, LinkEnd::Refused);
        }
    }

    fn closed(&mut self, link: LinkId, how: LinkEnd) {
        let Some(gone) = self.links.remove(&link) else { return };
        let peer = gone.peer();
        if let (Side::Guest(guest), Some(_)) = (gone.side, gone.who)
            && !self.links.values().any(|l| l.side == gone.side && l.who.is_some())
        {
            self.guests_up = self.guests_up.difference(&RangeSet::span(guest, guest));
        }
        for op in self.operations.values_mut() {
            op.give_up(link, self.now_ms, |nodes| Group::unreachable(nodes, Unreachable::Link(peer, how)));
        }
        let orphaned: Vec<OpId> = self.operations.keys().filter(|k| k.1 == link).map(|k| k.0).collect();
        for op in orphaned {
            self.cancel(op, link);
        }
        if gone.who.is_some_and(|w| w != Who::Console) {
            self.actions.push(Action::Note(format!("the link to {peer} {how}")));
            self.changed();
        }
    }

    /// Passes a command up to the root, or, at the root and below it, down.
    fn command(&mut self, link: LinkId, signed: Vec<u8>, asked: NodeSet, remaining_ms: u32) {
        let command = match Command::verify(&signed, &self.operator, &self.plan.cluster) {
            Ok(command) => command,
            Err(e) => return self.refuse_command(link, &e.0),
        };
        if let Order::Feed(feed) = &command.order {
            return self.feed(link, &command, feed, &signed, remaining_ms);
        }
        if self.operations.contains_key(&(command.op, link)) {
            return;
        }
        if !asked.difference(&command.nodes).is_empty() {
            return self.fail_command(link, command.op, asked, "asked of nodes that the operator did not name");
        }
        if self.operations.len() >= OPERATIONS_MAX {
            return self.fail_command(link, command.op, asked, "too many operations at a time");
        }
        let remaining_ms = remaining_ms.min(command.deadline_ms);
        let session = matches!(command.order, Order::Console(_) | Order::Serial(_));
        if session && !self.room_for_session() {
            return self.fail_command(link, command.op, asked, "too many console sessions at a time");
        }
        let mut operation = Operation::new(self.now_ms + u64::from(remaining_ms));
        operation.relay = session.then(|| Relay::new(command.op));
        let from_above = self.links.get(&link).is_some_and(|l| l.side == Side::Above);
        let parent = self.links.iter().find(|(_, l)| l.is_parent()).map(|(id, _)| *id);
        match parent {
            Some(parent) if !from_above => {
                operation.outstanding.insert(parent, asked.clone());
                self.send(parent, Message::Command { signed, asked, remaining_ms: less_slack(remaining_ms) });
            }
            _ if !self.seen.first_time(command.op) => {
                let outcome = Outcome::Failed("refused: obeyed before, or from a console whose clock is behind".into());
                operation.add(Group { outcome, output: Output::default(), nodes: asked }, self.now_ms);
            }
            _ => self.distribute(&mut operation, &command, signed, asked, remaining_ms),
        }
        self.operations.insert((command.op, link), operation);
    }

    /// Answers a command that is the operator's, but cannot be obeyed now.
    fn fail_command(&mut self, link: LinkId, op: OpId, nodes: NodeSet, why: &str) {
        let outcome = Outcome::Failed(format!("refused: {why}"));
        let groups = [Group { outcome, output: Output::default(), nodes }].into();
        self.send(link, Message::Answers { op, groups });
    }

    /// Turns away a command that is not the operator's.
    fn refuse_command(&mut self, link: LinkId, why: &str) {
        let console = self.links.get(&link).is_some_and(|l| l.who == Some(Who::Console));
        self.send(link, Message::Refuse(why.into()));
        if console {
            self.close(link, LinkEnd::Refused);
        }
    }

    /// Gives every asked node to whoever answers for it.
    fn distribute(
        &mut self,
        operation: &mut Operation,
        command: &Command,
        signed: Vec<u8>,
        asked: NodeSet,
        remaining_ms: u32,
    ) {
        let below_ms = less_slack(remaining_ms);
        let mut rest = asked.clone();
        if command.order == Order::Ping {
            let up = asked.intersection(&self.report().up);
            rest = rest.difference(&up);
            operation.add(Group { outcome: Outcome::Exit(0), output: Output::default(), nodes: up }, self.now_ms);
        } else {
            operation.local = asked.intersection(&self.answers_for(&command.order));
            if !operation.local.is_empty() {
                let (op, order) = (command.op, command.order.clone());
                let members = operation.local.members(self.number).cloned().unwrap_or_default();
                let guests = members.difference(&RangeSet::span(0, 0));
                self.actions.push(Action::Start { op, guests, order, remaining_ms: below_ms });
                rest = rest.difference(&operation.local);
            }
            let reachable = self.links.iter().filter(|(_, l)| !l.paused);
            let parts: Vec<(LinkId, Side, NodeSet)> =
                reachable.map(|(id, l)| (*id, l.side, l.reach(self.number))).collect();
            for (link, side, reach) in parts {
                let part = rest.intersection(&reach);
                if part.is_empty() {
                    continue;
                }
                rest = rest.difference(&part);
                operation.outstanding.insert(link, part.clone());
                let message = match side {
                    Side::Guest(_) => {
                        Message::Task { op: command.op, order: command.order.clone(), remaining_ms: below_ms }
                    }
                    _ => Message::Command { signed: signed.clone(), asked: part, remaining_ms: below_ms },
                };
                self.send(link, message);
            }
        }
        for group in self.absent(rest) {
            operation.add(group, self.now_ms);
        }
    }

    /// The nodes for which this host itself carries out an order.
    fn answers_for(&self, order: &Order) -> NodeSet {
        let host = NodeSet::one(Node::host(self.number));
        match order {
            Order::Guests(_) | Order::Serial(_) | Order::Link(_) => self.own_guests(),
            Order::Capture(_) => host.union(&self.own_guests()),
            _ => host,
        }
    }

    /// Ends an operation for the link that asked for it, and below.
    fn cancel(&mut self, op: OpId, link: LinkId) {
        let Some(operation) = self.operations.remove(&(op, link)) else { return };
        for below in operation.outstanding.into_keys() {
            self.send(below, Message::Cancel(op));
        }
        if !operation.local.is_empty() {
            self.actions.push(Action::Stop { op });
        }
    }

    fn answers(&mut self, link: LinkId, op: OpId, groups: Vec<Group>) {
        let number = self.number;
        let guest = self.links.get(&link).and_then(|l| match l.side {
            Side::Guest(guest) => Some(Node::guest(number, guest)),
            _ => None,
        });
        for (_, operation) in self.operations.range_mut((op, 0)..=(op, LinkId::MAX)) {
            for group in &groups {
                let mut group = group.clone();
                // A guest answers for itself, whatever it says.
                if let Some(guest) = guest {
                    group.nodes = NodeSet::one(guest);
                }
                operation.receive(link, group, self.now_ms);
            }
        }
    }

    fn finished(&mut self, op: OpId, outcome: Outcome, output: Output) {
        for (_, operation) in self.operations.range_mut((op, 0)..=(op, LinkId::MAX)) {
            let nodes = core::mem::take(&mut operation.local);
            if !nodes.is_empty() {
                operation.add(Group { nodes, outcome: outcome.clone(), output: output.clone() }, self.now_ms);
            }
        }
    }

    fn check_links(&mut self) {
        let now_ms = self.now_ms;
        let dead: Vec<(LinkId, LinkEnd)> =
            self.links.iter().filter_map(|(id, l)| l.dead(now_ms).map(|why| (*id, why))).collect();
        // A console that waits for an operation has nothing to say.
        let waits = |link| self.links[&link].who == Some(Who::Console) && self.operations.keys().any(|k| k.1 == link);
        let dead: Vec<_> = dead.into_iter().filter(|(link, _)| !waits(*link)).collect();
        for (link, why) in dead {
            self.close(link, why);
        }
        let due: Vec<LinkId> = self.links.iter().filter(|(_, l)| l.heartbeat_due(now_ms)).map(|(id, _)| *id).collect();
        for link in due {
            self.send(link, Message::Heartbeat);
        }
    }

    /// Passes answers up, ends what is over.
    fn check_operations(&mut self) {
        let now_ms = self.now_ms;
        let mut send = Vec::new();
        let mut stop = Vec::new();
        self.operations.retain(|&(op, from), operation| {
            if now_ms >= operation.deadline_ms {
                for link in operation.outstanding.keys().copied().collect::<Vec<_>>() {
                    operation.give_up(link, now_ms, |nodes| Group::unreachable(nodes, Unreachable::TimedOut));
                    send.push((link, Message::Cancel(op)));
                }
                let nodes = core::mem::take(&mut operation.local);
                if !nodes.is_empty() {
                    let group = Group { nodes, outcome: Outcome::TimedOut, output: Output::default() };
                    operation.add(group, now_ms);
                    stop.push(Action::Stop { op });
                }
            }
            if operation.flush_at().is_some_and(|at| at <= now_ms) {
                let batches = operation.flush();
                send.extend(batches.into_iter().map(|groups| (from, Message::Answers { op, groups })));
            }
            !operation.is_done()
        });
        self.actions.append(&mut stop);
        for (link, message) in send {
            self.send(link, message);
        }
    }

    fn report_up(&mut self) {
        if self.report_due_ms.is_none_or(|at| at > self.now_ms) {
            return;
        }
        self.report_due_ms = None;
        let parent = self.links.iter().find(|(_, l)| l.is_parent()).map(|(id, _)| *id);
        let report = self.report();
        if let Some(parent) = parent
            && report != self.reported
        {
            self.reported = report.clone();
            self.send(parent, Message::Report(report));
        }
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
pub(crate) mod tests;
