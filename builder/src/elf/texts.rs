//! Texts in the data of an ELF file: what it may open, start or load by name.
//!
//! Takes a file; gives the absolute paths, the paths relative to where it is installed, and the single words that
//! stand in its constant data, and which of the functions it imports that start programs or load libraries. A text
//! is a hint and no proof: the closure asks the package's list of files before it brings anything.
//!
//! Read are the sections that are loaded and not executed, in chunks; without section headers, the segments. Code,
//! unwinding tables and what is longer than a path are passed over. Words are read apart from the rest (`words`), when
//! it is known which names matter: large data has a hundred thousand words, of which a few are names.

use std::collections::{BTreeSet, HashSet};

use goblin::container::Ctx;
use goblin::elf::dynamic::{DT_NULL, DT_STRSZ, DT_STRTAB, Dynamic};
use goblin::elf::header::Header;
use goblin::elf::program_header::{PF_X, PT_DYNAMIC, PT_LOAD, ProgramHeader};
use goblin::elf::section_header::{SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS, SectionHeader};
use memchr::{memchr, memchr2, memmem, memrchr};

use super::shapes::Shapes;
use super::source::{Source, file_offset, range};
use super::{DYNAMIC_BYTES_MAX, ElfError, Part, header, program_headers};

/// Most bytes of data read of one file.
pub const DATA_BYTES_MAX: u64 = 32 << 20;
/// Largest table of section headers.
const SECTIONS_BYTES_MAX: u64 = 4 << 20;
/// Largest table of symbol names.
const NAMES_BYTES_MAX: u64 = 16 << 20;
/// Largest section of variables read: texts that may be changed are few, tables that may be changed are not.
const VARIABLES_BYTES_MAX: u64 = 1 << 20;
/// Sections of addresses and unwinding tables, which hold no texts and many zeros.
const TABLES: [&[u8]; 7] =
    [b".eh_frame", b".eh_frame_hdr", b".gcc_except_table", b".got", b".got.plt", b".init_array", b".fini_array"];
/// Longest text that is looked into; longer ones are looked at in pieces.
const TEXT_BYTES_MAX: usize = 4096;
/// Most different texts kept of one kind.
pub const TEXTS_MAX: usize = 100_000;
/// Longest name of a program or library.
const WORD_BYTES_MAX: usize = 64;

/// The first folders of paths that are relative to where a program is installed.
const RELATIVE: [&str; 13] =
    ["..", "lib", "lib64", "libexec", "share", "etc", "bin", "sbin", "data", "modules", "plugins", "conf", "releases"];

/// What a file's data names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// Absolute paths. A pattern such as "/usr/lib/x/%s.so" gives the folder.
    pub paths: BTreeSet<String>,
    /// Paths relative to where it is installed: "share/x", "../lib/x", or "%s/lib/x" without its first part.
    pub relative: BTreeSet<String>,
    /// Single words, as names of programs and libraries are; also the last part of "%s/name" and "/name".
    pub words: HashSet<String>,
    /// The first words of texts that a shell might run.
    pub commands: HashSet<String>,
    /// Whether it may start programs (exec, posix_spawn).
    pub starts: bool,
    /// Whether it may look for programs on the path (execvp): only then is a word alone the name of one.
    pub searches: bool,
    /// Whether it may run a command line (system, popen).
    pub runs_shell: bool,
    /// Whether it may load libraries by name (dlopen).
    pub opens: bool,
    /// Whether it does so by libltdl, which adds the end of the name.
    pub opens_ltdl: bool,
}

/// Reads the texts of a file, without the words that stand alone.
pub fn texts(source: &(impl Source + ?Sized)) -> Result<Texts, ElfError> {
    let (header, ctx) = header(source)?;
    let programs = program_headers(source, &header, ctx)?;
    let mut texts = Texts::default();
    match symbol_names(source, &programs, ctx)? {
        Some(names) => in_chunks(source, names, |names| texts.read_imports(names))?,
        // A static program has its functions inside: what it starts cannot be seen.
        None => (texts.starts, texts.searches) = (true, true),
    }
    of_data(source, (&header, ctx), &programs, |bytes| texts.read_bytes(bytes))?;
    Ok(texts)
}

