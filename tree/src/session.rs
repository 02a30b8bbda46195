//! A console session: one operator's terminal on one node, or on a guest's serial port.
//!
//! **Opening.** A signed command with [`Order::Console`] or [`Order::Serial`] names exactly one node and takes the way
//! of every command: up to the root, then down. Each host on the way keeps it as an operation with a [`Flow`], and so
//! knows the way for all that follows. The node starts the program and says so ([`SessionOutput`] without bytes); when
//! the program ends, its status is the operation's one answer.
//!
//! **Downwards** goes a [`SessionInput`]: input, a window's size, how much the operator has seen, a sign of life. Each
//! is a command of its own, signed by the operator, in the same session as the one that opened. Its sequence number
//! is the last one's plus one, at each host on the way: nothing can be forged, repeated, left out or put in
//! another order without the session's end. The last host hands it to its guest, which trusts its host as ever.
//!
//! **Upwards** goes [`SessionOutput`]: what the program wrote, and how much input it has taken. Not signed, as answers
//! are not.
//!
//! **Flow.** Credit from end to end, in bytes since the beginning: the node says at most [`OUTPUT_WINDOW_BYTES`] more
//! than the operator has seen (`shown`), the console feeds at most [`INPUT_WINDOW_BYTES`] more than the program has
//! taken (`taken`). Whoever exceeds it ends the session, so that a session costs each relay at most the two windows,
//! whatever program floods whom. A program that floods is held by its own terminal; what the operator types
//! waits for at most a window of output.
//!
//! **Ends.** The program's end; a cancel, which a host sends by itself when the link it had the session from is
//! gone; a link that dies on the way down, which is an answer ("unreachable"). And the lease: a session's
//! deadline is [`LEASE_MS`] away at most, and each feed renews it, so that a console that vanished without a word is
//! forgotten everywhere. A console that hears nothing though it asked ([`SessionInput::reply`]) gives up, too.
//!
//! [`Order::Console`]: crate::wire::order::Order::Console
//! [`Order::Serial`]: crate::wire::order::Order::Serial

use crate::bytes;
#[cfg(feature = "host")]
use crate::id::OpId;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Most bytes that a node says beyond what the operator has seen.
pub const OUTPUT_WINDOW_BYTES: usize = 32 * 1024;
/// Most bytes that a console feeds beyond what the program has taken.
pub const INPUT_WINDOW_BYTES: usize = 16 * 1024;
/// Most bytes of one [`SessionInput`] or [`SessionOutput`]: other messages get their turn in between.
pub const PIECE_MAX_BYTES: usize = 4 * 1024;
/// How long a session lives without a [`SessionInput`], in milliseconds.
pub const LEASE_MS: u32 = 60_000;
/// Most sessions that a host relays or holds; with the windows this bounds what they cost.
pub const SESSIONS_MAX: usize = 128;
/// Most sessions on one guest.
pub const SESSIONS_PER_GUEST_MAX: usize = 8;

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Lines, at least 1 on a real terminal.
    pub rows: u16,
    /// Characters of a line, at least 1 on a real terminal.
    pub columns: u16,
}

/// What a session is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Program and arguments; a login shell if there are none.
    pub argv: Vec<String>,
    /// Added to the node's own environment.
    pub env: Vec<(String, String)>,
    /// The size of the operator's terminal. None if there is no terminal: then the program gets pipes.
    pub terminal: Option<Size>,
}

/// What the operator's console says while a session lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInput {
    /// The sequence number of the command that opened the session.
    pub opened: u64,
    /// Input for the program, at most [`PIECE_MAX_BYTES`]; none if something else is said.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
    /// No more input will come.
    pub eof: bool,
    /// The terminal's new size.
    pub size: Option<Size>,
    /// How many bytes of output the operator has seen since the beginning.
    pub shown: u64,
    /// The node is to say something, if only that it lives.
    pub reply: bool,
}

/// What a node says while a session lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOutput {
    /// What the program wrote, at most [`PIECE_MAX_BYTES`]; none if only `taken` is news.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
    /// How many bytes of input the program has taken since the beginning.
    pub taken: u64,
}

/// How one end of a session broke its protocol. The session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowError {
    /// More input than the program has room for ([`INPUT_WINDOW_BYTES`]), or than one piece holds.
    InputWindow,
    /// More output than the operator has room for ([`OUTPUT_WINDOW_BYTES`]), or than one piece holds.
    OutputWindow,
    /// The console says that it saw output that was not sent, or has not seen what it had.
    OutputAcknowledged,
    /// The node says that the program took input that was not sent, or has not taken what it had.
    InputAcknowledged,
    /// The node says nothing, and was not asked to.
    Unsolicited,
    /// A command of the session was left out, repeated, or came in another order.
    OutOfOrder,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlowError::InputWindow => "protocol error: more input than the session's window",
            FlowError::OutputWindow => "protocol error: more output than the session's window",
            FlowError::OutputAcknowledged => "protocol error: acknowledged more than was sent",
            FlowError::InputAcknowledged => "protocol error: acknowledged more input than was sent",
            FlowError::Unsolicited => "protocol error: unsolicited empty reply",
            FlowError::OutOfOrder => "session input lost or repeated in transit",
        })
    }
}

impl core::error::Error for FlowError {}

/// Both directions of a session as one place sees them, in bytes since the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Output that was said, and how much of it the operator has seen.
    said: u64,
    shown: u64,
    /// Input that was fed, and how much of it the program has taken.
    fed: u64,
    taken: u64,
    /// How often the node was asked to say something, if only that it lives, and has not.
    replies: u32,
}

impl Default for Flow {
    /// The first that is said is that the session is open.
    fn default() -> Self {
        Flow { said: 0, shown: 0, fed: 0, taken: 0, replies: 1 }
    }
}

