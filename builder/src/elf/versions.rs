//! Symbol versions of an ELF file: which it asks of each of its libraries, and which it defines.
//!
//! Takes the tables that DT_VERNEED and DT_VERDEF point at (gABI's symbol versioning, as glibc reads it in
//! elf/dl-version.c); gives hashes, by which the loader compares first as well. A name is read only where it is to
//! be shown: a library of a thousand versions costs two reads. A table that is cut off or damaged ends where it can
//! no longer be read.

use goblin::container::Ctx;
use goblin::elf::dynamic::{DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM};
use goblin::elf::program_header::ProgramHeader;

use super::source::{Source, file_offset, name_at};

/// Most versions read of one file; libstdc++ has a hundred.
const VERSIONS_MAX: usize = 65_536;
/// Bytes read at once, which are all of most tables.
const CHUNK_BYTES: u64 = 1024;
/// Largest table read.
const TABLE_BYTES_MAX: u64 = 4 << 20;
/// vna_flags: the version may be missing.
const VER_FLG_WEAK: u16 = 2;

/// A version that a file asks of one of its libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededVersion {
    /// The library, as DT_NEEDED names it.
    pub library: String,
    /// The ELF hash of its name.
    pub hash: u32,
    /// Whether the program starts without it.
    pub weak: bool,
    /// Where its name lies in the string table.
    name: u64,
}

/// The versions of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// What it asks for.
    pub needed: Vec<NeededVersion>,
    /// The hashes of those it defines; None for a file without versions, of which the loader asks none.
    pub defined: Option<Vec<u32>>,
    /// The string table: offset and bytes.
    strings: (u64, u64),
}

impl Versions {
    /// Reads both tables. `value` gives what PT_DYNAMIC says of a tag.
    pub(super) fn read(
        source: &(impl Source + ?Sized),
        programs: &[ProgramHeader],
        ctx: Ctx,
        strings: (u64, u64),
        value: impl Fn(u64) -> Option<u64>,
    ) -> Versions {
        let mut versions = Versions { strings, ..Versions::default() };
        let table = |tag| Table::at(source, file_offset(programs, value(tag)?)?, ctx);
        if let Some(table) = table(DT_VERNEED) {
            versions.needed = table.needed(value(DT_VERNEEDNUM).unwrap_or_default(), strings);
        }
        if let Some(table) = table(DT_VERDEF) {
            versions.defined = Some(table.defined(value(DT_VERDEFNUM).unwrap_or_default()));
        }
        versions
    }

    /// The name of a version that was asked for.
    pub fn name(&self, source: &(impl Source + ?Sized), version: &NeededVersion) -> Option<String> {
        name_at(source, self.strings.0, self.strings.1, version.name).ok()
    }
}

/// A table whose entries name the distance to the next.
struct Table<'s, S: Source + ?Sized> {
    source: &'s S,
    start: u64,
    /// The bytes that most tables end within.
    head: Vec<u8>,
    little: bool,
}

impl<'s, S: Source + ?Sized> Table<'s, S> {
    fn at(source: &'s S, start: u64, ctx: Ctx) -> Option<Table<'s, S>> {
        // The layout is the same in both classes.
        let bytes = source.len().checked_sub(start)?.min(CHUNK_BYTES);
        let mut head = vec![0; bytes as usize];
        source.read_at(&mut head, start).ok()?;
        Some(Table { source, start, head, little: ctx.le.is_little() })
    }

    fn bytes<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let end = at.checked_add(N as u64).filter(|end| *end <= TABLE_BYTES_MAX)?;
        if let Some(bytes) = self.head.get(at as usize..end as usize) {
            return bytes.try_into().ok();
        }
        let mut bytes = [0; N];
        self.source.read_at(&mut bytes, self.start.checked_add(at)?).ok()?;
        Some(bytes)
    }

