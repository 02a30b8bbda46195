//! What is wrong with a file that is imported: the line, the cause, and what to do.

use std::fmt;

/// A mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// The line, from 1; 0 where it is the whole file.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub help: Option<&'static str>,
}

impl ImportError {
    /// A mistake in a line.
    pub fn new(line: usize, message: impl Into<String>) -> ImportError {
        ImportError { line, message: message.into(), help: None }
    }

    /// Says what to do next.
    pub fn help(mut self, help: &'static str) -> ImportError {
        self.help = Some(help);
        self
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for ImportError {}

/// A reader's result.
pub type Result<T> = std::result::Result<T, ImportError>;
