//! What the fuzzer feeds the monitor: a guest's registers and rings, its socket packets, its serial port; snapshots,
//! kernels, and what is said to a template's process.

#[path = "../input.rs"]
pub(crate) mod input;
mod kernel;
#[cfg(test)]
#[path = "../replay.rs"]
mod replay;
mod serial;
mod virtio;
mod zygote;

use crate::devices::virtio::vsock_stream::fuzz as vsock;
use crate::template::snapshot::fuzz as snapshot;

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

/// All of this crate.
pub const TARGETS: &[Target] = &[
    ("virtio", virtio::run, virtio::seeds, 1 << 20),
    ("vsock", vsock::run, vsock::seeds, 1 << 20),
    ("serial", serial::run, serial::seeds, 1 << 20),
    // A header of 2 MiB is read whole.
    ("snapshot", snapshot::run, snapshot::seeds, 16 << 20),
    ("kernel", kernel::run, kernel::seeds, 1 << 20),
    ("zygote", zygote::run, zygote::seeds, 4 << 20),
];

#[test]
fn what_was_found_stays_found() {
    replay::replay(TARGETS, env!("CARGO_MANIFEST_DIR"));
}
