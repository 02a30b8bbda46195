//! The one error type of the builder: a sentence that says what was tried and on which path, why it
//! failed, and what to do next; with the exit code that the process ends with.

use std::fmt;
use std::process::ExitCode;

/// How a `vmatic` process ends. The numbers are part of the command's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok,
    /// Something failed.
    Failed,
    /// The command line was wrong.
    Usage,
    /// The spec was wrong.
    Spec,
    /// Some nodes failed or did not answer.
    Nodes,
    /// A deadline passed.
    Timeout,
    /// What was compared differs.
    Differs,
    /// A program on a node ended with this.
    Status(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Spec => 3,
            Exit::Nodes => 4,
            Exit::Timeout => 5,
            Exit::Differs => 6,
            Exit::Status(status) => status,
        })
    }
}

/// What went wrong: the attempt, the cause, the remedy, and the exit code.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    tried: String,
    because: Vec<String>,
    remedy: Option<String>,
}

impl Error {
    /// An error that says what was tried, e.g. "cannot read /x".
    pub fn new(tried: impl Into<String>) -> Error {
        Error { exit: Exit::Failed, tried: tried.into(), because: Vec::new(), remedy: None }
    }

    /// Adds the cause; a chain of several calls reads from the nearest cause to the last.
    pub fn because(mut self, cause: impl fmt::Display) -> Error {
        self.because.push(cause.to_string());
        self
    }

    /// Says what to do next.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Error {
        self.remedy = Some(remedy.into());
        self
    }

    /// Sets the exit code; [`Exit::Failed`] unless said otherwise.
    pub fn exit(mut self, exit: Exit) -> Error {
        self.exit = exit;
        self
    }

    /// Puts a wider attempt in front: "cannot build h" because "cannot read /x" because ...
    pub fn while_trying(self, tried: impl Into<String>) -> Error {
        let mut because = vec![self.tried];
        because.extend(self.because);
        Error { exit: self.exit, tried: tried.into(), because, remedy: self.remedy }
    }

    /// What was tried and why it failed, without the remedy.
    pub fn cause(&self) -> String {
        [&self.tried].into_iter().chain(&self.because).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// What to do next, if the error knows.
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The exit code that goes with this error.
    pub fn exit_code(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tried)?;
        for cause in &self.because {
            write!(f, ": {cause}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\nhelp: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// `vmatic`'s result.
pub type Result<T> = std::result::Result<T, Error>;

/// Turns an I/O result into one of ours, naming the attempt and the path.
pub trait At<T> {
    /// `file.read(...).at("read", path)` becomes "cannot read PATH: CAUSE".
    fn at(self, verb: &str, path: impl AsRef<std::path::Path>) -> Result<T>;
}

impl<T, E: fmt::Display + IsFull> At<T> for std::result::Result<T, E> {
    fn at(self, verb: &str, path: impl AsRef<std::path::Path>) -> Result<T> {
        self.map_err(|cause| {
            let full = cause.is_full();
            let error = Error::new(format!("cannot {verb} {}", path.as_ref().display())).because(cause);
            if full {
                error.remedy("free some space on that file system, or choose another folder with --out DIR")
            } else {
                error
            }
        })
    }
}

/// Whether an error says that a disk (or quota) is full; such errors get their own remedy.
pub trait IsFull {
    /// True for ENOSPC and EDQUOT.
    fn is_full(&self) -> bool;
}

impl IsFull for std::io::Error {
    fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.kind(), StorageFull | QuotaExceeded)
    }
}

impl IsFull for rustix::io::Errno {
    fn is_full(&self) -> bool {
        matches!(*self, rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)
    }
}

impl IsFull for walkdir::Error {
    fn is_full(&self) -> bool {
        self.io_error().is_some_and(IsFull::is_full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_attempt_causes_remedy() {
        let error = Error::new("cannot read /x").because("gone").remedy("make it").while_trying("cannot build h");
        assert_eq!(error.to_string(), "cannot build h: cannot read /x: gone\nhelp: make it");
    }

    #[test]
    fn a_full_disk_gets_its_own_remedy() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Err::<(), _>(full).at("write", "/out/x").expect_err("is an error");
        assert!(error.to_string().contains("free some space"), "{error}");
    }
}
