//! The guest's memory.
//!
//! Takes a size; gives guest memory. Puts files into it by private mapping where
//! page boundaries allow, so that guests of one kernel share its clean pages, and
//! the start costs no copy. Files must not be truncated while a guest runs.

use crate::error::{Context, Error};
use crate::layout;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use vm_memory::mmap::MmapRegion;
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};
use vm_memory::{GuestRegionCollectionError, GuestRegionMmap};

/// The name of the file that a template's memory is.
const TEMPLATE_NAME: &str = "template";
/// How the kernel names mappings of that file (proc(5), `/proc/PID/maps`).
pub const TEMPLATE_MAPPING: &str = "/memfd:template";

/// Guest memory as all devices see it.
pub(crate) type Memory = GuestMemoryMmap<()>;

const PAGE: u64 = 4096;
/// What a guest may be given; more is a slip of the pen, not a small guest.
pub(crate) const MEMORY_MIB_MAX: u32 = 1024 * 1024;

/// The (base, bytes) pairs of RAM for a guest of `mib`.
pub(crate) fn ranges(mib: u32) -> Vec<(u64, u64)> {
    let bytes = u64::from(mib) << 20;
    let low = bytes.min(layout::DEVICE_GAP);
    let mut ranges = vec![(0, low)];
    if bytes > low {
        ranges.push((layout::ABOVE_4G, bytes - low));
    }
    ranges
}

fn check(mib: u32) -> Result<(), Error> {
    if (1..=MEMORY_MIB_MAX).contains(&mib) {
        return Ok(());
    }
    Err(Error::new(
        format!("give the guest {mib} MiB of memory"),
        "guest memory must be 1 to 1048576 MiB",
        "use another size",
    ))
}

/// Guest memory whose pages are those of a file that has no name, so that others can map them too.
pub(crate) fn create_shared(mib: u32) -> Result<(Memory, Arc<File>), Error> {
    check(mib)?;
    let next = "free memory or use smaller guests";
    let tried = || format!("make a file for {mib} MiB of guest memory");
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create(TEMPLATE_NAME, flags).context(tried(), next)?);
    file.set_len(u64::from(mib) << 20).context(tried(), next)?;
    let file = Arc::new(file);
    Ok((map_file(mib, &file, libc::MAP_SHARED).context(tried(), next)?, file))
}

/// The pages of such a file, none of which changes any more: what is written is the writer's own.
pub(crate) fn map_private(mib: u32, file: &Arc<File>) -> Result<Memory, Error> {
    check(mib)?;
    let next = "free memory or use smaller guests";
    map_file(mib, file, libc::MAP_PRIVATE).context(format!("map {mib} MiB of a template"), next)
}

fn map_file(mib: u32, file: &Arc<File>, how: i32) -> io::Result<Memory> {
    let mut regions = Vec::new();
    let mut offset = 0;
    for (base, bytes) in ranges(mib) {
        let part = FileOffset::from_arc(file.clone(), offset);
        let (access, how) = (libc::PROT_READ | libc::PROT_WRITE, how | libc::MAP_NORESERVE);
        let region = MmapRegion::build(Some(part), bytes as usize, access, how).map_err(io::Error::other)?;
        let region = GuestRegionMmap::new(region, GuestAddress(base));
        regions.push(region.ok_or_else(|| io::Error::other(GuestRegionCollectionError::NoMemoryRegion))?);
        offset += bytes;
    }
    Memory::from_regions(regions).map_err(io::Error::other)
}

/// Maps the memory, private and not reserved.
pub(crate) fn create(mib: u32) -> Result<Memory, Error> {
    check(mib)?;
    let regions: Vec<_> = ranges(mib).into_iter().map(|(base, bytes)| (GuestAddress(base), bytes as usize)).collect();
    Memory::from_ranges(&regions).context(format!("map {mib} MiB of guest memory"), "free memory or use smaller guests")
}

/// Where runs of pages of a template's file lie in the memory that maps it: addresses and bytes.
pub(crate) fn spans(memory: &Memory, runs: &[(u32, u32)]) -> impl Iterator<Item = (u64, u64)> {
    let mib = (memory.iter().map(|region| region.len()).sum::<u64>() >> 20) as u32;
    runs.iter().flat_map(move |run| addresses(mib, *run))
}

