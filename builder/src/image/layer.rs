//! A layer: a folder of files that is laid over an image, with an optional layer.toml for what a
//! checkout cannot hold (devices, empty folders, owners, special modes).
//!
//! Takes a folder on disk or the base embedded in the program. Modes and owners are those on disk, never wider
//! (`modes` has the rule), unless layer.toml says others; a folder that an earlier layer has keeps what it has there.
//! FIFOs, sockets and devices are taken as they lie there, too.
//! A file `.wh.NAME` removes NAME; `.wh..wh..opq` empties its folder.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::Deserialize;
use walkdir::WalkDir;

use crate::error::{Error, Kind, PathContext, Result};
use crate::fs::octal;
use crate::image::modes::{self, Access, OnDisk};
use crate::names;
use crate::rootfs::tree::{Content, Entry, FileTree, LayerName, Why};

/// The file of a layer that is not laid over the image but says how.
pub const MANIFEST: &str = "layer.toml";
/// Before the name of what a layer removes.
pub const WHITEOUT: &str = ".wh.";
/// Empties the folder that it lies in.
pub const OPAQUE: &str = ".wh..wh..opq";

const BASE: &[(&str, bool, &[u8])] = include!(concat!(env!("OUT_DIR"), "/base.rs"));

/// What layer.toml says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerManifest {
    /// The source of BusyBox, for a base.
    pub busybox: Option<String>,
    directories: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    devices: BTreeMap<String, String>,
    modes: BTreeMap<String, String>,
    owners: BTreeMap<String, String>,
}

enum Item {
    Dir(Access),
    File {
        data: Vec<u8>,
        access: Access,
    },
    Symlink(String),
    /// A device, FIFO or socket.
    Special(Content, Access),
}

/// A layer, read into memory.
pub struct Layer {
    /// How the layer is named in reasons.
    pub name: LayerName,
    /// What its layer.toml says.
    pub manifest: LayerManifest,
    /// The list of BusyBox applets, for a base.
    pub applets: String,
    place: String,
    items: BTreeMap<String, Item>,
    /// The permission bits of its folder, where that keeps others out.
    closed_root: Option<u32>,
}

impl Layer {
    /// The base that is part of the program.
    pub fn embedded_base() -> Result<Layer> {
        let mut layer = Layer::empty(LayerName::Base, "vmatic's own base");
        for (path, runs, data) in BASE {
            if let Some(inside) = path.strip_prefix("files/") {
                let access = Access { mode: if *runs { 0o755 } else { 0o644 }, uid: 0, gid: 0, rule: "" };
                layer.items.insert(inside.to_owned(), Item::File { data: data.to_vec(), access });
            } else if *path == MANIFEST {
                layer.manifest = parse_manifest(&String::from_utf8_lossy(data), Path::new("initramfs/layer.toml"))?;
            } else if *path == "applets" {
                layer.applets = String::from_utf8_lossy(data).into_owned();
            }
        }
        Ok(layer)
    }

    /// A base in a folder: layer.toml, applets, files/.
    pub fn base(folder: &Path) -> Result<Layer> {
        let mut layer = Layer::empty(LayerName::Base, "the base's folder");
        layer.read_manifest(folder)?;
        let applets = folder.join("applets");
        if applets.exists() {
            layer.applets = fs::read_to_string(&applets).at("read", &applets)?;
        }
        let files = folder.join("files");
        if files.exists() {
            layer.read_files(&files)?;
        }
        Ok(layer)
    }

    /// An overlay: the folder is the root of the image.
    pub fn overlay(name: &str, folder: &Path) -> Result<Layer> {
        let mut layer = Layer::empty(LayerName::Overlay(name.to_owned()), name);
        let mode = fs::metadata(folder).at("read", folder)?.mode() & 0o7777;
        layer.closed_root = (modes::closed_bits(mode) & 0o007 != 0).then_some(mode);
        layer.read_manifest(folder)?;
        layer.read_files(folder)?;
        Ok(layer)
    }

    fn empty(name: LayerName, place: &str) -> Layer {
        Layer {
            name,
            manifest: LayerManifest::default(),
            applets: String::new(),
            place: place.to_owned(),
            items: BTreeMap::new(),
            closed_root: None,
        }
    }

    /// What the operator should know: the image's root is open whatever the layer's folder is on disk, and what lies in
    /// it has its own mode.
    pub fn warning(&self) -> Option<String> {
        let (name, mode) = (&self.name, self.closed_root?);
        let open = |item: &Item| match item {
            Item::Dir(access) | Item::File { access, .. } | Item::Special(_, access) => access.mode & 0o007 != 0,
            Item::Symlink(_) => false,
        };
        let open = self.items.values().filter(|item| open(item)).count();
        (open > 0).then(|| {
            format!(
                "the folder of {name} is closed to others (mode {mode:04o}), and the image's root is not: {open} of its \
                 files and folders are open to everybody there (give those that are private modes of their own, or say \
                 so in its {MANIFEST})"
            )
        })
    }

