//! How a guest's process ended.

/// How a process ends whose guest switched itself off.
pub const GUEST_ENDED: &str = "its guest ended";
