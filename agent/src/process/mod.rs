//! Starting processes of our own: their command, their configuration, the descriptors that they are handed, and the
//! users that they are.
//!
//! No state: whoever starts a process owns it.

pub mod config;
pub mod fd;
pub mod spawn;
pub mod user;
