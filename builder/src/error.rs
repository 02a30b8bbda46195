//! The one error type of the builder and the console: what was tried, its cause, and what to do next.
//!
//! It prints as `cannot X: cause`, and on a line of its own `help: ...`. The cause stays a value ([`source`]); what
//! callers decide by is the kind, never the sentence. The kind also says with which status the process ends.
//!
//! [`source`]: std::error::Error::source

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// How a `vmatic` process ends. The numbers are part of the command's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Ok,
    /// What was asked for failed.
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
    /// An output was longer than an answer holds: the rest of it is lost.
    CutOff,
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
            Exit::CutOff => 7,
            Exit::Status(status) => status,
        })
    }
}

/// What sort of error it is: what callers decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None of the others.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The spec is wrong, or what it names.
    Spec,
    /// The machine that vmatic runs on cannot: its disk is full or closed to us, a server does not answer, a program is
    /// not there.
    Machine,
    /// Something would have to be fetched, and nothing was to be.
    NotAtHand,
    /// A deadline passed.
    Timeout,
    /// The cluster belongs to another operator key.
    WrongKey,
    /// The cluster refuses the command, and would refuse it again.
    Refused,
    /// There was no console session, or it was lost.
    NoSession,
}

/// What causes an error: another error, or a sentence where there is none.
type Cause = Box<dyn StdError + Send + Sync>;

/// A cause, and what stands behind it.
#[derive(Debug)]
struct Chained {
    first: Cause,
    then: Cause,
}

impl fmt::Display for Chained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.first, self.then)
    }
}

impl StdError for Chained {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.first)
    }
}

/// What went wrong.
pub struct Error {
    kind: Kind,
    tried: String,
    source: Option<Cause>,
    help: Option<String>,
}

impl Error {
    /// An error that says what was tried, e.g. "cannot read /x".
    pub fn new(tried: impl Into<String>) -> Error {
        Error { kind: Kind::Failed, tried: tried.into(), source: None, help: None }
    }

    /// Sets the cause; of several, each stands behind the one before. Of a cause that is one of ours, kind and help are
    /// this error's unless it has its own.
    pub fn because(mut self, cause: impl Into<Cause>) -> Error {
        let mut cause = cause.into();
        if let Some(inner) = cause.downcast_mut::<Error>() {
            let help = inner.help.take();
            self.help = self.help.or(help);
            self.kind = if self.kind == Kind::Failed { inner.kind } else { self.kind };
        }
        self.source = Some(match self.source {
            Some(first) => Box::new(Chained { first, then: cause }),
            None => cause,
        });
        self
    }

    /// Says what to do next.
    pub fn help(mut self, help: impl Into<String>) -> Error {
        self.help = Some(help.into());
        self
    }

    /// Sets the kind; [`Kind::Failed`] unless said otherwise.
    pub(crate) fn of_kind(mut self, kind: Kind) -> Error {
        self.kind = kind;
        self
    }

    /// Says that it is the machine's, if the system's answer caused it and nobody knows better: for what only the
    /// machine decides, such as whether a cache can be written.
    pub(crate) fn of_machine(self) -> Error {
        let mut cause = self.source();
        let mut systems = false;
        while let Some(error) = cause {
            systems |= error.is::<std::io::Error>() || error.is::<rustix::io::Errno>();
            cause = error.source();
        }
        if systems && self.kind == Kind::Failed { self.of_kind(Kind::Machine) } else { self }
    }

    /// Puts a wider attempt in front: "cannot build h" because "cannot read /x" because ...
    pub fn while_trying(self, tried: impl Into<String>) -> Error {
        Error::new(tried).because(self)
    }

