//! Programs of an image: the binaries and packages that the spec names, and what the programs and scripts of
//! its overlays and files need, laid into the tree with reasons.
//!
//! Takes the spec's image and the tree so far; nothing that the tree has already is brought again, and an
//! overlay's file stays when the root would bring another one at its path.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::closure::Closure;
use crate::elf::ldcache;
use crate::error::{Error, PathContext, Result};
use crate::image::check;
use crate::packages::dpkg::Database;
use crate::rootfs::hardlinks::HardLinks;
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;
use crate::rootfs::tree::{Entry, FileTree, LayerName, Why};
use crate::spec::ImageSpec;
use crate::spec::values::PackageName;

/// Lays the programs into the tree; gives what the operator should know. `fetched` is a root with the
/// packages that the spec's own root does not have.
pub fn add(spec: &ImageSpec, fetched: Option<&Path>, tree: &mut FileTree) -> Result<Vec<String>> {
    let mut warnings = from_root(spec, &spec.root, &spec.binaries, &|database, name| database.has(name), tree)?;
    if let Some(fetched) = fetched {
        let own = Database::open(&spec.root);
        warnings.extend(from_root(spec, fetched, &[], &|_, name| !own.has(name), tree)?);
    }
    Ok(warnings)
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
    lay(&closure, &root, tree)?;
    Ok(warnings(&closure, &root))
}

/// The packages of a spec that its root does not have.
pub fn packages_to_fetch(spec: &ImageSpec) -> Vec<PackageName> {
    let database = Database::open(&spec.root);
    spec.packages.iter().filter(|name| !database.has(name.as_str())).cloned().collect()
}

fn from_root(
    spec: &ImageSpec,
    folder: &Path,
    binaries: &[String],
    wanted: &dyn Fn(&Database, &str) -> bool,
    tree: &mut FileTree,
) -> Result<Vec<String>> {
    let root = Sysroot::new(folder);
    let before = tree.clone();
    let mut closure = Closure::new(&root).on_top_of(&before).library_path(&spec.library_path);
    for binary in binaries {
        closure.add(binary)?;
    }
    let database = Database::open(folder);
    let packages: Vec<PackageName> =
        spec.packages.iter().filter(|name| wanted(&database, name.as_str())).cloned().collect();
    for (package, asked_by) in database.chosen(&packages, spec.package_depth)? {
        let reason = match asked_by {
            None => format!("package {package}"),
            Some(by) => format!("package {package}, which {by} depends on"),
        };
        for path in database.files(&package)? {
            closure.include(&path, &reason, None, check::kind_of(&path));
        }
    }
    closure.complete_image(check::programs(tree));
    closure.check().map_err(|error| error.while_trying("cannot complete the programs of the image"))?;
    lay(&closure, &root, tree)?;
    Ok(warnings(&closure, &root))
}

/// Lays a closure's files over the tree.
fn lay(closure: &Closure, root: &Sysroot, tree: &mut FileTree) -> Result<()> {
    for (path, target) in &closure.links {
        add_link(tree, path, target)?;
    }
    for (path, need) in &closure.folders {
        let mut why = Why::new(LayerName::Binaries, &need.reason);
        why.needed_by = need.needed_by.clone();
        if tree.real_path(path).is_none() {
            let mode =
                fs::metadata(root.on_disk(path)).map_or(0o755, |metadata| metadata.permissions().mode() & 0o7777);
            let own = path.starts_with("/etc/") || path.starts_with("/var/");
            tree.insert(path, Entry::dir(if own { mode } else { 0o755 }, why))?;
        }
    }
    let mut links = HardLinks::default();
    for (path, need) in &closure.files {
        if tree.get(path).is_some_and(|entry| stays(&entry.why.layer)) {
            continue;
        }
        let disk = root.on_disk(path);
        let mut why = Why::new(LayerName::Binaries, &need.reason).origin(path);
        why.needed_by = need.needed_by.clone();
        let entry = links.entry(&disk, file_mode(path, &disk)?, why, tree)?;
        tree.insert(path, entry)?;
    }
    add_cache(closure, tree)
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

/// A program's mode without what depends on who installed it. Settings keep theirs: sudo and sshd refuse
/// others.
fn file_mode(path: &str, disk: &Path) -> Result<u32> {
    let mode = fs::metadata(disk).at("read", disk)?.permissions().mode() & 0o7777;
    Ok(match mode {
        _ if path.starts_with("/etc/") => mode,
        _ if mode & 0o111 != 0 => 0o755 | (mode & 0o6000),
        _ => 0o644,
    })
}

/// What was left out, lost or is worth knowing.
fn warnings(closure: &Closure, root: &Sysroot) -> Vec<String> {
    let mut warnings: Vec<String> = closure.notes.iter().cloned().collect();
    warnings.extend(closure.left_out.iter().map(|(path, why)| format!("{path} is left out: {why}")));
    for path in closure.files.keys() {
        if let Some(names) = check::attributes(&root.on_disk(path)) {
            warnings.push(format!("{path} loses {names}: an initramfs has no extended attributes; run it as root"));
        }
    }
    warnings
}