    fn read_manifest(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        if path.exists() {
            self.manifest = parse_manifest(&fs::read_to_string(&path).at("read", &path)?, &path)?;
        }
        Ok(())
    }

    fn read_files(&mut self, folder: &Path) -> Result<()> {
        let builder = modes::Builder::of(folder);
        for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
            let entry = entry.at("read the layer", folder)?;
            let path = entry.path();
            let inside = path.strip_prefix(folder).unwrap_or(path);
            let inside = names::from_os(inside);
            let kind = entry.file_type();
            let access = || Ok(builder.access(OnDisk::from(&entry.metadata().at("read", path)?)));
            let item = if inside == MANIFEST {
                continue;
            } else if kind.is_dir() {
                Item::Dir(access()?)
            } else if kind.is_symlink() {
                let target = fs::read_link(path).at("read the link", path)?;
                Item::Symlink(names::from_os(target))
            } else if kind.is_file() {
                Item::File { data: fs::read(path).at("read", path)?, access: access()? }
            } else {
                let about = entry.metadata().at("read", path)?;
                Item::Special(special(&about), access()?)
            };
            self.items.insert(inside, item);
        }
        Ok(())
    }

    /// Lays the layer over a tree: whiteouts first, then what it brings, then modes and owners.
    pub fn lay(self, tree: &mut FileTree) -> Result<()> {
        let Layer { name, manifest, items, place, .. } = self;
        let why = |path: &str, reason: &str| Why::new(name.clone(), reason).origin(format!("{place}/{path}"));
        for path in items.keys() {
            let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
            if file == OPAQUE {
                tree.empty_dir(folder)?;
            } else if let Some(gone) = file.strip_prefix(WHITEOUT) {
                tree.whiteout(&format!("{folder}/{gone}"))?;
            }
        }
        for (path, mode) in &manifest.directories {
            let mode = octal(mode).ok_or_else(|| bad_value(&name, path, mode))?;
            tree.insert(&kept(path), Entry::dir(mode, why(MANIFEST, "directory of the layer")))?;
        }
        for (path, target) in &manifest.links {
            tree.insert(&kept(path), Entry::symlink(kept(target), why(MANIFEST, "link of the layer")))?;
        }
        for (path, device) in &manifest.devices {
            let (content, mode) = parse_device(device).ok_or_else(|| bad_value(&name, path, device))?;
            tree.insert(&kept(path), special_entry(content, mode, why(MANIFEST, "device of the layer")))?;
        }
        // Folders that are closed on disk and open in the image, with what they keep from others.
        let mut closed: BTreeMap<String, u32> = BTreeMap::new();
        for (path, item) in items {
            if path.rsplit('/').next().is_some_and(|file| file.starts_with(WHITEOUT)) {
                continue;
            }
            let why = why(&path, "file of the layer");
            let folders = path.match_indices('/').filter_map(|(at, _)| closed.get(&path[..at]));
            let bits = folders.fold(0, |all, bits| all | bits);
            let entry = match item {
                Item::Dir(access) if is_folder(tree, &path) => {
                    let bits = modes::closed_bits(access.mode);
                    if bits != 0 {
                        closed.insert(path, bits);
                    }
                    continue;
                }
                Item::Dir(access) => set_access(Entry::dir(0, why), access, bits),
                Item::Symlink(target) => Entry::symlink(target, why),
                Item::File { data, access } => set_access(Entry::file(data, 0, why), access, bits),
                Item::Special(content, access) => set_access(special_entry(content, 0, why), access, bits),
            };
            tree.insert(&path, entry)?;
        }
        set_modes_and_owners(&name, &manifest, tree)
    }
}

/// Whether an earlier layer has a folder at a path.
fn is_folder(tree: &FileTree, path: &str) -> bool {
    tree.real_path(path).is_some_and(|real| tree.get(&real).is_some_and(|entry| entry.content == Content::Dir))
}

/// Gives an entry the mode and owner that it has on disk, without `closed` bits.
fn set_access(entry: Entry, access: Access, closed: u32) -> Entry {
    let mode = access.mode & !closed;
    let rule = if mode == access.mode { access.rule } else { modes::CLOSED_FOLDER };
    let mut entry = Entry { mode, ..entry.owned(access.uid, access.gid) };
    entry.why.mode_rule = (!rule.is_empty()).then(|| rule.to_owned());
    entry
}

