//! A root file system to look into: a root on disk or a tree in memory, asked the same questions.
//!
//! Takes paths as a program inside that root would write them; gives what is there, every link followed
//! inside the root and remembered, so that an image can hold the same chain. The closure is computed over
//! this trait: once over the root that files are taken from, and once more over the finished image.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::elf::Source;
use crate::glob::path_captures;
use crate::rootfs::error::RootError;
use crate::rootfs::links;
use crate::rootfs::tree::{Content, FileTree};

/// What lies at a path whose parents are no links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A folder, which has names in it.
    Dir,
    /// A regular file.
    File {
        /// Equal for two names of one file (device and inode).
        id: (u64, u64),
        /// Whether anybody may execute it.
        runs: bool,
        /// Whether everybody may read it.
        others_read: bool,
        /// How long it is.
        bytes: u64,
    },
    /// A symbolic link to this target.
    Link(String),
    /// A device, a socket, a pipe.
    Other,
}

/// A path that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The path that was asked for.
    pub asked: String,
    /// The absolute path without links.
    pub real: String,
    /// The links met on the way: path and target.
    pub links: BTreeMap<String, String>,
}

/// The folders where programs are looked for by name, in order.
pub const PROGRAM_FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Folders of people, and of what only runs: nothing of them comes unless somebody names it.
const PRIVATE: [&str; 8] = ["/root", "/home", "/tmp", "/var/tmp", "/run", "/proc", "/sys", "/dev"];

/// Most text read from a configuration file.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// Most files that one folder of a table or package may bring.
const WALK_FILES_MAX: usize = 200_000;

/// A root, on disk or in memory. Paths are absolute and real (no links) where a method says so.
pub trait Rootfs {
    /// What lies at this real path; None when nothing does.
    fn kind(&self, real: &str) -> Option<EntryKind>;
    /// Opens the file at this real path. The error is the cause alone.
    fn open(&self, real: &str) -> Result<Box<dyn Source + '_>, RootError>;
    /// Whether the folder at this real path keeps others out.
    fn is_closed(&self, real: &str) -> bool;
    /// The names in the folder at this real path, sorted.
    fn list(&self, real: &str) -> Vec<String>;
    /// A path as the operator would call it.
    fn describe(&self, path: &str) -> String;
}

