//! Process 1 of a host: what the machine needs before its node starts, and the node's restarts.
//!
//! One state: which signal asked for the machine's end, owned by `supervise`.

pub mod setup;
pub mod supervise;
