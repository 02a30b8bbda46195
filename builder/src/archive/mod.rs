//! Archives: the newc format of an initramfs and what packs it.
//!
//! * [`mod@write`]: a file tree as bytes, the same each time. [`read`]: an image's bytes as records, whoever made it;
//!   [`newc`]: one record's header; [`tree`]: the records as a file tree.
//! * [`compress`] and [`decompress`]: the formats that kernels unpack.

pub mod compress;
pub mod decompress;
pub mod newc;
pub mod read;
pub mod tree;
pub mod write;

pub use write::{BLOCK_BYTES, FILE_BYTES_MAX, Written, mtime_from_environment, write, write_entries};
