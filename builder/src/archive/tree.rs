//! What a kernel makes of an image: its records, one after the other, as a file tree.
//!
//! Each record is laid into a small root file system as `do_name`, `do_symlink` and `do_copy` of the kernel's
//! `init/initramfs.c` do it, with what the kernel itself has there before. What does not come out as its record says is
//! left out, or said: nothing of a tree was not in a booted kernel. `builder/tests/machines/archives.rs` compares.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::archive::newc::{LINK, REGULAR, TYPE};
use crate::archive::notes::Notes;
use crate::archive::ramfs::{Fault, NodeId, NodeKind, ROOT, Ramfs};
use crate::archive::read::{Image, Record};
use crate::fs::PATH_BYTES_MAX;
use crate::names;
use crate::rootfs::tree::{Entry, FileTree, Why};

const DIRECTORY: u32 = 0o040000;
const BLOCK: u32 = 0o060000;
const CHARACTER: u32 = 0o020000;
const FIFO: u32 = 0o010000;
const SOCKET: u32 = 0o140000;
const PERMISSIONS: u32 = 0o7777;

/// Most zeros that stand for what is cut off of a file: its header may speak of gigabytes.
const FILLED_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of all paths of a tree beyond twice those of its records' names: a few links can make many long ones.
const PATHS_BYTES_MAX: usize = 16 << 20;
/// Most steps on the way to names beyond those of a tree without links: links that lead to links can make a million of
/// one name.
const STEPS_MAX: u64 = 1 << 22;
/// Steps that each record may take besides, and each byte of its name: a name is looked up up to five times, and a
/// part of it has two bytes at least.
const RECORD_STEPS: u64 = 64;
const NAME_BYTE_STEPS: u64 = 4;

/// The tree of an image, and what did not come out as its records say, each with its place and the reason.
pub fn tree(image: &Image) -> (FileTree, Notes) {
    let mut laying = Laying::new(image);
    for record in &image.entries {
        laying.lay(record);
        if laying.stopped {
            break;
        }
    }
    let tree = laying.collect();
    (tree, laying.notes)
}

/// A file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    /// The data of the record of this number.
    Record(usize),
    /// Bytes that no record has so.
    Bytes(Vec<u8>),
}

/// Whose names are one file's: the kernel's table of hard links, which a trailer empties.
type LinkKey = (u32, u32, (u32, (u32, u32)));

struct Laying<'a> {
    image: &'a Image,
    fs: Ramfs<Body>,
    links: HashMap<LinkKey, &'a str>,
    notes: Notes,
    /// Bytes of all names.
    name_bytes: usize,
    /// After a wrong checksum the kernel takes nothing more.
    stopped: bool,
    /// The number of the record that is laid.
    number: usize,
}

