//! The cache: packages, roots, kernels and members of images that were made before.
//!
//! One folder on disk, which builds share. What it has is used without asking anyone, unless newer packages are asked
//! for; each stage that keeps something there makes it appear whole or not at all.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// A folder of what was fetched or made before, and whether newer packages are wanted.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    refresh: bool,
    offline: bool,
}

impl Cache {
    /// The cache at $VMATIC_CACHE, else $XDG_CACHE_HOME/vmatic, else ~/.cache/vmatic.
    pub fn open(refresh: bool) -> Result<Cache> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = variable("VMATIC_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("vmatic")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/vmatic")))
            .ok_or_else(|| {
                Error::new("cannot find a folder for the cache")
                    .because("neither VMATIC_CACHE, XDG_CACHE_HOME nor HOME is set")
                    .help("set VMATIC_CACHE to a folder that may be written")
            })?;
        Ok(Cache::at(folder, refresh))
    }

    /// A cache in this folder.
    pub fn at(folder: impl Into<PathBuf>, refresh: bool) -> Cache {
        Cache { folder: folder.into(), refresh, offline: false }
    }

    /// The folder of the kernels that were built here.
    pub fn kernels(&self) -> PathBuf {
        self.folder.join("kernels")
    }

    /// The folder of packed members of images.
    pub fn members(&self) -> PathBuf {
        self.folder.join("members")
    }

    /// The folder of the cache.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The same cache, from which nothing is fetched: what it does not have is an error of its own kind.
    pub fn offline(&self) -> Cache {
        Cache { offline: true, refresh: false, ..self.clone() }
    }

    /// Refuses to fetch `what` where nothing is to be fetched.
    pub(super) fn may_fetch(&self, what: &str) -> Result<()> {
        if !self.offline {
            return Ok(());
        }
        Err(Error::new(format!("cannot find {what} in the cache {}", self.folder.display()))
            .because("nothing is to be fetched")
            .help("run `vmatic build`, which fetches it")
            .of_kind(Kind::NotAtHand))
    }

    /// Whether newer packages are asked for even where the cache has some.
    pub fn refreshes(&self) -> bool {
        self.refresh
    }
}
