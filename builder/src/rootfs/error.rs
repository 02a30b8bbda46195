//! Why a path of a root or of a tree cannot be used.
//!
//! Each is the cause alone: the caller knows the path that was asked for, and says what it tried.

use std::error::Error as StdError;
use std::sync::Arc;
use std::{fmt, io};

use crate::elf::ReadError;
use crate::rootfs::links::LINKS_FOLLOWED_MAX;

/// Why a file of a root cannot be opened or read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RootError {
    /// A file on disk cannot be opened; the system says why.
    Open(Arc<io::Error>),
    /// A tree in memory has no file at this path.
    NoFile,
    /// It is open, and its bytes cannot be read.
    Read(ReadError),
}

impl From<io::Error> for RootError {
    fn from(cause: io::Error) -> RootError {
        RootError::Open(Arc::new(cause))
    }
}

impl From<ReadError> for RootError {
    fn from(cause: ReadError) -> RootError {
        RootError::Read(cause)
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RootError::Open(cause) => cause.fmt(f),
            RootError::NoFile => f.write_str("it is no file of the image"),
            RootError::Read(cause) => cause.fmt(f),
        }
    }
}

impl StdError for RootError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            RootError::Open(cause) => Some(&**cause),
            RootError::NoFile => None,
            RootError::Read(cause) => Some(cause),
        }
    }
}

/// A path leads through more than [`LINKS_FOLLOWED_MAX`] links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyLinks {
    /// The path, from the root of the tree.
    pub path: String,
}

impl fmt::Display for TooManyLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {LINKS_FOLLOWED_MAX} links to follow in {}", self.path)
    }
}

impl StdError for TooManyLinks {}
