//! The root file system of a kernel that unpacks an image: a small one in memory, with the rules that Linux has for
//! names, links, folders and hard links (path_resolution(7)).
//!
//! Takes what `init/initramfs.c` asks of the real one, call by call; gives what is there afterwards. Paths and targets
//! are names as [`crate::names`] keeps them. What cannot be done is a [`Fault`], as a system call's error would be.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use crate::names;
use crate::rootfs::links::LINKS_FOLLOWED_MAX;

/// Longest part of a path, as Linux has it (NAME_MAX).
const PART_BYTES_MAX: usize = 255;
/// Longest target of a link: a page with its NUL.
const TARGET_BYTES_MAX: usize = 4095;

/// The number of a node.
pub type NodeId = usize;
/// The root folder.
pub const ROOT: NodeId = 0;

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind<B> {
    /// A folder, and what is in it.
    Dir(BTreeMap<Box<str>, NodeId>),
    /// A file; its content is the caller's.
    File(B),
    /// A symbolic link to this target.
    Symlink(String),
    /// A block or character device.
    Device {
        /// True for a block device.
        block: bool,
        /// Its number: major, minor.
        number: (u32, u32),
    },
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
}

/// A folder, file, link or device.
#[derive(Clone, Debug)]
pub struct Node<B> {
    /// What it is.
    pub kind: NodeKind<B>,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// How many names it has.
    pub names: u32,
    /// Whether an image made or changed it; what the kernel brings itself is untouched at first.
    pub touched: bool,
}

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something of the path is not there.
    Missing(String),
    /// A part of the path is no folder.
    NoFolder(String),
    /// More links than Linux follows.
    TooManyLinks,
    /// More steps than are allowed for the whole: a limit of ours.
    TooManySteps,
    /// A part of the path is too long.
    PartTooLong,
    /// A link's target is too long.
    TargetTooLong,
    /// A folder is where none may be.
    IsFolder,
    /// What is there is no file, and is not written to.
    NoFile,
    /// It is there already.
    Exists,
    /// The folder has something in it.
    NotEmpty,
    /// The name ends with a slash, or is the root's.
    NoName,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Missing(path) => write!(f, "{} is not there", names::show(path)),
            Fault::NoFolder(path) => write!(f, "{} is no directory", names::show(path)),
            Fault::TooManyLinks => write!(f, "more than {LINKS_FOLLOWED_MAX} links are to follow"),
            Fault::TooManySteps => f.write_str("links of the image lead through more folders than vmatic follows"),
            Fault::PartTooLong => write!(f, "a part of its name has more than {PART_BYTES_MAX} bytes"),
            Fault::TargetTooLong => write!(f, "a link's target has at most {TARGET_BYTES_MAX} bytes"),
            Fault::IsFolder => f.write_str("a directory is there"),
            Fault::NoFile => f.write_str("what is there is no file"),
            Fault::Exists => f.write_str("something is there already"),
            Fault::NotEmpty => f.write_str("a directory that is not empty is there"),
            Fault::NoName => f.write_str("such a name can only be a directory's"),
        }
    }
}

type Outcome<T> = Result<T, Fault>;

/// Where a path leads: the folder, the last part (empty for the root, `.` and `..`), and what is there.
struct Found {
    folder: NodeId,
    part: String,
    node: Option<NodeId>,
}

/// The file system.
#[derive(Clone, Debug)]
pub struct Ramfs<B> {
    nodes: Vec<Node<B>>,
    /// How many steps on the way to names are left.
    steps: Cell<u64>,
}

/// Bytes of a path that are looked through in one step.
const STEP_BYTES: usize = 16;

impl<B> Ramfs<B> {
    /// An empty root, in which so many steps may be made: to a part of a path, or over some bytes of one.
    pub fn new(steps: u64) -> Ramfs<B> {
        let root = Node { kind: NodeKind::Dir(BTreeMap::new()), mode: 0o755, owner: (0, 0), names: 1, touched: false };
        Ramfs { nodes: vec![root], steps: Cell::new(steps) }
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node<B> {
        &self.nodes[id]
    }

    /// A node, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node<B> {
        &mut self.nodes[id]
    }

