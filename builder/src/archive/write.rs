//! A writer of newc archives, the format of an initramfs, from a file tree.
//!
//! Refuses what the kernel would pass over: sizes beyond 32 bits, names and targets that are too long, a name that ends
//! an archive. Names are bytes. Sorted by them, parents first, inodes numbered from 1, hard links written once (with
//! the data on the first name, so that a streamed reader has it), one fixed mtime: the same tree gives the same bytes.

use std::collections::HashMap;
use std::io::{self, Write};

use crate::archive::newc::{Header, NAME_BYTES_MAX, TRAILER};
use crate::error::{Error, PathContext, Result};
use crate::names;
use crate::rootfs::tree::{Content, Entry, FileTree};

/// Largest file a newc record can hold.
pub const FILE_BYTES_MAX: u64 = u32::MAX as u64;
/// The archive is padded with zeros to a multiple of this, as cpio(1) does.
pub const BLOCK_BYTES: u64 = 512;

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the archive, padding included.
    pub bytes: u64,
    /// Records, the trailer not counted.
    pub records: usize,
}

/// The mtime of every record: SOURCE_DATE_EPOCH if it is set, else 0.
pub fn mtime_from_environment() -> Result<u32> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) => text.parse().map_err(|_| {
            Error::new(format!("cannot use SOURCE_DATE_EPOCH={text:?}"))
                .because("an archive holds seconds from 0 to 4294967295")
                .help("set it to such a number, or unset it")
        }),
    }
}

/// Writes the whole tree and the trailer.
pub fn write(tree: &FileTree, mtime: u32, out: impl Write) -> Result<Written> {
    let mut entries: Vec<_> = tree.iter().collect();
    names::sort_by_bytes(&mut entries, |(path, _)| path);
    write_entries(&entries, mtime, out)
}

/// Writes some of a tree's entries, in their order, and the trailer. All names of a hard-linked file must be among
/// them: the kernel forgets link groups at a trailer.
pub fn write_entries(entries: &[(&str, &Entry)], mtime: u32, out: impl Write) -> Result<Written> {
    let mut out = Counted { inner: out, bytes: 0 };
    let links = count_links(entries);
    let mut inodes: HashMap<u32, u32> = HashMap::new();
    let mut records = 0;
    for (path, entry) in entries.iter().copied() {
        records += 1;
        let own = u32::try_from(records).map_err(|_| Error::new("cannot number more than 4294967295 files"))?;
        let (inode, names, first) = match &entry.content {
            Content::File { group: Some(group), .. } => {
                let first = !inodes.contains_key(group);
                (*inodes.entry(*group).or_insert(own), links[group], first)
            }
            Content::Dir => (own, 2, true),
            _ => (own, 1, true),
        };
        write_record(path, entry, InodeFields { inode, names, first, mtime }, &mut out)?;
    }
    put(Header { links: 1, ..Header::default() }, TRAILER, &[], &mut out).at("write", "the archive's trailer")?;
    let tail = out.bytes.next_multiple_of(BLOCK_BYTES) - out.bytes;
    out.write_all(&vec![0; tail as usize]).at("write", "the archive's padding")?;
    Ok(Written { bytes: out.bytes, records })
}

struct InodeFields {
    inode: u32,
    names: u32,
    first: bool,
    mtime: u32,
}

fn write_record(path: &str, entry: &Entry, record: InodeFields, out: &mut Counted<impl Write>) -> Result<()> {
    let name = names::decode(path);
    let target = match &entry.content {
        Content::Symlink(target) => names::decode(target),
        _ => Default::default(),
    };
    let data: &[u8] = match &entry.content {
        Content::File { data, .. } if record.first => data,
        _ => &target,
    };
    let (kind, device) = match entry.content {
        Content::Dir => (0o040000, (0, 0)),
        Content::Symlink(_) => (0o120000, (0, 0)),
        Content::File { .. } => (0o100000, (0, 0)),
        Content::Device { block: true, major, minor } => (0o060000, (major, minor)),
        Content::Device { block: false, major, minor } => (0o020000, (major, minor)),
        Content::Fifo => (0o010000, (0, 0)),
        Content::Socket => (0o140000, (0, 0)),
    };
    check_names(path, &name, &target)?;
    let header = Header {
        inode: record.inode,
        mode: kind | entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        links: record.names,
        mtime: record.mtime,
        size: checked_size(path, data.len() as u64)?,
        device,
        ..Header::default()
    };
    put(header, &name, data, out).at("write", path)
}

/// Writes a record: header, name and data, each padded to four bytes.
fn put(header: Header, name: &[u8], data: &[u8], out: &mut Counted<impl Write>) -> io::Result<()> {
    let header = Header { name_bytes: name.len() as u32 + 1, ..header };
    out.write_all(&header.bytes())?;
    out.write_all(name)?;
    // The NUL of the name is padding that is always there.
    out.pad(1)?;
    out.write_all(data)?;
    out.pad(0)
}

fn check_names(path: &str, name: &[u8], target: &[u8]) -> Result<()> {
    let why = if name == TRAILER {
        "an archive ends at this name".to_owned()
    } else if name.len() >= NAME_BYTES_MAX || target.len() >= NAME_BYTES_MAX {
        format!("a name or a link's target has at most {} bytes", NAME_BYTES_MAX - 1)
    } else {
        return Ok(());
    };
    Err(Error::new(format!("cannot put /{} into the archive", names::show(path))).because(why).help("rename it"))
}

