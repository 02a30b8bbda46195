//! What programs write, on its way while they run: pieces of their outputs, each with its place.
//!
//! A node that was told to stream ([`Order::Stream`](crate::wire::order::Order::Stream)) sends pieces upwards as its
//! program writes; hosts on the way pass them on, several in a message, and keep none. They go the way of answers, with
//! the same credit, so that whoever reads slowly slows the programs. Behind the last piece of both outputs each is
//! ended ([`Written::end`]), and then comes the node's answer, which holds no output: its `truncated` says that pieces
//! came before it. A piece that was lost, since a link broke, is noticed by its place, or by an end that is missing
//! ([`Gathering`]); it does not come again.

use crate::bytes;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use vmatic_plan::Node;

/// Most bytes of a piece: with what is around it, it fits a message that needs no room of its own.
pub const WRITTEN_MAX_BYTES: usize = 15 * 1024;
/// Most pieces in a message.
pub const WRITTEN_MAX: usize = 256;
/// What a piece takes in a message beside its bytes, never less than it does.
const FIXED_BYTES: usize = 32;

/// One of the two outputs of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    /// Its standard output.
    Out,
    /// Its standard error.
    Err,
}

impl Stream {
    /// Both.
    pub const ALL: [Stream; 2] = [Stream::Out, Stream::Err];
}

/// A piece of what a program wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The node that it ran on.
    pub node: Node,
    /// To which output.
    pub stream: Stream,
    /// How many bytes were written to it before.
    pub at: u64,
    /// The bytes, at most [`WRITTEN_MAX_BYTES`].
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
    /// Nothing comes behind them.
    pub end: bool,
}

impl Written {
    /// About how many bytes it takes in a message, never less than it does.
    pub fn size(&self) -> usize {
        self.bytes.len() + FIXED_BYTES
    }
}

/// Both outputs of one program, as it sends them.
#[derive(Debug, Default)]
pub struct Sending {
    at: [u64; 2],
}

impl Sending {
    /// The next piece of an output.
    pub fn piece(&mut self, node: Node, stream: Stream, bytes: Vec<u8>) -> Written {
        let at = self.at[stream as usize];
        self.at[stream as usize] += bytes.len() as u64;
        Written { node, stream, at, bytes, end: false }
    }

    /// As after so many bytes of each output.
    pub fn after(at: [u64; 2]) -> Sending {
        Sending { at }
    }

    /// How many bytes of an output were sent.
    pub fn sent(&self, stream: Stream) -> u64 {
        self.at[stream as usize]
    }

    /// Whether anything was sent.
    pub fn any(&self) -> bool {
        self.at != [0; 2]
    }

    /// The ends of both, if there is anything that they are the ends of.
    pub fn ends(&self, node: Node) -> Vec<Written> {
        let streams = Stream::ALL.into_iter().filter(|_| self.any());
        let end = |stream| Written { node, stream, at: self.at[stream as usize], bytes: Vec::new(), end: true };
        streams.map(end).collect()
    }
}

/// Both outputs of one program, as they arrive: whether all of them is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathering {
    next: [u64; 2],
    ended: [bool; 2],
    lost: bool,
}

impl Gathering {
    /// Takes a piece; gives the part of it that is new. What was skipped never comes.
    pub fn take<'a>(&mut self, written: &'a Written) -> &'a [u8] {
        let next = &mut self.next[written.stream as usize];
        self.lost |= written.at > *next;
        let known = usize::try_from(next.saturating_sub(written.at)).unwrap_or(usize::MAX);
        let new = written.bytes.get(known..).unwrap_or_default();
        *next = (*next).max(written.at.saturating_add(written.bytes.len() as u64));
        self.ended[written.stream as usize] |= written.end;
        new
    }

    /// Whether something is missing, once the node has answered that it wrote something.
    pub fn is_incomplete(&self) -> bool {
        self.lost || self.ended != [true; 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::HostId;

    fn node() -> Node {
        Node::host(HostId(7))
    }

    #[test]
    fn a_piece_takes_no_more_bytes_than_it_says() {
        let written = Written {
            node: Node::guest(HostId(u32::MAX), vmatic_plan::GuestId(u32::MAX)),
            stream: Stream::Err,
            at: u64::MAX,
            bytes: alloc::vec![0; WRITTEN_MAX_BYTES],
            end: true,
        };
        assert!(postcard::to_allocvec(&written).unwrap().len() <= written.size());
    }

    #[test]
    fn what_is_lost_on_the_way_is_noticed_whatever_it_is() {
        let mut sending = Sending::default();
        let mut all: Vec<Written> = [(Stream::Out, "one\n"), (Stream::Err, "oh\n"), (Stream::Out, "two\n")]
            .map(|(stream, text)| sending.piece(node(), stream, text.into()))
            .into();
        all.extend(sending.ends(node()));
        let gathered = |pieces: &[Written]| {
            let (mut gathering, mut text) = (Gathering::default(), Vec::new());
            pieces.iter().for_each(|piece| text.extend_from_slice(gathering.take(piece)));
            (text, gathering.is_incomplete())
        };
        assert_eq!(gathered(&all), (b"one\noh\ntwo\n".to_vec(), false));
        for lost in 0..all.len() {
            let mut some = all.clone();
            some.remove(lost);
            assert!(gathered(&some).1, "without {:?}", all[lost]);
        }
        assert!(gathered(&[]).1);
    }

    #[test]
    fn what_comes_again_is_taken_once() {
        let mut sending = Sending::default();
        let first = sending.piece(node(), Stream::Out, b"abc".to_vec());
        let again = Written { bytes: b"abcde".to_vec(), ..first.clone() };
        let mut gathering = Gathering::default();
        assert_eq!(gathering.take(&first), b"abc");
        assert_eq!(gathering.take(&again), b"de");
        assert_eq!(gathering.take(&first), b"");
        let far = Written { at: u64::MAX, ..first };
        assert_eq!(gathering.take(&far), b"abc", "a place that cannot be is no panic");
    }

    #[test]
    fn a_silent_program_sends_no_ends() {
        assert!(Sending::default().ends(node()).is_empty() && !Sending::default().any());
    }
}