    fn half(&self, at: u64) -> Option<u16> {
        let bytes = self.bytes(at)?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn word(&self, at: u64) -> Option<u32> {
        let bytes = self.bytes(at)?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Elf_Verneed: version, count (halves); file, first, next (words). Elf_Vernaux: hash (word); flags, other
    /// (halves); name, next (words).
    fn needed(&self, count: u64, strings: (u64, u64)) -> Vec<NeededVersion> {
        let mut out = Vec::new();
        let mut at = 0;
        for _ in 0..count.min(VERSIONS_MAX as u64) {
            let file = self.word(at + 4).and_then(|file| name_at(self.source, strings.0, strings.1, file.into()).ok());
            let (Some(library), Some(mut aux)) = (file, self.word(at + 8).map(|first| at + u64::from(first))) else {
                break;
            };
            for _ in 0..self.half(at + 2).unwrap_or_default() {
                let (Some(hash), Some(flags), Some(name)) = (self.word(aux), self.half(aux + 4), self.word(aux + 8))
                else {
                    break;
                };
                if out.len() >= VERSIONS_MAX {
                    return out;
                }
                let weak = flags & VER_FLG_WEAK != 0;
                out.push(NeededVersion { library: library.clone(), hash, weak, name: name.into() });
                match self.word(aux + 12) {
                    None | Some(0) => break,
                    Some(next) => aux += u64::from(next),
                }
            }
            match self.word(at + 12) {
                None | Some(0) => break,
                Some(next) => at += u64::from(next),
            }
        }
        out
    }

    /// Elf_Verdef: version, flags, index, count (halves); hash, first, next (words).
    fn defined(&self, count: u64) -> Vec<u32> {
        let mut out = Vec::new();
        let mut at = 0;
        for _ in 0..count.min(VERSIONS_MAX as u64) {
            let (Some(hash), Some(next)) = (self.word(at + 8), self.word(at + 16)) else { break };
            out.push(hash);
            if next == 0 {
                break;
            }
            at += u64::from(next);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(out: &mut Vec<u8>, value: u32) {
        out.extend(value.to_le_bytes());
    }

    fn half(out: &mut Vec<u8>, value: u16) {
        out.extend(value.to_le_bytes());
    }

    /// Names, then one library with two versions, of which the second is weak.
    fn needs() -> Vec<u8> {
        let mut bytes = b"\0libx\0V1\0V2\0....".to_vec();
        for value in [1, 2] {
            half(&mut bytes, value);
        }
        for value in [1, 16, 0] {
            word(&mut bytes, value);
        }
        for (hash, flags, name, next) in [(77, 0, 6, 16), (78, VER_FLG_WEAK, 9, 0)] {
            word(&mut bytes, hash);
            half(&mut bytes, flags);
            half(&mut bytes, 2);
            word(&mut bytes, name);
            word(&mut bytes, next);
        }
        bytes
    }

    fn ctx() -> Ctx {
        Ctx::new(goblin::container::Container::Big, goblin::container::Endian::Little)
    }

    #[test]
    fn versions_are_read_with_library_and_name() {
        let bytes = needs();
        let needed = Table::at(&bytes[..], 16, ctx()).unwrap().needed(1, (0, 12));
        assert_eq!(needed.len(), 2);
        assert_eq!((needed[0].library.as_str(), needed[0].hash, needed[0].weak), ("libx", 77, false));
        assert!(needed[1].weak);
        let versions = Versions { needed, defined: None, strings: (0, 12) };
        assert_eq!(versions.name(&bytes[..], &versions.needed[1]).as_deref(), Some("V2"));
    }

    #[test]
    fn a_table_that_is_cut_off_or_turns_in_a_circle_ends() {
        let mut bytes = needs();
        for cut in 16..bytes.len() {
            if let Some(table) = Table::at(&bytes[..cut], 16, ctx()) {
                assert!(table.needed(u64::MAX, (0, 12)).len() <= 2);
                let _ = table.defined(u64::MAX);
            }
        }
        // vn_next leads forward only; a count that lies is bounded by the table's end.
        bytes[16 + 12..16 + 16].copy_from_slice(&1u32.to_le_bytes());
        assert!(Table::at(&bytes[..], 16, ctx()).unwrap().needed(u64::MAX, (0, 12)).len() < VERSIONS_MAX);
    }
}