/// Reads the words of the same file that may be names of these, where it looks for programs or modules by name.
pub fn words(source: &(impl Source + ?Sized), texts: &mut Texts, wanted: &Shapes) -> Result<(), ElfError> {
    if wanted.is_empty() || !texts.searches && !texts.opens_ltdl {
        return Ok(());
    }
    let (header, ctx) = header(source)?;
    let programs = program_headers(source, &header, ctx)?;
    of_data(source, (&header, ctx), &programs, |bytes| texts.read_words(bytes, wanted))
}

fn of_data(
    source: &(impl Source + ?Sized),
    (header, ctx): (&Header, Ctx),
    programs: &[ProgramHeader],
    mut take: impl FnMut(&[u8]),
) -> Result<(), ElfError> {
    let parts = sections(source, header, ctx).unwrap_or_else(|| segments(programs));
    let mut left = DATA_BYTES_MAX;
    for (offset, size) in parts {
        let size = size.min(left).min(source.len().saturating_sub(offset));
        left -= size;
        in_chunks(source, (offset, size), &mut take)?;
    }
    Ok(())
}

/// The sections of data: offset and bytes. None when there are no section headers to tell.
fn sections(source: &(impl Source + ?Sized), header: &Header, ctx: Ctx) -> Option<Vec<(u64, u64)>> {
    let count = usize::from(header.e_shnum);
    let bytes = (count * SectionHeader::size(ctx)) as u64;
    if count == 0 || header.e_shoff == 0 {
        return None;
    }
    let bytes = range(source, Part::Sections, header.e_shoff, bytes, SECTIONS_BYTES_MAX).ok()?;
    // Not `parse`, which takes the offset 0 for a file without any.
    let sections = SectionHeader::parse_from(&bytes, 0, count, ctx).ok()?;
    let names = sections
        .get(usize::from(header.e_shstrndx))
        .and_then(|names| range(source, Part::SectionName, names.sh_offset, names.sh_size, SECTIONS_BYTES_MAX).ok());
    let name = |section: &SectionHeader| {
        let names = names.as_deref().unwrap_or_default();
        names.get(section.sh_name..).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default()
    };
    let data = sections.iter().filter(|section| {
        let flags = section.sh_flags as u32;
        section.sh_type == SHT_PROGBITS
            && flags & SHF_ALLOC != 0
            && flags & SHF_EXECINSTR == 0
            && (flags & SHF_WRITE == 0 || section.sh_size <= VARIABLES_BYTES_MAX)
            && !TABLES.contains(&name(section))
    });
    let data: Vec<(u64, u64)> = data.map(|section| (section.sh_offset, section.sh_size)).collect();
    (!data.is_empty()).then_some(data)
}

/// The segments of data; if there are none, all: old linkers put constants beside the code.
fn segments(programs: &[ProgramHeader]) -> Vec<(u64, u64)> {
    let loaded = |code: bool| {
        let parts = programs.iter().filter(move |part| part.p_type == PT_LOAD && (code || part.p_flags & PF_X == 0));
        parts.map(|part| (part.p_offset, part.p_filesz)).collect::<Vec<_>>()
    };
    let data = loaded(false);
    if data.len() > 1 { data } else { loaded(true) }
}

