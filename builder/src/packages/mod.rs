//! Software that goes into images: Debian's packages, their roots and their files' owners.
//!
//! * [`deb`]: single packages, fetched and unpacked into the cache. [`debroot`]: packages with all that they depend
//!   on, as one root. [`dpkg`]: the database of a root: which package a file belongs to.
//!
//! State: the cache's folder on disk. Each part of it appears whole or not at all.

pub mod deb;
pub mod debroot;
pub mod dpkg;
