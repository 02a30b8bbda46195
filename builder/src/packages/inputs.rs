//! The inputs of one build: what was taken from elsewhere, found on disk and noted for the manifest.
//!
//! Takes what the spec names; gives folders. Each input is noted once, in the order in which it was first asked for.

use std::path::PathBuf;

use crate::error::Result;
use crate::manifest::InputRecord;
use crate::packages::cache::Cache;
use crate::spec::values::{Input, PackageName};

/// The inputs of a build so far.
pub struct Inputs<'a> {
    /// Where they lie.
    pub cache: &'a Cache,
    /// What was taken.
    pub records: Vec<InputRecord>,
}

/// An input, found on disk.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The folder that has its files.
    pub folder: PathBuf,
    /// What the manifest calls it, e.g. the package's file.
    pub origin: String,
}

impl<'a> Inputs<'a> {
    /// The inputs of a build that begins: none yet.
    pub fn new(cache: &'a Cache) -> Inputs<'a> {
        Inputs { cache, records: Vec::new() }
    }

    /// Finds an input: a package is fetched if the cache does not have it.
    pub fn fetch(&mut self, input: &Input) -> Result<Fetched> {
        match input {
            Input::Debian(name) => self.package(name),
            Input::Folder(folder) => {
                let text = format!("dir:{}", folder.file_name().unwrap_or_default().to_string_lossy());
                self.note(InputRecord { asked: text.clone(), file: text.clone(), sha256: None });
                Ok(Fetched { folder: folder.clone(), origin: text })
            }
        }
    }

    /// A Debian package.
    pub fn package(&mut self, name: &PackageName) -> Result<Fetched> {
        let package = self.cache.package(name)?;
        let folder = self.cache.folder_of(&package);
        let file = package.file.clone();
        self.note(InputRecord { asked: format!("debian:{name}"), file: package.file, sha256: Some(package.sha256) });
        Ok(Fetched { folder, origin: file })
    }

    /// A root with packages and all that they depend on.
    pub fn root_of(&mut self, names: &[PackageName]) -> Result<PathBuf> {
        let root = self.cache.root_of(names)?;
        let asked = names.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", ");
        for (file, sum) in &root.packages {
            let asked = format!("packages {asked}");
            self.note(InputRecord { asked, file: file.clone(), sha256: Some(sum.clone()) });
        }
        Ok(self.cache.root_folder(&root))
    }

    /// Notes what was taken.
    pub fn note(&mut self, record: InputRecord) {
        if !self.records.contains(&record) {
            self.records.push(record);
        }
    }
}