/// Address and bytes of a run, one pair for each range of RAM that it touches.
fn addresses(mib: u32, run: (u32, u32)) -> impl Iterator<Item = (u64, u64)> {
    let (start, end) = (u64::from(run.0) * PAGE, (u64::from(run.0) + u64::from(run.1)) * PAGE);
    let mut offset = 0;
    ranges(mib).into_iter().filter_map(move |(base, bytes)| {
        let (from, to) = (start.max(offset), end.min(offset + bytes));
        let found = (from < to).then(|| (base + from - offset, to - from));
        offset += bytes;
        found
    })
}

/// Makes these pages the writer's own, all at once, instead of one by one when they are written.
pub(crate) fn copy_pages(memory: &Memory, runs: &[(u32, u32)]) {
    for (address, bytes) in spans(memory, runs) {
        let Ok(slice) = memory.get_slice(GuestAddress(address), bytes as usize) else { continue };
        // SAFETY: `slice` proves that these bytes are inside one mapping of ours, and the advice changes none.
        // A kernel before 5.14 refuses it, and the pages are copied when they are written.
        unsafe {
            libc::madvise(slice.ptr_guard_mut().as_ptr().cast(), bytes as usize, libc::MADV_POPULATE_WRITE);
        }
    }
}

/// Gives back those of these pages that are again what the template's file has there: the guest reads the file's from
/// then on. The guest must not run meanwhile. Gives how many.
pub(crate) fn give_back(memory: &Memory, file: &File, runs: &[(u32, u32)]) -> usize {
    let (mut own, mut theirs) = ([0; PAGE as usize], [0; PAGE as usize]);
    let mut given = 0;
    for run in runs {
        let spans = spans(memory, std::slice::from_ref(run));
        let addresses = spans.flat_map(|(start, bytes)| (start..start + bytes).step_by(PAGE as usize));
        for (address, number) in addresses.zip(u64::from(run.0)..) {
            let Ok(slice) = memory.get_slice(GuestAddress(address), own.len()) else { continue };
            let read = file.read_exact_at(&mut theirs, number * PAGE);
            if read.is_err() || slice.copy_to(&mut own[..]) != own.len() || own != theirs {
                continue;
            }
            // SAFETY: `slice` proves that these bytes are inside one mapping of ours, no reference points into it, and
            // what is read there afterwards is the same.
            let done = unsafe { libc::madvise(slice.ptr_guard_mut().as_ptr().cast(), own.len(), libc::MADV_DONTNEED) };
            given += usize::from(done == 0);
        }
    }
    given
}

/// Lets the kernel merge pages of this memory with equal ones of other guests (KSM).
pub(crate) fn mergeable(memory: &Memory) {
    for region in memory.iter() {
        let Ok(start) = memory.get_host_address(region.start_addr()) else { continue };
        // SAFETY: the range is one mapping that `memory` owns, and the advice changes no byte.
        // A kernel without KSM refuses it, and the guest runs as well without.
        unsafe { libc::madvise(start.cast(), region.len() as usize, libc::MADV_MERGEABLE) };
    }
}

/// Puts `bytes` of `file` at `paddr`: whole pages are mapped, ragged ends copied. Memory
/// that others will map is filled by copies alone, since they would not see the mapping.
pub(crate) fn place(memory: &Memory, file: &File, offset: u64, paddr: u64, bytes: u64) -> io::Result<()> {
    let first = paddr.next_multiple_of(PAGE);
    let last = (paddr + bytes) / PAGE * PAGE;
    let shared = memory.find_region(GuestAddress(paddr)).is_some_and(|region| region.file_offset().is_some());
    if shared || offset % PAGE != paddr % PAGE || first >= last {
        return copy(memory, file, offset, paddr, bytes);
    }
    let (head, body) = (first - paddr, last - first);
    copy(memory, file, offset, paddr, head)?;
    map(memory, file, offset + head, first, body)?;
    copy(memory, file, offset + head + body, last, bytes - head - body)
}

fn copy(memory: &Memory, file: &File, mut offset: u64, mut paddr: u64, mut bytes: u64) -> io::Result<()> {
    let mut buffer = [0u8; 16 * 1024];
    while bytes > 0 {
        let chunk = bytes.min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..chunk], offset)?;
        memory.write_slice(&buffer[..chunk], GuestAddress(paddr)).map_err(io::Error::other)?;
        offset += chunk as u64;
        paddr += chunk as u64;
        bytes -= chunk as u64;
    }
    Ok(())
}

