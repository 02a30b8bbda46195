//! What a host says of itself when it is asked: one line of `key=value` words.

use crate::machine::kvm::KvmFound;
use crate::machine::memory::memory_mib;
use std::fs;
use vmatic_plan::RangeSet;

/// The line.
pub fn line(kvm: &KvmFound, guests_up: &RangeSet, guests: u32, booted_mib: u64, more: &str) -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (total, available) = memory_mib();
    format!(
        "kernel={} kvm={} guests={}/{guests} memory_mib={total} memory_used_mib={} memory_used_at_boot_mib={booted_mib} {more}\n",
        kernel.trim(),
        kvm.word(),
        guests_up.len(),
        total.saturating_sub(available),
    )
}