/// Where the names of its symbols lie, own and imported: offset and bytes; None for a file without any.
fn symbol_names(
    source: &(impl Source + ?Sized),
    programs: &[ProgramHeader],
    ctx: Ctx,
) -> Result<Option<(u64, u64)>, ElfError> {
    let Some(program) = programs.iter().find(|program| program.p_type == PT_DYNAMIC) else { return Ok(None) };
    let bytes = range(source, Part::Dynamic, program.p_offset, program.p_filesz, DYNAMIC_BYTES_MAX)?;
    let here = ProgramHeader { p_offset: 0, ..program.clone() };
    let dynamic = Dynamic::parse(&bytes, &[here], ctx).map_err(ElfError::structure)?;
    let Some(dynamic) = dynamic else { return Ok(None) };
    let entries = || dynamic.dyns.iter().take_while(|entry| entry.d_tag != DT_NULL);
    let value = |tag| entries().filter(|entry| entry.d_tag == tag).last().map(|entry| entry.d_val);
    let start = value(DT_STRTAB).and_then(|address| file_offset(programs, address));
    let (Some(start), Some(size)) = (start, value(DT_STRSZ)) else { return Ok(None) };
    Ok(Some((start, size.min(NAMES_BYTES_MAX).min(source.len().saturating_sub(start)))))
}

/// Gives a part of the file in chunks that begin and end between texts, where there is a NUL to tell.
fn in_chunks(
    source: &(impl Source + ?Sized),
    (offset, size): (u64, u64),
    mut take: impl FnMut(&[u8]),
) -> Result<(), ElfError> {
    // Small enough to stay in the processor's cache.
    const CHUNK_BYTES: u64 = 64 << 10;
    let mut kept: Vec<u8> = Vec::new();
    let mut at = 0;
    while at < size {
        let count = CHUNK_BYTES.min(size - at) as usize;
        let old = kept.len();
        kept.resize(old + count, 0);
        source.read_at(&mut kept[old..], offset + at)?;
        at += count as u64;
        let end = memrchr(0, &kept).map_or(0, |end| end + 1);
        // Without a NUL in so many bytes there is no text that C would know: it is looked at as it is.
        let end = if end == 0 || at == size { kept.len() } else { end };
        take(&kept[..end]);
        kept.drain(..end);
    }
    Ok(())
}