fn map(memory: &Memory, file: &File, offset: u64, paddr: u64, bytes: u64) -> io::Result<()> {
    if offset.checked_add(bytes).is_none_or(|end| file.metadata().map_or(true, |m| end > m.len())) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let slice = memory.get_slice(GuestAddress(paddr), bytes as usize).map_err(io::Error::other)?;
    let target = slice.ptr_guard_mut().as_ptr();
    // SAFETY: `slice` proves that these bytes are inside one mapping of guest memory
    // that we own; start and length are whole pages; no Rust reference points into it.
    let mapped = unsafe {
        libc::mmap(
            target.cast(),
            bytes as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
            file.as_raw_fd(),
            offset as libc::off_t,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn memory_leaves_the_device_gap_free() {
        assert_eq!(ranges(64), vec![(0, 64 << 20)]);
        assert_eq!(ranges(3072), vec![(0, 3072 << 20)]);
        assert_eq!(ranges(4096), vec![(0, 3072 << 20), (1 << 32, 1024 << 20)]);
    }

    #[test]
    fn a_run_lies_where_its_pages_are_mapped() {
        let pages = |bytes: u64| (bytes / PAGE) as u32;
        let at = |mib, run| addresses(mib, run).collect::<Vec<_>>();
        assert_eq!(at(64, (2, 3)), [(2 * PAGE, 3 * PAGE)]);
        let gap = pages(layout::DEVICE_GAP);
        assert_eq!(at(4096, (gap - 1, 2)), [(layout::DEVICE_GAP - PAGE, PAGE), (layout::ABOVE_4G, PAGE)]);
        assert_eq!(at(64, (pages(64 << 20), 1)), []);
    }

    #[test]
    fn pages_that_are_the_templates_again_are_given_back() {
        let (shared, file) = create_shared(1).unwrap();
        shared.write_slice(&[1; 3 * 4096], GuestAddress(0)).unwrap();
        let memory = map_private(1, &file).unwrap();
        copy_pages(&memory, &[(0, 3)]);
        memory.write_slice(&[2], GuestAddress(4096)).unwrap();
        assert_eq!(give_back(&memory, &file, &[(0, 3), (300, 1), (u32::MAX, 2)]), 2);
        let mut read = [0; 3 * 4096];
        memory.read_slice(&mut read, GuestAddress(0)).unwrap();
        assert!(read.iter().enumerate().all(|(at, byte)| *byte == if at == 4096 { 2 } else { 1 }));
        // They are the file's: written there, they are seen here, and the guest's own page is not touched.
        shared.write_slice(&[3; 3 * 4096], GuestAddress(0)).unwrap();
        memory.read_slice(&mut read, GuestAddress(0)).unwrap();
        assert_eq!((read[0], read[4096], read[4097], read[8192]), (3, 2, 1, 3));
    }

    #[test]
    fn sizes_at_and_past_the_limit() {
        assert!(create(0).is_err());
        assert!(create(1).is_ok());
        assert!(create(MEMORY_MIB_MAX + 1).is_err());
    }

    #[test]
    fn a_file_arrives_mapped_or_copied_and_nothing_beyond_it() {
        let path = std::env::temp_dir().join(format!("vmatic-place-{}", std::process::id()));
        let content: Vec<u8> = (0..5 * 4096 + 77).map(|i| (i % 251) as u8 + 1).collect();
        File::create(&path).unwrap().write_all(&content).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for (offset, paddr) in [(0u64, 0x10_0000u64), (100, 0x10_0064), (3, 0x10_0000), (4095, 0x10_0fff)] {
            let memory = create(2).unwrap();
            let bytes = content.len() as u64 - offset - 5;
            place(&memory, &file, offset, paddr, bytes).unwrap();
            let mut read = vec![0u8; bytes as usize + 5];
            memory.read_slice(&mut read, GuestAddress(paddr)).unwrap();
            assert_eq!(read[..bytes as usize], content[offset as usize..content.len() - 5]);
            assert_eq!(read[bytes as usize..], [0; 5], "offset {offset}");
        }
        let memory = create(2).unwrap();
        assert!(place(&memory, &file, 0, 0x10_0000, 1 << 20).is_err(), "past the end of the file");
        assert!(place(&memory, &file, 0, 0x1f_f000, 8192).is_err(), "past the end of memory");
    }
}
