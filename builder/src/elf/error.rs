//! What is wrong with an ELF file, or why its bytes cannot be read.
//!
//! Variants for those who decide, sentences for operators; each is the cause alone, since the caller knows the path.
//! All can be cloned, so that a cache keeps what it found out once: causes of others are shared.

use std::error::Error as StdError;
use std::sync::Arc;
use std::{fmt, io};

/// Why bytes of a file cannot be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The system says why.
    Io(Arc<io::Error>),
    /// The offset is more than this machine can address.
    OffsetTooLarge,
    /// The range ends behind what this machine can address.
    RangeTooLarge,
    /// The range ends behind the file.
    PastEnd,
}

impl From<io::Error> for ReadError {
    fn from(cause: io::Error) -> ReadError {
        ReadError::Io(Arc::new(cause))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(cause) => cause.fmt(f),
            ReadError::OffsetTooLarge => f.write_str("offset too large"),
            ReadError::RangeTooLarge => f.write_str("range too large"),
            ReadError::PastEnd => f.write_str("the file ends before it"),
        }
    }
}

impl StdError for ReadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ReadError::Io(cause) => Some(&**cause),
            _ => None,
        }
    }
}

/// A part of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The program headers.
    ProgramHeaders,
    /// PT_INTERP.
    Interp,
    /// The path in PT_INTERP.
    Interpreter,
    /// A PT_NOTE.
    Note,
    /// PT_DYNAMIC.
    Dynamic,
    /// The string table that PT_DYNAMIC points at.
    StringTable,
    /// A name of that table.
    DynamicName,
    /// A name of a section.
    SectionName,
    /// The section headers.
    Sections,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::ProgramHeaders => "the program headers",
            Part::Interp => "PT_INTERP",
            Part::Interpreter => "the interpreter",
            Part::Note => "a note",
            Part::Dynamic => "PT_DYNAMIC",
            Part::StringTable => "the string table",
            Part::DynamicName => "a name in the dynamic section",
            Part::SectionName => "a section's name",
            Part::Sections => "the section headers",
        })
    }
}

/// What is wrong with an ELF file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ElfError {
    /// Its bytes cannot be read.
    Read(ReadError),
    /// It does not begin as an ELF file does.
    NotElf,
    /// Its header cannot be parsed.
    Header(Arc<goblin::error::Error>),
    /// A structure in it cannot be parsed.
    Structure(Arc<goblin::error::Error>),
    /// It has more program headers than are read.
    TooManyProgramHeaders {
        /// How many it has.
        count: u16,
        /// The most that are read.
        max: u16,
    },
    /// Its program headers are not as long as its class has them.
    ProgramHeaderSize {
        /// Bytes that each has by the header.
        bytes: u16,
        /// Bytes that each must have.
        wanted: usize,
    },
    /// It names libraries, and has no table of names.
    NoStringTable,
    /// The address of its table of names is loaded from nowhere.
    StringTableOutside,
    /// A part has more bytes than are read.
    TooLarge {
        /// The part.
        part: Part,
        /// How many it has.
        bytes: u64,
        /// The most that are read.
        max: u64,
    },
    /// A part ends behind the file.
    CutOff(Part),
    /// A text lies outside of where it should.
    BadOffset(Part),
    /// A text has no NUL at its end, or not soon enough.
    NoEnd(Part),
    /// A text is not UTF-8.
    NotUtf8(Part),
    /// It has no section headers, or not all of them.
    NoSections,
    /// The section that has the others' names is missing.
    NoSectionNames,
    /// The section of this name ends behind the file.
    SectionCutOff(String),
}

impl ElfError {
    /// For a structure that goblin cannot parse.
    pub(crate) fn structure(cause: goblin::error::Error) -> ElfError {
        ElfError::Structure(Arc::new(cause))
    }
}

impl From<ReadError> for ElfError {
    fn from(cause: ReadError) -> ElfError {
        ElfError::Read(cause)
    }
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElfError::Read(cause) => cause.fmt(f),
            ElfError::NotElf => f.write_str("it is not an ELF file"),
            ElfError::Header(cause) => write!(f, "its ELF header is bad: {cause}"),
            ElfError::Structure(cause) => cause.fmt(f),
            ElfError::TooManyProgramHeaders { count, max } => {
                write!(f, "it has {count} program headers, more than {max}")
            }
            ElfError::ProgramHeaderSize { bytes, wanted } => {
                write!(f, "its program headers have {bytes} bytes instead of {wanted}")
            }
            ElfError::NoStringTable => f.write_str("it names libraries but has no string table"),
            ElfError::StringTableOutside => f.write_str("its string table lies in no segment"),
            ElfError::TooLarge { part, bytes, max } => write!(f, "{part} has {bytes} bytes, more than {max}"),
            ElfError::CutOff(part) => write!(f, "{part} lies beyond the end of the file: it is cut off"),
            ElfError::BadOffset(part) => write!(f, "{part} has a bad offset"),
            ElfError::NoEnd(part) => write!(f, "{part} has no end"),
            ElfError::NotUtf8(part) => write!(f, "{part} is not UTF-8"),
            ElfError::NoSections => f.write_str("it has no section headers, or is cut off"),
            ElfError::NoSectionNames => f.write_str("its section names are missing"),
            ElfError::SectionCutOff(name) => write!(f, "section {name} is cut off"),
        }
    }
}

impl StdError for ElfError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            ElfError::Read(cause) => Some(cause),
            ElfError::Header(cause) | ElfError::Structure(cause) => Some(&**cause),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operators know these sentences: a caller puts "cannot read X" in front.
    #[test]
    fn sentences_stay_as_they_are() {
        let missing = || io::Error::from_raw_os_error(2);
        let goblin = || Arc::new(goblin::error::Error::Malformed("x".to_owned()));
        for (error, sentence) in [
            (ReadError::from(missing()).into(), "No such file or directory (os error 2)"),
            (ReadError::PastEnd.into(), "the file ends before it"),
            (ElfError::Header(goblin()), "its ELF header is bad: Malformed entity: x"),
            (ElfError::Structure(goblin()), "Malformed entity: x"),
            (ElfError::TooLarge { part: Part::Interp, bytes: 9, max: 8 }, "PT_INTERP has 9 bytes, more than 8"),
            (ElfError::CutOff(Part::StringTable), "the string table lies beyond the end of the file: it is cut off"),
            (ElfError::NoEnd(Part::DynamicName), "a name in the dynamic section has no end"),
            (ElfError::SectionCutOff(".x".to_owned()), "section .x is cut off"),
        ] {
            assert_eq!(error.to_string(), sentence);
        }
    }

    #[test]
    fn the_cause_stays_a_value() {
        let error = ElfError::from(ReadError::from(io::Error::from(io::ErrorKind::PermissionDenied))).clone();
        let cause = error.source().and_then(StdError::source).and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::PermissionDenied));
    }
}
