//! What an ELF file says about its needs: machine, interpreter, libraries, search paths.
//!
//! Takes a file, reads only headers, PT_INTERP, PT_DYNAMIC, PT_NOTE and the names these point at (a 300 MB
//! program costs some kilobytes), and works without section headers. The input may be truncated or
//! hostile: every range is bounded, and a bad one is an error. goblin parses the structures.

pub mod dlopen_note;
pub mod error;
pub mod ldcache;
pub mod script;
pub mod shapes;
pub mod source;
pub mod texts;
pub mod versions;

use std::sync::Arc;

use goblin::container::Ctx;
use goblin::elf::dynamic::{
    DF_1_NODEFLIB, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, Dynamic,
};
use goblin::elf::header::{EI_OSABI, ELFMAG, ELFOSABI_GNU, ELFOSABI_NONE, ET_DYN, Header};
use goblin::elf::program_header::{PT_DYNAMIC, PT_INTERP, PT_NOTE, ProgramHeader};

use dlopen_note::Dlopen;
pub use error::{ElfError, Part, ReadError};
pub use source::{STRING_BYTES_MAX, Source};
use source::{file_offset, name_at, range, string_at};
use versions::Versions;

/// A library whose symbols stand in for this one's, if it is there (gABI).
const DT_AUXILIARY: u64 = 0x7fff_fffd;
/// A library whose symbols stand in for this one's.
const DT_FILTER: u64 = 0x7fff_ffff;
/// Most program headers read; a linker makes a dozen.
pub const PROGRAM_HEADERS_MAX: u16 = 4096;
/// Largest PT_DYNAMIC read.
pub const DYNAMIC_BYTES_MAX: u64 = 1 << 20;
/// Largest PT_NOTE read.
pub const NOTE_BYTES_MAX: u64 = 1 << 20;
/// Largest string table of a libc.so.6; glibc's has 32 kB.
const LIBC_NAMES_BYTES_MAX: u64 = 1 << 20;
/// Class, byte order and machine: a library serves a program only if they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ElfMachine {
    /// 1 is 32 bits, 2 is 64.
    pub class: u8,
    /// 1 is little endian, 2 is big.
    pub data: u8,
    /// e_machine: 62 is x86-64, 183 is aarch64.
    pub machine: u16,
}

/// What a file needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// For which machine it is.
    pub machine: ElfMachine,
    /// PT_INTERP: the path of the loader that it asks for.
    pub interpreter: Option<String>,
    /// DT_SONAME: the name that others ask for it by.
    pub soname: Option<String>,
    /// DT_NEEDED, in order.
    pub libraries: Vec<String>,
    /// DT_RPATH, split at colons.
    pub rpath: Vec<String>,
    /// DT_RUNPATH, split at colons.
    pub runpath: Vec<String>,
    /// DF_1_NODEFLIB: the folders that every program's libraries are looked for in do not count.
    pub no_default_folders: bool,
    /// Whether it can be loaded as a library on Linux: ET_DYN, with an OS ABI that ld.so takes.
    pub loadable: bool,
    /// For glibc's libc.so.6: whether it looks up names in files and by DNS without modules (since 2.34).
    pub names_built_in: bool,
    /// Libraries that it opens itself, by its own word (.note.dlopen).
    pub dlopen: Vec<Dlopen>,
    /// The symbol versions that it asks for and defines.
    pub versions: Versions,
}

impl Needs {
    /// A file that needs nothing.
    pub fn none(machine: ElfMachine) -> Needs {
        Needs {
            machine,
            interpreter: None,
            soname: None,
            libraries: Vec::new(),
            rpath: Vec::new(),
            runpath: Vec::new(),
            no_default_folders: false,
            loadable: false,
            names_built_in: false,
            dlopen: Vec::new(),
            versions: Versions::default(),
        }
    }
}

/// Whether the bytes begin as an ELF file does.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(ELFMAG)
}

/// Whether a file's name is that of a library.
pub fn is_library(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.ends_with(".so") || name.contains(".so."))
}

