//! A file tree in memory: what an image will hold, with mode, owner, devices, links and, for each
//! entry, the reason why it is there.
//!
//! Takes entries layer by layer (a later layer wins), gives one entry a path, sorted, parents first.
//! Building needs no root because nothing here touches a disk. Two traps of initramfs layering end
//! here: a directory laid over a symlink to a directory goes through the link (merged /usr), and a
//! file laid over one name of a hard-linked pair leaves the other name alone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fs::{PATH_BYTES_MAX, clean_path};
use crate::names;
use crate::rootfs::error::TooManyLinks;
use crate::rootfs::links;

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A directory; what is in it are paths of their own.
    Dir,
    /// A regular file. Files with the same link group are names of one inode.
    File {
        /// The file's bytes.
        data: Arc<[u8]>,
        /// The hard link group, if the file has more than one name.
        group: Option<u32>,
    },
    /// A symbolic link to this target.
    Symlink(String),
    /// A character (`c`) or block (`b`) device.
    Device {
        /// True for a block device.
        block: bool,
        /// The major number: the kernel's driver.
        major: u32,
        /// The minor number: one of the driver's devices.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket's name; only a program that listens makes it one that can be connected to.
    Socket,
}

/// The layer of an image that a path comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LayerName {
    /// None that is known: an image of others.
    #[default]
    Unknown,
    /// The first: BusyBox and what belongs to it.
    Base,
    /// An overlay, as the spec names it.
    Overlay(String),
    /// Binaries and packages, with what they need.
    Binaries,
    /// Kernel modules and their firmware.
    Modules,
    /// Files that the spec names.
    Files,
    /// What vmatic brings and makes.
    Vmatic,
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LayerName::Unknown => "",
            LayerName::Base => "base",
            LayerName::Overlay(name) => return write!(f, "overlay {name}"),
            LayerName::Binaries => "binaries",
            LayerName::Modules => "modules",
            LayerName::Files => "files",
            LayerName::Vmatic => "vmatic",
        })
    }
}

/// Why an entry is in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// The layer that put it there.
    pub layer: LayerName,
    /// The reason in words, e.g. "library libc.so.6".
    pub reason: String,
    /// The path in the image that asked for it.
    pub needed_by: Option<String>,
    /// Where its content came from: a file on the building machine, or a package.
    pub origin: Option<String>,
    /// How its mode came about, where that is not plain.
    pub mode_rule: Option<String>,
}

impl Why {
    /// A reason of a layer.
    pub fn new(layer: LayerName, reason: impl Into<String>) -> Why {
        Why { layer, reason: reason.into(), needed_by: None, origin: None, mode_rule: None }
    }

    /// Says which path asked for the entry.
    pub fn needed_by(mut self, path: impl Into<String>) -> Why {
        self.needed_by = Some(path.into());
        self
    }

    /// Says where the content came from.
    pub fn origin(mut self, origin: impl Into<String>) -> Why {
        self.origin = Some(origin.into());
        self
    }

    /// Says how the mode came about.
    pub fn mode_rule(mut self, rule: impl Into<String>) -> Why {
        self.mode_rule = Some(rule.into());
        self
    }
}

/// One path of the image.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is.
    pub content: Content,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Why it is there.
    pub why: Why,
    /// Layers whose entry this one replaced, oldest first.
    pub overrode: Vec<LayerName>,
}

impl Entry {
    fn new(content: Content, mode: u32, why: Why) -> Entry {
        Entry { content, mode, uid: 0, gid: 0, why, overrode: Vec::new() }
    }

    /// A directory with these permission bits, owned by root.
    pub fn dir(mode: u32, why: Why) -> Entry {
        Entry::new(Content::Dir, mode, why)
    }

    /// A regular file.
    pub fn file(data: impl Into<Arc<[u8]>>, mode: u32, why: Why) -> Entry {
        Entry::new(Content::File { data: data.into(), group: None }, mode, why)
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>, why: Why) -> Entry {
        Entry::new(Content::Symlink(target.into()), 0o777, why)
    }

    /// A block or character device, owned by root.
    pub fn device(block: bool, major: u32, minor: u32, mode: u32, why: Why) -> Entry {
        Entry::new(Content::Device { block, major, minor }, mode, why)
    }

    /// A named pipe, owned by root.
    pub fn fifo(mode: u32, why: Why) -> Entry {
        Entry::new(Content::Fifo, mode, why)
    }

