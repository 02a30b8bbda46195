//! Where bytes of an ELF file come from, and how a range, a name or a text of it is read: bounded, or refused.

use std::fs::File;
use std::os::unix::fs::FileExt;

use goblin::elf::program_header::{PT_LOAD, ProgramHeader};

use super::error::{ElfError, Part, ReadError};

/// Longest interpreter path, search path or library name.
pub const STRING_BYTES_MAX: usize = 65_536;

/// Bytes that can be read at an offset: a file or a slice.
pub trait Source {
    /// Bytes of the whole file.
    fn len(&self) -> u64;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Fills the buffer from `offset`, or says why not.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError>;
}

impl Source for File {
    fn len(&self) -> u64 {
        self.metadata().map_or(0, |metadata| metadata.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        Ok(self.read_exact_at(buffer, offset)?)
    }
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        let start = usize::try_from(offset).map_err(|_| ReadError::OffsetTooLarge)?;
        let end = start.checked_add(buffer.len()).ok_or(ReadError::RangeTooLarge)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(ReadError::PastEnd)?);
        Ok(())
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        (**self).read_at(buffer, offset)
    }
}

/// A name of the string table, read alone: the table of a large library has megabytes, its names here a few.
pub(super) fn name_at(source: &(impl Source + ?Sized), start: u64, size: u64, offset: u64) -> Result<String, ElfError> {
    const CHUNK: u64 = 128;
    if offset >= size {
        return Err(ElfError::BadOffset(Part::DynamicName));
    }
    let mut bytes = Vec::new();
    while bytes.len() < STRING_BYTES_MAX {
        let at = offset + bytes.len() as u64;
        let mut chunk = vec![0; CHUNK.min(size.saturating_sub(at)) as usize];
        if chunk.is_empty() {
            break;
        }
        source.read_at(&mut chunk, start + at)?;
        let found = chunk.contains(&0);
        bytes.extend(chunk);
        if found {
            break;
        }
    }
    string_at(&bytes, 0, Part::DynamicName)
}

pub(super) fn file_offset(programs: &[ProgramHeader], address: u64) -> Option<u64> {
    programs.iter().filter(|program| program.p_type == PT_LOAD).find_map(|program| {
        let inside = address.checked_sub(program.p_vaddr)?;
        (inside < program.p_filesz).then(|| program.p_offset.checked_add(inside)).flatten()
    })
}

/// A range of the file, refused when it is larger than `max` or leaves the file.
pub(super) fn range(
    source: &(impl Source + ?Sized),
    part: Part,
    offset: u64,
    size: u64,
    max: u64,
) -> Result<Vec<u8>, ElfError> {
    if size > max {
        return Err(ElfError::TooLarge { part, bytes: size, max });
    }
    if offset.checked_add(size).is_none_or(|end| end > source.len()) {
        return Err(ElfError::CutOff(part));
    }
    let mut bytes = vec![0; size as usize];
    source.read_at(&mut bytes, offset)?;
    Ok(bytes)
}

pub(super) fn string_at(bytes: &[u8], offset: u64, part: Part) -> Result<String, ElfError> {
    let tail = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).ok_or(ElfError::BadOffset(part))?;
    let end = tail.iter().take(STRING_BYTES_MAX).position(|byte| *byte == 0);
    let text = &tail[..end.ok_or(ElfError::NoEnd(part))?];
    String::from_utf8(text.to_vec()).map_err(|_| ElfError::NotUtf8(part))
}
