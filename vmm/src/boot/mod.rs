//! The boot protocol: a guest's memory as its kernel finds it.
//!
//! Takes kernel, initramfs and command line; puts them and what the kernel must be
//! told into guest memory, and gives the entry. PVH if the kernel has the note,
//! else Linux's 64-bit entry. Neither runs any firmware or decompressor.

mod acpi;
pub(crate) mod elf;
mod mptable;

use crate::config::{Discovery, Software};
use crate::error::{Context, Error};
use crate::layout::{self, Window};
use crate::memory::{self, Memory};
use std::fmt::Write;
use std::fs::File;
use std::os::unix::fs::FileExt;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

const PAGE: u64 = 4096;
const RAM: u32 = 1;
const RESERVED: u32 = 2;

/// How the processor starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// 32-bit protected mode, start block in rbx.
    Pvh(u64),
    /// 64-bit mode, zero page in rsi.
    Long(u64),
}

/// Where the initramfs went.
struct Placed {
    start: u64,
    bytes: u64,
}

/// Puts kernel, initramfs, command line and the tables of devices into memory.
pub(crate) fn load(memory: &Memory, software: &Software, devices: &[Window]) -> Result<Entry, Error> {
    let (image, kernel_end) = load_kernel(memory, software)?;
    let initramfs = load_initramfs(memory, software, kernel_end)?;
    let cmdline = cmdline(software, devices)?;
    let mut rsdp = 0;
    let put = |at: u64, bytes: &[u8]| {
        memory
            .write_slice(bytes, GuestAddress(at))
            .context("write the boot tables to guest memory", "give the guest at least 2 MiB")
    };
    put(layout::CMDLINE, cmdline.as_bytes())?;
    put(layout::MP_TABLE, &mptable::table())?;
    if software.discovery == Discovery::Acpi {
        put(layout::ACPI, &acpi::tables(devices))?;
        rsdp = layout::ACPI;
    }
    let map = memory_map(memory);
    if let Some(entry) = image.pvh_entry {
        let (start, modules, table) = pvh_info(&initramfs, rsdp, &map);
        put(layout::BOOT_INFO, &start)?;
        put(layout::BOOT_MODULES, &modules)?;
        put(layout::BOOT_MEMORY_MAP, &table)?;
        return Ok(Entry::Pvh(u64::from(entry)));
    }
    put(layout::BOOT_INFO, &zero_page(&initramfs, cmdline.len(), rsdp, &map))?;
    put(layout::PAGE_TABLES, &page_tables())?;
    Ok(Entry::Long(image.entry))
}

fn load_kernel(memory: &Memory, software: &Software) -> Result<(elf::Image, u64), Error> {
    let path = software.kernel.display();
    let file = File::open(&software.kernel)
        .context(format!("open the guest kernel {path}"), "build or copy an uncompressed vmlinux there")?;
    let image = elf::parse(|offset, buffer| file.read_exact_at(buffer, offset))
        .context(format!("read the guest kernel {path}"), "use an uncompressed 64-bit vmlinux")?;
    for segment in &image.segments {
        if segment.paddr < layout::HIGH_RAM_START {
            return Err(Error::new(
                format!("load the guest kernel {path}"),
                "it wants to lie in the first MiB",
                "link it to run at 1 MiB or above",
            ));
        }
        memory::place(memory, &file, segment.offset, segment.paddr, segment.file_bytes).context(
            format!("load the guest kernel {path} up to address {:#x}", image.end()),
            "raise memory_mib, or link the kernel to run at a lower address",
        )?;
    }
    let end = image.end();
    Ok((image, end))
}

fn load_initramfs(memory: &Memory, software: &Software, kernel_end: u64) -> Result<Placed, Error> {
    let path = software.initramfs.display();
    let next = "build or copy an initramfs there";
    let file = File::open(&software.initramfs).context(format!("open the initramfs {path}"), next)?;
    let bytes = file.metadata().context(format!("measure the initramfs {path}"), next)?.len();
    let low_end = memory.iter().next().map_or(0, |region| region.last_addr().raw_value() + 1);
    let start = low_end.saturating_sub(bytes) / PAGE * PAGE;
    if start < kernel_end {
        return Err(Error::new(
            format!("fit the initramfs {path} ({bytes} bytes) above the kernel, which ends at {kernel_end:#x}"),
            format!("the guest's memory ends at {low_end:#x}"),
            "raise memory_mib or shrink the initramfs",
        ));
    }
    memory::place(memory, &file, 0, start, bytes).context(format!("load the initramfs {path}"), next)?;
    Ok(Placed { start, bytes })
}

