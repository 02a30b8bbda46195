//! What the fuzzer feeds the guest's agent: the boot command line that its host wrote.

mod identity;
#[cfg(test)]
#[path = "../replay.rs"]
mod replay;

use alloc::vec::Vec;

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

/// All of this crate.
pub const TARGETS: &[Target] = &[("identity", identity::run, identity::seeds, 1 << 20)];

#[test]
fn what_was_found_stays_found() {
    replay::replay(TARGETS, env!("CARGO_MANIFEST_DIR"));
}
