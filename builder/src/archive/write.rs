//! A writer of newc archives, the format of an initramfs, from a file tree.
//!
//! The records go through the cpio crate, behind a wrapper that refuses what the crate would let
//! pass: sizes beyond 32 bits, bytes that do not match the size, names the kernel would skip.
//! Sorted, parents first, inodes numbered from 1, hard links written once (the data on the first
//! name, so that a streamed reader has it), one fixed mtime: the same tree gives the same bytes.

use std::collections::HashMap;
use std::io::{self, Write};

use cpio::newc::{Builder, ModeFileType, trailer};

use crate::error::{Error, PathContext, Result};
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
    write_entries(&tree.iter().collect::<Vec<_>>(), mtime, out)
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
    trailer(&mut out).at("write", "the archive's trailer")?;
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
    let (kind, data): (ModeFileType, &[u8]) = match &entry.content {
        Content::Dir => (ModeFileType::Directory, &[]),
        Content::Symlink(target) => (ModeFileType::Symlink, target.as_bytes()),
        Content::Device { block: true, .. } => (ModeFileType::Block, &[]),
        Content::Device { block: false, .. } => (ModeFileType::Char, &[]),
        Content::File { data, .. } if record.first => (ModeFileType::Regular, data),
        Content::File { .. } => (ModeFileType::Regular, &[]),
    };
    let size = checked_size(path, data.len() as u64)?;
    let mut builder = Builder::new(path)
        .ino(record.inode)
        .nlink(record.names)
        .mode(entry.mode)
        .set_mode_file_type(kind)
        .uid(entry.uid)
        .gid(entry.gid)
        .mtime(record.mtime);
    if let Content::Device { major, minor, .. } = entry.content {
        builder = builder.rdev_major(major).rdev_minor(minor);
    }
    let expected = out.bytes + record_bytes(path, u64::from(size));
    let mut writer = builder.write(&mut *out, size);
    writer.write_all(data).at("write", path)?;
    writer.finish().at("write", path)?;
    if out.bytes != expected {
        return Err(Error::new(format!("cannot write /{path} into the archive"))
            .because(format!("the record should end at byte {expected} and ends at {}", out.bytes)));
    }
    Ok(())
}

fn checked_size(path: &str, bytes: u64) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| {
        Error::new(format!("cannot put /{path} into the archive"))
            .because(format!("it has {bytes} bytes and a record holds at most {FILE_BYTES_MAX}"))
            .help("split the file, or let the node fetch it after boot")
    })
}

/// Bytes of one record: header and name, padded to 4; data, padded to 4.
fn record_bytes(path: &str, size: u64) -> u64 {
    (110 + path.len() as u64 + 1).next_multiple_of(4) + size.next_multiple_of(4)
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
        let names: Vec<_> = image.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(names, ["bin", "bin/a", "bin/b", "bin/c", "dev", "dev/console", "own", "tmp"]);
        let by = |path: &str| image.entries.iter().find(|entry| entry.path == path).unwrap();
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
        let b = image.entries.iter().find(|entry| entry.path == "bin/b").unwrap();
        assert_eq!((b.links, image.data(b)), (1, &b"hello"[..]));
    }

    #[test]
    fn a_size_is_checked_at_the_limit_and_one_past_it() {
        assert_eq!(checked_size("x", FILE_BYTES_MAX).unwrap(), u32::MAX);
        let error = checked_size("x", FILE_BYTES_MAX + 1).unwrap_err().to_string();
        assert!(error.contains("4294967296"), "{error}");
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
