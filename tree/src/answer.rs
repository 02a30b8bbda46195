//! What nodes answered, equal answers folded into node sets.
//!
//! A thousand guests that print the same line are one group with one node
//! set, so that what reaches the root does not grow with their number.

pub use crate::bytes::OUTPUT_MAX_BYTES;
use crate::bytes::{self, JOINT_MAX_BYTES};
use crate::reply::Reply;
use crate::unreachable::Unreachable;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use vmatic_plan::{Node, NodeSet};

/// Most bytes of the reason of a failure.
pub const REASON_MAX_BYTES: usize = 512;
/// What a group takes in a message beside its outputs, its reason and its nodes.
const FIXED_BYTES: usize = 64;

/// How an order ended on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// The process ended with this status; 0 is success.
    Exit(i32),
    /// A signal ended the process.
    Signal(i32),
    /// It could not be started, or the node refused; the text says why.
    Failed(String),
    /// It still ran at the deadline and was ended.
    TimedOut,
    /// No answer came from the node.
    Unreachable(Unreachable),
    /// The node did it, and this is what it gives back.
    Done(Reply),
}

impl Outcome {
    /// Whether the node did what was asked.
    pub fn is_ok(&self) -> bool {
        matches!(self, Outcome::Exit(0) | Outcome::Done(_))
    }
}

/// What a process wrote, as far as it is kept: [`OUTPUT_MAX_BYTES`] a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Output {
    /// The first bytes of its standard output, as it wrote them.
    #[serde(with = "bytes")]
    pub stdout: Vec<u8>,
    /// The first bytes of its standard error, as it wrote them.
    #[serde(with = "bytes")]
    pub stderr: Vec<u8>,
    /// Whether more was written, to either, than was kept.
    pub truncated: bool,
}

/// Nodes that answered alike, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// How the order ended on each of them.
    pub outcome: Outcome,
    /// What each of them wrote.
    pub output: Output,
    /// The nodes, at least one.
    pub nodes: NodeSet,
}

impl Group {
    /// The answer of one node.
    pub fn one(node: Node, outcome: Outcome, output: Output) -> Self {
        Group { outcome, output, nodes: NodeSet::one(node) }
    }

    /// Nodes that could not or would not, and why.
    pub fn failed(nodes: NodeSet, why: String) -> Self {
        Group { outcome: Outcome::Failed(why), output: Output::default(), nodes }
    }

    /// Nodes that did not answer, and why.
    pub fn unreachable(nodes: NodeSet, why: Unreachable) -> Self {
        Group { outcome: Outcome::Unreachable(why), output: Output::default(), nodes }
    }

    /// The same without what was written, if anything was: for a link that cannot take more.
    pub fn without_output(mut self) -> Self {
        let written = !self.output.stdout.is_empty() || !self.output.stderr.is_empty();
        self.output = Output { truncated: self.output.truncated || written, ..Output::default() };
        self
    }

    /// About how many bytes it takes in a message, never less than it does.
    pub fn size(&self) -> usize {
        let text = match &self.outcome {
            Outcome::Failed(why) => why.len(),
            Outcome::Unreachable(why) => why.size(),
            Outcome::Done(reply) => reply.size(),
            _ => 0,
        };
        self.output.stdout.len() + self.output.stderr.len() + text + self.nodes.size() + FIXED_BYTES
    }

    /// Cuts what the sender made longer than it may be: its neighbours' answers share a message with it.
    pub fn bound(&mut self) {
        if matches!(&self.outcome, Outcome::Done(reply) if !reply.fits()) {
            self.outcome = Outcome::Failed("answered more than an answer holds".into());
        }
        if let Outcome::Failed(why) = &mut self.outcome {
            let end = (0..=REASON_MAX_BYTES.min(why.len())).rev().find(|at| why.is_char_boundary(*at));
            why.truncate(end.unwrap_or(0));
        }
        // A reply is all that there is to say: with output beside it, the two would not fit a message.
        if matches!(&self.outcome, Outcome::Done(_)) && self.output != Output::default() {
            self.output = Output { truncated: true, ..Output::default() };
        }
        for stream in [&mut self.output.stdout, &mut self.output.stderr] {
            self.output.truncated |= stream.len() > OUTPUT_MAX_BYTES as usize;
            stream.truncate(OUTPUT_MAX_BYTES as usize);
        }
    }
}

/// Answers gathered so far, folded.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    groups: BTreeMap<(Outcome, Output), NodeSet>,
    /// Those that would make a longer set of nodes than is kept.
    apart: Vec<Group>,
}

