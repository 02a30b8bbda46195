//! One operation: whom it waits for, and what was answered that was not passed on yet.

use super::kept::Kept;
use crate::answer::{Answers, Group};
use crate::auth::command::Command;
use crate::bytes::JOINT_MAX_BYTES;
use crate::id::LinkId;
use crate::session::Relay;
use crate::stream::{WRITTEN_MAX_BYTES, Written};
use crate::wire::message::GROUPS_MAX;
use crate::wire::order::Order;
use alloc::collections::BTreeMap;
#[cfg(any(test, feature = "sim"))]
use alloc::string::String;
use alloc::vec::Vec;
use vmatic_plan::{GUESTS_MAX, NodeSet, RangeSet};

/// How long answers are gathered before they go up, so that equal ones fold.
const FLUSH_MS: u64 = 40;
/// About how many bytes of groups go into one message: well below a frame's limit.
const BATCH_BYTES: usize = 128 * 1024;
/// About how many bytes of node sets a command has at least room for.
const ASKED_BYTES: usize = 64 * 1024;
/// Most answers that are kept for when their nodes are adrift.
const EARLY_MAX: usize = 256;
/// Least and most by which the deadline shrinks at each level, so that answers are back in time.
const SLACK_MS: (u32, u32) = (50, 500);

/// What is left for the level below, so that its answers are back in time.
pub fn less_slack(remaining_ms: u32) -> u32 {
    remaining_ms.saturating_sub((remaining_ms / 20).clamp(SLACK_MS.0, SLACK_MS.1)).max(1)
}

/// What a child is asked: of what the operator asks, the `part` that it reaches. Where that is long, because other
/// guests of each of its hosts are up, all that was asked of these hosts: the child knows best whom it reaches, and
/// what it answers for others is not waited for. One that comes up just then may obey though it was told to be down.
pub fn concise(part: NodeSet, asked: &NodeSet) -> NodeSet {
    if part.size() <= asked.size().max(ASKED_BYTES) {
        return part;
    }
    asked.intersection(&NodeSet::product(&part.hosts(), &RangeSet::span(0, GUESTS_MAX)))
}

/// An operation that somebody on a link waits for.
#[derive(Clone, Debug)]
pub struct Operation {
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
    /// Nodes whose links broke, here at the root, or before this host has a parent again; since when none was added,
    /// and when they count as lost whose hosts cannot be called.
    pub adrift: NodeSet,
    pub drift_ms: u64,
    pub gone_ms: u64,
    /// Nodes that were asked by way of a parent that is gone.
    pub homeless: NodeSet,
    /// Nodes that were in the tree a moment ago, or may come into it soon: they are asked as soon as they are in it,
    /// until then.
    pub late: NodeSet,
    pub late_ms: u64,
    /// Nodes that were adrift once: they may have been asked before.
    pub doubtful: NodeSet,
    /// Whether this host is the root, which has given it out or gathers what was given out.
    pub gathers: bool,
    /// Whether no command of this number was obeyed here before this one; and whether this host or guests of its own
    /// were asked since.
    pub is_first: bool,
    pub started: bool,
    /// What the operator signed, where it came from a console or from below while it runs; and whether it is not yet
    /// known who is root, who may not have it yet.
    pub signed: Vec<u8>,
    pub fresh: bool,
    /// Nodes that hosts which came anew say that they answer for, while another link counts for these yet; and what
    /// they answered already.
    pub promised: BTreeMap<LinkId, NodeSet>,
    pub(super) early: Vec<(LinkId, Group)>,
    /// Since when nobody is there who asked.
    pub orphan_ms: Option<u64>,
    /// Since when nobody is waited for.
    pub done_ms: Option<u64>,
    /// What was answered, where whoever asked may be lost with it; none where that is a console.
    pub kept: Option<Kept>,
    pub(super) answers: Answers,
    pub dirty_ms: Option<u64>,
    /// What programs wrote and was not passed on, and its size.
    pub written: Vec<Written>,
    pub written_bytes: usize,
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
            homeless: NodeSet::new(),
            late: NodeSet::new(),
            late_ms: 0,
            doubtful: NodeSet::new(),
            gathers: false,
            is_first: false,
            started: false,
            signed: Vec::new(),
            fresh: false,
            promised: BTreeMap::new(),
            early: Vec::new(),
            orphan_ms: None,
            done_ms: None,
            kept: None,
            answers: Answers::default(),
            dirty_ms: None,
            written: Vec::new(),
            written_bytes: 0,
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
        if !self.is_late(&group.outcome, &nodes, now_ms) {
            self.add(Group { nodes, ..group }, now_ms);
        }
    }

    /// Gives up on a link: what it has not answered is unreachable, or what `judge` makes of it.
    pub fn give_up(&mut self, link: LinkId, now_ms: u64, judge: impl Fn(NodeSet) -> Group) {
        if let Some(nodes) = self.outstanding.remove(&link) {
            self.add(judge(nodes), now_ms);
        }
    }

    /// Whether nobody is waited for.
    pub fn is_done(&self) -> bool {
        let waiting = [&self.local, &self.adrift, &self.homeless, &self.late];
        self.outstanding.is_empty() && waiting.into_iter().all(NodeSet::is_empty)
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

    /// What is wrong with it: each node is waited for in one place, or has answered.
    #[cfg(any(test, feature = "sim"))]
    pub fn flaw(&self) -> Option<String> {
        let sets = [&self.local, &self.adrift, &self.homeless, &self.late];
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
        let now = self.is_done() || self.written_bytes >= WRITTEN_MAX_BYTES;
        self.dirty_ms.filter(|_| self.orphan_ms.is_none()).map(|t| if now { t } else { t + FLUSH_MS })
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
