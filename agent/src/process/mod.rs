//! Starting processes of our own: their command, the descriptors that they are handed, and the users that they are.
//!
//! No state: whoever starts a process owns it.

pub mod fd;
pub mod spawn;
pub mod user;
