//! Programs of an image: the binaries and packages that the spec names, and what the programs and scripts of
//! its overlays and files need, laid into the tree with reasons.
//!
//! Takes the spec's image and the tree so far; nothing that the tree has already is brought again, and an
//! overlay's file stays when the root would bring another one at its path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::closure::{Certainty, Closure, Need};
use crate::elf::{ldcache, script};
use crate::error::{Error, Kind, PathContext, Result};
use crate::image::setup::{self, Alternatives, Setup};
use crate::image::{check, modes};
use crate::packages::dpkg::Database;
use crate::packages::owners::{Owner, Owners};
use crate::rootfs::hardlinks::HardLinks;
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;
use crate::rootfs::tree::{Entry, FileTree, LayerName, Why};
use crate::spec::ImageSpec;
use crate::spec::values::PackageName;

/// What the operator should know of an image's programs.
#[derive(Debug, Default)]
pub struct Remarks {
    /// What is likely to matter.
    pub warnings: Vec<String>,
    /// What is there to be known: files that were only likely and are left out.
    pub notes: Vec<String>,
}

impl Remarks {
    fn extend(&mut self, other: Remarks) {
        self.warnings.extend(other.warnings);
        self.notes.extend(other.notes);
    }
}

/// Lays the programs into the tree; gives what the operator should know. `fetched` is a root with the
/// packages that the spec's own root does not have.
pub fn add(spec: &ImageSpec, fetched: Option<&Path>, tree: &mut FileTree) -> Result<Remarks> {
    let mut alternatives = Alternatives::default();
    let has = |database: &Database, name: &str| database.has(name);
    let mut said = from_root(spec, &spec.root, &spec.binaries, &has, tree, &mut alternatives)?;
    if let Some(fetched) = fetched {
        let own = Database::open(&spec.root);
        said.extend(from_root(spec, fetched, &[], &|_, name| !own.has(name), tree, &mut alternatives)?);
    }
    said.warnings.extend(alternatives.lay(tree));
    Ok(said)
}

/// A program that an image gets for VMatic's own sake.
pub struct ExtraProgram {
    /// The root that has it.
    pub root: PathBuf,
    /// The path of the program in the root.
    pub binary: &'static str,
    /// Files that it reads.
    pub files: &'static [&'static str],
    /// Why it is in the image, as `vmatic why` shows it.
    pub reason: &'static str,
}

/// Lays such a program into the tree, with the libraries that it needs and nothing more of its package.
pub fn add_extra(extra: &ExtraProgram, tree: &mut FileTree) -> Result<Vec<String>> {
    let root = Sysroot::new(&extra.root);
    let before = tree.clone();
    let mut closure = Closure::new(&root).on_top_of(&before).libraries_only();
    closure.add(extra.binary)?;
    for file in extra.files {
        closure.include(file, extra.reason, Some(extra.binary), check::kind_of(file));
    }
    closure.complete_image(check::programs(tree));
    closure.check().map_err(|error| error.while_trying(format!("cannot bring {}", extra.binary)))?;
    let owners = Owners::of(&root, &extra.root);
    let owned = lay(&closure, &root, &owners, tree)?;
    let mut warnings = warnings(&closure, &root);
    let database = Database::open(&extra.root);
    let setup = Setup { root: &root, database: &database, owners: &owners, packages: &[], accounts: &[], owned };
    warnings.extend(setup::apply(&setup, tree)?.warnings);
    Ok(warnings)
}

