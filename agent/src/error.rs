//! The agent's errors: sentences that say what was tried, where, why it failed, and what to do.

use std::fmt;

/// What went wrong, for a person.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    /// An error with this sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Error(sentence.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Adds what was tried to an error that only says why.
pub trait Context<T> {
    /// `tried` completes "cannot ...".
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|e| Error(format!("cannot {}: {e}", tried())))
    }
}

/// An errno of `vmatic-sys` as the system words it.
pub fn os_error(e: vmatic_sys::calls::Errno) -> std::io::Error {
    std::io::Error::from_raw_os_error(e.0)
}
