//! A spec that was read, and all that is wrong with it so far: later stages add what only they can see, at the line
//! that says it, so that the operator sees every mistake at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data::{Source, Spec};
use super::diagnose::{self, Files};
use super::kinds::Backend;
use super::parse;
use crate::error::Result;
use crate::network::limits;

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

    /// Notes what of a network hosts cannot run.
    pub fn check_network(&mut self) {
        let found = self.spec.as_ref().and_then(|spec| Some((spec, spec.network.as_ref()?)));
        let limits = found.map(|(spec, network)| limits::of(&network.network, spec.backend == Backend::Qemu));
        for (message, remedy) in limits.unwrap_or_default() {
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