/// The packages of a spec that its root does not have.
///
/// # Errors
/// When the root is not Debian's: libraries of two distributions do not fit each other.
pub fn packages_to_fetch(spec: &ImageSpec) -> Result<Vec<PackageName>> {
    const OTHERS: [(&str, &str); 4] =
        [("var/lib/rpm", "rpm"), ("usr/lib/sysimage/rpm", "rpm"), ("lib/apk/db", "apk"), ("var/lib/pacman", "pacman")];
    // The database is megabytes of text, and most images take no packages.
    if spec.packages.is_empty() {
        return Ok(Vec::new());
    }
    let database = Database::open(&spec.root);
    if let Some(first) = spec.packages.first().filter(|_| !database.exists()) {
        let other = OTHERS.iter().find(|(folder, _)| spec.root.join(folder).is_dir());
        let whose = other.map_or(String::new(), |(_, whose)| format!(": its packages are {whose}'s"));
        return Err(Error::new(format!("cannot take the package {first} into an image of {}", spec.root.display()))
            .because(format!("the root has no database of dpkg (var/lib/dpkg/status){whose}"))
            .help("name its programs with binaries = [...], which needs no packages, or set root to a Debian system")
            .of_kind(Kind::Spec));
    }
    Ok(spec.packages.iter().filter(|name| !database.has(name.as_str())).cloned().collect())
}

fn from_root(
    spec: &ImageSpec,
    folder: &Path,
    binaries: &[String],
    wanted: &dyn Fn(&Database, &str) -> bool,
    tree: &mut FileTree,
    alternatives: &mut Alternatives,
) -> Result<Remarks> {
    let root = Sysroot::new(folder);
    // What another root's packages chose is there in the end, if not by these links.
    let mut before = tree.clone();
    alternatives.lay(&mut before);
    let mut closure = Closure::new(&root).on_top_of(&before).library_path(&spec.library_path).strict(spec.strict);
    let mut named = Vec::new();
    for binary in binaries {
        let path = closure.add(binary)?;
        named.extend((&root as &dyn Rootfs).find(&path).map(|found| found.real));
        named.push(path);
    }
    let database = Database::open(folder);
    let packages: Vec<PackageName> =
        spec.packages.iter().filter(|name| wanted(&database, name.as_str())).cloned().collect();
    let mut unread = Vec::new();
    let chosen = database.chosen(&packages, spec.package_depth)?;
    for (package, asked_by) in &chosen {
        let reason = match asked_by {
            None => format!("package {package}"),
            Some(by) => format!("package {package}, which {by} depends on"),
        };
        for path in database.files(package)? {
            match absent_interpreter(&path, &root, &before) {
                None => closure.include(&path, &reason, None, check::kind_of(&path)),
                Some(name) => unread.push(format!("{path} ({name})")),
            }
        }
    }
    closure.complete_image(check::programs(tree));
    if !spec.strict {
        closure.include_likely();
    }
    closure.check().map_err(|error| error.while_trying("cannot complete the programs of the image"))?;
    let owners = Owners::of(&root, folder);
    let owned = lay(&closure, &root, &owners, tree)?;
    let mut warnings = warnings(&closure, &root);
    if !unread.is_empty() {
        let scripts = setup::fold(unread.into_iter());
        warnings
            .push(format!("scripts of packages left out, whose interpreter is not there: {scripts} (add its package)"));
    }
    let packages: Vec<String> = chosen.into_iter().map(|(package, _)| package).collect();
    // Of a package of which only a program was asked for, the accounts count: it gives up its rights to one.
    let mut accounts: Vec<String> =
        if named.is_empty() { Vec::new() } else { database.owners(named.iter()).into_values().collect() };
    accounts.retain(|package| !packages.contains(package));
    let setup =
        Setup { root: &root, database: &database, owners: &owners, packages: &packages, accounts: &accounts, owned };
    let made = setup::apply(&setup, tree)?;
    warnings.extend(made.warnings);
    alternatives.add(made.choices);
    let notes = left_out(&closure, true);
    Ok(Remarks { warnings, notes })
}