    /// What was tried and why it failed, without the help.
    pub fn cause(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {source}", self.tried),
            None => self.tried.clone(),
        }
    }

    /// What to do next, if the error knows.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The kind, by which callers decide.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The status that the process ends with.
    pub fn exit(&self) -> Exit {
        match self.kind {
            Kind::Failed | Kind::Machine | Kind::NotAtHand | Kind::WrongKey | Kind::Refused => Exit::Failed,
            Kind::Usage => Exit::Usage,
            Kind::Spec => Exit::Spec,
            Kind::Timeout => Exit::Timeout,
            // As ssh has it.
            Kind::NoSession => Exit::Status(255),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
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

/// `vmatic`'s result.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was tried when something failed.
pub trait Context<T> {
    /// `send().context("cannot send")` becomes "cannot send: CAUSE".
    fn context(self, tried: &'static str) -> Result<T>;

    /// The same with a sentence that is made only when it is needed.
    fn with_context<S: Into<String>>(self, tried: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Cause>> Context<T> for std::result::Result<T, E> {
    fn context(self, tried: &'static str) -> Result<T> {
        self.map_err(|cause| Error::new(tried).because(cause))
    }

    fn with_context<S: Into<String>>(self, tried: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|cause| Error::new(tried()).because(cause))
    }
}

/// Says what was tried on which path.
pub trait PathContext<T> {
    /// `fs::read(path).at("read", path)` becomes "cannot read PATH: CAUSE".
    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<Cause> + IsFull> PathContext<T> for std::result::Result<T, E> {
    fn at(self, verb: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|cause| {
            let (full, machines) = (cause.is_full(), cause.is_machines());
            let kind = if machines { Kind::Machine } else { Kind::Failed };
            let error = Error::new(format!("cannot {verb} {}", path.as_ref().display())).because(cause).of_kind(kind);
            if full {
                error.help("free some space on that file system, or choose another folder with --out DIR")
            } else {
                error
            }
        })
    }
}

/// Whether an error says that a disk (or quota) is full, which gets its own help, or else that the machine is at fault.
pub trait IsFull {
    /// True for ENOSPC and EDQUOT.
    fn is_full(&self) -> bool;

    /// True for these, and for a disk that takes or gives nothing, and memory or descriptors that are used up.
    fn is_machines(&self) -> bool;
}

/// What only whoever keeps the machine can mend.
///
/// Not that something is closed to us (EACCES, EPERM): what a spec names may be, and then the spec is wrong. Whoever
/// writes to the cache or an output folder says so itself ([`Error::of_machine`]).
const MACHINES: [rustix::io::Errno; 7] = {
    use rustix::io::Errno;
    [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::IO, Errno::NOMEM, Errno::MFILE, Errno::NFILE]
};

impl IsFull for std::io::Error {
    fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.kind(), StorageFull | QuotaExceeded)
    }

    fn is_machines(&self) -> bool {
        self.is_full() || rustix::io::Errno::from_io_error(self).is_some_and(|errno| errno.is_machines())
    }
}

impl IsFull for rustix::io::Errno {
    fn is_full(&self) -> bool {
        matches!(*self, rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)
    }

    fn is_machines(&self) -> bool {
        MACHINES.contains(self)
    }
}

impl IsFull for walkdir::Error {
    fn is_full(&self) -> bool {
        self.io_error().is_some_and(IsFull::is_full)
    }

    fn is_machines(&self) -> bool {
        self.io_error().is_some_and(IsFull::is_machines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_attempt_causes_help() {
        let error = Error::new("cannot read /x").because("gone").help("make it").while_trying("cannot build h");
        assert_eq!(error.to_string(), "cannot build h: cannot read /x: gone\nhelp: make it");
        assert_eq!(error.cause(), "cannot build h: cannot read /x: gone");
        assert_eq!(Error::new("cannot a").because("b").because("c").to_string(), "cannot a: b: c");
    }

    #[test]
    fn the_cause_stays_a_value_and_the_kind_survives_what_is_put_in_front() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = Err::<(), _>(cause).at("read", "/x").map_err(|error| error.of_kind(Kind::Spec));
        let error = error.context("cannot build h").unwrap_err();
        assert_eq!((error.kind(), error.exit()), (Kind::Spec, Exit::Spec));
        let inner =
            error.source().and_then(StdError::source).and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(inner.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
    }

    #[test]
    fn a_fault_of_the_machine_is_told_from_others() {
        let at = |errno: rustix::io::Errno| Err::<(), _>(errno).at("write", "/x").unwrap_err();
        assert_eq!(at(rustix::io::Errno::ROFS).while_trying("cannot build").kind(), Kind::Machine);
        for errno in [rustix::io::Errno::NOENT, rustix::io::Errno::ACCESS, rustix::io::Errno::PERM] {
            assert_eq!(at(errno).kind(), Kind::Failed);
            assert_eq!(at(errno).of_machine().kind(), Kind::Machine);
        }
        assert_eq!(at(rustix::io::Errno::NOENT).while_trying("cannot fetch").of_machine().kind(), Kind::Machine);
        assert_eq!(at(rustix::io::Errno::NOENT).of_kind(Kind::Spec).of_machine().kind(), Kind::Spec);
        assert_eq!(Error::new("cannot x").because("no such name").of_machine().kind(), Kind::Failed);
    }

    #[test]
    fn a_full_disk_gets_its_own_help() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Err::<(), _>(full).at("write", "/out/x").unwrap_err();
        assert!(error.to_string().contains("free some space"), "{error}");
    }
}