impl Texts {
    /// The paths in a script's text, its comments left out.
    pub fn of_script(bytes: &[u8]) -> Texts {
        let mut texts = Texts::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let code = line.iter().find(|byte| !byte.is_ascii_whitespace());
            if code.is_some_and(|byte| *byte != b'#') {
                texts.read_slashes(line);
            }
        }
        texts
    }

    /// Takes the names of symbols. Those that matter are looked for, since a large library has a hundred thousand.
    fn read_imports(&mut self, names: &[u8]) {
        // One name may be the end of another, as linkers fold them.
        let has = |wanted: &[u8]| {
            let ends = memmem::find_iter(names, wanted).filter(|at| names.get(at + wanted.len()) == Some(&0));
            ends.into_iter().any(|at| at == 0 || matches!(names[at - 1], 0 | b'_'))
        };
        let begins = |wanted: &[u8]| memmem::find_iter(names, wanted).any(|at| at == 0 || names[at - 1] == 0);
        self.runs_shell |= has(b"system") || has(b"popen");
        let exec = memmem::find(names, b"exec").is_some();
        self.searches |= self.runs_shell
            || exec && [&b"execvp"[..], b"execlp", b"execvpe"].iter().any(|name| has(name))
            || has(b"posix_spawnp")
            || begins(b"pipecmd_new")
            || begins(b"g_spawn_")
            || begins(b"g_subprocess_");
        self.starts |= self.searches
            || exec && [&b"execve"[..], b"execv", b"execl", b"execle", b"fexecve"].iter().any(|name| has(name))
            || has(b"posix_spawn");
        self.opens_ltdl |= begins(b"lt_dlopen") || begins(b"g_module_open");
        self.opens |= self.opens_ltdl || has(b"dlopen") || has(b"dlmopen");
    }

    /// Takes bytes that begin and end between texts: their paths, and names of libraries where it loads some.
    pub fn read_bytes(&mut self, bytes: &[u8]) {
        self.read_slashes(bytes);
        if self.opens {
            self.read_libraries(bytes);
        }
    }

    fn read_libraries(&mut self, bytes: &[u8]) {
        let finder = memmem::Finder::new(b".so");
        let mut at = 0;
        while let Some(found) = finder.find(&bytes[at..]) {
            let start = memrchr(0, &bytes[at..at + found]).map_or(at, |before| at + before + 1);
            let end = memchr(0, &bytes[at + found..]).map_or(bytes.len(), |end| at + found + end);
            keep_word(&mut self.words, &bytes[start..end]);
            at = end;
        }
    }

    /// Takes texts of which each may be a word, or a command line. Of a sentence only the first word is looked at.
    pub fn read_words(&mut self, bytes: &[u8], wanted: &Shapes) {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if *first == 0 {
                rest = &rest[1..];
                continue;
            }
            let end = memchr2(0, b' ', rest).unwrap_or(rest.len());
            let more = rest.get(end) == Some(&b' ');
            if (!more || self.runs_shell) && end <= WORD_BYTES_MAX && wanted.may_have(&rest[..end]) {
                keep_word(if more { &mut self.commands } else { &mut self.words }, &rest[..end]);
            }
            let next = if more { memchr(0, &rest[end..]).map_or(rest.len(), |nul| end + nul + 1) } else { end + 1 };
            rest = rest.get(next..).unwrap_or_default();
        }
    }

    /// Takes the paths in some texts: absolute ones at the start of a text or behind a sign that stands between two
    /// words, and "lib/x" and "%s/x" at the start of one. Prose has many slashes: most are passed over by what stands
    /// before them.
    fn read_slashes(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(found) = memchr(b'/', &bytes[at..]) {
            let slash = at + found;
            at = slash + 1;
            let before = bytes[..slash].iter().rev().take(WORD_BYTES_MAX).take_while(|byte| is_word(**byte)).count();
            let start = slash - before;
            let begins = |at: usize| at == 0 || bytes[at - 1] == 0;
            if before == 0 {
                let sign = slash.checked_sub(1).map_or(0, |before| bytes[before]);
                if !is_path(sign) && !matches!(sign, b'%' | b'}' | b')') {
                    at = slash + self.read_absolute(&bytes[slash..], begins(slash)).max(1);
                }
            } else if begins(start) && RELATIVE.iter().any(|first| first.as_bytes() == &bytes[start..slash]) {
                self.read_relative(&bytes[start..]);
            } else if bytes[start..slash] == *b"s" && start > 0 && bytes[start - 1] == b'%' && begins(start - 1) {
                self.read_relative(&bytes[slash + 1..]);
            }
        }
    }

    /// Takes an absolute path with which a text begins; gives how far it goes.
    fn read_absolute(&mut self, text: &[u8], whole: bool) -> usize {
        let text = &text[..text.len().min(TEXT_BYTES_MAX)];
        let path = path_at(text).unwrap_or_default();
        if path.len() > 2 && self.paths.len() < TEXTS_MAX {
            self.paths.insert(plain(path));
        }
        // Linkers fold "/name" into the end of a longer text.
        if whole && ends(text, path) {
            keep_word(&mut self.words, name_of(path));
        }
        text.iter().take_while(|byte| is_path(**byte)).count()
    }

    /// Takes "lib/x" and the like, or what stands behind "%s/".
    fn read_relative(&mut self, text: &[u8]) {
        let text = &text[..text.len().min(TEXT_BYTES_MAX)];
        let path = path_at(text).unwrap_or_default();
        if ends(text, path) {
            keep_word(&mut self.words, name_of(path));
        }
        let first = path.split('/').next().unwrap_or_default();
        if RELATIVE.contains(&first) && path.len() > first.len() + 1 && self.relative.len() < TEXTS_MAX {
            self.relative.insert(path.trim_end_matches('/').to_owned());
        }
    }
}

/// Whether a text is nothing but this path.
fn ends(text: &[u8], path: &str) -> bool {
    matches!(text.get(path.len()), None | Some(0))
}

