//! /etc/ld.so.cache: where glibc's loader looks for libraries outside its trusted folders.
//!
//! Takes library names with their paths; gives the file in the format "glibc-ld.so.cache1.1" that every
//! glibc since 2.2 reads (sysdeps/generic/dl-cache.h), the same bytes for the same list; and reads one. An
//! image gets one only when a library was found through ld.so.conf: a link in a trusted folder would do
//! for the library itself, but would change what $ORIGIN means to it.

use std::collections::BTreeMap;

use crate::elf::ElfMachine;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
/// Most libraries read from a cache.
const ENTRIES_MAX: usize = 1 << 20;

/// The path of a library by its name and its machine's flags.
pub type LdCache = BTreeMap<(String, u32), String>;

/// The flags by which a loader knows the libraries that are for it.
pub fn flags(machine: ElfMachine) -> u32 {
    const GLIBC: u32 = 3;
    let abi = match (machine.machine, machine.class) {
        (62, 2) => 0x0300,
        (62, _) => 0x0800,
        (183, _) => 0x0a00,
        (40, _) => 0x0900,
        (243, 2) => 0x1000,
        (22, 2) => 0x0400,
        (21, 2) => 0x0500,
        _ => 0,
    };
    GLIBC | abi
}

/// The order in which the loader searches: digits by value, the largest name first.
fn compare(one: &str, two: &str) -> std::cmp::Ordering {
    let (mut one, mut two) = (one.as_bytes(), two.as_bytes());
    let number = |text: &mut &[u8]| {
        let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        *text = rest;
        digits.iter().fold(0u64, |sum, digit| sum.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    };
    loop {
        let order = match (one.first().copied(), two.first().copied()) {
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => number(&mut one).cmp(&number(&mut two)),
            (Some(a), Some(b)) if a.is_ascii_digit() != b.is_ascii_digit() => {
                a.is_ascii_digit().cmp(&b.is_ascii_digit())
            }
            (Some(a), Some(b)) => {
                (one, two) = (&one[1..], &two[1..]);
                a.cmp(&b)
            }
            (a, b) => return a.cmp(&b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The cache file, little endian or big as its libraries are.
pub fn write(cache: &LdCache, little: bool) -> Vec<u8> {
    let word = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut entries: Vec<_> = cache.iter().collect();
    entries.sort_by(|((one, first), _), ((two, second), _)| compare(two, one).then(second.cmp(first)));
    let mut strings = Vec::new();
    let base = HEADER_BYTES + ENTRY_BYTES * entries.len();
    let mut table = Vec::new();
    for ((name, flags), path) in &entries {
        let mut offset = |text: &str| {
            let at = base + strings.len();
            strings.extend(text.as_bytes());
            strings.push(0);
            at as u32
        };
        let (key, value) = (offset(name), offset(path));
        for part in [*flags, key, value, 0, 0, 0] {
            table.extend(word(part));
        }
    }
    let mut file = MAGIC.to_vec();
    file.extend(word(entries.len() as u32));
    file.extend(word(strings.len() as u32));
    // The byte order of the file, as the loader checks it.
    file.extend([if little { 2 } else { 3 }, 0, 0, 0]);
    file.resize(HEADER_BYTES, 0);
    file.extend(table);
    file.extend(strings);
    file
}

/// Reads a cache file; None when it is none, or damaged.
pub fn read(bytes: &[u8]) -> Option<LdCache> {
    // A file with the format of libc5's time in front has the new one behind it.
    let start = bytes.windows(MAGIC.len()).take(1 << 20).position(|window| window == MAGIC)?;
    let bytes = &bytes[start..];
    let big = bytes.get(28)? & 3 == 3;
    let word = |at: usize| {
        let word: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    };
    let text = |at: u32| {
        let tail = bytes.get(at as usize..)?;
        let end = tail.iter().take(4096).position(|byte| *byte == 0)?;
        String::from_utf8(tail[..end].to_vec()).ok()
    };
    let count = word(20)? as usize;
    if count > ENTRIES_MAX {
        return None;
    }
    let mut cache = LdCache::new();
    for at in (0..count).map(|n| HEADER_BYTES + n * ENTRY_BYTES) {
        let (flags, name, path) = (word(at)?, text(word(at + 4)?)?, text(word(at + 8)?)?);
        // An entry with hwcaps is for newer processors only, in addition to the plain one.
        if (word(at + 16)?, word(at + 20)?) == (0, 0) {
            cache.entry((name, flags)).or_insert(path);
        }
    }
    Some(cache)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_ordered_as_the_loader_searches_them() {
        use std::cmp::Ordering::{Greater, Less};
        for (one, two, order) in [
            ("libx.so.10", "libx.so.9", Greater),
            ("liba.so", "libb.so", Less),
            ("lib1.so", "liba.so", Greater),
            ("libx.so", "libx.so.1", Less),
        ] {
            assert_eq!(compare(one, two), order, "{one} {two}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in proptest::collection::btree_map("[a-c0-9.]{1,8}", "/[a-z]{1,9}", 0..9), little: bool) {
            let cache: LdCache = names.into_iter().map(|(name, path)| ((name, 0x303), path)).collect();
            prop_assert_eq!(read(&write(&cache, little)), Some(cache));
        }

        #[test]
        fn damage_never_panics(at in 0usize..200, byte: u8, cut in 0usize..200) {
            let cache: LdCache = [(("liba.so.1".to_owned(), 3), "/opt/liba.so.1".to_owned())].into();
            let mut bytes = write(&cache, true);
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            let _ = read(&bytes);
        }
    }
}