fn set_modes_and_owners(name: &LayerName, manifest: &LayerManifest, tree: &mut FileTree) -> Result<()> {
    let mut change = |path: &str, value: &str, set: &dyn Fn(Entry) -> Option<Entry>| {
        let entry = tree.get(&kept(path)).cloned().ok_or_else(|| {
            Error::new(format!("cannot set {path} to {value:?}"))
                .because("the image has no such path")
                .help(format!("correct it in the {MANIFEST} of {name}"))
        })?;
        let changed = set(entry).ok_or_else(|| bad_value(name, path, value))?;
        tree.insert(&kept(path), changed)
    };
    for (path, mode) in &manifest.modes {
        change(path, mode, &|entry| {
            let why = entry.why.clone().mode_rule(modes::BY_MANIFEST);
            Some(Entry { mode: octal(mode)?, why, ..entry })
        })?;
    }
    for (path, owner) in &manifest.owners {
        change(path, owner, &|entry| {
            let (uid, gid) = owner.split_once(':')?;
            Some(entry.owned(uid.parse().ok()?, gid.parse().ok()?))
        })?;
    }
    Ok(())
}

/// A name of layer.toml as trees keep it.
fn kept(name: &str) -> Cow<'_, str> {
    names::encode(name.as_bytes())
}

fn parse_manifest(text: &str, path: &Path) -> Result<LayerManifest> {
    toml::from_str(text).map_err(|cause| {
        Error::new(format!("cannot read {}", path.display()))
            .because(cause)
            .help("it may have busybox, [directories], [links], [devices], [modes] and [owners]")
            .of_kind(Kind::Spec)
    })
}

fn bad_value(layer: &LayerName, path: &str, value: &str) -> Error {
    Error::new(format!("cannot use {value:?} for {path} in the {MANIFEST} of {layer}"))
        .because("it is no such value")
        .help(
            "write a mode like \"0755\", a device like \"c 5 1 0600\" or a FIFO like \"p 0600\", an owner like \"0:0\"",
        )
        .of_kind(Kind::Spec)
}

/// "c 5 1 0600": kind, major, minor, mode; "p 0600" or "s 0600": a FIFO, a socket.
fn parse_device(text: &str) -> Option<(Content, u32)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (content, mode) = match words[..] {
        [kind @ ("b" | "c"), major, minor, mode] => {
            let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
            (Content::Device { block: kind == "b", major, minor }, mode)
        }
        ["p", mode] => (Content::Fifo, mode),
        ["s", mode] => (Content::Socket, mode),
        _ => return None,
    };
    Some((content, octal(mode)?))
}

/// What lies on disk and is neither a file, a folder nor a link.
fn special(about: &fs::Metadata) -> Content {
    let kind = about.file_type();
    let (major, minor) = (rustix::fs::major(about.rdev()), rustix::fs::minor(about.rdev()));
    if kind.is_fifo() {
        Content::Fifo
    } else if kind.is_socket() {
        Content::Socket
    } else {
        Content::Device { block: kind.is_block_device(), major, minor }
    }
}

fn special_entry(content: Content, mode: u32, why: Why) -> Entry {
    Entry { content, ..Entry::fifo(mode, why) }
}

/// Adds BusyBox and the links of its applets. Every name of the list must occur in the program, which is never run;
/// one that ends in `?` is left out where it does not: versions differ. Gives those that were.
pub fn add_busybox(tree: &mut FileTree, program: Vec<u8>, applets: &str, origin: &str) -> Result<Vec<String>> {
    let known: std::collections::HashSet<&[u8]> =
        program.split(|byte| *byte == 0).filter(|text| (1..32).contains(&text.len())).collect();
    let lines = applets.lines().map(str::trim).filter(|line| !line.is_empty());
    let has = |path: &str| known.contains(path.rsplit('/').next().unwrap_or(path).as_bytes());
    let (mut wanted, mut left_out, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        match line.strip_suffix('?') {
            Some(path) if !has(path) => left_out.push(path.to_owned()),
            None if !has(line) => absent.push(line),
            path => wanted.push(path.unwrap_or(line)),
        }
    }
    if !absent.is_empty() {
        return Err(Error::new("cannot link the BusyBox applets")
            .because(format!("{origin} does not have {}", absent.join(", ")))
            .help(
                "remove them from the base's list of applets, write `?` behind them, or use a BusyBox that has them",
            ));
    }
    let why = Why::new(LayerName::Base, "BusyBox, the base's one program").origin(origin);
    tree.insert("/bin/busybox", Entry::file(program, 0o755, why))?;
    for path in wanted {
        let why = Why::new(LayerName::Base, "applet of BusyBox").needed_by("/bin/busybox");
        let target = if tree.real_path(path.rsplit_once('/').map_or("", |(folder, _)| folder)) == tree.real_path("/bin")
        {
            "busybox"
        } else {
            "/bin/busybox"
        };
        if tree.get(path).is_none_or(|entry| !matches!(entry.content, Content::File { .. })) {
            tree.insert(path, Entry::symlink(target, why))?;
        }
    }
    Ok(left_out)
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