    /// All that an image made or changed is untouched from here on.
    pub fn forget_touches(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.touched = false);
    }

    /// What is at a path; of a link at its end, the link itself unless `follow` says otherwise.
    pub fn find(&self, path: &str, follow: bool) -> Outcome<NodeId> {
        self.look(path, follow)?.node.ok_or_else(|| Fault::Missing(path.to_owned()))
    }

    fn look(&self, path: &str, follow: bool) -> Outcome<Found> {
        let follow = follow || path.ends_with('/');
        let mut folders = vec![ROOT];
        let mut todo: Vec<Cow<str>> = parts(path).map(Cow::from).collect();
        self.step(path.len() / STEP_BYTES)?;
        if path.is_empty() {
            return Err(Fault::Missing(String::new()));
        }
        let mut links = 0;
        while let Some(part) = todo.pop() {
            self.step(1)?;
            let here = folders.last().copied().unwrap_or(ROOT);
            match &*part {
                "." => continue,
                ".." => {
                    if folders.len() > 1 {
                        folders.pop();
                    }
                    continue;
                }
                _ => {}
            }
            if part.len() > PART_BYTES_MAX && names::decode(&part).len() > PART_BYTES_MAX {
                return Err(Fault::PartTooLong);
            }
            let NodeKind::Dir(inside) = &self.nodes[here].kind else {
                return Err(Fault::NoFolder(path.to_owned()));
            };
            let last = todo.is_empty();
            let Some(node) = inside.get(&*part).copied() else {
                return match last {
                    true => Ok(Found { folder: here, part: part.into_owned(), node: None }),
                    false => Err(Fault::Missing(self.before(path, &todo))),
                };
            };
            match &self.nodes[node].kind {
                NodeKind::Symlink(target) if !last || follow => {
                    links += 1;
                    if links > LINKS_FOLLOWED_MAX {
                        return Err(Fault::TooManyLinks);
                    }
                    if target.is_empty() {
                        return Err(Fault::Missing(path.to_owned()));
                    }
                    if target.starts_with('/') {
                        folders.truncate(1);
                    }
                    self.step(target.len() / STEP_BYTES)?;
                    todo.extend(parts(target).map(Cow::from));
                }
                NodeKind::Dir(_) if !last => folders.push(node),
                _ if !last => return Err(Fault::NoFolder(self.before(path, &todo))),
                NodeKind::Dir(_) => return Ok(Found { folder: here, part: part.into_owned(), node: Some(node) }),
                _ if path.ends_with('/') => return Err(Fault::NoFolder(path.to_owned())),
                _ => return Ok(Found { folder: here, part: part.into_owned(), node: Some(node) }),
            }
        }
        let here = folders.last().copied().unwrap_or(ROOT);
        Ok(Found { folder: here, part: String::new(), node: Some(here) })
    }

    fn step(&self, steps: usize) -> Outcome<()> {
        self.steps.set(self.steps.get().checked_sub(steps as u64).ok_or(Fault::TooManySteps)?);
        Ok(())
    }

    /// A path without its last parts, which are still to do; the whole where a link led elsewhere.
    fn before(&self, path: &str, todo: &[Cow<str>]) -> String {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.len() > todo.len() && parts.iter().rev().zip(todo).all(|(part, left)| *part == &**left) {
            parts.truncate(parts.len() - todo.len());
        }
        parts.join("/")
    }

    /// A place for something new. Only a folder's name may end with a slash.
    fn vacancy(&self, path: &str, folder: bool) -> Outcome<(NodeId, String)> {
        let bare = path.trim_end_matches('/');
        let found = self.look(if bare.is_empty() { path } else { bare }, false)?;
        match found.node {
            Some(_) => Err(Fault::Exists),
            None if !folder && bare.len() < path.len() => Err(Fault::NoName),
            None => Ok((found.folder, found.part)),
        }
    }

    fn add(&mut self, (folder, part): (NodeId, String), kind: NodeKind<B>, mode: u32) -> NodeId {
        let id = self.nodes.len();
        self.nodes.push(Node { kind, mode, owner: (0, 0), names: 0, touched: true });
        self.name(folder, part, id);
        id
    }

    fn name(&mut self, folder: NodeId, part: String, id: NodeId) {
        if let NodeKind::Dir(inside) = &mut self.nodes[folder].kind {
            inside.insert(part.into(), id);
            self.nodes[id].names += 1;
        }
    }

    /// Makes whatever is not there yet: a folder, link, device, FIFO or socket.
    pub fn make(&mut self, path: &str, kind: NodeKind<B>) -> Outcome<NodeId> {
        if matches!(&kind, NodeKind::Symlink(target) if names::decode(target).len() > TARGET_BYTES_MAX) {
            return Err(Fault::TargetTooLong);
        }
        let place = self.vacancy(path, matches!(kind, NodeKind::Dir(_)))?;
        Ok(self.add(place, kind, 0o777))
    }

    /// Opens a file for writing, links followed; makes it with this content where there is none.
    pub fn open(&mut self, path: &str, new: B) -> Outcome<NodeId> {
        if path.ends_with('/') {
            return Err(Fault::IsFolder);
        }
        let found = self.look(path, true)?;
        match found.node {
            None => Ok(self.add((found.folder, found.part), NodeKind::File(new), 0)),
            Some(node) if matches!(self.nodes[node].kind, NodeKind::Dir(_)) => Err(Fault::IsFolder),
            Some(node) => Ok(node),
        }
    }

    /// Gives what is at `old` the name `new` too.
    pub fn link(&mut self, old: &str, new: &str) -> Outcome<()> {
        let node = self.find(old, false)?;
        let (folder, part) = self.vacancy(new, false)?;
        if matches!(self.nodes[node].kind, NodeKind::Dir(_)) {
            return Err(Fault::IsFolder);
        }
        self.nodes[node].touched = true;
        self.name(folder, part, node);
        Ok(())
    }

    /// Removes a name: of anything but a folder, or of a folder that is empty.
    pub fn remove(&mut self, path: &str) -> Outcome<()> {
        let bare = path.trim_end_matches('/');
        let found = self.look(bare, false)?;
        let node = found.node.ok_or_else(|| Fault::Missing(path.to_owned()))?;
        match &self.nodes[node].kind {
            _ if found.part.is_empty() || path.ends_with("/.") || path.ends_with("/..") => return Err(Fault::NoName),
            NodeKind::Dir(inside) if !inside.is_empty() => return Err(Fault::NotEmpty),
            NodeKind::Dir(_) => {}
            _ if bare.len() < path.len() => return Err(Fault::NoFolder(path.to_owned())),
            _ => {}
        }
        if let NodeKind::Dir(inside) = &mut self.nodes[found.folder].kind {
            inside.remove(&*found.part);
            self.nodes[node].names -= 1;
        }
        Ok(())
    }
}

