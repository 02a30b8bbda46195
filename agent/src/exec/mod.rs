//! Programs that operators run on the host itself: to their end (`command`), with their outputs sent while they run
//! (`stream`), or in a console session (`session`).
//!
//! Each owns its process; the node only knows how to stop it.

pub mod command;
pub mod session;
pub mod stream;
