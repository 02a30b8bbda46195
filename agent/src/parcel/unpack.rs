//! Reads a parcel's archive and makes its files below a folder.
//!
//! Takes a stream; gives how much there was, or the first thing that went wrong. The folder is ours alone, and nothing
//! in it is a link that leads out when something is made below it: links are made last.

use crate::error::{Context, Error};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use vmatic_tree::parcel::archive::{Entry, Item, Kind, Reader};
use vmatic_tree::reply::Pushed;

/// How much is read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Makes all that an archive holds below `root`, which is not there yet and becomes the archive's one file or folder;
/// errors name files as they are called below `called`.
pub fn unpack(mut from: impl Read, root: &Path, called: &Path) -> Result<Pushed, Error> {
    let mut tree = Tree { root, called, file: None, links: Vec::new(), folders: Vec::new(), done: Pushed::default() };
    let mut reader = Reader::default();
    let mut buffer = vec![0; READ_BYTES];
    while !reader.is_done() {
        let count = from.read(&mut buffer).context("read the parcel")?;
        if count == 0 {
            return Err(Error::new("read the parcel").because("it is cut short"));
        }
        reader.push(&buffer[..count]);
        while let Some(item) = reader.next_item().context("read the parcel")? {
            tree.take(item)?;
        }
    }
    tree.finish()
}

/// What is being made.
struct Tree<'a> {
    root: &'a Path,
    called: &'a Path,
    file: Option<(File, PathBuf)>,
    /// Links, and the modes of folders, which wait until all is there.
    links: Vec<(PathBuf, Vec<u8>)>,
    folders: Vec<(PathBuf, u32)>,
    done: Pushed,
}

impl Tree<'_> {
    fn take(&mut self, item: Item) -> Result<(), Error> {
        match item {
            Item::Entry(entry) => {
                self.file = None;
                self.done.entries += 1;
                self.make(entry)
            }
            Item::Data(bytes) => {
                let Some((file, path)) = &mut self.file else { return Ok(()) };
                self.done.bytes += bytes.len() as u64;
                file.write_all(&bytes).with_context(|| format!("write {}", path.display()))
            }
            Item::End => Ok(()),
        }
    }

    fn make(&mut self, entry: Entry) -> Result<(), Error> {
        let path = Path::new(OsStr::from_bytes(&entry.path));
        // An empty name would leave a slash behind, which says that a folder is meant.
        let below = |folder: &Path| if entry.path.is_empty() { folder.to_owned() } else { folder.join(path) };
        let (place, called) = (below(self.root), below(self.called));
        let tried = || format!("write {}", called.display());
        match entry.kind {
            Kind::Folder => {
                fs::create_dir(&place).with_context(tried)?;
                self.folders.push((place, entry.mode));
            }
            Kind::File(_) => {
                let mut options = OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(&place).with_context(tried)?;
                // As the operator has it, whatever this process's umask is.
                file.set_permissions(Permissions::from_mode(entry.mode)).with_context(tried)?;
                self.file = Some((file, called));
            }
            Kind::Link(target) => self.links.push((place, target)),
        }
        Ok(())
    }

    fn finish(self) -> Result<Pushed, Error> {
        let tried = |path: &Path| {
            let below = path.strip_prefix(self.root).unwrap_or(Path::new(""));
            format!("write {}", self.called.join(below).display())
        };
        for (path, target) in &self.links {
            symlink(OsStr::from_bytes(target), path).with_context(|| tried(path))?;
        }
        for (path, mode) in self.folders.iter().rev() {
            fs::set_permissions(path, Permissions::from_mode(*mode)).with_context(|| tried(path))?;
        }
        Ok(self.done)
    }
}
