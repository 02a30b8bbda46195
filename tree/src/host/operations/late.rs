//! Nodes that are on their way when they are asked: they are waited for.

use crate::answer::Outcome;
use crate::auth::authority::Author;
use crate::auth::command::Command;
use crate::unreachable::Unreachable;
use crate::wire::message::Message;
use vmatic_plan::NodeSet;

/// How long a host may be on its way from one parent to another: what lost it and what has it report within some tenths
/// of a second on each level.
pub(super) const LATE_MS: u64 = 2_000;

/// How long after a root has taken over hosts may still come below it.
const REIGN_MS: u64 = 3_000;

/// How long ago a node was lost, if so lately that it may be on its way.
pub(super) fn was_lost_just_now(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Unreachable(Unreachable::Lost { ago_s }) => {
            Some(u64::from(*ago_s) * 1_000).filter(|ago_ms| *ago_ms < LATE_MS)
        }
        _ => None,
    }
}

/// When this host began, and when it became root.
#[derive(Debug, Default)]
pub struct Latecomers {
    booted_ms: Option<u64>,
    reign_ms: Option<u64>,
    /// When it is looked again whether those are there who are late.
    pub look_ms: u64,
}

impl Latecomers {
    /// The host is there since this time at the latest.
    pub fn booted(&mut self, now_ms: u64) {
        self.booted_ms.get_or_insert(now_ms);
    }

    /// The host is a root from now on.
    pub fn settled(&mut self, now_ms: u64) {
        self.reign_ms = Some(now_ms);
    }

    /// How long it has been there.
    pub fn up_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.booted_ms.unwrap_or(now_ms))
    }

    /// Until when hosts may still come below it, since it is root.
    pub fn reigns_until_ms(&self) -> u64 {
        self.reign_ms.map_or(0, |since| since + REIGN_MS)
    }
}

/// A command as it came, and how much of its time is left.
pub struct Given<'a> {
    pub command: &'a Command,
    pub author: &'a Author,
    pub signed: &'a [u8],
    /// How long whoever asked waits.
    pub left_ms: u32,
    /// Whether it is not known if those who are asked were asked before.
    pub again: bool,
}

impl Given<'_> {
    /// What a child is told.
    pub fn message(&self, asked: NodeSet, remaining_ms: u32) -> Message {
        let signed = self.signed.to_vec();
        match self.again {
            true => Message::Again { signed, asked, remaining_ms },
            false => Message::Command { signed, asked, remaining_ms },
        }
    }

    /// How long ago the operator gave it, at most: each level keeps some of the time for itself.
    pub fn age_ms(&self) -> u64 {
        u64::from(self.command.deadline_ms.saturating_sub(self.left_ms))
    }
}