/// The interpreter that a package's script asks for, if neither root nor image has it.
fn absent_interpreter(path: &str, root: &dyn Rootfs, image: &dyn Rootfs) -> Option<String> {
    let found = root.find_file(path).filter(|found| root.runs(&found.real))?;
    let line = script::interpreter(&root.head(&found.real, script::LINE_BYTES_MAX).ok()?)?;
    let there = |place: &dyn Rootfs, name: &str| match name.starts_with('/') {
        true => place.find_file(name).is_some(),
        false => place.find_program(name).is_some(),
    };
    let mut names = [Some(line.path), line.program].into_iter().flatten();
    names.find(|name| !there(root, name) && !there(image, name))
}

/// Lays a closure's files over the tree; gives those that are not root's.
fn lay(closure: &Closure, root: &Sysroot, owners: &Owners, tree: &mut FileTree) -> Result<Vec<(String, Owner)>> {
    let mut owned = Vec::new();
    let mut note = |path: &str, disk: &Path| {
        let owner = fs::symlink_metadata(disk).map_or((None, None), |about| owners.owner(path, &about));
        if owner != (None, None) {
            owned.push((path.to_owned(), owner));
        }
    };
    for (path, target) in &closure.links {
        add_link(tree, path, target)?;
    }
    for (path, need) in &closure.folders {
        let mut why = Why::new(LayerName::Binaries, reason(need));
        why.needed_by = need.needed_by.clone();
        make_folders(path, root, &why, tree, &mut note)?;
        if tree.real_path(path).is_none() {
            tree.insert(path, Entry::dir(folder_mode(path, root), why))?;
            note(path, &root.on_disk(path));
        }
    }
    let mut links = HardLinks::default();
    for (path, need) in &closure.files {
        if tree.get(path).is_some_and(|entry| stays(&entry.why.layer)) {
            continue;
        }
        let disk = root.on_disk(path);
        let mut why = Why::new(LayerName::Binaries, reason(need)).origin(path);
        why.needed_by = need.needed_by.clone();
        make_folders(path, root, &why, tree, &mut note)?;
        let entry = links.entry(&disk, file_mode(path, &disk)?, why, tree)?;
        tree.insert(path, entry)?;
        note(path, &disk);
    }
    for (path, text) in &closure.made {
        if tree.get(path).is_none() {
            let why = Why::new(LayerName::Binaries, "what services of PAM include, as pam-auth-update makes it");
            tree.insert(path, Entry::file(text.as_bytes(), 0o644, why))?;
        }
    }
    add_cache(closure, tree)?;
    Ok(owned)
}

/// Makes the folders above a path that are not there yet, with the rights that they have in the root: what they keep
/// from others stays so.
fn make_folders(
    path: &str,
    root: &Sysroot,
    why: &Why,
    tree: &mut FileTree,
    note: &mut dyn FnMut(&str, &Path),
) -> Result<()> {
    let above = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    if tree.real_path(above).is_some() {
        return Ok(());
    }
    for (at, _) in path.match_indices('/').skip(1) {
        let folder = &path[..at];
        if tree.real_path(folder).is_none() && tree.get(folder).is_none() {
            let why = Why::new(why.layer.clone(), "a parent directory").needed_by(path);
            tree.insert(folder, Entry::dir(folder_mode(folder, root), why))?;
            note(folder, &root.on_disk(folder));
        }
    }
    Ok(())
}

/// Why a file is there, as the manifest keeps it.
fn reason(need: &Need) -> String {
    match need.certainty {
        Certainty::Certain => need.reason.clone(),
        Certainty::Likely => format!("likely: {}", need.reason),
    }
}

/// Layers whose files a binary does not replace.
fn stays(layer: &LayerName) -> bool {
    matches!(layer, LayerName::Overlay(_) | LayerName::Files)
}