impl Answers {
    /// Adds a group, folding it into an equal one.
    pub fn add(&mut self, group: Group) {
        if group.nodes.is_empty() {
            return;
        }
        match self.groups.entry((group.outcome, group.output)) {
            Entry::Occupied(equal) if NodeSet::joint_size(&[equal.get(), &group.nodes]) > JOINT_MAX_BYTES => {
                let (outcome, output) = equal.key().clone();
                self.apart.push(Group { outcome, output, nodes: group.nodes });
            }
            equal => {
                let nodes = equal.or_default();
                *nodes = nodes.union(&group.nodes);
            }
        }
    }

    /// The nodes of all answers.
    pub fn nodes(&self) -> NodeSet {
        let sets = self.groups.values().chain(self.apart.iter().map(|group| &group.nodes));
        sets.fold(NodeSet::new(), |all, nodes| all.union(nodes))
    }

    /// Whether no answer was added since they were taken out.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.apart.is_empty()
    }

    /// Takes all groups out, ordered by outcome, then output.
    pub fn take(&mut self) -> Vec<Group> {
        let groups = core::mem::take(&mut self.groups);
        let folded = groups.into_iter().map(|((outcome, output), nodes)| Group { outcome, output, nodes });
        folded.chain(core::mem::take(&mut self.apart)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OpId;
    use crate::traffic::Piece;
    use crate::wire::frame;
    use crate::wire::message::Message;
    use vmatic_plan::{GuestId, HostId, RangeSet};

    const OP: OpId = OpId { session: [1; 8], sequence: 1 };

    #[test]
    fn equal_answers_of_many_different_nodes_are_several_groups() {
        let every_other = |last| RangeSet::from_ranges((1..=last).step_by(2).map(|n| (n, n)).collect());
        let dense = NodeSet::product(&RangeSet::span(1, 20_000), &every_other(7_000));
        let sparse = NodeSet::product(&every_other(20_000), &RangeSet::span(0, 2));
        let mut answers = Answers::default();
        for nodes in [&dense, &sparse, &dense] {
            let (outcome, output) = (Outcome::Exit(0), Output::default());
            answers.add(Group { outcome, output, nodes: nodes.clone() });
        }
        let groups: Vec<NodeSet> = answers.take().into_iter().map(|group| group.nodes).collect();
        assert_eq!(groups.iter().map(NodeSet::size).max(), Some(sparse.size()), "{} groups", groups.len());
        assert_eq!(groups, [dense, sparse]);
        assert!(answers.is_empty());
    }

    #[test]
    fn equal_answers_are_one_group() {
        let mut answers = Answers::default();
        for guest in 1..=1000 {
            let output = Output { stdout: b"same\n".to_vec(), ..Output::default() };
            answers.add(Group::one(Node::guest(HostId(1), GuestId(guest)), Outcome::Exit(0), output));
        }
        answers.add(Group::one(Node::host(HostId(1)), Outcome::Exit(1), Output::default()));
        let groups = answers.take();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].nodes.len(), 1000);
        assert!(answers.is_empty());
    }

    #[test]
    fn whatever_a_node_says_is_bound_to_fit_a_message_and_no_more_is_cut() {
        let bytes = |count: u32| alloc::vec![7; count as usize];
        let group = |outcome: Outcome, output: u32| {
            let output = Output { stdout: bytes(output), stderr: bytes(output), truncated: false };
            let mut group = Group::one(Node::host(HostId(1)), outcome, output);
            group.bound();
            assert!(frame::encode(&Message::Answers { op: OP, groups: [group.clone()].into() }).is_ok());
            (group.outcome, group.output.stdout.len() as u32, group.output.stderr.len() as u32, group.output.truncated)
        };
        let piece = |count| Outcome::Done(Reply::Piece(Piece { bytes: bytes(count), dropped: 0 }));
        let (max, exit) = (OUTPUT_MAX_BYTES, || Outcome::Exit(0));
        assert_eq!(group(exit(), max), (exit(), max, max, false));
        assert_eq!(group(exit(), max + 1), (exit(), max, max, true));
        assert_eq!(group(piece(max), 0), (piece(max), 0, 0, false));
        assert_eq!(group(piece(max), max), (piece(max), 0, 0, true), "a reply comes alone");
        let failed = |text: usize| Outcome::Failed("x".repeat(text));
        assert_eq!(group(piece(max + 1), max).0, Outcome::Failed("answered more than an answer holds".into()));
        assert_eq!(group(failed(REASON_MAX_BYTES), max), (failed(REASON_MAX_BYTES), max, max, false));
        assert_eq!(group(failed(REASON_MAX_BYTES + 1), max), (failed(REASON_MAX_BYTES), max, max, false));
    }
}
