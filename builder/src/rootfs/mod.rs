//! Root file systems that are looked into or made: a folder on disk, a tree in memory.
//!
//! * [`tree`]: the file tree of an image, with a reason on each entry. [`hardlinks`]: its files with several names.
//! * [`root`]: what the closure asks of a root, wherever it lies. [`sysroot`]: a folder as one. [`stacked`]: one on
//!   another. [`links`]: how symbolic links are followed. [`error`]: why a path of either cannot be used.

pub mod error;
pub mod hardlinks;
pub mod links;
pub mod root;
pub mod stacked;
pub mod sysroot;
pub mod tree;
