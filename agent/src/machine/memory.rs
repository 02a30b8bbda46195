//! What memory is used for, as the kernel counts it: for guests' processes, and in all.

use std::fs;

/// Total and available memory, in MiB.
pub fn memory_mib() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    (field("MemTotal:").unwrap_or(0) / 1024, field("MemAvailable:").unwrap_or(0) / 1024)
}

/// Memory that the kernel holds for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    kib: u64,
}

impl Kernel {
    /// Slab, kernel stacks, page tables of processes and of guests.
    pub fn read() -> Self {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let fields = ["Slab:", "KernelStack:", "PageTables:", "SecPageTables:"];
        Self { kib: fields.iter().filter_map(|name| field(&text, name)).sum() }
    }

    /// How much more it is than it was, in KiB.
    pub fn since(&self, before: &Self) -> u64 {
        self.kib.saturating_sub(before.kib)
    }
}

/// Memory of one guest's process that it shares with no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The guest's own memory: what differs from its template, or all of a cold one's.
    pub ram_kib: u64,
    /// The monitor's own, in KiB.
    pub monitor_kib: u64,
}

/// Reads `/proc/PID/smaps`; zeroes if there is no such process.
pub fn process(pid: i32) -> Process {
    sort(&fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default())
}

/// A mapping larger than this is a guest's memory, if no file of another name is behind it.
const RAM_MIN_KIB: u64 = 1024;

fn sort(smaps: &str) -> Process {
    let mut process = Process::default();
    let mut is_ram = false;
    let mut is_anonymous = false;
    for line in smaps.lines() {
        if let Some(kib) = field(line, "Size:") {
            is_ram |= is_anonymous && kib >= RAM_MIN_KIB;
        } else if let Some(kib) = field(line, "Private_Clean:").or_else(|| field(line, "Private_Dirty:")) {
            *(if is_ram { &mut process.ram_kib } else { &mut process.monitor_kib }) += kib;
        } else if line.split_ascii_whitespace().next().is_some_and(|range| range.contains('-') && !range.ends_with(':'))
        {
            let name = line.split_ascii_whitespace().nth(5).unwrap_or_default();
            is_ram = name.starts_with(vmatic_vmm::TEMPLATE_MAPPING) || name.starts_with("/boot/guest/");
            is_anonymous = name.is_empty();
        }
    }
    process
}

/// The number behind `name`, in KiB, of the first line that begins with it.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_memory_is_told_from_its_monitors() {
        let mapping = |name: &str, size: u64, clean: u64, dirty: u64| {
            format!(
                "7f00-7f01 rw-p 00000000 00:01 2 {name}\nSize: {size} kB\nKernelPageSize: 4 kB\n\
                 Private_Clean: {clean} kB\nPrivate_Dirty: {dirty} kB\nVmFlags: rd wr\n"
            )
        };
        let text = mapping("/memfd:template (deleted)", 24576, 1, 100)
            + &mapping("[heap]", 132, 0, 8)
            + &mapping("", 24576, 0, 1000)
            + &mapping("", 12, 0, 12)
            + &mapping("/init", 1200, 4, 0)
            + &mapping("[stack]", 132, 0, 16);
        assert_eq!(sort(&text), Process { ram_kib: 1101, monitor_kib: 40 });
        assert_eq!(sort("noise\n\n- : x\nSize: x kB"), Process::default());
    }
}
