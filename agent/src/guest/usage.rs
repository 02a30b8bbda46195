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

/// Measures.
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

/// Measures and prints, for who asks by hand.
pub fn run(each: bool) -> Result<(), Error> {
    let usage = measure(each)?;
    let mean = |sum: u64| sum.checked_div(u64::from(usage.guests)).unwrap_or(0);
    let Usage { guests, ram_kib, monitor_kib, host_kernel_kib, .. } = usage;
    println!(
        "guests={guests} ram_kib_each={} monitor_kib_each={} ram_kib={ram_kib} monitor_kib={monitor_kib} \
         host_kernel_kib={host_kernel_kib}",
        mean(ram_kib),
        mean(monitor_kib),
    );
    for GuestUsage { guest, ram_kib, monitor_kib } in usage.each {
        println!("guest={guest} ram_kib={ram_kib} monitor_kib={monitor_kib}");
    }
    Ok(())
}

/// A guest's process is known by its user, which each has of its own.
fn of_process(pid: i32) -> Option<GuestUsage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?;
    let guest = guest_of(user.parse().ok()?)?;
    let memory::Process { ram_kib, monitor_kib } = memory::process(pid);
    Some(GuestUsage { guest, ram_kib, monitor_kib })
}
