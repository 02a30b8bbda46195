//! Records: what carries all that is said on a link, after its handshake.
//!
//! A record is its length (u16, little endian), then so many bytes: the cipher's, with its tag. In it are a kind and a
//! body. Records come out in the order in which they were made and once, or the link ends. Each side renews its key
//! after [`REKEY_RECORDS`] records, as Noise describes it (section 11.3), so that whoever takes it out of a machine's
//! memory cannot read what was said long before.

use super::error::LinkError;
use alloc::vec;
use alloc::vec::Vec;
use snow::TransportState;

/// Bytes of an authentication tag.
pub(super) const TAG_BYTES: usize = 16;
/// Bytes of the length before each record.
const LENGTH_BYTES: usize = 2;
/// Most bytes that a record carries.
pub const RECORD_BODY_BYTES_MAX: usize = 16 * 1024;
/// Most bytes behind a record's length.
const RECORD_BYTES_MAX: usize = 1 + RECORD_BODY_BYTES_MAX + TAG_BYTES;
/// After how many records a side renews its key.
pub const REKEY_RECORDS: u64 = 1 << 10;
/// What is kept of memory for what came, between records.
const KEPT_BYTES: usize = 1024;

/// What a record carries.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// What the body is.
    pub kind: u8,
    /// At most [`RECORD_BODY_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Makes records, and takes them apart.
pub struct Channel {
    state: TransportState,
    made: u64,
    taken: u64,
    came: Vec<u8>,
    /// How much of it has been taken apart.
    done: usize,
}

impl core::fmt::Debug for Channel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Channel").field("made", &self.made).field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Channel {
    pub(super) fn new(state: TransportState, came: Vec<u8>) -> Channel {
        Channel { state, made: 0, taken: 0, came, done: 0 }
    }

    /// Makes a record, behind what is in `out`.
    ///
    /// # Errors
    /// The body is longer than [`RECORD_BODY_BYTES_MAX`].
    pub fn seal(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Result<(), LinkError> {
        if body.len() > RECORD_BODY_BYTES_MAX {
            return Err(LinkError::Length(body.len()));
        }
        let mut plain = Vec::with_capacity(1 + body.len());
        plain.push(kind);
        plain.extend_from_slice(body);
        let length = plain.len() + TAG_BYTES;
        out.extend_from_slice(&(length as u16).to_le_bytes());
        let start = out.len();
        out.resize(start + length, 0);
        self.state.write_message(&plain, &mut out[start..]).map_err(|_| LinkError::Record)?;
        self.made += 1;
        if self.made.is_multiple_of(REKEY_RECORDS) {
            self.state.rekey_outgoing();
        }
        Ok(())
    }

    /// Adds the bytes that arrived next.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done > 0 {
            self.came.drain(..self.done);
            self.done = 0;
            if self.came.len() + bytes.len() <= KEPT_BYTES {
                self.came.shrink_to(KEPT_BYTES);
            }
        }
        self.came.extend_from_slice(bytes);
    }

    /// The next whole record, if it has arrived.
    ///
    /// # Errors
    /// It is none of this link, or not the next: the link ends.
    pub fn next_record(&mut self) -> Result<Option<Record>, LinkError> {
        let rest = &self.came[self.done..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::from(u16::from_le_bytes(*length));
        if length > RECORD_BYTES_MAX {
            return Err(LinkError::Length(length));
        }
        let Some(sealed) = rest.get(..length) else { return Ok(None) };
        // As long as what is sealed: the library asks for the tag's room, too.
        let mut body = vec![0; length];
        let bytes = self.state.read_message(sealed, &mut body).map_err(|_| LinkError::Changed)?;
        body.truncate(bytes);
        self.done += LENGTH_BYTES + length;
        if self.done == self.came.len() {
            self.came.clear();
            self.came.shrink_to(KEPT_BYTES);
            self.done = 0;
        }
        self.taken += 1;
        if self.taken.is_multiple_of(REKEY_RECORDS) {
            self.state.rekey_incoming();
        }
        if body.is_empty() {
            return Err(LinkError::Record);
        }
        let kind = body.remove(0);
        Ok(Some(Record { kind, body }))
    }
}