    /// A socket's name, owned by root.
    pub fn socket(mode: u32, why: Why) -> Entry {
        Entry::new(Content::Socket, mode, why)
    }

    /// Sets owner and group.
    pub fn owned(mut self, uid: u32, gid: u32) -> Entry {
        self.uid = uid;
        self.gid = gid;
        self
    }

    /// Makes a regular file a name of the inode `group`.
    pub fn linked(mut self, link_group: u32) -> Entry {
        if let Content::File { group, .. } = &mut self.content {
            *group = Some(link_group);
        }
        self
    }

    /// Bytes of content.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::File { data, .. } => data.len() as u64,
            Content::Symlink(target) => names::decode(target).len() as u64,
            Content::Dir | Content::Device { .. } | Content::Fifo | Content::Socket => 0,
        }
    }

    /// "file", "directory", "link", "device", "fifo" or "socket".
    pub fn kind(&self) -> &'static str {
        match self.content {
            Content::Dir => "directory",
            Content::File { .. } => "file",
            Content::Symlink(_) => "link",
            Content::Device { .. } => "device",
            Content::Fifo => "fifo",
            Content::Socket => "socket",
        }
    }
}

/// The tree: relative paths without a leading slash, each with its entry. Paths and targets are kept as
/// [`crate::names`] keeps names.
#[derive(Clone, Debug, Default)]
pub struct FileTree {
    entries: BTreeMap<String, Entry>,
}

impl FromIterator<(String, Entry)> for FileTree {
    /// A tree of paths that are real already: clean, with their folders, behind no link.
    fn from_iter<T: IntoIterator<Item = (String, Entry)>>(entries: T) -> FileTree {
        FileTree { entries: entries.into_iter().collect() }
    }
}

impl FileTree {
    /// An empty tree; its root directory is implied.
    pub fn new() -> FileTree {
        FileTree::default()
    }