/// The parts of a path, the last first. Of those that lead nowhere the last one counts: it wants a folder before it.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    let all = path.split('/').rev().filter(|part| !part.is_empty()).enumerate();
    all.filter(|(at, part)| *at == 0 || *part != ".").map(|(_, part)| part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_linux_has_them() {
        let mut fs: Ramfs<u8> = Ramfs::new(10_000);
        let dir = || NodeKind::Dir(BTreeMap::new());
        fs.make("a", dir()).unwrap();
        let b = fs.make("/a/b/", dir()).unwrap();
        let f = fs.open("a/../a/./b//f", 1).unwrap();
        fs.make("l", NodeKind::Symlink("a/b/".into())).unwrap();
        fs.make("x", NodeKind::Symlink("/l/../../..".into())).unwrap();
        assert_eq!((fs.find("l/f", false), fs.find("l/", false), fs.find("l", true)), (Ok(f), Ok(b), Ok(b)));
        assert_eq!((fs.find("x/l/f", false), fs.find("x", true), fs.find("../..", true)), (Ok(f), Ok(ROOT), Ok(ROOT)));
        assert_eq!(fs.find("a/c/d/e", false), Err(Fault::Missing("a/c".into())));
        assert_eq!(fs.find("l/f/x/y", false), Err(Fault::NoFolder("l/f".into())));
        assert_eq!(fs.find("l/f/", false), Err(Fault::NoFolder("l/f/".into())));
        assert_eq!(fs.find("", false), Err(Fault::Missing(String::new())));
        for path in ["l/f", "l", ".", "..", "/", "a/b/."] {
            assert_eq!(fs.make(path, dir()).err(), Some(Fault::Exists), "{path}");
        }
        assert_eq!(fs.make("new/", NodeKind::Fifo).err(), Some(Fault::NoName));
        assert_eq!(fs.open("new/", 1).err(), Some(Fault::IsFolder));
        assert_eq!(fs.open("l", 1).err(), Some(Fault::IsFolder));
    }

    #[test]
    fn as_many_links_are_followed_as_linux_follows() {
        let mut fs: Ramfs<u8> = Ramfs::new(10_000);
        let file = fs.open("0", 1).unwrap();
        for link in 1..=LINKS_FOLLOWED_MAX + 1 {
            fs.make(&link.to_string(), NodeKind::Symlink((link - 1).to_string())).unwrap();
        }
        assert_eq!(fs.find(&LINKS_FOLLOWED_MAX.to_string(), true), Ok(file));
        assert_eq!(fs.find(&(LINKS_FOLLOWED_MAX + 1).to_string(), true), Err(Fault::TooManyLinks));
    }

    #[test]
    fn steps_are_counted_and_empty_ones_are_none() {
        let mut fs: Ramfs<u8> = Ramfs::new(1000);
        let file = fs.open("f", 1).unwrap();
        fs.make("l", NodeKind::Symlink(format!("{}f", "./".repeat(1000)))).unwrap();
        let left = fs.steps.get();
        assert_eq!(fs.find("l", true), Ok(file));
        let taken = left - fs.steps.get();
        assert_eq!(taken, 2 + 2001 / STEP_BYTES as u64, "two parts, and the bytes that were looked through");
        assert_eq!(fs.find("f/.", false), Err(Fault::NoFolder("f".into())));
        fs.steps.set(taken);
        assert_eq!(fs.find("l", true), Ok(file));
        fs.steps.set(taken - 1);
        assert_eq!(fs.find("l", true), Err(Fault::TooManySteps));
    }

    #[test]
    fn names_and_targets_have_a_longest() {
        let mut fs: Ramfs<u8> = Ramfs::new(10_000);
        // Bytes count, however they are kept.
        let bytes = |count: usize| names::encode(&vec![0xff; count]).into_owned();
        assert!(fs.open(&bytes(PART_BYTES_MAX), 1).is_ok());
        assert_eq!(fs.open(&bytes(PART_BYTES_MAX + 1), 1), Err(Fault::PartTooLong));
        assert!(fs.make("l", NodeKind::Symlink(bytes(TARGET_BYTES_MAX))).is_ok());
        assert_eq!(fs.make("m", NodeKind::Symlink(bytes(TARGET_BYTES_MAX + 1))), Err(Fault::TargetTooLong));
    }

    #[test]
    fn removing_takes_names_and_leaves_what_has_others() {
        let mut fs: Ramfs<u8> = Ramfs::new(10_000);
        let f = fs.open("f", 1).unwrap();
        fs.link("f", "g").unwrap();
        assert_eq!(fs.node(f).names, 2);
        fs.remove("f").unwrap();
        assert_eq!((fs.node(f).names, fs.find("g", false)), (1, Ok(f)));
        assert_eq!(fs.link("f", "h"), Err(Fault::Missing("f".into())));
        fs.make("d", NodeKind::Dir(BTreeMap::new())).unwrap();
        fs.open("d/x", 1).unwrap();
        assert_eq!(fs.remove("d"), Err(Fault::NotEmpty));
        assert_eq!(fs.link("d", "e"), Err(Fault::IsFolder));
        assert_eq!((fs.remove("."), fs.remove("g/")), (Err(Fault::NoName), Err(Fault::NoFolder("g/".into()))));
        fs.remove("d/x").unwrap();
        fs.remove("d/").unwrap();
        assert_eq!(fs.find("d", false), Err(Fault::Missing("d".into())));
    }
}
