//! A unified kernel image: one EFI program that holds kernel, initramfs and command line.
//!
//! Takes a stub (systemd's linuxx64.efi.stub) and the parts; gives the stub with each part as one more section, as the
//! UAPI group's specification of unified kernel images says. Format: Microsoft's PE specification. Every offset that
//! the stub gives is checked.

use std::fmt;

/// Sections are loaded at multiples of this: a page, whatever the stub says.
const PAGE_BYTES: u32 = 0x1000;
const SECTION_HEADER_BYTES: usize = 40;
/// Most that PE allows sections to be aligned to in a file.
const FILE_ALIGNMENT_MAX: u32 = 64 << 10;
/// CNT_INITIALIZED_DATA and MEM_READ.
const READ_ONLY_DATA: u32 = 0x4000_0040;

/// Where the headers of a PE file have what has to change.
struct PeHeaders {
    /// The COFF header.
    coff: usize,
    /// The optional header.
    optional: usize,
    sections: usize,
    section_count: usize,
    file_alignment: u32,
    section_alignment: u32,
    headers_bytes: usize,
}

/// Why no unified kernel image can be made of a stub.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UkiError {
    /// The stub does not begin as DOS and Windows have it.
    NoMz,
    /// The stub has no PE header where it says.
    NoPeSignature,
    /// The stub is for another class of machines.
    Not64Bit,
    /// The stub ends before what its headers speak of.
    CutOff,
    /// No program can have such headers.
    Contradiction,
    /// The stub's headers end where the new ones should stand.
    NoRoom {
        /// How many sections were to come.
        sections: usize,
    },
    /// A section of the stub ends behind it.
    SectionPastEnd,
    /// A section of the stub ends beyond the addresses that there are.
    SectionBeyond4Gib,
    /// A new section ends beyond the sizes and addresses that there are.
    PartTooLarge {
        /// Its name.
        section: String,
    },
    /// The finished image ends beyond the addresses that there are.
    ImageTooLarge,
}

impl fmt::Display for UkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UkiError::NoMz => f.write_str("it is not a PE file (no MZ)"),
            UkiError::NoPeSignature => f.write_str("it is not a PE file (no PE signature)"),
            UkiError::Not64Bit => f.write_str("it is not a 64-bit PE file"),
            UkiError::CutOff => f.write_str("it is cut off"),
            UkiError::Contradiction => f.write_str("its headers contradict themselves"),
            UkiError::NoRoom { sections } => write!(f, "its headers have no room for {sections} more sections"),
            UkiError::SectionPastEnd => f.write_str("one of its sections lies beyond its end"),
            UkiError::SectionBeyond4Gib => f.write_str("one of its sections lies beyond 4 GiB"),
            UkiError::PartTooLarge { section } => write!(f, "the section {section} does not fit into 4 GiB"),
            UkiError::ImageTooLarge => f.write_str("the image does not fit into 4 GiB"),
        }
    }
}

impl std::error::Error for UkiError {}

