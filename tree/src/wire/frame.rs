//! How a message travels on a byte stream: its length (u32, little endian), then its bytes.
//!
//! Takes bytes in whatever pieces they come; gives whole messages. Memory
//! grows with what has arrived, never with what a length claims.

use crate::answer::Group;
use crate::id::OpId;
use crate::wire::message::{HELLO_MAX_BYTES, KINDS, Message};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

/// Most bytes of a message.
pub const FRAME_MAX_BYTES: usize = 1 << 20;
/// What a reader keeps of its memory between messages.
const KEPT_BYTES: usize = 16 * 1024;
/// The kinds of [`Message::Answers`] and [`Message::Written`]: what takes credit.
const ANSWERS_KIND: u8 = 10;
const WRITTEN_KIND: u8 = 32;
/// Bytes of the length before each message.
pub const LENGTH_BYTES: usize = 4;

/// Why a message cannot be sent, or a stream is no longer understood. The latter has to close: what follows has no
/// known beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A message has this many bytes, more than [`FRAME_MAX_BYTES`]: it cannot be sent.
    TooLong(usize),
    /// A message cannot be encoded.
    Encode(postcard::Error),
    /// A frame claims this many bytes, more than it may have: [`FRAME_MAX_BYTES`], or [`HELLO_MAX_BYTES`] at first.
    ClaimsTooMuch(usize),
    /// A frame is longer than the message in it.
    Trailing,
    /// A frame is no message of this version.
    Decode(postcard::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong(bytes) => write!(f, "a message of {bytes} bytes is longer than {FRAME_MAX_BYTES}"),
            FrameError::Encode(e) => write!(f, "a message cannot be encoded: {e}"),
            FrameError::ClaimsTooMuch(bytes) => write!(f, "a frame claims {bytes} bytes, more than it may have"),
            FrameError::Trailing => f.write_str("a frame has bytes behind its message"),
            FrameError::Decode(e) => write!(f, "a frame is not understood: {e}"),
        }
    }
}

impl core::error::Error for FrameError {}

/// A message as bytes, its length first.
pub fn encode(message: &Message) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; LENGTH_BYTES];
    bytes = match message {
        // Long, and often said: its bytes, which are its last field, are copied in one piece and not one by one.
        Message::Give { parcel, part, bytes: given } => {
            let empty = Message::Give { parcel: *parcel, part: *part, bytes: Vec::new() };
            bytes = postcard::to_extend(&empty, bytes).map_err(FrameError::Encode)?;
            bytes.pop();
            bytes.reserve(given.len() + LENGTH_BYTES);
            bytes = postcard::to_extend(&given.len(), bytes).map_err(FrameError::Encode)?;
            bytes.extend_from_slice(given);
            bytes
        }
        message => postcard::to_extend(message, bytes).map_err(FrameError::Encode)?,
    };
    let length = bytes.len() - LENGTH_BYTES;
    if length > FRAME_MAX_BYTES {
        return Err(FrameError::TooLong(length));
    }
    bytes[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// The same; answers that fit no frame become failed ones, so that whoever waits for them learns of it.
///
/// # Errors
/// The message is none of answers, and cannot be sent.
pub fn encode_or_failed(message: &Message) -> Result<Vec<u8>, FrameError> {
    encode(message).or_else(|error| match message {
        Message::Answers { op, groups } => {
            let why = format!("the answer cannot be sent: {error}");
            let groups = groups.iter().map(|group| Group::failed(group.nodes.clone(), why.clone())).collect();
            encode(&Message::Answers { op: *op, groups })
        }
        _ => Err(error),
    })
}

/// A message as it came, its length before it: as long as it waits, it takes no more room than on its way. In memory a
/// message may take fifteen times as much.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    /// Whether it is the first of who has not said who it is.
    first: bool,
}

impl Frame {
    /// Its bytes on the way, the length before it among them.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The operation that it answers, if it claims to be answers, or what is written before them.
    pub fn answers_to(&self) -> Option<OpId> {
        let (kind, rest) = self.bytes.get(LENGTH_BYTES..)?.split_first()?;
        let op = matches!(*kind, ANSWERS_KIND | WRITTEN_KIND).then(|| postcard::take_from_bytes(rest).ok()).flatten();
        op.map(|(op, _)| op)
    }

