//! A spec that was read, and all that is wrong with it so far: later stages add what only they can see, at the line
//! that says it, so that the operator sees every mistake at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data::{Source, Spec};
use super::diagnose::{self, Files};
use super::parse;
use crate::error::Result;

/// A spec with its mistakes.
pub struct Reading {
    /// What was read, as far as it could be: what is wrong is left out, or has its default.
    pub spec: Option<Spec>,
    path: PathBuf,
    files: Files,
}

impl Reading {
    /// Reads a spec and all that it includes.
    ///
    /// # Errors
    /// When a file cannot be read: every other mistake is noted.
    pub fn of(path: &Path) -> Result<Reading> {
        let (spec, files) = parse::read(path)?;
        Ok(Reading { spec, path: path.to_owned(), files })
    }

    /// Notes a mistake where a key, such as `host.binaries`, has this value.
    pub fn note(&mut self, key: &str, value: &str, message: impl Into<String>, remedy: impl Into<String>) {
        diagnose::note(&mut self.files, key, value, message, remedy);
    }

    /// Notes what cannot be built yet: guests do not get the cards and links of a network.
    pub fn refuse_network(&mut self) {
        if self.spec.as_ref().is_some_and(|spec| spec.network.is_some()) {
            let message = "guests do not get the links of a network yet: it cannot be built or booted";
            let remedy = "`vmatic check`, `draw` and `route` look at it; remove [network] to build and boot without it";
            self.note("network", "", message, remedy);
        }
    }

    /// Whether nothing is wrong so far.
    pub fn is_right(&self) -> bool {
        self.spec.is_some() && self.files.iter().all(|(_, problems)| problems.is_empty())
    }

    /// The spec, if nothing is wrong.
    ///
    /// # Errors
    /// Tells every mistake.
    pub fn finish(self) -> Result<Spec> {
        match self.spec {
            Some(spec) if self.files.iter().all(|(_, problems)| problems.is_empty()) => {
                Ok(Spec { source: Source(Arc::new(self.files)), ..spec })
            }
            _ => Err(diagnose::error(&self.path, &self.files)),
        }
    }
}

impl Spec {
    /// Loads and checks a spec and all that it includes; the error holds every mistake.
    ///
    /// # Errors
    /// When a file cannot be read, or anything in it is wrong.
    pub fn load(path: &Path) -> Result<Spec> {
        Reading::of(path)?.finish()
    }
}
