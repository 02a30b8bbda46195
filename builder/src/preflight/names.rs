//! Binaries and packages by name: whether the root has the one, and the root, the cache or apt's lists the other.

use std::collections::BTreeSet;

use super::part::Part;
use crate::error::Result;
use crate::image::programs;
use crate::packages::apt;
use crate::packages::cache::Cache;
use crate::packages::dpkg::Database;
use crate::rootfs::root::{PROGRAM_FOLDERS, Rootfs};
use crate::rootfs::sysroot::Sysroot;
use crate::spec::reading::Reading;
use crate::ui::suggest;

/// Notes binaries that the root does not have.
pub fn binaries(part: &Part, reading: &mut Reading) {
    let root = Sysroot::new(&part.spec.root);
    let root: &dyn Rootfs = &root;
    for binary in &part.spec.binaries {
        let (there, folders): (bool, Vec<&str>) = match binary.rsplit_once('/') {
            Some((folder, _)) if binary.starts_with('/') => (root.find_file(binary).is_some(), vec![folder]),
            Some(_) => (false, Vec::new()),
            None => (root.find_program(binary).is_some(), PROGRAM_FOLDERS.to_vec()),
        };
        if there {
            continue;
        }
        let key = format!("{}.binaries", part.table);
        let name = binary.rsplit('/').next().unwrap_or_default();
        let known: BTreeSet<String> = folders.iter().flat_map(|folder| programs_in(root, folder)).collect();
        let near = suggest::nearest(name, known.iter().map(String::as_str));
        let remedy = match (near, binary.rsplit_once('/')) {
            (Some(near), Some((folder, _))) => format!("did you mean {:?}?", format!("{folder}/{near}")),
            (Some(near), None) => format!("did you mean {near:?}?"),
            (None, _) => "install the package that has it, name the package in packages, or write its full path".into(),
        };
        let message = match binary.strip_prefix('/') {
            Some(_) => format!("{} does not exist or is not a file", root.describe(binary)),
            None => format!("no folder for programs under {} has {binary:?}", root.describe("/")),
        };
        reading.note(&key, binary, message, remedy);
    }
}

/// The files that may be run in a folder of the root.
fn programs_in(root: &dyn Rootfs, folder: &str) -> Vec<String> {
    let Some(found) = root.find(folder) else { return Vec::new() };
    root.list(&found.real)
}

/// Notes packages that neither the root, the cache nor apt's lists have; gives why they could not be looked for.
pub fn packages(part: &Part, reading: &mut Reading, cache: &Cache) -> Result<Option<String>> {
    let names = match programs::packages_to_fetch(part.spec) {
        Ok(names) => names,
        Err(error) => {
            let first = part.spec.packages.first().map_or("", |name| name.as_str());
            let remedy = error.help_text().unwrap_or("name its programs with binaries").to_owned();
            reading.note(&format!("{}.packages", part.table), first, error.cause(), remedy);
            return Ok(None);
        }
    };
    if names.is_empty() || cache.has_root_of(&names) {
        return Ok(None);
    }
    let list = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let not_checked = |why: &str| Ok(Some(format!("the packages {list} of [{}]: {why}", part.table)));
    let shell = apt::shell()?;
    match apt::has_lists(&shell) {
        Err(_) => return not_checked("apt cannot be run here"),
        Ok(false) => return not_checked("apt has no lists of packages here: run `apt-get update` (as root)"),
        Ok(true) => {}
    }
    let mut unknown = Vec::new();
    for name in &names {
        if apt::control(&shell, name)?.is_none() {
            unknown.push(name);
        }
    }
    if unknown.is_empty() {
        return Ok(None);
    }
    let known = apt::names(&shell)?;
    let installed = Database::open(&part.spec.root);
    for name in unknown {
        let near = suggest::nearest(name.as_str(), known.iter().map(String::as_str).chain(installed.names()));
        let remedy = match near {
            Some(near) => format!("did you mean {near:?}?"),
            None => "correct the name; `apt-get update` (as root) brings newer lists".to_owned(),
        };
        let message = format!("apt's lists have no package {:?}", name.as_str());
        reading.note(&format!("{}.packages", part.table), name.as_str(), message, remedy);
    }
    Ok(None)
}
