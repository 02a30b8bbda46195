//! /etc/ld.so.cache: where glibc's loader looks for libraries outside its trusted folders.
//!
//! Takes library names with their paths; gives the file in the format "glibc-ld.so.cache1.1" that every
//! glibc since 2.2 reads (sysdeps/generic/dl-cache.h), the same bytes for the same list; and reads one. Copies for
//! newer processors (glibc-hwcaps) are an extension of glibc 2.33; older ones pass over it. An
//! image gets one only when a library was found through ld.so.conf: a link in a trusted folder would do
//! for the library itself, but would change what $ORIGIN means to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::elf::ElfMachine;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
/// Where the header says where extensions begin.
const EXTENSION_AT: usize = 32;
const EXTENSION_MAGIC: u32 = -358_342_284_i32 as u32;
/// Bytes of the extensions' header with one section.
const EXTENSION_BYTES: usize = 24;
/// The section that names the folders of glibc-hwcaps.
const HWCAPS_TAG: u32 = 1;
/// Most sections of extensions, and most such folders.
const SECTIONS_MAX: u32 = 64;
const LEVELS_MAX: usize = 4096;
/// In the high half of an entry's hwcap: the low half numbers a folder of glibc-hwcaps.
const HWCAP_EXTENSION: u32 = 1 << 30;
/// Bits beside it that say what the library itself asks of the processor.
const ISA_LEVEL_MASK: u32 = (1 << 10) - 1;
/// Most libraries read from a cache.
const ENTRIES_MAX: usize = 1 << 20;

/// What an entry is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The library's name.
    pub name: String,
    /// The flags of its machine.
    pub flags: u32,
    /// The folder of glibc-hwcaps for whose processors it is; None for all processors.
    pub level: Option<String>,
}

impl Key {
    /// The key of a library.
    pub fn of(name: &str, flags: u32, level: Option<&str>) -> Key {
        Key { name: name.to_owned(), flags, level: level.map(str::to_owned) }
    }
}

/// The path of a library by what it is for.
pub type LdCache = BTreeMap<Key, String>;

/// The entries of a library: for which processors, and the path.
pub fn entries(cache: &LdCache, name: &str, flags: u32) -> Vec<(Option<String>, String)> {
    let found = cache.range(Key::of(name, flags, None)..);
    let found = found.take_while(|(key, _)| key.name == name && key.flags == flags);
    found.map(|(key, path)| (key.level.clone(), path.clone())).collect()
}

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
    let levels: BTreeSet<&str> = cache.keys().filter_map(|key| key.level.as_deref()).collect();
    let levels: Vec<&str> = levels.into_iter().collect();
    let mut entries: Vec<_> = cache.iter().collect();
    // Those for newer processors come before the plain one of the same name.
    entries.sort_by(|(one, _), (two, _)| {
        let plain = |key: &Key| key.level.is_none();
        compare(&two.name, &one.name)
            .then(two.flags.cmp(&one.flags))
            .then(plain(one).cmp(&plain(two)))
            .then(one.level.cmp(&two.level))
    });
    let mut strings = Vec::new();
    let base = HEADER_BYTES + ENTRY_BYTES * entries.len();
    let mut offset = |text: &str| {
        let at = base + strings.len();
        strings.extend(text.as_bytes());
        strings.push(0);
        at as u32
    };
    let mut table = Vec::new();
    for (key, path) in &entries {
        let (name, path) = (offset(&key.name), offset(path));
        let level = key.level.as_deref().and_then(|level| levels.binary_search(&level).ok());
        let level = level.map_or((0, 0), |index| (index as u32, HWCAP_EXTENSION));
        let (first, second) = if little { level } else { (level.1, level.0) };
        for part in [key.flags, name, path, 0, first, second] {
            table.extend(word(part));
        }
    }
    let levels: Vec<u32> = levels.iter().map(|level| offset(level)).collect();
    // What follows the strings stands at a multiple of four.
    let extension = (base + strings.len()).next_multiple_of(4);
    let mut file = MAGIC.to_vec();
    file.extend(word(entries.len() as u32));
    file.extend(word(strings.len() as u32));
    // The byte order of the file, as the loader checks it.
    file.extend([if little { 2 } else { 3 }, 0, 0, 0]);
    file.extend(word(if levels.is_empty() { 0 } else { extension as u32 }));
    file.resize(HEADER_BYTES, 0);
    file.extend(table);
    file.extend(strings);
    if !levels.is_empty() {
        file.resize(extension, 0);
        let section = [HWCAPS_TAG, 0, (extension + EXTENSION_BYTES) as u32, 4 * levels.len() as u32];
        [EXTENSION_MAGIC, 1].iter().chain(&section).chain(&levels).for_each(|value| file.extend(word(*value)));
    }
    file
}

