//! The targets of the host's agent and the guest's.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: vmatic_fuzz::choose(&[vmatic_agent_fuzz::fuzz::TARGETS, vmatic_leaf::fuzz::TARGETS]),
    |data: &[u8]| vmatic_fuzz::run(data)
);
