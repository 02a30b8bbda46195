//! Operations on one host: whom each still waits for, and what it has not yet passed on.

use super::event::{Action, Outbox};
use super::peers::Peers;
use crate::answer::{Answers, Group, Outcome, Output};
use crate::auth::command::Command;
use crate::auth::freshness::Freshness;
use crate::auth::replay::ReplayWindow;
use crate::bytes::JOINT_MAX_BYTES;
use crate::id::{LinkId, OpId};
use crate::refusal::CommandError;
use crate::session::{Relay, SESSIONS_MAX};
use crate::unreachable::Unreachable;
use crate::wire::message::{GROUPS_MAX, Message};
use crate::wire::order::Order;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use vmatic_plan::{GUESTS_MAX, Node, NodeSet, RangeSet};

/// Most operations at a time.
const OPERATIONS_MAX: usize = 1024;
/// How long answers are gathered before they go up, so that equal ones fold.
const FLUSH_MS: u64 = 40;
/// About how many bytes of groups go into one message: well below a frame's limit.
const BATCH_BYTES: usize = 128 * 1024;

/// About how many bytes of node sets a command has at least room for.
const ASKED_BYTES: usize = 64 * 1024;

/// Least and most by which the deadline shrinks at each level, so that answers are back in time.
const SLACK_MS: (u32, u32) = (50, 500);

/// What is left for the level below, so that its answers are back in time.
pub(super) fn less_slack(remaining_ms: u32) -> u32 {
    remaining_ms.saturating_sub((remaining_ms / 20).clamp(SLACK_MS.0, SLACK_MS.1)).max(1)
}

/// What a child is asked: of what the operator asks, the `part` that it reaches. Where that is long, because other
/// guests of each of its hosts are up, all that was asked of these hosts: the child knows best whom it reaches, and
/// what it answers for others is not waited for. One that comes up just then may obey though it was told to be down.
pub(super) fn concise(part: NodeSet, asked: &NodeSet) -> NodeSet {
    if part.size() <= asked.size().max(ASKED_BYTES) {
        return part;
    }
    asked.intersection(&NodeSet::product(&part.hosts(), &RangeSet::span(0, GUESTS_MAX)))
}

/// An operation that somebody on a link waits for.
#[derive(Debug)]
pub(super) struct Operation {
    /// For each link that it was passed on to: the nodes that have not answered.
    pub outstanding: BTreeMap<LinkId, NodeSet>,
    /// Those that this host's own task answers for, while it runs: the host, or some of its guests.
    pub local: NodeSet,
    /// When everything that has not answered counts as unreachable.
    pub deadline_ms: u64,
    /// What a console session has beside.
    pub relay: Option<Relay>,
    /// The serial of the certificate of whoever signed it; none of the cluster's key.
    pub by: Option<u32>,
    answers: Answers,
    dirty_ms: Option<u64>,
}

impl Operation {
    /// The operation of a command, of which nobody has been asked yet.
    pub fn new(command: &Command, deadline_ms: u64) -> Self {
        let session = matches!(command.order, Order::Console(_) | Order::Serial(_));
        Operation {
            outstanding: BTreeMap::new(),
            local: NodeSet::new(),
            deadline_ms,
            relay: session.then(|| Relay::new(command.op)),
            by: None,
            answers: Answers::default(),
            dirty_ms: None,
        }
    }

    /// Adds an answer, whoever gives it: bounded, so that it fits a message.
    pub fn add(&mut self, mut group: Group, now_ms: u64) {
        group.bound();
        self.answers.add(group);
        self.dirty_ms.get_or_insert(now_ms);
    }

    /// Takes an answer that came over `link`: only nodes asked there count, and each once.
    pub fn receive(&mut self, link: LinkId, group: Group, now_ms: u64) {
        let Some(waiting) = self.outstanding.get_mut(&link) else { return };
        if NodeSet::joint_size(&[waiting, &group.nodes]) > JOINT_MAX_BYTES {
            return self
                .give_up(link, now_ms, |nodes| Group::failed(nodes, "answered for too many different nodes".into()));
        }
        let nodes = group.nodes.intersection(waiting);
        *waiting = waiting.difference(&nodes);
        if waiting.is_empty() {
            self.outstanding.remove(&link);
        }
        self.add(Group { nodes, ..group }, now_ms);
    }

    /// Gives up on a link: what it has not answered is unreachable, or what `judge` makes of it.
    pub fn give_up(&mut self, link: LinkId, now_ms: u64, judge: impl Fn(NodeSet) -> Group) {
        if let Some(nodes) = self.outstanding.remove(&link) {
            self.add(judge(nodes), now_ms);
        }
    }

    /// Whether nobody is waited for.
    pub fn is_done(&self) -> bool {
        self.outstanding.is_empty() && self.local.is_empty()
    }

    /// When the gathered answers should go up, if there are any.
    pub fn flush_at(&self) -> Option<u64> {
        self.dirty_ms.map(|t| if self.is_done() { t } else { t + FLUSH_MS })
    }

