//! Parcels: files on their way to nodes, named by what is in them.
//!
//! A parcel is an archive ([`archive`]), cut into chunks. Its [`Waybill`] lists the chunks, each by length and hash,
//! and the hash of the waybill names the parcel ([`ParcelId`]). An operator signs that name: so whoever has the command
//! can check each chunk, whoever gives it, and a chunk that two parcels share is fetched once.
//!
//! Whoever needs a parcel asks for its parts ([`Part`]), the waybill first, and gives what it has to those who ask it
//! (`host::parcels`).

pub mod archive;
mod waybill;

use core::fmt;
use serde::{Deserialize, Serialize};
pub use waybill::{CHUNKS_MAX, Chunk, ENTRY_BYTES, Waybill, WaybillError};

/// Most bytes of a chunk: short enough that what is urgent is not held up behind some of them.
pub const CHUNK_BYTES_MAX: usize = 128 * 1024;
/// How many parts are under way at a time from one neighbour to another: enough to fill a link of a gigabit a second
/// whose round trip takes 8 ms.
pub const WINDOW: usize = 8;
/// Most bytes of a path on a node.
pub const PATH_BYTES_MAX: usize = 4095;

/// The sha256 of a chunk or a waybill.
pub type Hash = [u8; 32];

/// A parcel's name: the hash of its waybill.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ParcelId(pub Hash);

impl fmt::Debug for ParcelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ParcelId {
    /// Its first eight digits: enough to tell parcels apart on a console.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What can be asked for of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// The list of its chunks.
    Waybill,
    /// The chunk of this number, from 0.
    Chunk(u32),
}

/// The hash by which chunks and parcels are named: sha256 (FIPS 180-4).
#[cfg(feature = "host")]
pub fn hash(bytes: &[u8]) -> Hash {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}
