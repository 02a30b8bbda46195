//! The control group of this host's guests: together they never take the memory that
//! the host itself needs, nor its process numbers, nor its processors' time.
//!
//! Takes the cgroup2 mount that process 1 made; gives an open file that a process
//! enters the group by. Clones are born in the group of their template.

use crate::error::{Context, Error};
use crate::log::log;
use crate::machine::memory::memory_mib;
use std::fs::{self, File, OpenOptions};
use std::path::Path;

const ROOT: &str = "/sys/fs/cgroup";
const GUESTS: &str = "/sys/fs/cgroup/guests";
/// Memory that guests leave to the host when they have to give some back.
const HOST_MIN_MIB: u64 = 48;
const HOST_SHARE: u64 = 10;
/// What guests have of processors beside what is outside their group, where each process counts 100.
const CPU_WEIGHT: u32 = 20;
/// Processes beside the guests' own: templates, and what the kernel starts for a machine.
const PROCESSES_EXTRA: u32 = 64;

/// Makes the group, or finds it; none, with the reason said, where there can be none.
pub fn open(guests: u32) -> Option<File> {
    match make(guests) {
        Ok(file) => Some(file),
        Err(e) => {
            log(&format!("guests run without limits on their memory: {e}"));
            None
        }
    }
}

/// The processes in the group.
pub fn processes() -> Result<Vec<i32>, Error> {
    let path = format!("{GUESTS}/cgroup.procs");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Says so, if the group has all the processes that it may have.
pub fn full() -> Option<String> {
    let read = |name: &str| fs::read_to_string(format!("{GUESTS}/{name}")).ok();
    limit_reached(&read("pids.current")?, &read("pids.max")?)
}

fn limit_reached(current: &str, max: &str) -> Option<String> {
    // "max" is no limit.
    let (current, max): (u64, u64) = (current.trim().parse().ok()?, max.trim().parse().ok()?);
    (current >= max).then(|| format!("guests have {current} processes, their host lets them have {max} (pids.max)"))
}

fn make(guests: u32) -> Result<File, Error> {
    let write = |path: &str, text: &str| fs::write(path, text).with_context(|| format!("write {text} to {path}"));
    if !Path::new(GUESTS).is_dir() {
        fs::create_dir(GUESTS).with_context(|| format!("make {GUESTS}"))?;
    }
    // A controller that the kernel lacks limits nothing; the others still do.
    for controller in ["+memory", "+pids", "+cpu"] {
        if let Err(e) = write(&format!("{ROOT}/cgroup.subtree_control"), controller) {
            log(&e.to_string());
        }
    }
    let (total, _) = memory_mib();
    let limits = [
        ("memory.high", ((total - (total / HOST_SHARE).max(HOST_MIN_MIB).min(total)) << 20).to_string()),
        // Where processors are scarce, node, switch and operators' programs go first; else guests have them all.
        ("cpu.weight", CPU_WEIGHT.to_string()),
        // A machine's process, and a helper of the kernel's for each.
        ("pids.max", (2 * guests + PROCESSES_EXTRA).to_string()),
    ];
    for (name, value) in limits {
        let path = format!("{GUESTS}/{name}");
        if Path::new(&path).exists() {
            write(&path, &value)?;
        }
    }
    let path = format!("{GUESTS}/cgroup.procs");
    OpenOptions::new().write(true).open(&path).with_context(|| format!("open {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_group_says_so_and_one_without_a_limit_is_never_full() {
        assert!(limit_reached("7\n", "7\n").is_some_and(|why| why.contains("have 7 processes")));
        assert_eq!(
            (limit_reached("6\n", "7\n"), limit_reached("6\n", "max\n"), limit_reached("", "")),
            (None, None, None)
        );
    }
}
