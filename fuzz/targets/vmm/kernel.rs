//! A guest's kernel, as an ELF file. Oracle: nothing is asked for that overflows, whatever the file says.

use crate::boot::elf::parse;
use std::io;

pub fn seeds() -> Vec<Vec<u8>> {
    let mut file = vec![0; 64 + 2 * 56 + 32];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    file[18] = 62;
    let mut put = |at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    put(24, 0x100_0000);
    put(32, 64);
    put(64 + 8, 0);
    put(64 + 24, 0x100_0000);
    put(64 + 32, 16);
    put(64 + 40, 4096);
    put(120 + 8, 176);
    put(120 + 32, 20);
    file[64] = 1;
    file[120] = 4;
    file[54] = 56;
    file[56] = 2;
    file[176..196].copy_from_slice(b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\x00\x00\x10\x00");
    vec![file.clone(), file[..120].to_vec()]
}

pub fn run(data: &[u8]) {
    let mut asked = 0usize;
    let read = |offset: u64, buffer: &mut [u8]| -> io::Result<()> {
        asked += buffer.len();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(data.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    };
    let image = parse(read);
    // At most 64 headers, each with notes of 64 KiB at most.
    assert!(asked <= 64 + 64 * (56 + (64 << 10)));
    match image {
        Ok(image) => {
            let last = image.segments.iter().map(|segment| segment.paddr.checked_add(segment.memory_bytes)).max();
            assert_eq!(last.flatten(), Some(image.end()));
            assert!(image.segments.iter().all(|segment| segment.file_bytes <= segment.memory_bytes));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