/// The last part of a path.
fn name_of(path: &str) -> &[u8] {
    path.rsplit('/').next().unwrap_or_default().as_bytes()
}

/// The path that a text begins with, without what depends on a value put in later.
fn path_at(text: &[u8]) -> Option<&str> {
    let end = text.iter().position(|byte| !is_path(*byte)).unwrap_or(text.len());
    let mut path = std::str::from_utf8(&text[..end]).ok()?;
    if matches!(text.get(end), Some(b'%' | b'$' | b'*' | b'{')) {
        path = &path[..path.rfind('/')? + 1];
    }
    Some(path.trim_end_matches(['.', '-']))
}

/// A path with single slashes, without one at its end.
fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.fold(String::new(), |path, part| path + "/" + part)
}

fn keep_word(words: &mut HashSet<String>, word: &[u8]) {
    let named = word.first().is_some_and(u8::is_ascii_alphanumeric) && word.iter().any(u8::is_ascii_lowercase);
    let short = (2..=WORD_BYTES_MAX).contains(&word.len());
    if short && named && word.iter().all(|byte| is_word(*byte)) && words.len() < TEXTS_MAX {
        words.insert(String::from_utf8_lossy(word).into_owned());
    }
}

/// Which bytes names of programs are made of.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'.' | b'_' | b'-' | b'+');
        byte += 1;
    }
    table
};

fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

fn is_path(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'/' | b'@' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn of(bytes: &[u8], searches: bool, runs_shell: bool) -> Texts {
        let mut texts = Texts { searches, runs_shell, ..Texts::default() };
        texts.read_bytes(bytes);
        if searches {
            let wanted: Shapes = ["gzip", "gpg-agent", "libz.so.1", "UPPER", "x", "A"].iter().collect();
            texts.read_words(bytes, &wanted);
        }
        texts
    }

    #[test]
    fn paths_end_where_a_value_is_put_in() {
        let data =
            b"/usr/lib/x\0PATH=/a/b:/c//d/\0/e/f/%s.so\0see http://h/i\0j/k\0/%s\0%s/lib/l/m\0../n/o\0share/p/%d/q\0";
        let texts = of(data, false, false);
        assert_eq!(texts.paths, set(&["/a/b", "/c/d", "/e/f", "/h/i", "/usr/lib/x"]));
        assert_eq!(texts.relative, set(&["../n/o", "lib/l/m", "share/p"]));
    }

    #[test]
    fn words_stand_alone_and_commands_come_first() {
        let data = b"gzip\0bzip2\0\0\0gzip -dc %s\0A sentence\0UPPER\0/agent/gpg-agent\0x\0libz.so.1\0";
        let sorted = |words: &HashSet<String>| words.iter().cloned().collect::<BTreeSet<_>>();
        let texts = of(data, true, false);
        assert_eq!(sorted(&texts.words), set(&["gpg-agent", "gzip", "libz.so.1"]));
        assert!(texts.commands.is_empty());
        assert_eq!(sorted(&of(data, true, true).commands), set(&["gzip"]));
        assert_eq!(sorted(&of(data, false, false).words), set(&["gpg-agent"]));
    }

    #[test]
    fn a_real_program_imports_what_it_calls() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let own = texts(&file).unwrap();
        assert!(own.starts && !own.paths.is_empty());
        // Its unwinding tables are in a segment of data, and are not read.
        let (header, ctx) = header(&file).unwrap();
        let bytes = |parts: Vec<(u64, u64)>| parts.iter().map(|(_, size)| size).sum::<u64>();
        let sections = bytes(sections(&file, &header, ctx).expect("it has section headers"));
        let segments = bytes(segments(&program_headers(&file, &header, ctx).unwrap()));
        assert!(0 < sections && sections < segments, "{sections} {segments}");
        assert!(matches!(texts(&b"#!/bin/sh"[..]), Err(ElfError::NotElf)));
    }
}
