//! Debian packages as input: fetched with apt-get download (which checks them against the signed
//! lists), unpacked with dpkg-deb into a cache, never installed.
//!
//! What the cache has is used without asking anyone, so a second build needs no network; `refresh`
//! asks again. A folder of the cache appears whole or not at all: it is unpacked beside its place and
//! renamed, so that two builds at a time do not disturb each other.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xshell::Shell;

use crate::digest::hex;
use crate::error::{Context, Error, PathContext, Result};
use crate::fs::write_file;
use crate::packages::cache::Cache;
use crate::packages::{apt, dpkg};
use crate::spec::values::PackageName;

/// An unpacked package.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct UnpackedPackage {
    /// The package that was asked for.
    pub asked: String,
    /// The package that holds the files: another one when a metapackage was asked for.
    pub package: String,
    /// The file's name with version and architecture.
    pub file: String,
    /// sha256 of the package file.
    pub sha256: String,
    /// The folder it is unpacked in, below the cache.
    pub folder: String,
}

impl Cache {
    /// The folder of an unpacked package.
    pub fn folder_of(&self, package: &UnpackedPackage) -> PathBuf {
        self.folder().join("deb").join(&package.folder)
    }

    /// Gives a package, fetched and unpacked if the cache does not have it.
    pub fn package(&self, name: &PackageName) -> Result<UnpackedPackage> {
        self.known_or_fetched(name).map_err(Error::of_machine)
    }

    fn known_or_fetched(&self, name: &PackageName) -> Result<UnpackedPackage> {
        let tried = || Error::new(format!("cannot get the package {name}"));
        let packages = self.folder().join("deb");
        fs::create_dir_all(&packages).at("create", &packages)?;
        let note = packages.join(format!("{name}.json"));
        if !self.refreshes()
            && let Ok(text) = fs::read_to_string(&note)
            && let Ok(known) = serde_json::from_str::<UnpackedPackage>(&text)
            && self.folder_of(&known).is_dir()
        {
            return Ok(known);
        }
        self.may_fetch(&format!("the package {name}"))?;
        let known = self
            .fetch(name, &packages)
            .map_err(|error| error.while_trying(format!("cannot get the package {name}")))?;
        let text = serde_json::to_string_pretty(&known).map_err(|cause| tried().because(cause))?;
        write_file(&note, text.as_bytes(), 0o600)?;
        Ok(known)
    }

    fn fetch(&self, name: &PackageName, packages: &Path) -> Result<UnpackedPackage> {
        let shell = Shell::new().context("cannot start a program")?;
        let package = real_package(&shell, name)?;
        let scratch =
            tempfile::Builder::new().prefix(".fetch-").tempdir_in(packages).at("create a folder in", packages)?;
        let _here = shell.push_dir(scratch.path());
        download(&shell, &package)?;
        let deb = the_deb(scratch.path(), &package)?;
        let file = deb.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let sha256 = hex(&Sha256::digest(fs::read(&deb).at("read", &deb)?));
        let folder = format!("{}-{}", file.trim_end_matches(".deb").replace("%3a", ":"), &sha256[..16]);
        let unpacked = scratch.path().join("unpacked");
        apt::dpkg_deb(&shell, "-x", &deb, Some(&unpacked))?;
        let place = packages.join(&folder);
        match fs::rename(&unpacked, &place) {
            // Another build was faster: the same content is there.
            Err(_) if place.is_dir() => {}
            result => result.at("rename the unpacked package to", &place)?,
        }
        let (asked, package) = (name.to_string(), package.to_string());
        Ok(UnpackedPackage { asked, package, file, sha256, folder })
    }
}

/// The package with the files: linux-image-cloud-amd64 only depends on the newest kernel's package.
fn real_package(shell: &Shell, name: &PackageName) -> Result<PackageName> {
    // linux-image-6.1.0-56-amd64 holds a kernel; linux-image-amd64 depends on the newest.
    let kernel =
        |name: &str| name.strip_prefix("linux-image-").map(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if kernel(name.as_str()) != Some(false) {
        return Ok(name.clone());
    }
    let control = apt::control(shell, name)?.unwrap_or_default();
    let depends = dpkg::alternatives(apt::field(&control, "Depends").unwrap_or_default());
    let newest = depends.iter().flatten().find(|name| kernel(name).is_some());
    Ok(newest.and_then(|name| PackageName::parse(name)).unwrap_or_else(|| name.clone()))
}

fn download(shell: &Shell, package: &PackageName) -> Result<()> {
    let names = std::slice::from_ref(package);
    let output = apt::get(shell, &["download"], names)?;
    if output.status.success() { Ok(()) } else { Err(apt::not_fetched(shell, names, &output)) }
}

fn the_deb(folder: &Path, package: &PackageName) -> Result<PathBuf> {
    let files = fs::read_dir(folder).at("list", folder)?;
    files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| {
            Error::new(format!("cannot find the file of {package}"))
                .because("apt-get download left none")
                .help("try again")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PackageName {
        PackageName::parse(text).unwrap()
    }

    #[test]
    fn what_the_cache_has_is_used_without_asking() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path(), false);
        let known = UnpackedPackage {
            asked: "no-such-package".to_owned(),
            package: "no-such-package".to_owned(),
            file: "x.deb".to_owned(),
            sha256: "00".to_owned(),
            folder: "x".to_owned(),
        };
        fs::create_dir_all(cache.folder_of(&known)).unwrap();
        fs::write(folder.path().join("deb/no-such-package.json"), serde_json::to_string(&known).unwrap()).unwrap();
        assert_eq!(cache.package(&name("no-such-package")).unwrap(), known);
    }

    #[test]
    fn a_package_that_does_not_exist_is_an_error_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let error = Cache::at(folder.path(), false).package(&name("no-such-package-at-all")).unwrap_err().to_string();
        assert!(error.contains("no-such-package-at-all") && error.contains("help: "), "{error}");
        let left: Vec<_> = fs::read_dir(folder.path().join("deb")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