    /// Takes the gathered answers, in batches that each fit a message.
    pub fn flush(&mut self) -> Vec<Vec<Group>> {
        self.dirty_ms = None;
        let (mut batches, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
        // Thousands of hosts, of each of which other guests answer alike, fit no message together.
        let fits = |group: Group| {
            let parts = group.nodes.parts(BATCH_BYTES);
            parts.into_iter().map(move |nodes| Group { nodes, ..group.clone() })
        };
        for group in self.answers.take().into_iter().flat_map(fits) {
            if size > 0 && (size + group.size() > BATCH_BYTES || batch.len() == GROUPS_MAX) {
                batches.push(core::mem::take(&mut batch));
                size = 0;
            }
            size += group.size();
            batch.push(group);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

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
        self.running.contains_key(&key)
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
        self.running.keys().any(|key| key.1 == link)
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
        } else if self.running.len() >= OPERATIONS_MAX {
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

    /// When something is to be done without an event: deadlines, and answers that were gathered.
    pub fn due_ms(&self) -> impl Iterator<Item = u64> {
        self.running.values().flat_map(|operation| [Some(operation.deadline_ms), operation.flush_at()]).flatten()
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
        for below in operation.outstanding.into_keys() {
            peers.send(below, Message::Cancel(key.0), out);
        }
        if !operation.local.is_empty() {
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
        for set in below.values() {
            nodes = nodes.union(set);
        }
        operation.add(Group::failed(nodes, why), out.now_ms);
        for link in below.into_keys() {
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
        self.running.retain(|&(op, from), operation| {
            if now_ms >= operation.deadline_ms {
                for link in operation.outstanding.keys().copied().collect::<Vec<_>>() {
                    operation.give_up(link, now_ms, |nodes| Group::unreachable(nodes, Unreachable::TimedOut));
                    peers.send(link, Message::Cancel(op), out);
                }
                let nodes = core::mem::take(&mut operation.local);
                if !nodes.is_empty() {
                    let group = Group { nodes, outcome: Outcome::TimedOut, output: Output::default() };
                    operation.add(group, now_ms);
                    out.push(Action::Stop { op });
                }
            }
            if operation.flush_at().is_some_and(|at| at <= now_ms) {
                for groups in operation.flush() {
                    peers.send(from, Message::Answers { op, groups }, out);
                }
            }
            !operation.is_done()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::command::tests::command;
    use crate::wire::frame;

    /// Every second guest of hosts 1 to 2,999, other ones on each second host.
    fn scattered() -> NodeSet {
        let every_other =
            |first: u32, last: u32| RangeSet::from_ranges((first..last).step_by(2).map(|n| (n, n)).collect());
        let odd = NodeSet::product(&every_other(1, 3000), &every_other(1, 200));
        odd.union(&NodeSet::product(&every_other(2, 3000), &every_other(2, 200)))
    }

    #[test]
    fn a_child_is_asked_for_what_it_reaches_in_few_words() {
        let asked = NodeSet::product(&RangeSet::span(1, 5000), &RangeSet::span(0, 999));
        let few = NodeSet::product(&RangeSet::span(7, 9), &RangeSet::span(1, 2));
        assert_eq!(concise(few.clone(), &asked), few);
        let part = scattered();
        let told = concise(part.clone(), &asked);
        assert_eq!(told, NodeSet::product(&RangeSet::span(1, 2999), &RangeSet::span(0, 999)));
        assert_eq!(part.difference(&told), NodeSet::new(), "whoever is waited for is asked");
        assert_eq!(concise(part.clone(), &part), part, "the operator's own words are no shorter");
    }

    #[test]
    fn one_answer_of_many_different_hosts_is_cut_into_messages() {
        let nodes = scattered();
        let mut operation = Operation::new(&command(1, Order::Ping), 1000);
        operation.add(Group::failed(nodes.clone(), "out of memory".into()), 0);
        let batches = operation.flush();
        assert!(batches.len() > 1);
        let told = batches.iter().flatten().fold(NodeSet::new(), |all, group| all.union(&group.nodes));
        assert_eq!(told, nodes);
        for groups in batches {
            assert!(frame::encode(&Message::Answers { op: OpId { session: [1; 8], sequence: 1 }, groups }).is_ok());
        }
    }

    #[test]
    fn answers_for_many_different_nodes_end_the_wait_for_the_rest() {
        let every_other = |last: u32| RangeSet::from_ranges((1..=last).step_by(2).map(|n| (n, n)).collect());
        let asked = NodeSet::product(&RangeSet::span(1, 20_000), &RangeSet::span(0, 7_000));
        let dense = NodeSet::product(&RangeSet::span(1, 20_000), &every_other(7_000));
        let sparse = NodeSet::product(&every_other(20_000), &RangeSet::span(0, 2));
        let mut operation = Operation::new(&command(1, Order::Ping), 1000);
        operation.outstanding.insert(1, asked.clone());
        for nodes in [&dense, &sparse] {
            operation.receive(1, Group::failed(nodes.clone(), "out of memory".into()), 0);
        }
        let groups = operation.answers.take();
        assert!(groups.iter().all(|group| group.nodes.size() < 2 * dense.size()), "what is left is not cut");
        assert!(operation.is_done() && groups.iter().map(|group| group.nodes.len()).sum::<u64>() == asked.len());
        assert!(matches!(&groups[0].outcome, Outcome::Failed(why) if why.contains("too many different nodes")));
    }
}