impl Flow {
    /// How many bytes may be said now.
    pub fn output_room(&self) -> usize {
        OUTPUT_WINDOW_BYTES.saturating_sub((self.said - self.shown) as usize).min(PIECE_MAX_BYTES)
    }

    /// How many bytes may be fed now.
    pub fn input_room(&self) -> usize {
        INPUT_WINDOW_BYTES.saturating_sub((self.fed - self.taken) as usize).min(PIECE_MAX_BYTES)
    }

    /// How much input the program has taken, with these further bytes.
    pub fn taken_with(&self, bytes: usize) -> u64 {
        self.taken + bytes as u64
    }

    /// How much output the operator has seen, with these further bytes.
    pub fn shown_with(&self, bytes: usize) -> u64 {
        self.shown + bytes as u64
    }

    /// How many bytes of output the operator has not seen.
    pub fn unseen(&self) -> u64 {
        self.said - self.shown
    }

    /// Input that the program has not taken.
    pub fn untaken(&self) -> u64 {
        self.fed - self.taken
    }

    /// Counts what the operator says.
    ///
    /// # Errors
    /// It breaks the protocol; nothing was counted then.
    pub fn feed(&mut self, feed: &SessionInput) -> Result<(), FlowError> {
        if feed.bytes.len() > self.input_room() {
            return Err(FlowError::InputWindow);
        }
        if feed.shown < self.shown || feed.shown > self.said {
            return Err(FlowError::OutputAcknowledged);
        }
        self.fed += feed.bytes.len() as u64;
        self.shown = feed.shown;
        self.replies = self.replies.saturating_add(u32::from(feed.reply));
        Ok(())
    }

    /// Counts what the node says.
    ///
    /// # Errors
    /// It breaks the protocol; nothing was counted then.
    pub fn say(&mut self, said: &SessionOutput) -> Result<(), FlowError> {
        if said.bytes.len() > self.output_room() {
            return Err(FlowError::OutputWindow);
        }
        if said.taken < self.taken || said.taken > self.fed {
            return Err(FlowError::InputAcknowledged);
        }
        // Saying nothing costs no credit, so it has to be asked for.
        if said.bytes.is_empty() && said.taken == self.taken {
            self.replies = self.replies.checked_sub(1).ok_or(FlowError::Unsolicited)?;
        }
        self.said += said.bytes.len() as u64;
        self.taken = said.taken;
        Ok(())
    }
}

/// A session as a host relays it.
#[cfg(feature = "host")]
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    pub flow: Flow,
    /// The sequence number that the operator's next command in it must have.
    pub next: u64,
}

#[cfg(feature = "host")]
impl Relay {
    /// Of the command that opens it.
    pub fn new(op: OpId) -> Self {
        Relay { flow: Flow::default(), next: op.sequence.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn windows_hold_at_and_past_their_limits() {
        let mut flow = Flow::default();
        let said = |bytes| SessionOutput { bytes: vec![0; bytes], taken: 0 };
        let fed = |bytes, shown| SessionInput { bytes: vec![0; bytes], shown, ..SessionInput::default() };
        assert!(flow.say(&said(PIECE_MAX_BYTES + 1)).is_err());
        for _ in 0..OUTPUT_WINDOW_BYTES / PIECE_MAX_BYTES {
            flow.say(&said(PIECE_MAX_BYTES)).unwrap();
        }
        assert_eq!(flow.output_room(), 0);
        assert!(flow.say(&said(1)).is_err());
        assert!(flow.feed(&fed(0, OUTPUT_WINDOW_BYTES as u64 + 1)).is_err(), "seen before it was said");
        flow.feed(&fed(0, 1)).unwrap();
        assert!(flow.feed(&fed(0, 0)).is_err(), "seen is seen");
        flow.say(&said(1)).unwrap();
        for _ in 0..INPUT_WINDOW_BYTES / PIECE_MAX_BYTES {
            flow.feed(&fed(PIECE_MAX_BYTES, 1)).unwrap();
        }
        assert!(flow.feed(&fed(1, 1)).is_err());
        assert!(flow.say(&SessionOutput { bytes: vec![], taken: INPUT_WINDOW_BYTES as u64 + 1 }).is_err());
        flow.say(&SessionOutput { bytes: vec![], taken: 1 }).unwrap();
        flow.feed(&fed(1, 1)).unwrap();
        let nothing = SessionOutput { bytes: vec![], taken: 1 };
        flow.say(&nothing).unwrap();
        assert!(flow.say(&nothing).is_err(), "once, that it is open");
        flow.feed(&SessionInput { shown: 1, reply: true, ..SessionInput::default() }).unwrap();
        flow.say(&nothing).unwrap();
        assert!(flow.say(&nothing).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_said_and_fed_no_more_is_on_its_way_than_fits(
            steps in proptest::collection::vec((any::<bool>(), 0usize..6000, any::<u64>(), any::<bool>()), 0..200)
        ) {
            let mut flow = Flow::default();
            for (up, bytes, number, near) in steps {
                // Near the truth half of the time: most random numbers are refused.
                let (of, to) = if up { (flow.taken, flow.fed) } else { (flow.shown, flow.said) };
                let number = if near { of + number % (to - of + 1) } else { number };
                let _ = if up {
                    flow.say(&SessionOutput { bytes: vec![0; bytes], taken: number })
                } else {
                    flow.feed(&SessionInput { bytes: vec![0; bytes], shown: number, ..SessionInput::default() })
                };
                prop_assert!(flow.unseen() <= OUTPUT_WINDOW_BYTES as u64);
                prop_assert!(flow.untaken() <= INPUT_WINDOW_BYTES as u64);
            }
        }
    }
}
