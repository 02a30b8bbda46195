//! Nodes that are on their way when they are asked: they are waited for.

use crate::answer::Outcome;
use crate::unreachable::Unreachable;

/// How long a host may be on its way from one parent to another: what lost it and what has it report within some tenths
/// of a second on each level.
pub(super) const LATE_MS: u64 = 2_000;

/// How long ago a node was lost, if so lately that it may be on its way.
pub(super) fn was_lost_just_now(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Unreachable(Unreachable::Lost { ago_s }) => {
            Some(u64::from(*ago_s) * 1_000).filter(|ago_ms| *ago_ms < LATE_MS)
        }
        _ => None,
    }
}
