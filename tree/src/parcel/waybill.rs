//! The list of a parcel's chunks.
//!
//! On the wire each chunk takes 36 bytes: its length (u32, little endian) and its sha256. Nothing comes before or
//! behind.

use super::{CHUNK_BYTES_MAX, Hash};
use alloc::vec::Vec;
use core::fmt;

/// Most chunks of a parcel: 3 GiB where all are full, and a waybill that fits a message.
pub const CHUNKS_MAX: usize = 24 * 1024;
/// Bytes of a chunk's entry.
pub const ENTRY_BYTES: usize = 4 + 32;

/// One chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// How many bytes it has, 1 to [`CHUNK_BYTES_MAX`].
    pub bytes: u32,
    /// Their sha256.
    pub hash: Hash,
}

/// The chunks of a parcel, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waybill {
    chunks: Vec<Chunk>,
}

/// Why bytes are no waybill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaybillError {
    /// They are no whole number of entries.
    CutShort,
    /// There are more than [`CHUNKS_MAX`] chunks.
    TooMany,
    /// This chunk is empty, or longer than [`CHUNK_BYTES_MAX`].
    Length(u32),
}

impl fmt::Display for WaybillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaybillError::CutShort => f.write_str("a waybill is cut short"),
            WaybillError::TooMany => write!(f, "a parcel has at most {CHUNKS_MAX} chunks"),
            WaybillError::Length(n) => write!(f, "chunk {n} has not 1 to {CHUNK_BYTES_MAX} bytes"),
        }
    }
}

impl core::error::Error for WaybillError {}

impl Waybill {
    /// Of these chunks.
    ///
    /// # Errors
    /// There are too many, or one is empty or too long.
    pub fn new(chunks: Vec<Chunk>) -> Result<Waybill, WaybillError> {
        if chunks.len() > CHUNKS_MAX {
            return Err(WaybillError::TooMany);
        }
        let wrong = |chunk: &Chunk| !(1..=CHUNK_BYTES_MAX).contains(&(chunk.bytes as usize));
        match chunks.iter().position(wrong) {
            Some(at) => Err(WaybillError::Length(at as u32)),
            None => Ok(Waybill { chunks }),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(bytes: &[u8]) -> Result<Waybill, WaybillError> {
        if !bytes.len().is_multiple_of(ENTRY_BYTES) {
            return Err(WaybillError::CutShort);
        }
        if bytes.len() / ENTRY_BYTES > CHUNKS_MAX {
            return Err(WaybillError::TooMany);
        }
        let chunk = |entry: &[u8]| {
            let (bytes, hash) = entry.split_first_chunk::<4>()?;
            Some(Chunk { bytes: u32::from_le_bytes(*bytes), hash: hash.try_into().ok()? })
        };
        Waybill::new(bytes.chunks_exact(ENTRY_BYTES).filter_map(chunk).collect())
    }

    /// Its bytes, whose hash is the parcel's name.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.chunks.len() * ENTRY_BYTES);
        for chunk in &self.chunks {
            bytes.extend_from_slice(&chunk.bytes.to_le_bytes());
            bytes.extend_from_slice(&chunk.hash);
        }
        bytes
    }

    /// The chunks.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// How many bytes the parcel has.
    pub fn total_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn chunk(bytes: usize) -> Chunk {
        Chunk { bytes: bytes as u32, hash: [bytes as u8; 32] }
    }

    #[test]
    fn limits_hold_at_and_past_them() {
        assert!(Waybill::new(vec![chunk(1), chunk(CHUNK_BYTES_MAX)]).is_ok());
        assert_eq!(Waybill::new(vec![chunk(1), chunk(0)]), Err(WaybillError::Length(1)));
        assert_eq!(Waybill::new(vec![chunk(CHUNK_BYTES_MAX + 1)]), Err(WaybillError::Length(0)));
        let most = Waybill::new(vec![chunk(1); CHUNKS_MAX]).unwrap();
        assert!(most.bytes().len() < crate::wire::frame::FRAME_MAX_BYTES - 64, "it fits a message");
        assert_eq!(Waybill::new(vec![chunk(1); CHUNKS_MAX + 1]), Err(WaybillError::TooMany));
        assert_eq!(Waybill::read(&vec![1; (CHUNKS_MAX + 1) * ENTRY_BYTES]), Err(WaybillError::TooMany));
        assert_eq!(Waybill::read(&most.bytes()[1..]), Err(WaybillError::CutShort));
        assert_eq!(Waybill::read(&[]), Ok(Waybill::default()));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(waybill) = Waybill::read(&bytes) {
                prop_assert_eq!(waybill.bytes(), bytes);
            }
        }
    }
}