fn checked_size(path: &str, bytes: u64) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| {
        Error::new(format!("cannot put /{} into the archive", names::show(path)))
            .because(format!("it has {bytes} bytes and a record holds at most {FILE_BYTES_MAX}"))
            .help("split the file, or let the node fetch it after boot")
    })
}

fn count_links(entries: &[(&str, &Entry)]) -> HashMap<u32, u32> {
    let mut links = HashMap::new();
    for (_, entry) in entries {
        if let Content::File { group: Some(group), .. } = entry.content {
            *links.entry(group).or_insert(0) += 1;
        }
    }
    links
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Counted<W> {
    /// Writes so many zeros, and as many more as lead to a multiple of four.
    fn pad(&mut self, least: u64) -> io::Result<()> {
        let zeros = (self.bytes + least).next_multiple_of(4) - self.bytes;
        self.write_all(&[0; 4][..zeros as usize])
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(data)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::tree::Why;

    fn sample() -> FileTree {
        let mut tree = FileTree::new();
        let why = Why::default;
        tree.insert("dev/console", Entry::device(false, 5, 1, 0o600, why())).unwrap();
        tree.insert("bin/a", Entry::file(*b"hello", 0o755, why()).linked(7)).unwrap();
        tree.insert("bin/b", Entry::file(*b"hello", 0o755, why()).linked(7)).unwrap();
        tree.insert("bin/c", Entry::symlink("a", why())).unwrap();
        tree.insert("tmp", Entry::dir(0o1777, why())).unwrap();
        tree.insert("own", Entry::file(*b"", 0o640, why()).owned(3, 4)).unwrap();
        tree
    }

    #[test]
    fn the_archive_reads_back_through_the_reader() {
        let mut bytes = Vec::new();
        let written = write(&sample(), 9, &mut bytes).unwrap();
        assert_eq!(written.bytes, bytes.len() as u64);
        assert_eq!(written.bytes % BLOCK_BYTES, 0);
        let image = crate::archive::read::read(bytes).unwrap();
        let names: Vec<_> = image.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["bin", "bin/a", "bin/b", "bin/c", "dev", "dev/console", "own", "tmp"]);
        let by = |path: &str| image.entries.iter().find(|entry| entry.name == path).unwrap();
        assert_eq!((by("bin/a").inode, by("bin/a").links, by("bin/a").size), (by("bin/b").inode, 2, 5));
        assert_eq!(by("bin/b").size, 0, "the data is on the first name");
        assert_eq!((by("dev/console").mode, by("dev/console").device), (0o020600, (5, 1)));
        assert_eq!(by("tmp").mode, 0o041777);
        assert_eq!((by("own").uid, by("own").gid, by("own").mtime), (3, 4, 9));
        assert_eq!(image.data(by("bin/a")), b"hello");
        assert_eq!(image.data(by("bin/c")), b"a");
    }

    #[test]
    fn a_link_group_with_one_name_left_is_a_plain_file() {
        let mut tree = sample();
        tree.insert("bin/a", Entry::file(*b"other", 0o755, Why::default())).unwrap();
        let mut bytes = Vec::new();
        write(&tree, 0, &mut bytes).unwrap();
        let image = crate::archive::read::read(bytes).unwrap();
        let b = image.entries.iter().find(|entry| entry.name == "bin/b").unwrap();
        assert_eq!((b.links, image.data(b)), (1, &b"hello"[..]));
    }

    #[test]
    fn a_size_is_checked_at_the_limit_and_one_past_it() {
        assert_eq!(checked_size("x", FILE_BYTES_MAX).unwrap(), u32::MAX);
        let error = checked_size("x", FILE_BYTES_MAX + 1).unwrap_err().to_string();
        assert!(error.contains("4294967296"), "{error}");
    }

    #[test]
    fn names_are_written_as_their_bytes_and_in_their_order() {
        let mut tree = FileTree::new();
        for name in [&b"\xff"[..], "\u{1f600}".as_bytes(), b"a"] {
            tree.insert(&names::encode(name), Entry::symlink(names::encode(b"\xfe"), Why::default())).unwrap();
        }
        let mut bytes = Vec::new();
        write(&tree, 0, &mut bytes).unwrap();
        let at = |name: &[u8]| bytes.windows(name.len()).position(|window| window == name);
        assert!(at(b"a\0").is_some() && at(b"a\0") < at(b"\xf0\x9f\x98\x80\0") && at(b"\x80\0") < at(b"\xff\0\xfe"));
    }

    #[test]
    fn a_name_is_checked_at_the_limit_and_one_past_it() {
        let written = |path: &str, target: &str| {
            write_entries(&[(path, &Entry::symlink(target, Why::default()))], 0, Vec::new())
                .map(|written| written.records)
        };
        let (long, longer) = ("n".repeat(4095), "n".repeat(4096));
        assert!(written(&long, &long).is_ok_and(|records| records == 1));
        assert!(
            written(&longer, "x").is_err() && written("x", &longer).is_err() && written("TRAILER!!!", "x").is_err()
        );
    }

    #[test]
    fn a_full_disk_is_reported_with_a_remedy() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = write(&sample(), 0, Full).unwrap_err().to_string();
        assert!(error.contains("free some space"), "{error}");
    }
}
