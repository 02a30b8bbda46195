//! Which pages a clone needs while it applies its identity: the next clones have those ready before they run, instead
//! of stopping at each (see [`WorkingSet`]).
//!
//! Takes a clone's process; gives runs of pages of its template, from /proc/PID/maps and
//! /proc/PID/pagemap (the kernel's Documentation/admin-guide/mm/pagemap.rst).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use vmatic_vmm::TEMPLATE_MAPPING as TEMPLATE;
use vmatic_vmm::template::protocol::{RUNS_MAX, WorkingSet};

const PAGE: u64 = 4096;
/// The page is there.
const PRESENT: u64 = 1 << 63;
/// It is still the file's: the clone has only read it.
const OF_A_FILE: u64 = 1 << 61;
/// Most pages that are copied: a clone is reckoned at 2 MiB (`admission`).
const WRITTEN_MAX: u32 = 512;
/// Most pages that are mapped: 64 MiB, more than a small guest touches.
const TOUCHED_MAX: u32 = 16_384;
/// How many entries of the page map are read at a time.
const ENTRIES: usize = 512;

/// One mapping of a template's memory.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    first_address: u64,
    pages: u64,
    /// Its first page in the template.
    first: u64,
}

/// The pages that this clone has needed so far. What the host mapped around a page that was read counts as touched.
pub fn working_set(pid: i32) -> io::Result<WorkingSet> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut set = WorkingSet::default();
    let mut parts: Vec<Part> = maps.lines().filter_map(part).collect();
    // Runs rise: the list is by address, and what a large guest has above 4 GiB may lie before the rest.
    parts.sort_by_key(|part| part.first);
    for part in parts {
        let mut entries = [0; ENTRIES * 8];
        for start in (0..part.pages).step_by(ENTRIES) {
            let bytes = (part.pages - start).min(ENTRIES as u64) as usize * 8;
            pagemap.read_exact_at(&mut entries[..bytes], (part.first_address / PAGE + start) * 8)?;
            let (entries, _) = entries[..bytes].as_chunks::<8>();
            let entries = entries.iter().map(|entry| u64::from_ne_bytes(*entry));
            add(&mut set.written, part.first + start, entries.clone().map(is_written));
            add(&mut set.touched, part.first + start, entries.map(is_there));
        }
    }
    Ok(WorkingSet { written: limited(set.written, WRITTEN_MAX), touched: limited(set.touched, TOUCHED_MAX) })
}

/// As many as a message holds, and no more pages than that.
fn limited(runs: Vec<(u32, u32)>, mut left: u32) -> Vec<(u32, u32)> {
    let fits = |run: &(u32, u32)| {
        let fits = run.1 <= left;
        left -= if fits { run.1 } else { 0 };
        fits
    };
    runs.into_iter().filter(fits).take(RUNS_MAX).collect()
}

fn is_there(entry: u64) -> bool {
    entry & PRESENT != 0
}

fn is_written(entry: u64) -> bool {
    entry & (PRESENT | OF_A_FILE) == PRESENT
}

/// Adds the pages that are `wanted`, of which the first is number `first`.
fn add(runs: &mut Vec<(u32, u32)>, first: u64, wanted: impl Iterator<Item = bool>) {
    let numbers = (first..).zip(wanted).filter_map(|(number, is)| is.then(|| u32::try_from(number).ok()).flatten());
    for number in numbers {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => runs.push((number, 1)),
        }
    }
}

/// `7f00-7f80 rw-p 00001000 00:01 42 /memfd:template (deleted)`
fn part(line: &str) -> Option<Part> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let offset = words.nth(1)?;
    let name = words.nth(2)?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (start, end, offset) = (hex(start)?, hex(end)?, hex(offset)?);
    let pages = end.checked_sub(start)? / PAGE;
    (name == TEMPLATE).then_some(Part { first_address: start, pages, first: offset / PAGE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_templates_memory_counts() {
        let line = "7f0000000000-7f0000180000 rw-p 00100000 00:01 1042    /memfd:template (deleted)";
        assert_eq!(part(line), Some(Part { first_address: 0x7f00_0000_0000, pages: 384, first: 256 }));
        for other in ["", "7f00-7e00 rw-p 0 00:01 1 /memfd:template", "1-2 r 0 0 0 /lib/x", "7f00-7f80 rw-p 0 00:00 0"]
        {
            assert_eq!(part(other), None, "{other}");
        }
    }

    #[test]
    fn pages_become_runs() {
        let entries = [PRESENT, PRESENT, PRESENT | OF_A_FILE, 0, PRESENT];
        let (mut runs, mut touched) = (Vec::new(), Vec::new());
        add(&mut runs, 8, entries.map(is_written).into_iter());
        add(&mut touched, 8, entries.map(is_there).into_iter());
        assert_eq!(touched, [(8, 3), (12, 1)]);
        add(&mut runs, 13, [true, false, true].into_iter());
        assert_eq!(runs, [(8, 2), (12, 2), (15, 1)]);
        assert_eq!(limited(vec![(0, 500), (600, 20), (700, 12)], 512), [(0, 500), (700, 12)]);
        assert_eq!(limited(vec![(1, 1); RUNS_MAX + 1], u32::MAX).len(), RUNS_MAX);
        add(&mut runs, u64::from(u32::MAX) + 1, [true].into_iter());
        assert_eq!(runs.len(), 3, "more pages than any guest has");
    }

    #[test]
    fn a_process_without_a_template_has_written_to_none() {
        assert_eq!(working_set(std::process::id() as i32).unwrap(), WorkingSet::default());
        assert!(working_set(-1).is_err());
    }
}
