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
use alloc::collections::{BTreeMap, BTreeSet};
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

/// How many bytes of answers are kept of an operation; what comes then is kept without outputs.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Most answers that are kept for when their nodes are adrift.
const EARLY_MAX: usize = 256;
/// How long what was answered is kept for one who comes in place of whoever asked, and of how many operations.
const KEPT_MS: u64 = 30_000;
const KEPT_MAX: usize = 64;
/// How long programs go on after the way to whoever asked broke, and how long the root waits for one who lost its way.
const ORPHAN_MS: u64 = 30_000;
const WAY_LOST_MS: u64 = 15_000;

/// Stand for the link of whoever asked, where that is gone: the parent, or somebody below.
pub(super) const PARENT_LOST: LinkId = 0;
pub(super) const WAY_LOST: LinkId = LinkId::MAX;

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
#[derive(Clone, Debug)]
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
    /// Nodes whose links broke, here at the root, or before this host has a parent again; since when none was added, and
    /// when they count as lost, at first and at last.
    pub adrift: NodeSet,
    pub drift_ms: u64,
    pub gone_ms: u64,
    pub lost_ms: u64,
    /// Nodes that were asked by way of a parent that is gone.
    pub homeless: NodeSet,
    /// What the operator signed, where it came from a console or from below while it runs; and whether it is not yet
    /// known who is root, who may not have it yet.
    pub signed: Vec<u8>,
    pub fresh: bool,
    /// Nodes that hosts which came anew say that they answer for, while another link counts for these yet; and what
    /// they answered already.
    pub promised: BTreeMap<LinkId, NodeSet>,
    early: Vec<(LinkId, Group)>,
    /// Since when nobody is there who asked.
    pub orphan_ms: Option<u64>,
    /// Since when nobody is waited for.
    pub done_ms: Option<u64>,
    /// What was answered, where whoever asked may be lost with it; none where that is a console.
    pub kept: Option<Kept>,
    answers: Answers,
    dirty_ms: Option<u64>,
}

/// Answers that were given, for whoever asks in place of the one that had them.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    answers: Answers,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, mut group: Group) {
        if self.bytes > KEPT_BYTES_MAX {
            group = group.without_output();
        }
        self.bytes += group.size();
        self.answers.add(group);
    }

    /// The nodes that have answered.
    fn nodes(&self) -> NodeSet {
        self.answers.nodes()
    }
}

impl Operation {
    /// The operation of a command, of which nobody has been asked yet.
    pub fn new(command: &Command, deadline_ms: u64) -> Self {
        let session = matches!(command.order, Order::Console(_) | Order::Serial(_));
        Operation { relay: session.then(|| Relay::new(command.op)), ..Operation::bare(deadline_ms) }
    }

    /// One of which only is known that it runs until then.
    pub fn bare(deadline_ms: u64) -> Self {
        Operation {
            outstanding: BTreeMap::new(),
            local: NodeSet::new(),
            deadline_ms,
            relay: None,
            by: None,
            adrift: NodeSet::new(),
            drift_ms: 0,
            gone_ms: 0,
            lost_ms: 0,
            homeless: NodeSet::new(),
            signed: Vec::new(),
            fresh: false,
            promised: BTreeMap::new(),
            early: Vec::new(),
            orphan_ms: None,
            done_ms: None,
            kept: None,
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
        if let Some(promised) = self.promised.get(&link)
            && self.early.len() < EARLY_MAX
        {
            let nodes = group.nodes.intersection(promised);
            self.early.push((link, Group { nodes, ..group.clone() }));
        }
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
        self.outstanding.is_empty() && self.local.is_empty() && self.adrift.is_empty() && self.homeless.is_empty()
    }

    /// The nodes that have answered, as far as it is kept.
    pub fn answered(&self) -> NodeSet {
        self.kept.as_ref().map_or_else(NodeSet::new, Kept::nodes).union(&self.answers.nodes())
    }

    /// The nodes that it waits for or has answers of, without those that are adrift.
    pub fn part(&self) -> NodeSet {
        let below = self.outstanding.values().fold(self.local.clone(), |all, nodes| all.union(nodes));
        below.union(&self.answered())
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
        for set in [&mut self.local, &mut self.adrift, &mut self.homeless] {
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
        self.drift_ms = self.drift_ms.max(other.drift_ms);
        self.gone_ms = self.gone_ms.max(other.gone_ms);
        self.lost_ms = self.lost_ms.max(other.lost_ms);
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

    /// What is wrong with it: each node is waited for in one place, or has answered.
    #[cfg(any(test, feature = "sim"))]
    pub fn flaw(&self) -> Option<String> {
        let sets = [&self.local, &self.adrift, &self.homeless];
        let mut seen = self.answered();
        for nodes in self.outstanding.values().chain(sets) {
            let twice = seen.intersection(nodes);
            if !twice.is_empty() {
                return Some(alloc::format!("{twice} is in two places: {self:?}"));
            }
            seen = seen.union(nodes);
        }
        None
    }

    /// When the gathered answers should go up, if there are any.
    pub fn flush_at(&self) -> Option<u64> {
        self.dirty_ms.filter(|_| self.orphan_ms.is_none()).map(|t| if self.is_done() { t } else { t + FLUSH_MS })
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
            if let Some(kept) = &mut self.kept {
                kept.add(group.clone());
            }
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
        for set in below.values().chain([&adrift, &homeless]) {
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
        let mut done = 0;
        self.running.retain(|&(op, from), operation| {
            if operation.done_ms.is_none() && now_ms >= operation.deadline_ms {
                operation.time_is_up(op, peers, out);
            }
            if operation.flush_at().is_some_and(|at| at <= now_ms) {
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
            operation.kept.is_some() && now_ms < since + KEPT_MS && done <= KEPT_MAX
        });
    }

    /// Ends what nobody has asked for again in time.
    fn end_orphans(&mut self, peers: &mut Peers, out: &mut Outbox) {
        let over = |(key, operation): (&Key, &Operation)| {
            let limit = if key.1 == WAY_LOST { WAY_LOST_MS } else { ORPHAN_MS };
            operation.orphan_ms.is_some_and(|since| out.now_ms >= since + limit).then_some(*key)
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
#[path = "operations_tests.rs"]
mod tests;
