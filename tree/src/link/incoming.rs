//! What comes on a link: records become frames, lane by lane, and words about room.

use super::channel::{Channel, Record};
use super::error::LinkError;
use super::lane::{CREDIT, Credit, LANES, LATER, Lane};
use super::outgoing::{SHORT_BYTES_MAX, WINDOW_BYTES, WINDOWS_BYTES};
use crate::id::OpId;
use crate::wire::frame::{Frame, FrameReader};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Most operations of which it is gathered what was passed on.
const OPERATIONS_MAX: usize = 256;
/// What is gathered until the other end is told.
const TOLD_BYTES: u32 = WINDOW_BYTES as u32 / 4;
/// The same of all operations together.
const ALL_TOLD_BYTES: u32 = WINDOWS_BYTES as u32 / 4;

/// What came.
#[derive(Debug)]
pub enum Came {
    /// A whole message, and its lane.
    Frame(Lane, Frame),
    /// A word about room.
    Credit(Credit),
}

/// Puts together what comes in records.
#[derive(Debug)]
pub struct Incoming {
    lanes: [FrameReader; LANES],
    /// What is whole, in the order in which it became so: what ends a link is heard behind all else.
    came: VecDeque<Came>,
    /// Nothing has been said but, at most, the beginning of a hello.
    is_stranger: bool,
}

impl Incoming {
    /// Of one who has said nothing yet; a stranger's first word is a hello.
    pub fn new(stranger: bool) -> Incoming {
        let first = if stranger { FrameReader::of_stranger() } else { FrameReader::new() };
        let others = || FrameReader::new();
        Incoming { lanes: [first, others(), others(), others()], came: VecDeque::new(), is_stranger: stranger }
    }

    /// Takes what came on the channel; a long answer may have at most so many bytes.
    ///
    /// # Errors
    /// The link ends.
    pub fn push(&mut self, channel: &mut Channel, bytes: &[u8], longest: usize) -> Result<(), LinkError> {
        channel.push(bytes);
        while let Some(record) = channel.next_record()? {
            self.take(record, longest)?;
        }
        Ok(())
    }

    fn take(&mut self, record: Record, longest: usize) -> Result<(), LinkError> {
        let Record { kind, body } = record;
        if self.is_stranger && kind != Lane::Control as u8 {
            return Err(LinkError::Record);
        }
        let Some(lane) = Lane::all().into_iter().find(|lane| *lane as u8 == kind) else {
            if kind == CREDIT {
                let credit = postcard::from_bytes(&body).map_err(|_| LinkError::Record)?;
                self.came.push_back(Came::Credit(credit));
                return Ok(());
            }
            return if kind >= LATER { Ok(()) } else { Err(LinkError::Record) };
        };
        let reader = &mut self.lanes[lane as usize];
        reader.push(&body);
        loop {
            // What needs room has to have been given it.
            let claimed = reader.claimed().map_err(|_| LinkError::Record)?.unwrap_or(0);
            if lane >= Lane::Answers && claimed > SHORT_BYTES_MAX && claimed > longest {
                return Err(LinkError::Unasked(claimed));
            }
            let Some(frame) = reader.next_frame().map_err(|_| LinkError::Record)? else { return Ok(()) };
            self.is_stranger = false;
            self.came.push_back(Came::Frame(lane, frame));
        }
    }

    /// How many bytes the long frames have that are coming on lanes of which nothing was said before.
    pub fn long(&self) -> usize {
        let claimed = self.lanes[..Lane::Answers as usize].iter().filter_map(|lane| lane.claimed().ok().flatten());
        claimed.filter(|bytes| *bytes > SHORT_BYTES_MAX).sum()
    }

    /// The next of what came. More may come later: it is no iterator.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Came> {
        self.came.pop_front()
    }
}

/// What was passed on of the other end's answers, until it is told.
#[derive(Debug, Default)]
pub struct Released {
    owed: BTreeMap<OpId, u32>,
    all: u32,
}

impl Released {
    /// A short answer of so many bytes was passed on; what is to be told, if it is worth a word.
    pub fn add(&mut self, op: OpId, bytes: usize) -> Vec<Credit> {
        let bytes = bytes.min(SHORT_BYTES_MAX) as u32;
        let owed = self.owed.entry(op).or_default();
        *owed += bytes;
        self.all += bytes;
        if *owed >= TOLD_BYTES {
            let owed = *owed;
            self.owed.remove(&op);
            self.all -= owed;
            return [Credit::Released(op, owed)].into();
        }
        // What is left of operations that have ended must not fill the window of all.
        if self.all >= ALL_TOLD_BYTES || self.owed.len() > OPERATIONS_MAX {
            self.all = 0;
            return core::mem::take(&mut self.owed).into_iter().map(|(op, owed)| Credit::Released(op, owed)).collect();
        }
        Vec::new()
    }
}