    /// All entries, sorted bytewise, so that parents come first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry at exactly this path; the last component is not followed.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        let clean = clean_path(path).ok()?;
        let real = self.resolve_parent(&clean).ok()?;
        self.entries.get(&real)
    }

    /// All that is below the directory at this real path, sorted.
    pub fn below(&self, real: &str) -> impl Iterator<Item = (&str, &Entry)> {
        let below = if real.is_empty() { String::new() } else { format!("{real}/") };
        let inside = self.entries.range(below.clone()..).take_while(move |(path, _)| path.starts_with(&below));
        inside.map(|(path, entry)| (path.as_str(), entry))
    }

    /// The names in the directory at this real path, sorted.
    pub fn names_in(&self, real: &str) -> Vec<String> {
        let below = if real.is_empty() { String::new() } else { format!("{real}/") };
        let inside = self.entries.range(below.clone()..).take_while(|(path, _)| path.starts_with(&below));
        let names = inside.map(|(path, _)| &path[below.len()..]);
        names.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect()
    }

    /// The real path behind `path`, every link followed; None when it does not exist.
    pub fn real_path(&self, path: &str) -> Option<String> {
        let real = self.follow(&clean_path(path).ok()?).ok()?;
        (real.is_empty() || self.entries.contains_key(&real)).then_some(real)
    }

    /// Lays an entry at a path. Missing parents are made; links among the parents are followed.
    pub fn insert(&mut self, path: &str, mut entry: Entry) -> Result<()> {
        let clean = clean_path(path).map_err(|why| bad_path(path, why))?;
        if clean.is_empty() {
            return if entry.content == Content::Dir {
                Ok(())
            } else {
                Err(bad_path(path, "only a directory can be the root"))
            };
        }
        check_entry(path, &entry)?;
        let real = self.resolve_parent(&clean).map_err(|why| bad_path(path, why))?;
        self.make_parents(&real, &entry.why)?;
        if let Some(old) = self.entries.get(&real) {
            match (&old.content, &entry.content) {
                (Content::Dir, Content::Dir) => {}
                // A directory over a link to a directory goes through the link (merged /usr).
                (Content::Symlink(_), Content::Dir) => {
                    let target = self.follow(&real).map_err(|why| bad_path(path, why))?;
                    let kept = self.entries.get(&target).is_none_or(|entry| entry.content == Content::Dir);
                    if kept {
                        return if target.is_empty() { Ok(()) } else { self.insert(&target, entry) };
                    }
                    return Err(clash(&real, old, &entry));
                }
                (Content::Dir, _) | (_, Content::Dir) => return Err(clash(&real, old, &entry)),
                _ => {}
            }
            entry.overrode = old.overrode.clone();
            if old.why.layer != entry.why.layer {
                entry.overrode.push(old.why.layer.clone());
            }
        }
        self.entries.insert(real, entry);
        Ok(())
    }

    /// Removes a path and all below it; gives how many entries went.
    pub fn whiteout(&mut self, path: &str) -> Result<usize> {
        let clean = clean_path(path).map_err(|why| bad_path(path, why))?;
        let real = self.resolve_parent(&clean).map_err(|why| bad_path(path, why))?;
        let gone = usize::from(self.entries.remove(&real).is_some()) + self.remove_below(&real);
        match gone {
            0 => Err(Error::new(format!("cannot remove /{clean} from the image"))
                .because("no earlier layer has it")
                .help("correct the name of the whiteout, or delete it")),
            gone => Ok(gone),
        }
    }

    /// Removes all below a directory, and keeps the directory.
    pub fn empty_dir(&mut self, path: &str) -> Result<()> {
        let clean = clean_path(path).map_err(|why| bad_path(path, why))?;
        let real = self.follow(&clean).map_err(|why| bad_path(path, why))?;
        self.remove_below(&real);
        Ok(())
    }

    fn remove_below(&mut self, real: &str) -> usize {
        let gone: Vec<String> = self.below(real).map(|(path, _)| path.to_owned()).collect();
        gone.iter().for_each(|path| drop(self.entries.remove(path)));
        gone.len()
    }

    fn make_parents(&mut self, real: &str, why: &Why) -> Result<()> {
        for (at, _) in real.match_indices('/') {
            let parent = &real[..at];
            match self.entries.get(parent) {
                None => {
                    let why = Why::new(why.layer.clone(), "a parent directory").needed_by(format!("/{real}"));
                    self.entries.insert(parent.to_owned(), Entry::dir(0o755, why));
                }
                Some(entry) if entry.content == Content::Dir => {}
                Some(entry) => {
                    return Err(Error::new(format!("cannot put /{real} into the image"))
                        .because(format!("/{parent} is a {}, from {}", entry.kind(), entry.why.layer))
                        .help("rename one of the two, or remove the earlier one with a whiteout"));
                }
            }
        }
        Ok(())
    }

    /// Follows the links among the parents of `path`; the last component stays as it is.
    fn resolve_parent(&self, path: &str) -> std::result::Result<String, TooManyLinks> {
        match path.rsplit_once('/') {
            None => Ok(path.to_owned()),
            Some((parent, name)) => {
                let parent = self.follow(parent)?;
                Ok(if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") })
            }
        }
    }

    /// Follows every link of `path`. What does not exist is kept by name.
    fn follow(&self, path: &str) -> std::result::Result<String, TooManyLinks> {
        let read_link = |real: &str| match self.entries.get(real) {
            Some(Entry { content: Content::Symlink(target), .. }) => Ok::<_, Infallible>(Some(target.clone())),
            _ => Ok(None),
        };
        links::follow(path, read_link).map_err(|_| TooManyLinks { path: format!("/{path}") })
    }
}

fn check_entry(path: &str, entry: &Entry) -> Result<()> {
    if let Content::Symlink(target) = &entry.content
        && (target.is_empty() || names::decode(target).len() > PATH_BYTES_MAX || target.contains('\0'))
    {
        return Err(bad_path(path, "a link's target must have 1 to 4095 bytes and no NUL"));
    }
    if entry.mode & !0o7777 != 0 {
        return Err(bad_path(path, "its mode has more than permission bits"));
    }
    Ok(())
}

fn clash(path: &str, old: &Entry, new: &Entry) -> Error {
    Error::new(format!("cannot put a {} at /{path}", new.kind()))
        .because(format!("{} has a {} there, {} brings a {}", old.why.layer, old.kind(), new.why.layer, new.kind()))
        .help(format!(
            "remove the earlier one with a whiteout (an empty file named .wh.{}) or rename one",
            path.rsplit('/').next().unwrap_or(path)
        ))
}

