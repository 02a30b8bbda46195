//! A program or library. Oracle: where goblin reads the whole file, it finds the same libraries, name and paths.

use crate::elf::{Needs, needs, section};
use goblin::elf::Elf;

pub fn seeds() -> Vec<Vec<u8>> {
    // 64-bit: a segment of all, PT_DYNAMIC, PT_INTERP, a string table.
    let mut file = vec![0; 0x240];
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    let mut put = |at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    for (at, value) in [(0x10, 0x0001_003e_0003), (0x20, 64), (0x34, 0x0003_0038_0040)] {
        put(at, value);
    }
    for (at, [kind, offset, size]) in [(64, [1, 0, 0x240]), (120, [2, 0x100, 0x60]), (176, [3, 0x200, 8])] {
        for (place, value) in [(0, kind), (8, offset), (16, offset), (32, size), (40, size)] {
            put(at + place, value);
        }
    }
    let dynamic = [[1, 9], [14, 14], [29, 20], [5, 0x200], [10, 0x40], [0, 0]];
    for (at, [tag, value]) in (0x100..).step_by(16).zip(dynamic) {
        put(at, tag);
        put(at + 8, value);
    }
    file[0x200..0x222].copy_from_slice(b"/lib/ld\0\0libc\0lib1\0\0/a:/b:$ORIGIN\0");
    vec![file.clone(), file[..0x150].to_vec()]
}

pub fn run(data: &[u8]) {
    let _ = section(data, ".modinfo").map(|content| content.is_some_and(|content| content.len() <= data.len()));
    match needs(data) {
        Ok(needs) => agrees_with_goblin(data, &needs),
        Err(why) => assert!(!why.to_string().is_empty()),
    }
}

fn agrees_with_goblin(data: &[u8], needs: &Needs) {
    let Ok(elf) = Elf::parse(data) else { return };
    assert_eq!((needs.machine.machine, needs.machine.class == 2), (elf.header.e_machine, elf.is_64));
    // goblin takes the first of several, stops at what it cannot read, and drops what is no text.
    let dynamics = elf.program_headers.iter().filter(|header| header.p_type == 2).count();
    // Where a segment has more bytes in the file than in memory, goblin takes another string table.
    let loads = elf.program_headers.iter().all(|header| header.p_filesz <= header.p_memsz);
    if dynamics == 1 && loads && !elf.libraries.is_empty() && elf.libraries.iter().all(|library| !library.is_empty()) {
        for library in &elf.libraries {
            assert!(needs.libraries.iter().any(|own| own == library), "goblin finds {library:?}: {needs:?}");
        }
        if let Some(soname) = elf.soname.filter(|name| !name.is_empty()) {
            assert!(needs.soname.is_some(), "goblin finds {soname:?}: {needs:?}");
        }
    }
}
