//! A reader of ELF kernels.
//!
//! Takes an uncompressed vmlinux; gives what has to be put where, and where to
//! start. Pure: reads through a function, trusts nothing it reads.
//!
//! Not rust-vmm's linux-loader, which design.md named: that copies segments into guest memory while it reads them, and
//! here their pages are mapped, so that guests of one kernel share what they do not change.

use std::io;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const XEN_PHYS32_ENTRY: u32 = 18;
/// A kernel has about five; a file with more than this is no kernel.
const HEADERS_MAX: u16 = 64;
const NOTES_BYTES_MAX: u64 = 64 * 1024;

/// A piece of the file and its place in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub offset: u64,
    pub paddr: u64,
    pub file_bytes: u64,
    pub memory_bytes: u64,
}

/// What the file asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Physical address of the 64-bit entry.
    pub entry: u64,
    /// 32-bit PVH entry, if the file has the note.
    pub pvh_entry: Option<u32>,
    pub segments: Vec<Segment>,
}

impl Image {
    /// First guest-physical byte after everything the kernel needs loaded.
    pub fn end(&self) -> u64 {
        self.segments.iter().map(|s| s.paddr + s.memory_bytes).max().unwrap_or(0)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads the headers through `read(offset, buffer)`.
pub(crate) fn parse(mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> io::Result<Image> {
    let mut header = [0u8; 64];
    read(0, &mut header)?;
    if header[..4] != *b"\x7fELF" {
        return Err(bad("it is not an ELF file (a bzImage must be unpacked to vmlinux)"));
    }
    if header[4] != 2 || header[5] != 1 || u16_at(&header, 18) != 62 {
        return Err(bad("it is not a 64-bit x86 ELF file"));
    }
    let (table, size, count) = (u64_at(&header, 32), u16_at(&header, 54), u16_at(&header, 56));
    if size != 56 || count == 0 || count > HEADERS_MAX {
        return Err(bad("its program headers make no sense"));
    }
    let mut image = Image { entry: u64_at(&header, 24), pvh_entry: None, segments: Vec::new() };
    for index in 0..u64::from(count) {
        let mut entry = [0u8; 56];
        let at = table.checked_add(index * 56).ok_or_else(|| bad("its program headers lie beyond its end"))?;
        read(at, &mut entry)?;
        let (offset, file_bytes) = (u64_at(&entry, 8), u64_at(&entry, 32));
        match u32_at(&entry, 0) {
            PT_LOAD if u64_at(&entry, 40) > 0 => {
                let segment =
                    Segment { offset, paddr: u64_at(&entry, 24), file_bytes, memory_bytes: u64_at(&entry, 40) };
                if segment.file_bytes > segment.memory_bytes
                    || segment.paddr.checked_add(segment.memory_bytes).is_none()
                    || segment.offset.checked_add(segment.file_bytes).is_none()
                {
                    return Err(bad("one of its segments makes no sense"));
                }
                image.segments.push(segment);
            }
            PT_NOTE if file_bytes <= NOTES_BYTES_MAX => {
                let mut notes = vec![0u8; file_bytes as usize];
                read(offset, &mut notes)?;
                image.pvh_entry = image.pvh_entry.or_else(|| pvh_note(&notes));
            }
            _ => {}
        }
    }
    if image.segments.is_empty() {
        return Err(bad("it has nothing to load"));
    }
    Ok(image)
}

/// The value of the Xen note that names the 32-bit entry.
fn pvh_note(mut notes: &[u8]) -> Option<u32> {
    while notes.len() >= 12 {
        let name_bytes = u32_at(notes, 0) as usize;
        let value_bytes = u32_at(notes, 4) as usize;
        let kind = u32_at(notes, 8);
        let value_at = name_bytes.checked_next_multiple_of(4)?.checked_add(12)?;
        let end = value_at.checked_add(value_bytes.checked_next_multiple_of(4)?)?;
        let name = notes.get(12..12usize.checked_add(name_bytes)?)?;
        let value = notes.get(value_at..value_at.checked_add(value_bytes)?)?;
        if name == b"Xen\0" && kind == XEN_PHYS32_ENTRY && value.len() >= 4 {
            return Some(u32_at(value, 0));
        }
        notes = notes.get(end..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_from(bytes: &[u8]) -> impl FnMut(u64, &mut [u8]) -> io::Result<()> + '_ {
        move |offset, buffer| {
            let start = usize::try_from(offset).map_err(|_| bad("short"))?;
            let end = start.checked_add(buffer.len()).ok_or_else(|| bad("short"))?;
            buffer.copy_from_slice(bytes.get(start..end).ok_or_else(|| bad("short"))?);
            Ok(())
        }
    }

    fn header(kind: u32, offset: u64, paddr: u64, file: u64, memory: u64) -> Vec<u8> {
        let mut h = vec![0u8; 56];
        h[0..4].copy_from_slice(&kind.to_le_bytes());
        for (at, value) in [(8, offset), (24, paddr), (32, file), (40, memory)] {
            h[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        h
    }

    fn kernel() -> Vec<u8> {
        let mut f = vec![0u8; 64];
        f[..6].copy_from_slice(b"\x7fELF\x02\x01");
        f[18] = 62;
        f[24..32].copy_from_slice(&0x100_0000u64.to_le_bytes());
        f[32] = 64;
        f[54] = 56;
        f[56] = 2;
        f.extend(header(PT_LOAD, 200, 0x100_0000, 4, 8));
        f.extend(header(PT_NOTE, 176, 0, 24, 0));
        for word in [4u32, 8, XEN_PHYS32_ENTRY] {
            f.extend(word.to_le_bytes());
        }
        f.extend(b"Xen\0");
        f.extend(0x123_4560u64.to_le_bytes());
        f.extend(b"code");
        f
    }

    #[test]
    fn finds_segment_and_pvh_entry() {
        let file = kernel();
        let image = parse(read_from(&file)).unwrap();
        assert_eq!(image.pvh_entry, Some(0x123_4560));
        assert_eq!(image.segments[0].paddr, 0x100_0000);
        assert_eq!(image.end(), 0x100_0008);
    }

    #[test]
    fn refuses_what_is_no_kernel() {
        assert!(parse(read_from(&[0; 100])).is_err());
        assert!(parse(read_from(b"\x7fELF")).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..204, value: u8, at2 in 0usize..204, value2: u8, cut in 0usize..205) {
            let mut file = kernel();
            file[at] = value;
            file[at2] = value2;
            file.truncate(cut);
            let _ = parse(read_from(&file));
        }

        #[test]
        fn any_notes_never_panic(notes: Vec<u8>) {
            let _ = pvh_note(&notes);
        }
    }
}
