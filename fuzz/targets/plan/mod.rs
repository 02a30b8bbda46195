//! What the fuzzer feeds the plan: texts of people and files, and sets.

mod host_table;
#[path = "../input.rs"]
mod input;
mod kinds;
mod modules;
mod names;
mod network;
mod nodes;
mod plan;
#[cfg(test)]
#[path = "../replay.rs"]
mod replay;
mod sets;
mod words;

use alloc::vec::Vec;

/// A target: its name, what is done with an input, the inputs to begin with, most bytes that an input may cost.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>, usize);

/// A text of 64 KiB costs its ranges, eight bytes each, a few times.
const TEXT_COST_BYTES_MAX: usize = 4 << 20;

/// All of this crate.
pub const TARGETS: &[Target] = &[
    ("names", names::run, names::seeds, TEXT_COST_BYTES_MAX),
    ("network", network::run, network::seeds, TEXT_COST_BYTES_MAX),
    ("nodes", nodes::run, nodes::seeds, TEXT_COST_BYTES_MAX),
    ("plan", plan::run, plan::seeds, TEXT_COST_BYTES_MAX),
    ("host-table", host_table::run, host_table::seeds, TEXT_COST_BYTES_MAX),
    ("kinds", kinds::run, kinds::seeds, TEXT_COST_BYTES_MAX),
    ("modules", modules::run, modules::seeds, TEXT_COST_BYTES_MAX),
    ("sets", sets::run, sets::seeds, TEXT_COST_BYTES_MAX),
    ("words", words::run, words::seeds, TEXT_COST_BYTES_MAX),
];

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn what_was_found_stays_found() {
    replay::replay(TARGETS, env!("CARGO_MANIFEST_DIR"));
}
