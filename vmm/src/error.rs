//! Takes what was tried, on what, why it failed and what to do next; gives one
//! sentence. Opaque, so that callers print it and nothing depends on its parts.

use std::fmt;

/// Why a guest could not be started or kept running.
#[derive(Debug)]
pub struct Error(Box<str>);

impl Error {
    /// `tried` names act and object, `why` the cause, `next` what a person can do.
    pub(crate) fn new(tried: impl fmt::Display, why: impl fmt::Display, next: &str) -> Self {
        Self(format!("{tried}: {why}; {next}").into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Names the act and the remedy of a result's error.
pub(crate) trait Context<T> {
    /// Turns the error into a sentence.
    fn context(self, tried: impl fmt::Display, next: &str) -> Result<T, Error>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, tried: impl fmt::Display, next: &str) -> Result<T, Error> {
        self.map_err(|why| Error::new(tried, why, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_act_cause_and_remedy() {
        let failed: Result<(), &str> = Err("no such file");
        let error = failed.context("open the kernel /k", "build it first").unwrap_err();
        assert_eq!(error.to_string(), "open the kernel /k: no such file; build it first");
    }
}
