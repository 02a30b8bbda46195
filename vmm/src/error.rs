//! The error of this crate: what was tried, on what, why it failed and what to do next.
//!
//! Opaque, so that callers print it and nothing depends on its parts; its cause is its source.

use std::error::Error as StdError;
use std::fmt;

/// What an error's cause may be: any error, or a text.
type Cause = Box<dyn StdError + Send + Sync>;

/// Why a guest could not be started or kept running.
#[derive(Debug)]
pub struct Error {
    tried: Box<str>,
    cause: Cause,
    help: Box<str>,
}

impl Error {
    /// `tried` names act and object behind "cannot", `cause` says why, `help` what a person can do.
    pub(crate) fn new(tried: impl fmt::Display, cause: impl Into<Cause>, help: &str) -> Self {
        Self { tried: tried.to_string().into(), cause: cause.into(), help: help.into() }
    }

    /// What a person can do.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for Error {
    /// One line, for a host's log: `cannot X: cause; help: ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}; help: {}", self.tried, self.cause, self.help)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}

/// Names the act and the remedy of a result's error.
pub(crate) trait Context<T> {
    /// Keeps the error as the cause.
    fn context(self, tried: impl fmt::Display, help: &str) -> Result<T, Error>;
}

impl<T, E: Into<Cause>> Context<T> for Result<T, E> {
    fn context(self, tried: impl fmt::Display, help: &str) -> Result<T, Error> {
        self.map_err(|cause| Error::new(tried, cause, help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn it_says_act_cause_and_remedy_and_keeps_the_cause() {
        let failed: io::Result<()> = Err(io::ErrorKind::NotFound.into());
        let error = failed.context("open the kernel /k", "build it first").unwrap_err();
        assert_eq!(error.to_string(), "cannot open the kernel /k: entity not found; help: build it first");
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::NotFound));
        assert_eq!(error.help(), "build it first");
    }
}