    /// The message in it; none if it is of a kind that a later version appended. Nobody says such a thing before its
    /// hello.
    ///
    /// # Errors
    /// It is none of this version: the stream that it came on has to close.
    pub fn decode(&self) -> Result<Option<Message>, FrameError> {
        let body = self.bytes.get(LENGTH_BYTES..).unwrap_or_default();
        if !self.first && body.first().is_some_and(|kind| *kind >= KINDS) {
            return Ok(None);
        }
        match postcard::take_from_bytes(body) {
            Ok((message, [])) => Ok(Some(message)),
            Ok(_) => Err(FrameError::Trailing),
            Err(e) => Err(FrameError::Decode(e)),
        }
    }
}

/// Puts messages together from pieces of a stream.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    taken: usize,
    /// Most bytes of the next message.
    max: usize,
}

impl Default for FrameReader {
    fn default() -> Self {
        FrameReader::new()
    }
}

impl FrameReader {
    /// A reader at the start of a stream.
    pub const fn new() -> Self {
        FrameReader { buffer: Vec::new(), taken: 0, max: FRAME_MAX_BYTES }
    }

    /// The same of a stream that somebody else opened: its first message is a hello, and no longer than one.
    pub const fn of_stranger() -> Self {
        FrameReader { buffer: Vec::new(), taken: 0, max: HELLO_MAX_BYTES }
    }

    /// Adds the bytes that arrived next on the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
            // One long message must not be paid for as long as the stream is open.
            if self.buffer.len() + bytes.len() <= KEPT_BYTES {
                self.buffer.shrink_to(KEPT_BYTES);
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes the next frame has, as it claims, if so much has arrived of it.
    ///
    /// # Errors
    /// It claims more than it may have.
    pub fn claimed(&self) -> Result<Option<usize>, FrameError> {
        let Some((length, _)) = self.buffer[self.taken..].split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.max { Err(FrameError::ClaimsTooMuch(length)) } else { Ok(Some(LENGTH_BYTES + length)) }
    }

    /// The next whole frame, if it has arrived.
    ///
    /// # Errors
    /// It claims more than it may have.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(bytes) = self.claimed()? else { return Ok(None) };
        let end = self.taken + bytes;
        if end > self.buffer.len() {
            return Ok(None);
        }
        let first = core::mem::replace(&mut self.max, FRAME_MAX_BYTES) != FRAME_MAX_BYTES;
        if self.taken == 0 && bytes > KEPT_BYTES {
            // A long one is not copied; what is behind it is.
            let rest = self.buffer[end..].to_vec();
            let mut frame = core::mem::replace(&mut self.buffer, rest);
            frame.truncate(end);
            frame.shrink_to_fit();
            return Ok(Some(Frame { bytes: frame, first }));
        }
        let frame = self.buffer[self.taken..end].to_vec();
        self.taken = end;
        if end == self.buffer.len() {
            (self.buffer, self.taken) = (Vec::new(), 0);
        }
        Ok(Some(Frame { bytes: frame, first }))
    }

    /// The next whole message of a kind that this version knows, if it has arrived.
    ///
    /// # Errors
    /// It claims more than it may have, or is none of this version.
    pub fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        while let Some(frame) = self.next_frame()? {
            if let Some(message) = frame.decode()? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Outcome, Output};
    use crate::id::OpId;
    use crate::parcel::{ParcelId, Part};
    use crate::wire::order::{Order, Run};
    use alloc::string::String;
    use proptest::prelude::*;
    use vmatic_plan::{HostId, Node, NodeSet};