impl<'a> Laying<'a> {
    /// With what a kernel has in its root before: `usr/default_cpio_list` of its source.
    fn new(image: &'a Image) -> Laying<'a> {
        let name_bytes: usize = image.entries.iter().map(|record| record.name.len()).sum();
        let steps = image.entries.len() as u64 * RECORD_STEPS + name_bytes as u64 * NAME_BYTE_STEPS;
        let mut fs = Ramfs::new(STEPS_MAX + steps);
        let console = NodeKind::Device { block: false, number: (5, 1) };
        for (path, kind, mode) in [
            ("dev", NodeKind::Dir(BTreeMap::new()), 0o755),
            ("dev/console", console, 0o600),
            ("root", NodeKind::Dir(BTreeMap::new()), 0o700),
        ] {
            if let Ok(node) = fs.make(path, kind) {
                fs.node_mut(node).mode = mode;
            }
        }
        fs.forget_touches();
        Laying { image, fs, links: HashMap::new(), notes: Notes::default(), name_bytes, stopped: false, number: 0 }
    }

    fn lay(&mut self, record: &'a Record) {
        let kind = record.mode & TYPE;
        match kind {
            LINK => self.lay_link(record),
            REGULAR => self.lay_file(record),
            DIRECTORY => self.lay_folder(record),
            BLOCK | CHARACTER | FIFO | SOCKET => self.lay_special(record, kind),
            _ => {
                self.clear(&record.name, kind);
                self.note(record, "is of no type: what was there is removed");
            }
        }
        self.number += 1;
    }

    /// What is of another type gives way, a folder only if it is empty.
    fn clear(&mut self, path: &str, kind: u32) {
        if let Ok(node) = self.fs.find(path, false)
            && self.kind(node) != kind
        {
            // What cannot be removed shows itself when the new one is made.
            let _ = self.fs.remove(path);
        }
    }

    fn kind(&self, node: NodeId) -> u32 {
        match self.fs.node(node).kind {
            NodeKind::Dir(_) => DIRECTORY,
            NodeKind::File(_) => REGULAR,
            NodeKind::Symlink(_) => LINK,
            NodeKind::Device { block: true, .. } => BLOCK,
            NodeKind::Device { block: false, .. } => CHARACTER,
            NodeKind::Fifo => FIFO,
            NodeKind::Socket => SOCKET,
        }
    }

    /// A record of several names: whether it became another name of the first. An error says why it is left out.
    fn link(&mut self, record: &'a Record) -> Result<bool, String> {
        if record.links < 2 {
            return Ok(false);
        }
        let key = (record.trailers, record.mode & TYPE, record.inode);
        match self.links.get(&key).copied() {
            None => {
                self.links.insert(key, &record.name);
                Ok(false)
            }
            Some(first) => {
                // Also where both are one name: then it is gone, and so is the file.
                self.clear(&record.name, 0);
                let linked = self.fs.link(first, &record.name).map(|()| true);
                linked.map_err(|fault| match fault {
                    Fault::IsFolder => format!("its first name, {}, is a directory", names::show(first)),
                    fault => format!("as another name of {}: {fault}", names::show(first)),
                })
            }
        }
    }

    fn lay_file(&mut self, record: &'a Record) {
        self.clear(&record.name, REGULAR);
        let opened = self.link(record).and_then(|linked| {
            let node = self.fs.open(&record.name, Body::Bytes(Vec::new())).map_err(|fault| fault.to_string())?;
            // By a link that took the place of the first name.
            let file = matches!(self.fs.node(node).kind, NodeKind::File(_));
            if file { Ok((linked, node)) } else { Err(Fault::NoFile.to_string()) }
        });
        let (linked, node) = match opened {
            Ok(opened) => opened,
            Err(why) => return self.left_out(record, &why),
        };
        self.own(node, record);
        if record.size > 0 {
            let body = self.body(record, linked.then_some(node));
            if let Body::Bytes(bytes) = &body
                && (bytes.len() as u64) < record.size
            {
                self.note(record, &format!("is shown with {} bytes: the kernel fills up with zeros", bytes.len()));
            }
            self.fs.node_mut(node).kind = NodeKind::File(body);
        } else if !linked {
            self.fs.node_mut(node).kind = NodeKind::File(Body::Bytes(Vec::new()));
        }
        if record.wrong_sum {
            let (place, name) = (self.image.place(record), names::show(&record.name));
            let why = "has a wrong checksum: the kernel stops here and takes nothing that follows";
            self.notes.push_last(format!("at {place}: {name} {why}"));
            self.stopped = true;
        }
    }

    /// The content that a record gives a file. What is cut off is zeros, or what the other name had there.
    fn body(&self, record: &Record, old: Option<NodeId>) -> Body {
        let data = self.image.data(record);
        if data.len() as u64 == record.size {
            return Body::Record(self.number);
        }
        let mut bytes = match old.map(|node| &self.fs.node(node).kind) {
            Some(NodeKind::File(Body::Bytes(bytes))) => bytes.clone(),
            Some(NodeKind::File(Body::Record(number))) => self.image.data(&self.image.entries[*number]).to_vec(),
            _ => Vec::new(),
        };
        bytes.resize(record.size.min(data.len() as u64 + FILLED_BYTES_MAX) as usize, 0);
        bytes[..data.len()].copy_from_slice(data);
        Body::Bytes(bytes)
    }

    fn lay_folder(&mut self, record: &'a Record) {
        self.clear(&record.name, DIRECTORY);
        let made = self.fs.make(&record.name, NodeKind::Dir(BTreeMap::new()));
        // Owner and mode are set whether or not it was there.
        match (self.fs.find(&record.name, true), made) {
            (Ok(node), _) => self.own(node, record),
            (Err(_), Err(fault)) | (Err(fault), Ok(_)) => self.left_out(record, &fault.to_string()),
        }
    }

    fn lay_special(&mut self, record: &'a Record, kind: u32) {
        self.clear(&record.name, kind);
        match self.link(record) {
            Ok(false) => {}
            Ok(true) => return,
            Err(why) => return self.left_out(record, &why),
        }
        let new = match kind {
            FIFO => NodeKind::Fifo,
            SOCKET => NodeKind::Socket,
            _ => NodeKind::Device { block: kind == BLOCK, number: record.device },
        };
        let made = self.fs.make(&record.name, new);
        let there = self.fs.find(&record.name, true);
        if let Ok(node) = there {
            self.own(node, record);
        }
        match (made, there) {
            (Ok(_), _) => {}
            (Err(_), Ok(node)) if self.kind(node) == kind => match self.fs.node(node).kind {
                NodeKind::Device { number, .. } if number != record.device => {
                    self.note(record, &format!("keeps the number {},{} of the first record", number.0, number.1));
                }
                _ => {}
            },
            (Err(fault), _) => self.left_out(record, &fault.to_string()),
        }
    }

    fn lay_link(&mut self, record: &'a Record) {
        let data = self.image.data(record);
        let target = names::encode(data.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
        self.clear(&record.name, 0);
        let made = self.fs.make(&record.name, NodeKind::Symlink(target));
        if let Ok(node) = self.fs.find(&record.name, false) {
            // A folder that stays gets the link's owner.
            self.own_by(node, record);
        }
        match made {
            Ok(_) => {}
            Err(Fault::Exists) => self.left_out(record, "a directory that is not empty is there"),
            Err(fault) => self.left_out(record, &fault.to_string()),
        }
    }

    fn own(&mut self, node: NodeId, record: &Record) {
        self.own_by(node, record);
        self.fs.node_mut(node).mode = record.mode & PERMISSIONS;
    }

    /// An owner of -1 changes nothing (chown(2)).
    fn own_by(&mut self, node: NodeId, record: &Record) {
        let node = self.fs.node_mut(node);
        node.touched = true;
        let or = |new: u32, old: u32| if new == u32::MAX { old } else { new };
        node.owner = (or(record.uid, node.owner.0), or(record.gid, node.owner.1));
    }

    fn left_out(&mut self, record: &Record, why: &str) {
        self.note(record, &format!("is left out: {why}"));
    }

    fn note(&mut self, record: &Record, what: &str) {
        let image = self.image;
        self.notes.push_with(|| format!("at {}: {} {what}", image.place(record), names::show(&record.name)));
    }

    /// The tree: what the image made or changed, and the folders of that.
    fn collect(&mut self) -> FileTree {
        let mut entries = Vec::new();
        let mut contents: HashMap<NodeId, Arc<[u8]>> = HashMap::new();
        let mut bytes = 0;
        let bytes_max = PATHS_BYTES_MAX + 2 * self.name_bytes;
        let (mut too_long, mut too_many, mut untouched) = (0, 0, BTreeMap::new());
        let mut todo = vec![(ROOT, String::new())];
        while let Some((folder, path)) = todo.pop() {
            let NodeKind::Dir(inside) = &self.fs.node(folder).kind else { continue };
            for (part, node) in inside {
                let below = if path.is_empty() { part.to_string() } else { format!("{path}/{part}") };
                if below.len() > PATH_BYTES_MAX && names::decode(&below).len() > PATH_BYTES_MAX {
                    too_long += 1;
                    continue;
                }
                bytes += below.len();
                if bytes > bytes_max {
                    too_many += 1;
                    continue;
                }
                if let NodeKind::Dir(_) = self.fs.node(*node).kind {
                    todo.push((*node, below.clone()));
                }
                let entry = self.entry(*node, &mut contents);
                if self.fs.node(*node).touched {
                    entries.push((below, entry));
                } else {
                    untouched.insert(below, entry);
                }
            }
        }
        // The kernel's own folders belong to the image where it put something into them.
        let needed = |folder: &str| {
            let below = format!("{folder}/");
            entries.iter().any(|(path, _): &(String, Entry)| path.starts_with(&below))
        };
        let own: Vec<_> = untouched.into_iter().filter(|(path, _)| needed(path)).collect();
        entries.extend(own);
        if too_long > 0 {
            self.notes.push_last(format!("{too_long} paths are longer than {PATH_BYTES_MAX} bytes and are left out"));
        }
        if too_many > 0 {
            let why = "links make so many long paths of short names";
            self.notes.push_last(format!("{too_many} folders and files are left out: {why} that vmatic shows no more"));
        }
        entries.into_iter().collect()
    }

    fn entry(&self, id: NodeId, contents: &mut HashMap<NodeId, Arc<[u8]>>) -> Entry {
        let node = self.fs.node(id);
        let why = Why::default();
        let entry = match &node.kind {
            NodeKind::Dir(_) => Entry::dir(node.mode, why),
            NodeKind::Symlink(target) => Entry::symlink(target.as_str(), why),
            NodeKind::Device { block, number } => Entry::device(*block, number.0, number.1, node.mode, why),
            NodeKind::Fifo => Entry::fifo(node.mode, why),
            NodeKind::Socket => Entry::socket(node.mode, why),
            NodeKind::File(body) => {
                let bytes = || match body {
                    Body::Record(number) => Arc::from(self.image.data(&self.image.entries[*number])),
                    Body::Bytes(bytes) => Arc::from(&bytes[..]),
                };
                match node.names {
                    0 | 1 => Entry::file(bytes(), node.mode, why),
                    _ => {
                        let data = contents.entry(id).or_insert_with(bytes).clone();
                        Entry::file(data, node.mode, why).linked(id as u32)
                    }
                }
            }
        };
        entry.owned(node.owner.0, node.owner.1)
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