fn bad_path(path: &str, why: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(format!("cannot put \"{}\" into the image", names::show(path))).because(why).help("correct the path")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, layer: &str) -> Entry {
        let overlay = layer.strip_prefix("overlay ").map(|name| LayerName::Overlay(name.to_owned()));
        Entry::file(text.as_bytes(), 0o644, Why::new(overlay.unwrap_or(LayerName::Base), "test"))
    }

    fn paths(tree: &FileTree) -> Vec<&str> {
        tree.iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn parents_are_made_and_come_first() {
        let mut tree = FileTree::new();
        tree.insert("/a/b/c", file("x", "one")).unwrap();
        tree.insert("/a-b", file("x", "one")).unwrap();
        assert_eq!(paths(&tree), ["a", "a-b", "a/b", "a/b/c"]);
    }

    #[test]
    fn a_later_layer_wins_and_says_what_it_replaced() {
        let mut tree = FileTree::new();
        tree.insert("etc/motd", file("old", "base")).unwrap();
        tree.insert("etc/motd", file("new", "overlay x")).unwrap();
        let entry = tree.get("/etc/motd").unwrap();
        assert_eq!(entry.overrode, [LayerName::Base]);
        assert_eq!(entry.size(), 3);
    }

    #[test]
    fn a_directory_over_a_link_goes_through_it() {
        let mut tree = FileTree::new();
        tree.insert("usr/lib", Entry::dir(0o755, Why::default())).unwrap();
        tree.insert("lib", Entry::symlink("usr/lib", Why::default())).unwrap();
        tree.insert("lib", Entry::dir(0o755, Why::default())).unwrap();
        tree.insert("lib/x.so", file("x", "overlay")).unwrap();
        assert_eq!(tree.get("lib").unwrap().kind(), "link");
        assert_eq!(paths(&tree), ["lib", "usr", "usr/lib", "usr/lib/x.so"]);
        assert_eq!(tree.real_path("/lib/x.so").as_deref(), Some("usr/lib/x.so"));
    }

    #[test]
    fn a_file_over_an_applet_replaces_the_link_not_busybox() {
        let mut tree = FileTree::new();
        tree.insert("bin/busybox", file("busybox", "base")).unwrap();
        tree.insert("bin/ls", Entry::symlink("busybox", Why::new(LayerName::Base, "applet"))).unwrap();
        tree.insert("bin/ls", file("ls", "overlay")).unwrap();
        assert_eq!(tree.get("bin/busybox").unwrap().size(), 7);
        assert_eq!(tree.get("bin/ls").unwrap().size(), 2);
    }

    #[test]
    fn a_file_over_a_directory_is_refused() {
        let mut tree = FileTree::new();
        tree.insert("etc/x", file("x", "base")).unwrap();
        let error = tree.insert("etc", file("x", "overlay y")).unwrap_err().to_string();
        assert!(error.contains("base has a directory there, overlay y brings a file"), "{error}");
        let error = tree.insert("etc/x/y", file("x", "overlay y")).unwrap_err().to_string();
        assert!(error.contains("/etc/x is a file, from base"), "{error}");
    }

    #[test]
    fn a_whiteout_takes_the_whole_branch_and_must_hit_something() {
        let mut tree = FileTree::new();
        tree.insert("usr/share/doc/a", file("x", "base")).unwrap();
        tree.insert("usr/share/docs", file("x", "base")).unwrap();
        assert_eq!(tree.whiteout("/usr/share/doc").unwrap(), 2);
        assert_eq!(paths(&tree), ["usr", "usr/share", "usr/share/docs"]);
        assert!(tree.whiteout("/nothing").is_err());
    }

    #[test]
    fn bad_paths_and_link_loops_are_refused() {
        let mut tree = FileTree::new();
        for bad in ["../x", "a/../b", "a\0b", "TRAILER!!!"] {
            assert!(tree.insert(bad, file("x", "t")).is_err(), "{bad:?}");
        }
        let longest = "a/".repeat(2047) + "b";
        assert_eq!(longest.len(), PATH_BYTES_MAX);
        assert_eq!(clean_path(&longest).map(|clean| clean.len()), Ok(PATH_BYTES_MAX));
        assert!(clean_path(&(longest + "c")).is_err());
        tree.insert("x", Entry::symlink("y", Why::default())).unwrap();
        tree.insert("y", Entry::symlink("x", Why::default())).unwrap();
        assert_eq!(tree.follow("x/z"), Err(TooManyLinks { path: "/x/z".to_owned() }));
        let error = tree.insert("x/z", file("x", "t")).unwrap_err().to_string();
        assert!(error.starts_with("cannot put \"x/z\" into the image: more than 40 links to follow in /x"), "{error}");
    }
}