    fn sample(n: usize) -> Message {
        let run = Run {
            argv: vec!["uname".into(), "-n".into()],
            env: vec![("A".into(), "b".into())],
            dir: String::new(),
            stdin: vec![7; n],
            output_max_bytes: 1,
        };
        let op = OpId { session: [1; 8], sequence: 2 };
        Message::Task { op, order: Order::Run(run), remaining_ms: 3 }
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(cuts in proptest::collection::vec(1usize..50, 1..30), n in 0usize..200) {
            let refuse = Message::Refuse(crate::refusal::Refusal::TooManyLinks);
            let sent = [Message::Heartbeat, sample(n), refuse, sample(0)];
            let stream: Vec<u8> = sent.iter().flat_map(|m| encode(m).unwrap()).collect();
            let (mut reader, mut got, mut at, mut cut) = (FrameReader::new(), Vec::new(), 0, cuts.iter().cycle());
            while at < stream.len() {
                let end = (at + cut.next().unwrap()).min(stream.len());
                reader.push(&stream[at..end]);
                at = end;
                while let Some(m) = reader.next_message().unwrap() {
                    got.push(m);
                }
            }
            prop_assert_eq!(&got[..], &sent[..]);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = FrameReader::new();
            reader.push(&(bytes.len() as u32).to_le_bytes());
            reader.push(&bytes);
            let _ = reader.next_message();
        }

        /// Of the next version, which is one step away; between others, and in a row.
        #[test]
        fn messages_of_kinds_that_are_not_known_are_skipped(kinds in proptest::collection::vec(KINDS..=0xff, 0..5)) {
            let mut reader = FrameReader::new();
            reader.push(&encode(&Message::Heartbeat).unwrap());
            for kind in kinds {
                reader.push(&3u32.to_le_bytes());
                reader.push(&[kind, 1, 2]);
            }
            reader.push(&encode(&sample(1)).unwrap());
            prop_assert_eq!(reader.next_message(), Ok(Some(Message::Heartbeat)));
            prop_assert_eq!(reader.next_message(), Ok(Some(sample(1))));
            prop_assert_eq!(reader.next_message(), Ok(None));
            let mut stranger = FrameReader::of_stranger();
            stranger.push(&[1, 0, 0, 0, KINDS]);
            prop_assert!(stranger.next_message().is_err(), "a stranger says hello and nothing else");
        }

        #[test]
        fn a_damaged_message_does_not_panic(at in 0usize..60, value in any::<u8>()) {
            let mut bytes = encode(&sample(10)).unwrap();
            let at = at % bytes.len();
            bytes[at] = value;
            let mut reader = FrameReader::new();
            reader.push(&bytes);
            let _ = reader.next_message();
        }
    }

    #[test]
    fn a_part_of_a_parcel_is_encoded_as_any_message() {
        for length in [0, 1, 127, 128, 300, 70_000] {
            let bytes = vec![length as u8; length];
            let message = Message::Give { parcel: ParcelId([3; 32]), part: Part::Chunk(9), bytes };
            let frame = encode(&message).unwrap();
            assert_eq!(frame[LENGTH_BYTES..], postcard::to_allocvec(&message).unwrap());
            assert_eq!(frame[..LENGTH_BYTES], ((frame.len() - LENGTH_BYTES) as u32).to_le_bytes());
        }
    }

    #[test]
    fn a_frame_of_answers_says_to_what_without_being_decoded() {
        let op = OpId { session: [9; 8], sequence: 300 };
        let framed = |message: &Message| {
            let mut reader = FrameReader::new();
            reader.push(&encode(message).expect("a frame"));
            reader.next_frame().expect("a frame").expect("a frame")
        };
        let answers = framed(&Message::Answers { op, groups: Vec::new() });
        assert_eq!((answers.answers_to(), answers.len()), (Some(op), LENGTH_BYTES + 1 + 8 + 2 + 1));
        assert_eq!(framed(&Message::Written { op, pieces: Vec::new() }).answers_to(), Some(op));
        assert_eq!(framed(&Message::Cancel(op)).answers_to(), None);
        assert_eq!(framed(&Message::Heartbeat).answers_to(), None);
    }

