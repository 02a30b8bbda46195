//! Process 1 of a host: what the machine needs before its keeper starts, and the keeper's restarts.
//!
//! One state: the signal that asked for the machine's end, kept by `vmatic_sys::signals`.

mod setup;
pub mod supervise;
