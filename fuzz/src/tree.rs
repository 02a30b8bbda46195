//! The plan's and the control tree's targets.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: vmatic_fuzz::choose(&[vmatic_plan::fuzz::TARGETS, vmatic_tree::fuzz::TARGETS]),
    |data: &[u8]| vmatic_fuzz::run(data)
);
