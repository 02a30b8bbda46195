//! Answers that were given, for whoever asks in place of the one that had them.

use super::late::was_lost_just_now;
use crate::answer::{Answers, Group};
use vmatic_plan::NodeSet;

/// How many bytes of answers are kept of an operation; what comes then is kept without outputs.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Answers that were given, for whoever asks in place of the one that had them.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub(super) answers: Answers,
    bytes: usize,
}

impl Kept {
    pub(super) fn add(&mut self, mut group: Group) {
        // Who is on the way may be asked again.
        if was_lost_just_now(&group.outcome).is_some() {
            return;
        }
        if self.bytes > KEPT_BYTES_MAX {
            group = group.without_output();
        }
        self.bytes += group.size();
        self.answers.add(group);
    }

    /// The nodes that have answered.
    pub(super) fn nodes(&self) -> NodeSet {
        self.answers.nodes()
    }
}