/// Reads what a file needs. The error is the cause alone; the caller knows the path.
pub fn needs(source: &(impl Source + ?Sized)) -> Result<Needs, ElfError> {
    let (header, ctx) = header(source)?;
    let programs = program_headers(source, &header, ctx)?;
    let machine = ElfMachine { class: header.e_ident[4], data: header.e_ident[5], machine: header.e_machine };
    let mut needs = Needs::none(machine);
    needs.loadable = header.e_type == ET_DYN && [ELFOSABI_NONE, ELFOSABI_GNU].contains(&header.e_ident[EI_OSABI]);
    for program in &programs {
        match program.p_type {
            PT_INTERP => {
                let bytes = range(source, Part::Interp, program.p_offset, program.p_filesz, STRING_BYTES_MAX as u64)?;
                needs.interpreter = Some(string_at(&bytes, 0, Part::Interpreter)?);
            }
            PT_DYNAMIC => read_dynamic(source, program, &programs, ctx, &mut needs)?,
            PT_NOTE => {
                // A note says more, never less: a bad one is passed over, as the loader does.
                if let Ok(bytes) = range(source, Part::Note, program.p_offset, program.p_filesz, NOTE_BYTES_MAX) {
                    needs.dlopen.extend(dlopen_note::read(&bytes, header.e_ident[5] == 1));
                }
            }
            _ => {}
        }
    }
    Ok(needs)
}

fn header(source: &(impl Source + ?Sized)) -> Result<(Header, Ctx), ElfError> {
    let mut bytes = vec![0; 64.min(source.len() as usize)];
    source.read_at(&mut bytes, 0)?;
    if !is_elf(&bytes) {
        return Err(ElfError::NotElf);
    }
    let header = Header::parse_any(&bytes)?;
    let container = header.container().map_err(ElfError::structure)?;
    let endian = header.endianness().map_err(ElfError::structure)?;
    Ok((header, Ctx::new(container, endian)))
}

/// goblin's own parser for a header of either class.
trait ParseAny: Sized {
    fn parse_any(bytes: &[u8]) -> Result<Self, ElfError>;
}

impl ParseAny for Header {
    fn parse_any(bytes: &[u8]) -> Result<Header, ElfError> {
        goblin::elf::Elf::parse_header(bytes).map_err(|cause| ElfError::Header(Arc::new(cause)))
    }
}

fn program_headers(source: &(impl Source + ?Sized), header: &Header, ctx: Ctx) -> Result<Vec<ProgramHeader>, ElfError> {
    if header.e_phnum == 0 {
        return Ok(Vec::new());
    }
    if header.e_phnum > PROGRAM_HEADERS_MAX {
        return Err(ElfError::TooManyProgramHeaders { count: header.e_phnum, max: PROGRAM_HEADERS_MAX });
    }
    let size = ProgramHeader::size(ctx);
    if usize::from(header.e_phentsize) != size {
        return Err(ElfError::ProgramHeaderSize { bytes: header.e_phentsize, wanted: size });
    }
    let bytes = usize::from(header.e_phnum) * size;
    let bytes = range(source, Part::ProgramHeaders, header.e_phoff, bytes as u64, bytes as u64)?;
    ProgramHeader::parse(&bytes, 0, usize::from(header.e_phnum), ctx).map_err(ElfError::structure)
}

fn read_dynamic(
    source: &(impl Source + ?Sized),
    program: &ProgramHeader,
    programs: &[ProgramHeader],
    ctx: Ctx,
    needs: &mut Needs,
) -> Result<(), ElfError> {
    let bytes = range(source, Part::Dynamic, program.p_offset, program.p_filesz, DYNAMIC_BYTES_MAX)?;
    let here = ProgramHeader { p_offset: 0, ..program.clone() };
    let Some(dynamic) = Dynamic::parse(&bytes, &[here], ctx).map_err(ElfError::structure)? else {
        return Ok(());
    };
    // The last of several counts, as it does for the loader.
    let value = |tag| dynamic.dyns.iter().rev().find(|entry| entry.d_tag == tag).map(|entry| entry.d_val);
    needs.no_default_folders = value(DT_FLAGS_1).is_some_and(|flags| flags & DF_1_NODEFLIB != 0);
    let (Some(address), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
        return match value(DT_NEEDED) {
            None => Ok(()),
            Some(_) => Err(ElfError::NoStringTable),
        };
    };
    let start = file_offset(programs, address).ok_or(ElfError::StringTableOutside)?;
    if start.checked_add(size).is_none_or(|end| end > source.len()) {
        return Err(ElfError::CutOff(Part::StringTable));
    }
    for entry in &dynamic.dyns {
        let text = || name_at(source, start, size, entry.d_val);
        match entry.d_tag {
            DT_NULL => break,
            DT_NEEDED | DT_FILTER => needs.libraries.push(text()?),
            DT_AUXILIARY => needs.dlopen.push(Dlopen::recommended(text()?)),
            DT_SONAME => needs.soname = Some(text()?),
            DT_RPATH => needs.rpath = split_paths(&text()?),
            DT_RUNPATH => needs.runpath = split_paths(&text()?),
            _ => {}
        }
    }
    needs.versions = Versions::read(source, programs, ctx, (start, size), value);
    if needs.soname.as_deref() == Some("libc.so.6") {
        let names = range(source, Part::StringTable, start, size, LIBC_NAMES_BYTES_MAX)?;
        let wanted: &[u8] = b"_nss_files_getpwnam_r";
        needs.names_built_in = names.windows(wanted.len()).any(|window| window == wanted);
    }
    Ok(())
}

