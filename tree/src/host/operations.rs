//! One operation on one host: whom it still waits for, and what it has not yet passed on.

use crate::answer::{Answers, Group};
use crate::host::peers::LinkId;
use crate::session::Relay;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use vmatic_plan::NodeSet;

/// How long answers are gathered before they go up, so that equal ones fold.
const FLUSH_MS: u64 = 40;
/// About how many bytes of groups go into one message: well below a frame's limit.
const BATCH_BYTES: usize = 128 * 1024;

/// Least and most by which the deadline shrinks at each level, so that answers are back in time.
const SLACK_MS: (u32, u32) = (50, 500);

/// What is left for the level below, so that its answers are back in time.
pub(crate) fn less_slack(remaining_ms: u32) -> u32 {
    remaining_ms.saturating_sub((remaining_ms / 20).clamp(SLACK_MS.0, SLACK_MS.1)).max(1)
}

/// An operation that somebody on a link waits for.
#[derive(Debug)]
pub(crate) struct Operation {
    /// For each link that it was passed on to: the nodes that have not answered.
    pub outstanding: BTreeMap<LinkId, NodeSet>,
    /// Those that this host's own task answers for, while it runs: the host, or some of its guests.
    pub local: NodeSet,
    /// When everything that has not answered counts as unreachable.
    pub deadline_ms: u64,
    /// What a console session has beside.
    pub relay: Option<Relay>,
    answers: Answers,
    dirty_ms: Option<u64>,
}

impl Operation {
    pub fn new(deadline_ms: u64) -> Self {
        Operation {
            outstanding: BTreeMap::new(),
            local: NodeSet::new(),
            deadline_ms,
            relay: None,
            answers: Answers::default(),
            dirty_ms: None,
        }
    }

    /// Adds an answer.
    pub fn add(&mut self, group: Group, now_ms: u64) {
        self.answers.add(group);
        self.dirty_ms.get_or_insert(now_ms);
    }

    /// Takes an answer that came over `link`: only nodes asked there count, and each once.
    pub fn receive(&mut self, link: LinkId, group: Group, now_ms: u64) {
        let Some(waiting) = self.outstanding.get_mut(&link) else { return };
        let mut group = group;
        group.bound();
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
        for group in self.answers.take() {
            if size > 0 && size + group.size() > BATCH_BYTES {
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
