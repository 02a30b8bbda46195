//! When the next guest may start: not while memory is short, or the host suffers.
//!
//! Takes what the kernel says of memory and pressure; gives the state of a guest that has to wait, or none.

use crate::machine::memory::memory_mib;
use std::fs;
use std::time::Duration;
use vmatic_tree::guest::GuestState;

/// How long to wait before looking again.
pub const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Per cent of the last ten seconds in which all work waited for memory.
const STALLED_MAX_PER_CENT: f32 = 10.0;
/// Memory that stays free for the host, in MiB, and its share of all memory.
const RESERVE_MIN_MIB: u64 = 32;
const RESERVE_SHARE: u64 = 20;
/// How many guests boot at a time for each processor: more only makes each slower.
const BOOTING_PER_CPU: usize = 2;
/// How many clones wake up at a time for each processor. Those that wake together wait for
/// each other: a batch of a hundred stalled an emulated host for good.
const WAKING_PER_CPU: usize = 8;
/// Memory that a clone may take before its host sees it, in MiB.
pub const CLONE_MIB: u64 = 2;

/// How many guests start at a time on this machine.
pub fn max_concurrent_starts(clones: bool) -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    cpus * if clones { WAKING_PER_CPU } else { BOOTING_PER_CPU }
}

/// The state of a guest that needs `need_mib` and must not start now.
pub fn waiting(need_mib: u64) -> Option<GuestState> {
    let (total, available) = memory_mib();
    // A kernel without PSI says nothing: then memory alone decides.
    let stalled = fs::read_to_string("/proc/pressure/memory").ok().and_then(|text| stalled_per_cent(&text));
    judge(need_mib, total, available, stalled)
}

fn judge(need_mib: u64, total: u64, available: u64, stalled: Option<f32>) -> Option<GuestState> {
    let reserve = (total / RESERVE_SHARE).max(RESERVE_MIN_MIB);
    if available < need_mib + reserve {
        return Some(GuestState::WaitingForMemory { needs_mib: need_mib as u32, keeps_mib: reserve as u32 });
    }
    stalled.filter(|s| *s > STALLED_MAX_PER_CENT).map(|_| GuestState::WaitingForPressure)
}

/// The `full avg10` of a pressure file (Documentation/accounting/psi.rst).
fn stalled_per_cent(text: &str) -> Option<f32> {
    let full = text.lines().find_map(|line| line.strip_prefix("full "))?;
    full.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "some avg10=1.00 avg60=0 avg300=0 total=1\nfull avg10=12.34 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(stalled_per_cent(text), Some(12.34));
        for wrong in ["", "full", "full avg10=x", "some avg10=3"] {
            assert_eq!(stalled_per_cent(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn waits_at_the_limits() {
        assert_eq!(judge(96, 1000, 146, None), None);
        let waiting = GuestState::WaitingForMemory { needs_mib: 96, keeps_mib: 50 };
        assert_eq!(judge(96, 1000, 145, None), Some(waiting));
        assert_eq!(judge(2, 100, 34, Some(STALLED_MAX_PER_CENT)), None);
        assert_eq!(judge(2, 100, 34, Some(11.0)), Some(GuestState::WaitingForPressure));
    }
}
