//! The one error type of the host's agent: what was tried, its cause, and what to do next.
//!
//! It prints on one line, for the host's console: `cannot X: cause; help: ...`. The cause stays a value ([`source`]);
//! what callers decide by is the kind, never the sentence.
//!
//! [`source`]: std::error::Error::source

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// What sort of error it is: what callers decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None of the others.
    Failed,
    /// The command line is wrong.
    Usage,
}

/// What causes an error: another error, or a sentence where there is none.
type Cause = Box<dyn StdError + Send + Sync>;

/// What went wrong.
pub struct Error {
    kind: Kind,
    tried: Cow<'static, str>,
    source: Option<Cause>,
    help: Option<&'static str>,
}

impl Error {
    /// An error of which `tried` completes "cannot ...".
    pub fn new(tried: impl Into<Cow<'static, str>>) -> Self {
        Error { kind: Kind::Failed, tried: tried.into(), source: None, help: None }
    }

    /// Sets the cause. Of one of ours, kind and help are this error's unless it has its own.
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        let mut cause = cause.into();
        if let Some(inner) = cause.downcast_mut::<Error>() {
            self.help = self.help.or(inner.help.take());
            self.kind = if self.kind == Kind::Failed { inner.kind } else { self.kind };
        }
        self.source = Some(cause);
        self
    }

    /// Says what to do next.
    pub fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }

    /// Sets the kind; [`Kind::Failed`] unless said otherwise.
    pub fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.tried)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        match self.help {
            Some(help) => write!(f, "; help: {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&**self.source.as_ref()? as &(dyn StdError + 'static))
    }
}

/// Says what was tried when something failed.
pub trait Context<T> {
    /// `send().context("send")` becomes "cannot send: CAUSE".
    fn context(self, tried: &'static str) -> Result<T, Error>;

    /// The same with words that are made only when they are needed.
    fn with_context(self, tried: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<Cause>> Context<T> for Result<T, E> {
    fn context(self, tried: &'static str) -> Result<T, Error> {
        self.map_err(|cause| Error::new(tried).because(cause))
    }

    fn with_context(self, tried: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|cause| Error::new(tried()).because(cause))
    }
}

/// A host that is none of the plan's.
pub fn no_host(host: vmatic_plan::HostId) -> Error {
    Error::new(format!("find host {host} in the plan")).because("there is no such host")
}

/// A guest that is none of the plan's. Without its number, so that equal failures of many guests fold.
pub fn no_guest() -> Error {
    Error::new("find the guest in the plan").because("there is no such guest")
}

/// An errno of `vmatic-sys` as the system words it.
pub fn os_error(e: vmatic_sys::calls::Errno) -> std::io::Error {
    std::io::Error::from_raw_os_error(e.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn an_error_reads_as_attempt_cause_help_and_keeps_its_cause() {
        let error = Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)).context("read /x").unwrap_err();
        let error = Err::<(), _>(error.help("make it").of_kind(Kind::Usage)).with_context(|| "start".into());
        let error = error.unwrap_err();
        assert_eq!(error.to_string(), "cannot start: cannot read /x: entity not found; help: make it");
        assert_eq!(error.kind(), Kind::Usage);
        let inner = error.source().and_then(StdError::source).and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(inner.map(io::Error::kind), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn a_sentence_is_a_cause_too_and_what_is_said_outside_goes_before() {
        let inner = Error::new("b").because("c").help("inner");
        assert_eq!(Error::new("a").help("outer").because(inner).to_string(), "cannot a: cannot b: c; help: outer");
    }
}