/// The image's ld.so.cache, when a library was found by ld.so.conf.
fn add_cache(closure: &Closure, tree: &mut FileTree) -> Result<()> {
    const PATH: &str = "/etc/ld.so.cache";
    if closure.cache.is_empty() {
        return Ok(());
    }
    let place: &dyn Rootfs = tree;
    let known = place.find_file(PATH).and_then(|found| place.head(&found.real, usize::MAX).ok());
    let mut cache = known.and_then(|bytes| ldcache::read(&bytes)).unwrap_or_default();
    cache.extend(closure.cache.clone());
    let why = Why::new(LayerName::Binaries, "where libraries are that ld.so.conf of the root leads to");
    tree.insert(PATH, Entry::file(ldcache::write(&cache, true), 0o644, why))
}

/// A link of the root. A base's empty folder gives way to it (usr/lib64 of a system that has none), and
/// so does a link to one file (an applet of BusyBox); a link to a folder that the image has stays.
fn add_link(tree: &mut FileTree, path: &str, target: &str) -> Result<()> {
    let link = |tree: &mut FileTree| {
        tree.insert(
            path,
            Entry::symlink(target, Why::new(LayerName::Binaries, "link on the way to a binary or library")),
        )
    };
    match tree.get(path).map(|entry| (entry.kind(), stays(&entry.why.layer))) {
        None => link(tree),
        Some(("directory", _)) => {
            let real = tree.real_path(path).unwrap_or_default();
            if !tree.names_in(&real).is_empty() {
                return Err(Error::new(format!("cannot put the link {path} -> {target} into the image"))
                    .because("an earlier layer has a folder with files there")
                    .help(format!("let the base or overlay have the link {path} -> {target} too")));
            }
            tree.whiteout(path)?;
            link(tree)
        }
        Some(("link", false)) => {
            let real = tree.real_path(path);
            let file = real.and_then(|real| tree.get(&real)).is_some_and(|entry| entry.kind() == "file");
            if file { link(tree) } else { Ok(()) }
        }
        Some(_) => Ok(()),
    }
}

/// A file's mode in the root, without what depends on who installed it. Settings keep theirs: sudo and sshd refuse
/// others.
fn file_mode(path: &str, disk: &Path) -> Result<u32> {
    let mode = fs::metadata(disk).at("read", disk)?.mode() & 0o7777;
    Ok(if path.starts_with("/etc/") { mode } else { modes::of_root(mode, false) })
}

/// A folder's mode in the root; those of settings and data keep theirs whole.
fn folder_mode(path: &str, root: &Sysroot) -> u32 {
    let own = path.starts_with("/etc/") || path.starts_with("/var/");
    let mode = fs::metadata(root.on_disk(path)).map(|about| about.mode() & 0o7777);
    mode.map_or(0o755, |mode| if own { mode } else { modes::of_root(mode, true) })
}

/// What was left out, a line for each cause: what was only likely, or the rest.
fn left_out(closure: &Closure, likely: bool) -> Vec<String> {
    let mut causes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, why) in &closure.left_out {
        if closure.likely_left_out.contains(path) == likely {
            causes.entry(why).or_default().push(path.clone());
        }
    }
    let what = if likely { "likely to be used, but left out" } else { "left out" };
    let line = |(why, paths): (&str, Vec<String>)| match &paths[..] {
        [path] => format!("{path} is {what}: {why}"),
        _ => format!("{} files are {what}, each because {why}: {}", paths.len(), setup::fold(paths.iter().cloned())),
    };
    causes.into_iter().map(line).collect()
}

/// What was left out, lost or is worth knowing.
fn warnings(closure: &Closure, root: &Sysroot) -> Vec<String> {
    let mut warnings: Vec<String> = closure.notes.iter().cloned().collect();
    warnings.extend(left_out(closure, false));
    let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in closure.files.keys().chain(closure.folders.keys()) {
        if let Some(names) = check::attributes(&root.on_disk(path)) {
            lost.entry(names).or_default().push(path.clone());
        }
    }
    warnings.extend(lost.into_iter().map(|(names, paths)| {
        let paths = setup::fold(paths.into_iter());
        format!("{names} is lost, since an initramfs has no extended attributes: {paths} ({})", check::without(&names))
    }));
    warnings
}
