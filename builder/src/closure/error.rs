//! Why a file cannot be loaded as a program or a library.

use std::error::Error as StdError;
use std::fmt;

use crate::elf::ElfError;
use crate::rootfs::error::RootError;

/// Why a file cannot be loaded. It can be cloned: a file that was looked into once is not looked into again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// Its root does not give it.
    Root(RootError),
    /// It is no ELF file that could be loaded.
    Elf(ElfError),
}

impl From<RootError> for LoadError {
    fn from(cause: RootError) -> LoadError {
        LoadError::Root(cause)
    }
}

impl From<ElfError> for LoadError {
    fn from(cause: ElfError) -> LoadError {
        LoadError::Elf(cause)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Root(cause) => cause.fmt(f),
            LoadError::Elf(cause) => cause.fmt(f),
        }
    }
}

impl StdError for LoadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            LoadError::Root(cause) => Some(cause),
            LoadError::Elf(cause) => Some(cause),
        }
    }
}
