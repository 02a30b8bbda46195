//! Lanes: what is said on a link goes in one of four, each in its order, so that what is long holds up nothing that is
//! urgent.

use crate::answer::{Group, Outcome};
use crate::id::OpId;
use crate::reply::Reply;
use crate::wire::message::Message;
use serde::{Deserialize, Serialize};

/// How many lanes there are.
pub const LANES: usize = 4;

/// A lane; the kind of the records that carry it is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Who is there, signs of life, reports, commands and that they are over: before all else.
    Control,
    /// Console sessions, both ways, and how they end.
    Sessions,
    /// What nodes answer.
    Answers,
    /// Pieces of captures and snapshots.
    Bulk,
}

/// Kinds of records beside the lanes' own.
pub(super) const CREDIT: u8 = LANES as u8;
/// Kinds from here on are a later version's, and are passed over.
pub(super) const LATER: u8 = 0x80;

/// What the ends of a link tell each other about the room for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credit {
    /// Up: an answer to this operation is so long that it waits for room.
    Offer(OpId, u32),
    /// Down: there is room for that one.
    Grant(OpId),
    /// Down: so many bytes of its answers were passed on.
    Released(OpId, u32),
    /// Down: nobody waits for its answers any more.
    Forget(OpId),
}

impl Lane {
    pub(super) fn all() -> [Lane; LANES] {
        [Lane::Control, Lane::Sessions, Lane::Answers, Lane::Bulk]
    }

    /// The lane of a message, and the operation whose credit it takes, if it takes any. How a session ends follows the
    /// rest of what it says; that it is one, the sender remembers.
    pub fn of(message: &Message, is_session: impl Fn(OpId) -> bool) -> (Lane, Option<OpId>) {
        let is_piece = |group: &Group| matches!(group.outcome, Outcome::Done(Reply::Piece(_)));
        match message {
            Message::SessionInput { .. } | Message::SessionOutput { .. } => (Lane::Sessions, None),
            Message::Answers { op, .. } if is_session(*op) => (Lane::Sessions, None),
            Message::Answers { op, groups } if groups.iter().any(is_piece) => (Lane::Bulk, Some(*op)),
            Message::Answers { op, .. } | Message::Written { op, .. } => (Lane::Answers, Some(*op)),
            _ => (Lane::Control, None),
        }
    }
}
