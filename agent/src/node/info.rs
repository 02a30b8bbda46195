//! What a host says of itself when it is asked: one line of `key=value` words.

use std::fs;
use vmatic_plan::RangeSet;

/// What KVM turned out to do on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvmFound {
    /// There is none, or it runs nothing; the text says why.
    None(String),
    /// It runs bare code; whether it runs Linux is not known before a guest has come up.
    Bare,
    /// A guest's kernel came up under it.
    Linux,
}

impl KvmFound {
    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            KvmFound::None(_) => "none",
            KvmFound::Bare => "bare",
            KvmFound::Linux => "linux",
        }
    }
}

/// Total and available memory, in MiB.
pub fn memory_mib() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    (field("MemTotal:").unwrap_or(0) / 1024, field("MemAvailable:").unwrap_or(0) / 1024)
}

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
