//! A row of `vmatic bench guests`: what the host's agent measures and writes, and the console reads.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// One measurement, a line of JSON. Memory is the mean of a guest, in KiB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// How they were started: `cold`, `clone` or `qemu`.
    pub kind: String,
    /// What they are: `linux` or `stub`.
    pub guest: String,
    /// What they did before: `idle`, or `after a command`.
    pub state: String,
    /// How many ran at once.
    pub guests: u32,
    /// How many a second came up.
    pub per_s: f64,
    /// All of the following.
    pub kib_each: u64,
    /// Of the guest's RAM, what it has for itself.
    pub ram_kib: u64,
    /// The rest of its process.
    pub monitor_kib: u64,
    /// What the kernel holds for its process and machine.
    pub kernel_kib: u64,
    /// What the kernel holds for its cable.
    pub switch_kib: u64,
}
