//! A root of Debian packages that are not installed: fetched with all they depend on, and unpacked together.
//!
//! Takes package names; gives a folder in the cache that looks like a system with these packages, its dpkg
//! database included, so that the closure reads it as it reads an installed one. apt chooses the packages as
//! for an empty system and checks them against its signed lists; maintainer scripts are never run, and this
//! machine's own packages are not touched. As in `deb`, what the cache has is used without asking anyone.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xshell::Shell;

use crate::digest::hex;
use crate::error::{Context, Error, PathContext, Result};
use crate::fs::write_file;
use crate::packages::apt;
use crate::packages::cache::Cache;
use crate::spec::values::PackageName;

/// A root in the cache.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct DebRoot {
    /// Its folder, below the cache.
    pub folder: String,
    /// The package files in it, with their sha256.
    pub packages: Vec<(String, String)>,
}

/// The folders that a Debian system of today has only once.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

impl Cache {
    /// Where a root lies.
    pub fn root_folder(&self, root: &DebRoot) -> PathBuf {
        self.folder().join("root").join(&root.folder)
    }

    /// Gives a root with these packages and all they depend on.
    pub fn root_of(&self, names: &[PackageName]) -> Result<DebRoot> {
        let list = |between: &str| names.iter().map(PackageName::as_str).collect::<Vec<_>>().join(between);
        let tried = || Error::new(format!("cannot get the packages {}", list(", ")));
        let roots = self.folder().join("root");
        fs::create_dir_all(&roots).at("create", &roots)?;
        let key = hex(&Sha256::digest(list(" ").as_bytes()));
        let note = roots.join(format!("{}.json", &key[..16]));
        if !self.refreshes()
            && let Ok(text) = fs::read_to_string(&note)
            && let Ok(known) = serde_json::from_str::<DebRoot>(&text)
            && self.root_folder(&known).is_dir()
        {
            return Ok(known);
        }
        let known = fetch(names, &roots)
            .map_err(|error| error.while_trying(format!("cannot get the packages {}", list(", "))))?;
        let text = serde_json::to_string_pretty(&known).map_err(|cause| tried().because(cause))?;
        write_file(&note, text.as_bytes(), 0o600)?;
        Ok(known)
    }
}

fn fetch(names: &[PackageName], roots: &Path) -> Result<DebRoot> {
    let shell = Shell::new().context("cannot start a program")?;
    let scratch = tempfile::Builder::new().prefix(".fetch-").tempdir_in(roots).at("create a folder in", roots)?;
    let files = download(&shell, names, scratch.path())?;
    let root = scratch.path().join("root");
    for name in MERGED {
        fs::create_dir_all(root.join("usr").join(name)).at("create", &root)?;
        symlink(format!("usr/{name}"), root.join(name)).at("create a link in", &root)?;
    }
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info).at("create", &info)?;
    let mut status = String::new();
    let mut packages = Vec::new();
    for file in &files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        packages.push((name, hex(&Sha256::digest(fs::read(file).at("read", file)?))));
        let control = apt::dpkg_deb(&shell, "-f", file, None)?;
        let package = apt::field(&control, "Package").unwrap_or_default().to_owned();
        let paths = apt::dpkg_deb(&shell, "-X", file, Some(&root))?;
        let list: String =
            paths.lines().map(|line| format!("{}\n", line.trim_start_matches('.').trim_end_matches('/'))).collect();
        let place = info.join(format!("{package}.list"));
        fs::write(&place, list).at("write", &place)?;
        let _ = write!(status, "{}\nStatus: install ok unpacked\n\n", control.trim_end());
    }
    let place = root.join("var/lib/dpkg/status");
    fs::write(&place, status).at("write", &place)?;
    let sums: String = packages.iter().map(|(name, sum)| format!("{name} {sum}\n")).collect();
    let folder = hex(&Sha256::digest(sums.as_bytes()))[..32].to_owned();
    let place = roots.join(&folder);
    match fs::rename(&root, &place) {
        // Another build was faster, or the same packages serve other names: the same content is there.
        Err(_) if place.is_dir() => {}
        result => result.at("rename the unpacked packages to", &place)?,
    }
    Ok(DebRoot { folder, packages })
}

/// The package files, as apt chooses them for a system that has nothing.
fn download(shell: &Shell, names: &[PackageName], scratch: &Path) -> Result<Vec<PathBuf>> {
    let archives = scratch.join("archives");
    fs::create_dir_all(archives.join("partial")).at("create", &archives)?;
    let status = scratch.join("status");
    fs::write(&status, "").at("write", &status)?;
    let places = [
        format!("Dir::State::status={}", status.display()),
        format!("Dir::Cache::archives={}", archives.display()),
        "Debug::NoLocking=1".to_owned(),
        "Binary::apt-get::APT::Keep-Downloaded-Packages=1".to_owned(),
    ];
    let places: Vec<&str> = places.iter().flat_map(|place| ["-o", place]).collect();
    let words = [&places[..], &["-y", "--no-install-recommends", "--download-only", "install"]].concat();
    let output = apt::get(shell, &words, names)?;
    if !output.status.success() {
        return Err(apt::not_fetched(shell, names, &output));
    }
    let entries = fs::read_dir(&archives).at("list", &archives)?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .collect();
    files.sort();
    Ok(files)
}