/// Reads a cache file; None when it is none, or damaged.
pub fn read(bytes: &[u8]) -> Option<LdCache> {
    // A file with the format of libc5's time in front has the new one behind it.
    let start = bytes.windows(MAGIC.len()).take(1 << 20).position(|window| window == MAGIC)?;
    let file = CacheFile { bytes: &bytes[start..], big: bytes.get(start + 28)? & 3 == 3 };
    let count = file.word(20)? as usize;
    if count > ENTRIES_MAX {
        return None;
    }
    let levels = file.levels().unwrap_or_default();
    let mut cache = LdCache::new();
    for at in (0..count).map(|n| HEADER_BYTES + n * ENTRY_BYTES) {
        let (flags, name, path) = (file.word(at)?, file.text(file.word(at + 4)?)?, file.text(file.word(at + 8)?)?);
        let (first, second) = (file.word(at + 16)?, file.word(at + 20)?);
        let (low, high) = if file.big { (second, first) } else { (first, second) };
        let level = match (low, high & !ISA_LEVEL_MASK) {
            // An entry with other words is for processors as before glibc 2.33 knew them, in addition to the plain one.
            (0, 0) if high == 0 => None,
            (index, HWCAP_EXTENSION) => match levels.get(index as usize) {
                Some(level) => Some(level.clone()),
                None => continue,
            },
            _ => continue,
        };
        cache.entry(Key { name, flags, level }).or_insert(path);
    }
    Some(cache)
}

/// A cache file under the reader's eyes.
struct CacheFile<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl CacheFile<'_> {
    fn word(&self, at: usize) -> Option<u32> {
        let word: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    }

    fn text(&self, at: u32) -> Option<String> {
        let tail = self.bytes.get(at as usize..)?;
        let end = tail.iter().take(4096).position(|byte| *byte == 0)?;
        String::from_utf8(tail[..end].to_vec()).ok()
    }

    /// The folders of glibc-hwcaps that entries are for, by number.
    fn levels(&self) -> Option<Vec<String>> {
        let extension = self.word(EXTENSION_AT)? as usize;
        if extension == 0 || self.word(extension)? != EXTENSION_MAGIC {
            return None;
        }
        let sections = self.word(extension + 4)?.min(SECTIONS_MAX) as usize;
        for at in (0..sections).map(|n| extension + 8 + n * 16) {
            if self.word(at)? != HWCAPS_TAG {
                continue;
            }
            let (start, size) = (self.word(at + 8)? as usize, self.word(at + 12)? as usize);
            let places = (0..(size / 4).min(LEVELS_MAX)).map(|n| self.word(start + 4 * n));
            return places.map(|place| self.text(place?)).collect();
        }
        None
    }
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
        fn what_is_written_is_read(
            names in proptest::collection::btree_map(("[a-c0-9.]{1,8}", proptest::option::of("v[1-4]")), "/[a-z]{1,9}", 0..9),
            little: bool,
        ) {
            let key = |(name, level): (String, Option<String>)| Key { name, flags: 0x303, level };
            let cache: LdCache = names.into_iter().map(|(name, path)| (key(name), path)).collect();
            prop_assert_eq!(read(&write(&cache, little)), Some(cache));
        }

        #[test]
        fn damage_never_panics(at in 0usize..200, byte: u8, cut in 0usize..200) {
            let key = |level| Key::of("liba.so.1", 3, level);
            let path = || "/opt/liba.so.1".to_owned();
            let cache: LdCache = [(key(None), path()), (key(Some("v2")), path())].into();
            let mut bytes = write(&cache, true);
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            let _ = read(&bytes);
        }
    }
}