fn split_paths(text: &str) -> Vec<String> {
    text.split(':').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The content of a section by name, for kernel modules; None when there is no such section.
pub fn section<'a>(bytes: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, ElfError> {
    use goblin::elf::section_header::SectionHeader;
    let (header, ctx) = header(bytes)?;
    let table = usize::from(header.e_shnum) * SectionHeader::size(ctx);
    let inside = usize::try_from(header.e_shoff).ok().and_then(|at| at.checked_add(table));
    if header.e_shoff == 0 || inside.is_none_or(|end| end > bytes.len()) {
        return Err(ElfError::NoSections);
    }
    let sections = SectionHeader::parse(bytes, header.e_shoff as usize, usize::from(header.e_shnum), ctx)
        .map_err(ElfError::structure)?;
    let content = |section: &SectionHeader| -> Option<&'a [u8]> {
        let start = usize::try_from(section.sh_offset).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(section.sh_size).ok()?)?)
    };
    let names = sections.get(usize::from(header.e_shstrndx)).and_then(content).ok_or(ElfError::NoSectionNames)?;
    for section in &sections {
        if string_at(names, section.sh_name as u64, Part::SectionName).is_ok_and(|found| found == name) {
            return content(section).map(Some).ok_or_else(|| ElfError::SectionCutOff(name.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::File;

    fn own() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_real_program_is_read() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&file).unwrap();
        assert!(needs.interpreter.unwrap().contains("ld-linux"));
        assert!(needs.libraries.iter().any(|name| name.starts_with("libc.so")));
        assert_eq!(needs.machine.class, 2);
    }

    #[test]
    fn a_section_is_found_by_name() {
        let bytes = own();
        let interp = section(&bytes, ".interp").unwrap().unwrap();
        assert!(interp.starts_with(b"/lib"));
        assert_eq!(section(&bytes, ".nothing").unwrap(), None);
    }

    #[test]
    fn what_is_not_elf_or_cut_off_says_so() {
        assert!(matches!(needs(&b"#!/bin/sh"[..]), Err(ElfError::NotElf)));
        assert!(matches!(needs(&b""[..]), Err(ElfError::NotElf)));
        let bytes = own();
        assert!(matches!(needs(&bytes[..64]), Err(ElfError::CutOff(Part::ProgramHeaders))));
        assert!(matches!(needs(&bytes[..8]), Err(ElfError::Header(_))));
        assert!(matches!(section(&bytes[..4096], ".interp"), Err(ElfError::NoSections)));
    }

    /// As ld.so and musl have it.
    #[test]
    fn of_two_string_tables_the_last_counts() {
        let mut file = vec![0; 0x240];
        file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
        let mut put = |at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        for (at, value) in [(0x10, 0x0001_003e_0003), (0x20, 64), (0x34, 0x0002_0038_0040)] {
            put(at, value);
        }
        for (at, [kind, offset, size]) in [(64, [1, 0, 0x240]), (120, [2, 0x100, 0x50])] {
            for (place, value) in [(0, kind), (8, offset), (16, offset), (32, size), (40, size)] {
                put(at + place, value);
            }
        }
        let dynamic = [[5, 0x200], [1, 1], [10, 0x20], [5, 0x220], [0, 0]];
        for (at, [tag, value]) in (0x100..).step_by(16).zip(dynamic) {
            put(at, tag);
            put(at + 8, value);
        }
        file[0x200..0x206].copy_from_slice(b"\0libx\0");
        file[0x220..0x226].copy_from_slice(b"\0liby\0");
        assert_eq!(needs(&file[..]).unwrap().libraries, ["liby"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The first page holds all headers: damage there never panics.
        #[test]
        fn damage_never_panics(
            changes in proptest::collection::vec((0usize..1024, any::<u8>()), 1..8),
            cut in 0usize..20000,
        ) {
            static OWN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let own = OWN.get_or_init(own);
            let mut bytes = own[..own.len().min(cut + 64)].to_vec();
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let _ = needs(&bytes[..]);
            let _ = section(&bytes, ".interp");
        }
    }
}