/// The command line with what the devices need, and its final zero.
fn cmdline(software: &Software, devices: &[Window]) -> Result<String, Error> {
    let mut line = software.cmdline.clone();
    if software.discovery == Discovery::CommandLine {
        for window in devices {
            let size = layout::MMIO_BYTES / 1024;
            // Writing to a String cannot fail.
            let _ = write!(line, " virtio_mmio.device={size}K@{:#x}:{}", window.base, window.irq);
        }
    }
    if line.len() >= layout::CMDLINE_BYTES_MAX || line.contains('\0') {
        return Err(Error::new(
            format!("pass a command line of {} bytes to the guest", line.len()),
            format!("Linux takes at most {} and no zero byte", layout::CMDLINE_BYTES_MAX - 1),
            "shorten it",
        ));
    }
    line.push('\0');
    Ok(line)
}

/// (start, bytes, kind) of everything the kernel may know.
fn memory_map(memory: &Memory) -> Vec<(u64, u64, u32)> {
    let mut map = vec![
        (0, layout::LOW_RAM_END, RAM),
        (layout::LOW_RAM_END, layout::HIGH_RAM_START - layout::LOW_RAM_END, RESERVED),
    ];
    for region in memory.iter() {
        let start = region.start_addr().raw_value().max(layout::HIGH_RAM_START);
        let end = region.last_addr().raw_value() + 1;
        map.push((start, end.saturating_sub(start), RAM));
    }
    map
}

/// Xen's start block (version 1), its module list and its memory map.
fn pvh_info(initramfs: &Placed, rsdp: u64, map: &[(u64, u64, u32)]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut start = Vec::with_capacity(56);
    for word in [0x336e_c578u32, 1, 0, 1] {
        start.extend(word.to_le_bytes());
    }
    for address in [layout::BOOT_MODULES, layout::CMDLINE, rsdp, layout::BOOT_MEMORY_MAP] {
        start.extend(address.to_le_bytes());
    }
    start.extend((map.len() as u32).to_le_bytes());
    start.extend([0; 4]);
    let modules = [initramfs.start, initramfs.bytes, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut table = Vec::new();
    for (base, bytes, kind) in map {
        table.extend(base.to_le_bytes());
        table.extend(bytes.to_le_bytes());
        table.extend(kind.to_le_bytes());
        table.extend([0; 4]);
    }
    (start, modules, table)
}

/// Linux's boot_params, for the 64-bit entry.
fn zero_page(initramfs: &Placed, cmdline_bytes: usize, rsdp: u64, map: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut page = vec![0u8; PAGE as usize];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x070, &rsdp.to_le_bytes());
    put(0x0c0, &((initramfs.start >> 32) as u32).to_le_bytes());
    put(0x0c4, &((initramfs.bytes >> 32) as u32).to_le_bytes());
    put(0x1e8, &[map.len() as u8]);
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS");
    put(0x206, &0x020cu16.to_le_bytes());
    put(0x210, &[0xff]);
    put(0x218, &(initramfs.start as u32).to_le_bytes());
    put(0x21c, &(initramfs.bytes as u32).to_le_bytes());
    put(0x228, &(layout::CMDLINE as u32).to_le_bytes());
    put(0x230, &0x20_0000u32.to_le_bytes());
    put(0x238, &(cmdline_bytes as u32).to_le_bytes());
    for (number, (base, bytes, kind)) in map.iter().enumerate() {
        let at = 0x2d0 + number * 20;
        put(at, &base.to_le_bytes());
        put(at + 8, &bytes.to_le_bytes());
        put(at + 16, &kind.to_le_bytes());
    }
    page
}

/// Identity map of the first GiB in pages of 2 MiB.
fn page_tables() -> Vec<u8> {
    let mut words = vec![0u64; 3 * 512];
    words[0] = (layout::PAGE_TABLES + PAGE) | 3;
    words[512] = (layout::PAGE_TABLES + 2 * PAGE) | 3;
    for (number, word) in words[1024..].iter_mut().enumerate() {
        *word = (number as u64) << 21 | 0x83;
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_covers_memory_once() {
        let memory = memory::create(4096).unwrap();
        let map = memory_map(&memory);
        for pair in map.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0);
        }
        let ram: u64 = map.iter().filter(|entry| entry.2 == RAM).map(|entry| entry.1).sum();
        assert_eq!(ram, (4096 << 20) - (layout::HIGH_RAM_START - layout::LOW_RAM_END));
    }

    #[test]
    fn boot_blocks_do_not_overlap() {
        let memory = memory::create(4096).unwrap();
        let (start, modules, table) = pvh_info(&Placed { start: 1, bytes: 2 }, 3, &memory_map(&memory));
        assert_eq!(start.len(), 56);
        assert!(layout::BOOT_INFO + start.len() as u64 <= layout::BOOT_MODULES);
        assert!(layout::BOOT_MODULES + modules.len() as u64 <= layout::BOOT_MEMORY_MAP);
        assert!(layout::BOOT_MEMORY_MAP + table.len() as u64 <= layout::BOOT_INFO + PAGE);
        assert_eq!(page_tables().len() as u64, 3 * PAGE);
    }
}