    #[test]
    fn answers_that_fit_no_frame_say_so_and_nothing_else_is_changed() {
        let op = OpId { session: [1; 8], sequence: 2 };
        let answers = |bytes| {
            let output = Output { stdout: vec![7; bytes], ..Output::default() };
            let group = Group::one(Node::host(HostId(3)), Outcome::Exit(0), output);
            Message::Answers { op, groups: vec![group] }
        };
        let sent = |message: &Message| {
            let mut reader = FrameReader::new();
            reader.push(&encode_or_failed(message)?);
            reader.next_message()
        };
        assert_eq!(sent(&answers(9)), Ok(Some(answers(9))));
        match sent(&answers(FRAME_MAX_BYTES)) {
            Ok(Some(Message::Answers { op: its, groups })) => {
                let Outcome::Failed(why) = &groups[0].outcome else { panic!("{groups:?}") };
                assert!(why.contains("longer than 1048576"), "{why}");
                assert_eq!((its, groups.len(), &groups[0].nodes), (op, 1, &NodeSet::one(Node::host(HostId(3)))));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(sent(&sample(FRAME_MAX_BYTES)), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn the_limit_holds_at_and_past_it() {
        let around = |n: usize| encode(&sample(n));
        let overhead = around(FRAME_MAX_BYTES / 2).unwrap().len() - FRAME_MAX_BYTES / 2 - LENGTH_BYTES;
        let longest = around(FRAME_MAX_BYTES - overhead).unwrap();
        let mut reader = FrameReader::new();
        reader.push(&longest);
        assert!(reader.next_message().unwrap().is_some());
        assert_eq!(around(FRAME_MAX_BYTES - overhead + 1), Err(FrameError::TooLong(FRAME_MAX_BYTES + 1)));
        let mut reader = FrameReader::new();
        reader.push(&(FRAME_MAX_BYTES as u32 + 1).to_le_bytes());
        assert_eq!(reader.next_message(), Err(FrameError::ClaimsTooMuch(FRAME_MAX_BYTES + 1)));
    }

    #[test]
    fn who_has_not_said_who_it_is_says_no_more_than_that() {
        use crate::wire::message::PeerRole;
        let hello =
            Message::Hello { version: u16::MAX, who: PeerRole::Guest(vmatic_plan::GuestId(u32::MAX)), boot: [9; 16] };
        let bytes = encode(&hello).unwrap();
        assert!(bytes.len() - LENGTH_BYTES <= HELLO_MAX_BYTES, "{}", bytes.len());
        let mut reader = FrameReader::of_stranger();
        reader.push(&bytes);
        reader.push(&encode(&sample(HELLO_MAX_BYTES)).unwrap());
        assert_eq!(reader.next_message(), Ok(Some(hello)));
        assert_eq!(reader.next_message(), Ok(Some(sample(HELLO_MAX_BYTES))), "after it, anything");
        let mut reader = FrameReader::of_stranger();
        reader.push(&(HELLO_MAX_BYTES as u32 + 1).to_le_bytes());
        assert_eq!(reader.next_message(), Err(FrameError::ClaimsTooMuch(HELLO_MAX_BYTES + 1)));
    }

    #[test]
    fn a_long_message_is_not_paid_for_for_ever() {
        let mut reader = FrameReader::new();
        reader.push(&encode(&sample(FRAME_MAX_BYTES / 2)).unwrap());
        reader.push(&encode(&Message::Heartbeat).unwrap()[..3]);
        assert!(reader.next_message().unwrap().is_some());
        reader.push(&encode(&Message::Heartbeat).unwrap()[3..]);
        assert_eq!(reader.next_message(), Ok(Some(Message::Heartbeat)));
        assert!(reader.buffer.capacity() <= KEPT_BYTES, "{}", reader.buffer.capacity());
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_counted_first() {
        use crate::guest::GuestState;
        use crate::wire::message::{Report, STATES_MAX};
        let report = |states| Report {
            up: NodeSet::new(),
            down: vec![(GuestState::Queued, NodeSet::new()); states],
            twins: Vec::new(),
        };
        let sent = |states| {
            let mut reader = FrameReader::new();
            reader.push(&encode(&Message::Report(report(states)))?);
            reader.next_message()
        };
        assert_eq!(sent(STATES_MAX), Ok(Some(Message::Report(report(STATES_MAX)))));
        for states in [STATES_MAX + 1, 300_000] {
            assert!(matches!(sent(states), Err(FrameError::Decode(_))), "{states}");
        }
    }
}