impl dyn Rootfs + '_ {
    /// Finds what `path` names, following links; None if it does not exist.
    pub fn find(&self, path: &str) -> Option<Found> {
        let mut links = BTreeMap::new();
        let read_link = |real: &str| {
            let here = format!("/{real}");
            match self.kind(&here) {
                None => Err(()),
                Some(EntryKind::Link(target)) => {
                    links.insert(here, target.clone());
                    Ok(Some(target))
                }
                Some(_) => Ok(None),
            }
        };
        let real = links::follow(path, read_link).ok()?;
        Some(Found { asked: path.to_owned(), real: format!("/{real}"), links })
    }

    /// Finds a regular file.
    pub fn find_file(&self, path: &str) -> Option<Found> {
        self.find(path).filter(|found| matches!(self.kind(&found.real), Some(EntryKind::File { .. })))
    }

    /// Finds a program by name in [`PROGRAM_FOLDERS`].
    pub fn find_program(&self, name: &str) -> Option<Found> {
        PROGRAM_FOLDERS
            .iter()
            .filter_map(|folder| self.find(&format!("{folder}/{name}")))
            .find(|found| self.runs(&found.real))
    }

    /// Whether the file at this real path may be executed.
    pub fn runs(&self, real: &str) -> bool {
        matches!(self.kind(real), Some(EntryKind::File { runs: true, .. }))
    }

    /// Whether a file that nobody named may come into an image, which is served to everybody: others may read it, on
    /// all the way to it, neither it nor its folder is hidden, and it is nobody's in particular.
    pub fn is_public(&self, real: &str) -> bool {
        let within = |folder: &str| real.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let readable = !matches!(self.kind(real), Some(EntryKind::File { others_read: false, .. }));
        readable
            && !PRIVATE.iter().any(|folder| within(folder))
            && !real.rsplit('/').take(2).any(|part| part.starts_with('.'))
            && !real.match_indices('/').skip(1).any(|(at, _)| self.is_closed(&real[..at]))
    }

    /// The first bytes of the file at this real path, at most `max`.
    pub fn head(&self, real: &str, max: usize) -> Result<Vec<u8>, RootError> {
        let source = self.open(real)?;
        let mut bytes = vec![0; source.len().min(max as u64) as usize];
        source.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// A small text file, links followed; None when it is not there, too large or not UTF-8.
    pub fn text(&self, path: &str) -> Option<String> {
        let found = self.find_file(path)?;
        if self.open(&found.real).ok()?.len() > TEXT_BYTES_MAX {
            return None;
        }
        String::from_utf8(self.head(&found.real, TEXT_BYTES_MAX as usize).ok()?).ok()
    }

    /// The paths that match a pattern with `*` and `?` in any component, sorted; links are not followed at
    /// the end of a path, so that a broken one is seen too.
    pub fn glob(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(['*', '?']) {
                found.iter_mut().for_each(|path| *path = format!("{path}/{part}"));
                continue;
            }
            let mut next = Vec::new();
            for folder in found {
                let Some(real) = self.find(if folder.is_empty() { "/" } else { &folder }) else { continue };
                let names = self.list(&real.real);
                let names = names.into_iter().filter(|name| path_captures(part, name).is_some());
                next.extend(names.map(|name| format!("{folder}/{name}")));
            }
            found = next;
        }
        found.retain(|path| self.exists(path));
        found
    }

    /// Whether there is anything at a path, even a link that leads nowhere.
    pub fn exists(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.find(if folder.is_empty() { "/" } else { folder });
        folder.is_some_and(|folder| self.kind(&format!("{}/{name}", folder.real.trim_end_matches('/'))).is_some())
    }

    /// All below a folder, links to folders not entered: real paths of files, links and empty folders.
    pub fn walk(&self, folder: &str) -> Vec<String> {
        let mut out = Vec::new();
        let Some(found) = self.find(folder) else { return out };
        let mut todo = vec![found.real];
        while let Some(here) = todo.pop() {
            let names = self.list(&here);
            if names.is_empty() || out.len() > WALK_FILES_MAX {
                out.push(here);
                continue;
            }
            for name in names {
                let path = format!("{}/{name}", here.trim_end_matches('/'));
                match self.kind(&path) {
                    Some(EntryKind::Dir) => todo.push(path),
                    Some(_) => out.push(path),
                    None => {}
                }
            }
        }
        out.sort();
        out
    }
}

impl Rootfs for FileTree {
    fn kind(&self, real: &str) -> Option<EntryKind> {
        let Some(entry) = self.get(real) else { return (real == "/").then_some(EntryKind::Dir) };
        Some(match &entry.content {
            Content::Dir => EntryKind::Dir,
            Content::Symlink(target) => EntryKind::Link(target.clone()),
            Content::Device { .. } | Content::Fifo | Content::Socket => EntryKind::Other,
            Content::File { data, group } => {
                let id = group.map_or((0, Arc::as_ptr(data) as *const u8 as u64), |group| (1, u64::from(group)));
                let (runs, others_read) = (entry.mode & 0o111 != 0, entry.mode & 0o004 != 0);
                EntryKind::File { id, runs, others_read, bytes: data.len() as u64 }
            }
        })
    }

    fn open(&self, real: &str) -> Result<Box<dyn Source + '_>, RootError> {
        match self.get(real).map(|entry| &entry.content) {
            Some(Content::File { data, .. }) => Ok(Box::new(&**data)),
            _ => Err(RootError::NoFile),
        }
    }

    fn is_closed(&self, real: &str) -> bool {
        self.get(real).is_some_and(|entry| entry.content == Content::Dir && entry.mode & 0o001 == 0)
    }

    fn list(&self, real: &str) -> Vec<String> {
        self.names_in(real.trim_matches('/'))
    }

    fn describe(&self, path: &str) -> String {
        format!("{path} of the image")
    }
}
