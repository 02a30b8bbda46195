//! A root file system on the building machine (`/`, or a foreign root unpacked somewhere), read
//! without leaving it: links are followed inside it.
//!
//! What was looked up once is remembered: resolving many programs asks for the same few hundred paths.
//! A root must therefore not change while a Sysroot of it is in use.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::elf::{ReadError, Source};
use crate::names;
use crate::rootfs::error::RootError;
use crate::rootfs::root::{EntryKind, Rootfs};

/// A root folder.
#[derive(Debug)]
pub struct Sysroot {
    folder: PathBuf,
    known: RefCell<HashMap<String, Option<EntryKind>>>,
    closed: RefCell<HashMap<String, bool>>,
}

impl Sysroot {
    /// A root at this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Sysroot {
        Sysroot { folder: folder.into(), known: RefCell::default(), closed: RefCell::default() }
    }

    /// The folder of the root on the building machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a path of the root lies on the building machine. The path must be real (no links).
    pub fn on_disk(&self, real: &str) -> PathBuf {
        self.folder.join(names::to_path(real.trim_start_matches('/')))
    }

    fn look(&self, real: &str) -> Option<EntryKind> {
        let disk = self.on_disk(real);
        let metadata = fs::symlink_metadata(&disk).ok()?;
        let kind = metadata.file_type();
        Some(if kind.is_symlink() {
            EntryKind::Link(names::from_os(fs::read_link(&disk).ok()?))
        } else if kind.is_dir() {
            EntryKind::Dir
        } else if kind.is_file() {
            EntryKind::File {
                id: (metadata.dev(), metadata.ino()),
                runs: metadata.mode() & 0o111 != 0,
                others_read: metadata.mode() & 0o004 != 0,
                bytes: metadata.len(),
            }
        } else {
            EntryKind::Other
        })
    }
}

impl Rootfs for Sysroot {
    fn kind(&self, real: &str) -> Option<EntryKind> {
        if let Some(known) = self.known.borrow().get(real) {
            return known.clone();
        }
        let kind = self.look(real);
        self.known.borrow_mut().insert(real.to_owned(), kind.clone());
        kind
    }

    fn open(&self, real: &str) -> Result<Box<dyn Source + '_>, RootError> {
        Ok(Box::new(Opened::new(File::open(self.on_disk(real))?)?))
    }

    fn is_closed(&self, real: &str) -> bool {
        if let Some(known) = self.closed.borrow().get(real) {
            return *known;
        }
        let about = fs::symlink_metadata(self.on_disk(real));
        let closed = about.is_ok_and(|about| about.is_dir() && about.mode() & 0o001 == 0);
        self.closed.borrow_mut().insert(real.to_owned(), closed);
        closed
    }

    fn list(&self, real: &str) -> Vec<String> {
        let entries = fs::read_dir(self.on_disk(real)).into_iter().flatten();
        let mut all: Vec<String> = entries.filter_map(|entry| Some(names::from_os(entry.ok()?.file_name()))).collect();
        all.sort();
        all
    }

    fn describe(&self, path: &str) -> String {
        self.on_disk(path).display().to_string()
    }
}

/// A file on disk whose first bytes are at hand: an ELF file's headers lie there.
struct Opened {
    file: File,
    bytes: OnceCell<u64>,
    head: Vec<u8>,
}

impl Opened {
    /// An ELF header, a dozen program headers, the interpreter and the notes.
    const HEAD_BYTES: usize = 2048;

    fn new(file: File) -> std::io::Result<Opened> {
        let mut head = vec![0; Opened::HEAD_BYTES];
        let got = FileExt::read_at(&file, &mut head, 0)?;
        head.truncate(got);
        // A file that ends here has no more: its size need not be asked for.
        let bytes = if got < Opened::HEAD_BYTES { OnceCell::from(got as u64) } else { OnceCell::new() };
        Ok(Opened { file, bytes, head })
    }
}

impl Source for Opened {
    fn len(&self) -> u64 {
        *self.bytes.get_or_init(|| self.file.metadata().map_or(0, |metadata| metadata.len()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        match self.head.as_slice().read_at(buffer, offset) {
            Ok(()) => Ok(()),
            Err(_) => Ok(self.file.read_exact_at(buffer, offset)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_the_root_and_are_remembered() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("usr/lib/arch")).unwrap();
        fs::write(at("usr/lib/arch/libx.so.1.2"), "x").unwrap();
        symlink("usr/lib", at("lib")).unwrap();
        symlink("/lib/arch/libx.so.1.2", at("usr/lib/arch/libx.so.1")).unwrap();
        let sysroot = Sysroot::new(root.path());
        let found = (&sysroot as &dyn Rootfs).find_file("/lib/arch/libx.so.1").unwrap();
        assert_eq!(found.real, "/usr/lib/arch/libx.so.1.2");
        let links: Vec<_> = found.links.iter().map(|(path, target)| (path.as_str(), target.as_str())).collect();
        assert_eq!(links, [("/lib", "usr/lib"), ("/usr/lib/arch/libx.so.1", "/lib/arch/libx.so.1.2")]);
    }

    #[test]
    fn loops_and_missing_files_are_not_found() {
        let root = tempfile::tempdir().unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        let sysroot = Sysroot::new(root.path());
        let place: &dyn Rootfs = &sysroot;
        assert_eq!(place.find("/a"), None);
        assert_eq!(place.find("/c/d"), None);
        assert!(place.exists("/a") && !place.exists("/c/d"));
        let Err(RootError::Open(cause)) = place.open("/c/d") else { panic!("there is no /c/d") };
        assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(place.find("/../..").unwrap().real, "/");
    }

    #[test]
    fn globs_go_through_links_and_walks_do_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("usr/lib/one/empty")).unwrap();
        fs::write(at("usr/lib/one/a.so"), "x").unwrap();
        symlink("usr/lib", at("lib")).unwrap();
        symlink("one", at("usr/lib/two")).unwrap();
        let sysroot = Sysroot::new(root.path());
        let place: &dyn Rootfs = &sysroot;
        assert_eq!(place.glob("/lib/*/a.so"), ["/lib/one/a.so", "/lib/two/a.so"]);
        assert_eq!(place.walk("/lib"), ["/usr/lib/one/a.so", "/usr/lib/one/empty", "/usr/lib/two"]);
    }
}
