//! What each guest costs this host now: the memory of its process, and what the kernel holds for all of them.
//!
//! Takes nothing; prints one line of `key=value` words. `vmatic guests cost` runs it on hosts.

use crate::error::Error;
use crate::machine::cgroup;
use crate::machine::memory::{self, Kernel};
use crate::process::user::guest_of;
use std::fs;

/// One guest's process.
struct Cost {
    guest: u32,
    process: memory::Process,
}

/// Reads the arguments: whether each guest is to be said.
pub fn parse(mut args: lexopt::Parser) -> Result<bool, lexopt::Error> {
    let mut each = false;
    while let Some(arg) = args.next()? {
        match arg {
            lexopt::Arg::Long("each") => each = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(each)
}

/// Measures and prints.
pub fn run(each: bool) -> Result<(), Error> {
    let mut costs: Vec<Cost> = cgroup::processes()?.into_iter().filter_map(cost).collect();
    costs.sort_by_key(|cost| cost.guest);
    let count = costs.len() as u64;
    let mean = |sum: u64| sum.checked_div(count).unwrap_or(0);
    let ram: u64 = costs.iter().map(|cost| cost.process.ram_kib).sum();
    let monitor: u64 = costs.iter().map(|cost| cost.process.monitor_kib).sum();
    println!(
        "guests={count} ram_kib_each={} monitor_kib_each={} ram_kib={ram} monitor_kib={monitor} host_kernel_kib={}",
        mean(ram),
        mean(monitor),
        Kernel::read().since(&Kernel::default()),
    );
    if each {
        for Cost { guest, process } in costs {
            println!("guest={guest} ram_kib={} monitor_kib={}", process.ram_kib, process.monitor_kib);
        }
    }
    Ok(())
}

/// A guest's process is known by its user, which each has of its own.
fn cost(pid: i32) -> Option<Cost> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?;
    let guest = guest_of(user.parse().ok()?)?;
    Some(Cost { guest, process: memory::process(pid) })
}