/// Adds sections to a stub.
pub fn assemble(stub: &[u8], parts: &[(&str, &[u8])]) -> Result<Vec<u8>, UkiError> {
    let layout = PeHeaders::read(stub)?;
    let table_end = layout.sections + (layout.section_count + parts.len()) * SECTION_HEADER_BYTES;
    if table_end > layout.headers_bytes {
        return Err(UkiError::NoRoom { sections: parts.len() });
    }
    let (mut file_end, mut memory_end) = (layout.headers_bytes, 0u32);
    for index in 0..layout.section_count {
        let at = layout.sections + index * SECTION_HEADER_BYTES;
        let (size, address) = (word(stub, at + 8)?, word(stub, at + 12)?);
        let (raw_size, raw) = (word(stub, at + 16)?, word(stub, at + 20)?);
        let end = raw as usize + raw_size as usize;
        if end > stub.len() {
            return Err(UkiError::SectionPastEnd);
        }
        file_end = file_end.max(end);
        let end = address.checked_add(size.max(raw_size)).ok_or(UkiError::SectionBeyond4Gib)?;
        memory_end = memory_end.max(end);
    }
    // What follows the sections (symbols, a signature) does not hold for the new program, and goes.
    let mut image = stub[..file_end].to_vec();
    let mut added = 0u32;
    for (index, (name, data)) in parts.iter().enumerate() {
        let too_large = || UkiError::PartTooLarge { section: (*name).to_owned() };
        let size = u32::try_from(data.len()).map_err(|_| too_large())?;
        let alignment = layout.section_alignment.max(PAGE_BYTES);
        let address = memory_end.checked_next_multiple_of(alignment).ok_or_else(too_large)?;
        image.resize(image.len().next_multiple_of(layout.file_alignment as usize), 0);
        let raw = u32::try_from(image.len()).map_err(|_| too_large())?;
        let raw_size = size.checked_next_multiple_of(layout.file_alignment).ok_or_else(too_large)?;
        image.extend_from_slice(data);
        image.resize(raw as usize + raw_size as usize, 0);
        let at = layout.sections + (layout.section_count + index) * SECTION_HEADER_BYTES;
        let mut header = [0; SECTION_HEADER_BYTES];
        header[..name.len().min(8)].copy_from_slice(&name.as_bytes()[..name.len().min(8)]);
        for (place, value) in [(8, size), (12, address), (16, raw_size), (20, raw), (36, READ_ONLY_DATA)] {
            header[place..place + 4].copy_from_slice(&value.to_le_bytes());
        }
        image[at..at + SECTION_HEADER_BYTES].copy_from_slice(&header);
        memory_end = address.checked_add(raw_size).ok_or_else(too_large)?;
        added = added.checked_add(raw_size).ok_or_else(too_large)?;
    }
    let count = (layout.section_count + parts.len()) as u16;
    image[layout.coff + 2..layout.coff + 4].copy_from_slice(&count.to_le_bytes());
    let memory = memory_end.checked_next_multiple_of(layout.section_alignment.max(PAGE_BYTES));
    let memory = memory.ok_or(UkiError::ImageTooLarge)?;
    let data = word(stub, layout.optional + 8)?.saturating_add(added);
    // No symbols, no checksum (EFI checks none), the new sizes.
    let changes = [(layout.coff + 8, 0), (layout.coff + 12, 0), (layout.optional + 8, data)];
    for (at, value) in changes.into_iter().chain([(layout.optional + 56, memory), (layout.optional + 64, 0)]) {
        image[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
    }
    Ok(image)
}

impl PeHeaders {
    fn read(stub: &[u8]) -> Result<PeHeaders, UkiError> {
        if !stub.starts_with(b"MZ") {
            return Err(UkiError::NoMz);
        }
        let pe = word(stub, 0x3c)? as usize;
        if stub.get(pe..pe + 4) != Some(b"PE\0\0") {
            return Err(UkiError::NoPeSignature);
        }
        let coff = pe + 4;
        let optional = coff + 20;
        if half(stub, optional)? != 0x20b {
            return Err(UkiError::Not64Bit);
        }
        let layout = PeHeaders {
            coff,
            optional,
            sections: optional + usize::from(half(stub, coff + 16)?),
            section_count: usize::from(half(stub, coff + 2)?),
            section_alignment: word(stub, optional + 32)?,
            file_alignment: word(stub, optional + 36)?,
            headers_bytes: word(stub, optional + 60)? as usize,
        };
        let powers = layout.file_alignment.is_power_of_two() && layout.section_alignment.is_power_of_two();
        // 72 bytes of the optional header are read and written.
        let too_far = layout.file_alignment > FILE_ALIGNMENT_MAX;
        if !powers || too_far || layout.headers_bytes > stub.len() || layout.sections < optional + 72 {
            return Err(UkiError::Contradiction);
        }
        Ok(layout)
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, UkiError> {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).ok_or(UkiError::CutOff)?;
    Ok(u32::from_le_bytes(bytes))
}

fn half(bytes: &[u8], at: usize) -> Result<u16, UkiError> {
    let bytes = bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).ok_or(UkiError::CutOff)?;
    Ok(u16::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The least PE file: one section of 0x200 bytes, and a tail that no header knows.
    fn stub() -> Vec<u8> {
        let mut stub = vec![0; 0x400];
        stub[..2].copy_from_slice(b"MZ");
        stub[0x3c] = 0x40;
        stub[0x40..0x44].copy_from_slice(b"PE\0\0");
        let mut put = |at: usize, value: u32| stub[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0x46, 1);
        put(0x54, 112);
        put(0x58, 0x20b);
        for (at, value) in [(32, 0x200), (36, 0x200), (56, 0x1400), (60, 0x200)] {
            put(0x58 + at, value);
        }
        for (at, value) in [(8, 0x180), (12, 0x1000), (16, 0x200), (20, 0x200)] {
            put(0x58 + 112 + at, value);
        }
        stub.extend(b"symbols");
        stub
    }

    #[test]
    fn each_part_becomes_a_section_on_a_page_of_its_own() {
        let image = assemble(&stub(), &[(".cmdline", b"quiet"), (".linux", &[7; 5000])]).unwrap();
        let layout = PeHeaders::read(&image).unwrap();
        assert_eq!(layout.section_count, 3);
        let section = |index: usize| {
            let at = layout.sections + index * SECTION_HEADER_BYTES;
            let word = |offset| word(&image, at + offset).unwrap();
            let (size, address, raw) = (word(8), word(12), word(20) as usize);
            (&image[at..at + 8], address, &image[raw..raw + size as usize])
        };
        assert_eq!(section(1), (&b".cmdline"[..], 0x2000, &b"quiet"[..]));
        assert_eq!(section(2), (&b".linux\0\0"[..], 0x3000, &[7; 5000][..]));
        assert_eq!(word(&image, layout.optional + 56).unwrap(), 0x5000, "the size in memory");
        assert!(!image.windows(7).any(|window| window == b"symbols"));
    }

    #[test]
    fn what_is_no_stub_or_has_no_room_is_refused() {
        assert_eq!(assemble(b"\x7fELF", &[]), Err(UkiError::NoMz));
        assert_eq!(assemble(&stub()[..0x50], &[]), Err(UkiError::CutOff));
        let parts = [(".x", &b""[..]); 9];
        let error = assemble(&stub(), &parts).unwrap_err();
        assert_eq!(error, UkiError::NoRoom { sections: 9 });
        assert_eq!(error.to_string(), "its headers have no room for 9 more sections");
    }

    /// Sections are padded to it: two would take gigabytes.
    #[test]
    fn no_file_is_aligned_to_more_than_pe_allows() {
        let aligned = |bytes: u32| {
            let mut stub = stub();
            stub[0x58 + 36..0x58 + 40].copy_from_slice(&bytes.to_le_bytes());
            assemble(&stub, &[(".linux", b"kernel")])
        };
        assert!(aligned(FILE_ALIGNMENT_MAX).is_ok_and(|image| image.len() == 2 * FILE_ALIGNMENT_MAX as usize));
        assert_eq!(aligned(2 * FILE_ALIGNMENT_MAX).err(), Some(UkiError::Contradiction));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..0x140, byte: u8, cut in 0usize..0x410) {
            let mut stub = stub();
            stub[at] = byte;
            stub.truncate(cut);
            let _ = assemble(&stub, &[(".linux", b"kernel")]);
        }
    }
}
