//! The lock file: every input of a build by its hash, so that a later build can refuse any other.
//!
//! Takes a manifest; gives the text of SPEC.lock, or what differs from one. Packages and kernels are named by the
//! hash of their file; a layer, which is many files, by the hash of its paths, modes, owners and contents.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::error::{Context, Error, Kind, PathContext, Result};
use crate::fs::write_file;
use crate::manifest::{FileRecord, Manifest};

const VERSION: u32 = 1;
const HEAD: &str = "# Written by `vmatic build --lock`; `vmatic build --locked` refuses any other input.\n";
/// What vmatic itself makes from other inputs: it would only repeat their hashes.
const MADE_HERE: [&str; 2] = ["/boot/guest/", "/etc/vmatic/"];

/// All inputs of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    input: Vec<Input>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// What asked for it: a package, or an image's layer.
    asked: String,
    /// The file, for what is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    file: Option<String>,
    sha256: String,
}

impl Lock {
    /// The inputs of a finished build.
    pub fn of(manifest: &Manifest) -> Lock {
        let packages = manifest.inputs.iter().filter_map(|input| {
            let sha256 = input.sha256.clone()?;
            Some(Input { asked: input.asked.clone(), file: Some(input.file.clone()), sha256 })
        });
        let mut layers: BTreeMap<String, Sha256> = BTreeMap::new();
        for image in &manifest.images {
            for file in image.files.iter().filter(|file| !MADE_HERE.iter().any(|made| file.path.starts_with(made))) {
                let name = format!("{} image, {}", image.which, file.layer);
                layers.entry(name).or_default().update(line(file));
            }
        }
        let layers = layers.into_iter().map(|(asked, hash)| Input { asked, file: None, sha256: hex(&hash.finalize()) });
        Lock { version: VERSION, input: packages.chain(layers).collect() }
    }

    /// Where the lock of a spec lies: laptop.toml has laptop.lock.
    pub fn path(spec: &Path) -> PathBuf {
        spec.with_extension("lock")
    }

    /// Writes the lock beside its spec, whole or not at all; gives its path.
    pub fn write(&self, spec: &Path) -> Result<PathBuf> {
        let path = Lock::path(spec);
        let text = toml::to_string(self).context("cannot write the lock")?;
        write_file(&path, format!("{HEAD}\n{text}").as_bytes(), 0o644)?;
        Ok(path)
    }

    /// Compares with the spec's lock; every difference is named.
    pub fn check(&self, spec: &Path) -> Result<()> {
        let path = Lock::path(spec);
        let tried = || {
            Error::new("cannot build with --locked")
                .because(format!("the inputs are not those of {}", path.display()))
                .of_kind(Kind::Spec)
        };
        let text = fs::read_to_string(&path)
            .at("read the lock", &path)
            .map_err(|error| error.help("write it with `vmatic build --lock`").of_kind(Kind::Spec))?;
        let locked: Lock = toml::from_str(&text).map_err(|cause| {
            Error::new(format!("cannot read {}", path.display())).because(cause).help("write it again with --lock")
        })?;
        let differences = self.differences(&locked);
        if differences.is_empty() {
            return Ok(());
        }
        Err(tried()
            .because(format!("\n    {}", differences.join("\n    ")))
            .help("put the old inputs back, or accept these with `vmatic build --lock`"))
    }

    fn differences(&self, locked: &Lock) -> Vec<String> {
        let name = |input: &Input| input.file.clone().unwrap_or_else(|| input.sha256.chars().take(12).collect());
        let mut differences = Vec::new();
        for input in &self.input {
            match locked.input.iter().find(|other| other.asked == input.asked) {
                None => differences.push(format!("{}: {} is not in the lock", input.asked, name(input))),
                Some(other) if other.sha256 != input.sha256 => {
                    differences.push(format!("{}: {} instead of {}", input.asked, name(input), name(other)));
                }
                Some(_) => {}
            }
        }
        let gone = locked.input.iter().filter(|other| !self.input.iter().any(|input| input.asked == other.asked));
        differences.extend(gone.map(|other| format!("{}: {} is not used any more", other.asked, name(other))));
        differences
    }
}

fn line(file: &FileRecord) -> String {
    let content = file.sha256.as_ref().or(file.target.as_ref()).map_or("", String::as_str);
    format!("{}\0{}\0{}\0{}:{}\0{content}\0", file.path, file.kind, file.mode, file.uid, file.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(inputs: &[(&str, &str)]) -> Lock {
        let input = |(asked, sha256): &(&str, &str)| Input {
            asked: (*asked).to_owned(),
            file: None,
            sha256: (*sha256).to_owned(),
        };
        Lock { version: VERSION, input: inputs.iter().map(input).collect() }
    }

    #[test]
    fn a_lock_reads_back_and_names_every_difference() {
        let folder = tempfile::tempdir().unwrap();
        let spec = folder.path().join("x.toml");
        let old = lock(&[("a", "1"), ("b", "2"), ("gone", "3")]);
        assert_eq!(old.write(&spec).unwrap(), folder.path().join("x.lock"));
        old.check(&spec).unwrap();
        let error = lock(&[("a", "1"), ("b", "9"), ("new", "4")]).check(&spec).unwrap_err().to_string();
        for difference in ["b: 9 instead of 2", "new: 4 is not in the lock", "gone: 3 is not used any more"] {
            assert!(error.contains(difference), "{error}");
        }
        assert!(!error.contains("\n    a:"), "{error}");
    }

    #[test]
    fn without_a_lock_locked_is_an_error_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = lock(&[]).check(&folder.path().join("x.toml")).unwrap_err().to_string();
        assert!(error.contains("--lock"), "{error}");
    }
}
