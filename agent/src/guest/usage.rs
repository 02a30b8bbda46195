//! What each guest takes of this host's memory now: its process, and what the kernel holds for all of them.
//!
//! Takes nothing; gives numbers, in KiB. `vmatic guests usage` asks for them.

use crate::error::Error;
use crate::machine::cgroup;
use crate::machine::memory::{self, Kernel};
use crate::process::user::guest_of;
use std::fs;
use vmatic_tree::guest::{GuestUsage, Usage};
use vmatic_tree::reply::USAGE_EACH_MAX;

/// Measures the guests that run; `each` adds the first of them one by one.
pub fn measure(each: bool) -> Result<Usage, Error> {
    let mut guests: Vec<GuestUsage> = cgroup::processes()?.into_iter().filter_map(of_process).collect();
    guests.sort_by_key(|usage| usage.guest);
    Ok(Usage {
        guests: guests.len() as u32,
        ram_kib: guests.iter().map(|usage| usage.ram_kib).sum(),
        monitor_kib: guests.iter().map(|usage| usage.monitor_kib).sum(),
        host_kernel_kib: Kernel::read().since(&Kernel::default()),
        each: if each { guests.into_iter().take(USAGE_EACH_MAX).collect() } else { Vec::new() },
    })
}

/// A guest's process is known by its user, which each has of its own.
fn of_process(pid: i32) -> Option<GuestUsage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?;
    let guest = guest_of(user.parse().ok()?)?;
    let memory::Process { ram_kib, monitor_kib } = memory::process(pid);
    Some(GuestUsage { guest, ram_kib, monitor_kib })
}
