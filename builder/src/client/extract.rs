//! Unpacks what a node sends, below a folder of this machine: beside its place first, then moved there whole.
//!
//! What nodes send is not trusted: nothing is written outside of the folder, links are made last, and no file gets the
//! right to run as another user.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vmatic_tree::parcel::archive::{Entry, Item, Kind, Reader};

use crate::error::{Error, PathContext, Result};

/// What of a mode is kept.
const MODE: u32 = 0o777;

/// One file or folder that comes from a node.
pub struct Extraction {
    target: PathBuf,
    scratch: TempDir,
    reader: Reader,
    file: Option<File>,
    links: Vec<(PathBuf, Vec<u8>)>,
    folders: Vec<(PathBuf, u32)>,
    /// Bytes that have come.
    pub bytes: u64,
}

impl Extraction {
    /// Makes room beside `target`, which it will be.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn begin(target: PathBuf) -> Result<Extraction> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).at("create", folder)?;
        let scratch = tempfile::Builder::new().prefix(".vmatic-pull-").tempdir_in(folder).at("write in", folder)?;
        let (links, folders) = (Vec::new(), Vec::new());
        Ok(Extraction { target, scratch, reader: Reader::default(), file: None, links, folders, bytes: 0 })
    }

    /// Takes the bytes that come next.
    ///
    /// # Errors
    /// When they are no archive, or cannot be written.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes += bytes.len() as u64;
        self.reader.push(bytes);
        loop {
            let item = self.reader.next_item().map_err(|why| {
                Error::new(format!("cannot unpack {}", self.target.display())).because(why).help("fetch it again")
            })?;
            match item {
                Some(Item::Entry(entry)) => self.make(entry)?,
                Some(Item::Data(bytes)) => {
                    if let Some(file) = &mut self.file {
                        file.write_all(&bytes).at("write", &self.target)?;
                    }
                }
                Some(Item::End) | None => return Ok(()),
            }
        }
    }

    fn place(&self, path: &[u8]) -> PathBuf {
        let new = self.scratch.path().join("new");
        if path.is_empty() { new } else { new.join(OsStr::from_bytes(path)) }
    }

    fn make(&mut self, entry: Entry) -> Result<()> {
        let place = self.place(&entry.path);
        self.file = None;
        match entry.kind {
            Kind::Folder => {
                fs::create_dir(&place).at("write", &self.target)?;
                self.folders.push((place, entry.mode & MODE));
            }
            Kind::File(_) => {
                let mut options = OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(&place).at("write", &self.target)?;
                file.set_permissions(Permissions::from_mode(entry.mode & MODE)).at("write", &self.target)?;
                self.file = Some(file);
            }
            Kind::Link(target) => self.links.push((place, target)),
        }
        Ok(())
    }

    /// All has come: puts it in its place, in that of what is called the same.
    ///
    /// # Errors
    /// When it is cut short, or cannot be put there; nothing is left then.
    pub fn finish(mut self) -> Result<()> {
        if !self.reader.is_done() {
            let tried = format!("cannot unpack {}", self.target.display());
            return Err(Error::new(tried).because("it is cut short").help("fetch it again"));
        }
        self.file = None;
        for (place, target) in &self.links {
            symlink(OsStr::from_bytes(target), place).at("write", &self.target)?;
        }
        for (place, mode) in self.folders.iter().rev() {
            // What its owner may not write in could not be moved or removed.
            fs::set_permissions(place, Permissions::from_mode(mode | 0o700)).at("write", &self.target)?;
        }
        let old = self.scratch.path().join("old");
        let has_old = fs::rename(&self.target, &old).is_ok();
        let moved = fs::rename(self.place(b""), &self.target);
        if moved.is_err() && has_old {
            let _ = fs::rename(&old, &self.target);
        }
        moved.at("write", &self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_tree::parcel::archive::{head, trailer};

    fn extracted(target: PathBuf, entries: &[(&str, Kind, u32, &[u8])]) -> Result<()> {
        let mut extraction = Extraction::begin(target)?;
        for (path, kind, mode, data) in entries {
            extraction.push(&head(&Entry { path: path.as_bytes().to_vec(), kind: kind.clone(), mode: *mode }))?;
            extraction.push(data)?;
        }
        extraction.push(&trailer())?;
        extraction.finish()
    }

    #[test]
    fn what_comes_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for text in [b"1234", b"5678"] {
            let entries: [(&str, Kind, u32, &[u8]); 3] = [
                ("", Kind::Folder, 0o555, b""),
                ("f", Kind::File(4), 0o4755, text),
                ("l", Kind::Link(b"f".to_vec()), 0o777, b""),
            ];
            extracted(at("new/d"), &entries).unwrap();
            assert_eq!(fs::read(at("new/d/l")).unwrap(), text);
            assert_eq!(fs::metadata(at("new/d/f")).unwrap().permissions().mode() & 0o7777, 0o755, "as another user");
        }
        assert_eq!(fs::read_dir(at("new")).unwrap().count(), 1, "something is left");
    }

    #[test]
    fn nothing_is_written_elsewhere_and_nothing_half() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old"), "kept").unwrap();
        let entries: [(&str, Kind, u32, &[u8]); 3] = [
            ("", Kind::Folder, 0o755, b""),
            ("l", Kind::Link(folder.path().as_os_str().as_bytes().to_vec()), 0o777, b""),
            ("l/f", Kind::File(0), 0o644, b""),
        ];
        assert!(extracted(folder.path().join("old"), &entries).is_err());
        let mut cut = Extraction::begin(folder.path().join("old")).unwrap();
        cut.push(&head(&Entry { path: vec![], kind: Kind::File(9), mode: 0o644 })).unwrap();
        assert!(cut.finish().unwrap_err().to_string().contains("cut short"));
        assert_eq!(fs::read(folder.path().join("old")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
