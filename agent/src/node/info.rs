//! What a host says of itself when it is asked.

use crate::guest::state::Guests;
use crate::machine::kvm::KvmFound;
use crate::machine::memory::memory_mib;
use std::fs;
use vmatic_plan::{Plan, host_image, unhex};
use vmatic_tree::info::NodeInfo;
use vmatic_tree::text::ShortText;
use vmatic_tree::wire::message::VERSION;

/// Which image this host booted; none where it booted none of ours.
pub fn image() -> Option<[u8; 32]> {
    unhex(fs::read_to_string(host_image::IMAGE).ok()?.trim())
}

/// What this host says of itself.
pub fn info(kvm: &KvmFound, guests: &Guests, plan: &Plan, booted_mib: u64) -> NodeInfo {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (memory_mib, available) = memory_mib();
    let (stats, last_lost) = guests.stats();
    NodeInfo {
        kernel: ShortText::new(kernel),
        kvm: kvm.support(),
        guests_up: guests.up(),
        guests_planned: plan.guests_per_host,
        memory_mib,
        memory_used_mib: memory_mib.saturating_sub(available),
        memory_used_at_boot_mib: booted_mib,
        stats,
        guest_reach: plan.guest_reach,
        last_lost,
        protocol: VERSION,
    }
}
