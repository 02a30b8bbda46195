//! Archives: the newc format of an initramfs and what packs it.
//!
//! * [`mod@write`]: a file tree as bytes, the same each time. [`newc`]: one record's header.
//! * [`read`]: an image's bytes as the records that a kernel comes to, whoever made it, without those that are
//!   [`passed_over`]; [`wrapping`]: what is around them; [`tree`]: what the kernel makes of the records, in a root file
//!   system of its own, [`ramfs`]. [`notes`]: what is to be said of it all.
//! * [`compress`] and [`decompress`]: the formats that kernels unpack.

pub mod compress;
pub mod decompress;
pub mod newc;
pub mod notes;
pub mod passed_over;
pub mod ramfs;
pub mod read;
pub mod tree;
pub mod wrapping;
pub mod write;

pub use write::{BLOCK_BYTES, FILE_BYTES_MAX, Written, mtime_from_environment, write, write_entries};
