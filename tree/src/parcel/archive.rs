//! The files of a parcel as a stream: a newc archive (cpio(5), the kernel's `buffer-format.rst`), of folders, files and
//! symbolic links alone.
//!
//! Takes bytes in whatever pieces they come; gives entries, and the files' bytes behind each. Memory grows with what
//! has arrived and was not taken, never with what a header claims. A path leads nowhere but below the folder that the
//! archive is unpacked in; what is there already, and links, are whoever's who unpacks.

use super::PATH_BYTES_MAX;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;

/// Bytes of a record's header.
const HEADER_BYTES: usize = 110;
/// What a header begins with.
const MAGIC: &[u8; 6] = b"070701";
/// The name of the record that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// The part of a mode that is the type, and the types.
const TYPE: u32 = 0o170000;
const FOLDER: u32 = 0o040000;
const FILE: u32 = 0o100000;
const LINK: u32 = 0o120000;
/// The part of a mode that says who may do what.
const PERMISSIONS: u32 = 0o7777;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file of so many bytes, which follow.
    File(u32),
    /// A symbolic link to this.
    Link(Vec<u8>),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path, relative, without `.` and `..`; empty for what the archive is unpacked as.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Its permission bits.
    pub mode: u32,
}

/// What comes next in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An entry begins.
    Entry(Entry),
    /// Bytes of the file that began last.
    Data(Vec<u8>),
    /// All is there; what follows is padding.
    End,
}

/// Why a stream is no archive of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveError {
    /// There is no header where one is to be.
    Header,
    /// A path is too long, or leads outside.
    Path,
    /// An entry is no folder, file or symbolic link.
    Kind,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArchiveError::Header => "there is no header where one is to be",
            ArchiveError::Path => "a path in it is too long, or leads outside",
            ArchiveError::Kind => "an entry is no folder, file or symbolic link",
        })
    }
}

impl core::error::Error for ArchiveError {}

/// What is awaited.
#[derive(Debug)]
enum Awaited {
    Header,
    /// A path of so many bytes with its NUL, and padding; of an entry of this mode and size.
    Path {
        name: usize,
        mode: u32,
        size: u32,
    },
    /// The target of a link.
    Target {
        path: Vec<u8>,
        mode: u32,
        size: usize,
    },
    /// So many more bytes of a file, then so many of padding.
    Data {
        left: usize,
        padding: usize,
    },
    End,
}

/// Reads an archive.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
    taken: usize,
    awaited: Awaited,
}

impl Default for Reader {
    fn default() -> Self {
        Reader { buffer: Vec::new(), taken: 0, awaited: Awaited::Header }
    }
}

impl Reader {
    /// Adds the bytes that come next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if !self.is_done() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Whether all of the archive has been given out.
    pub fn is_done(&self) -> bool {
        matches!(self.awaited, Awaited::End)
    }

    /// What comes next; none until more has come.
    ///
    /// # Errors
    /// It is no archive of ours; nothing more will come of it.
    pub fn next_item(&mut self) -> Result<Option<Item>, ArchiveError> {
        loop {
            match &mut self.awaited {
                Awaited::Header => {
                    let Some(header) = self.take(HEADER_BYTES) else { return Ok(None) };
                    self.awaited = read_header(&header)?;
                }
                Awaited::Path { name, mode, size } => {
                    let (name, mode, size) = (*name, *mode, *size);
                    let Some(bytes) = self.take(name + pad(HEADER_BYTES + name)) else { return Ok(None) };
                    if &bytes[..name - 1] == TRAILER {
                        self.awaited = Awaited::End;
                        return Ok(Some(Item::End));
                    }
                    let path = checked_path(&bytes[..name])?;
                    if mode & TYPE == LINK {
                        self.awaited = Awaited::Target { path, mode, size: size as usize };
                        continue;
                    }
                    let (kind, left) = match mode & TYPE {
                        FOLDER => (Kind::Folder, 0),
                        _ => (Kind::File(size), size as usize),
                    };
                    self.awaited = Awaited::Data { left, padding: pad(left) };
                    return Ok(Some(Item::Entry(Entry { path, kind, mode: mode & PERMISSIONS })));
                }
                Awaited::Target { size, .. } => {
                    let size = *size;
                    let Some(mut target) = self.take(size + pad(size)) else { return Ok(None) };
                    target.truncate(size);
                    let Awaited::Target { path, mode, .. } = core::mem::replace(&mut self.awaited, Awaited::Header)
                    else {
                        return Err(ArchiveError::Header);
                    };
                    let kind = Kind::Link(target);
                    return Ok(Some(Item::Entry(Entry { path, kind, mode: mode & PERMISSIONS })));
                }
                Awaited::Data { left: 0, padding } => {
                    let padding = *padding;
                    if self.take(padding).is_none() {
                        return Ok(None);
                    }
                    self.awaited = Awaited::Header;
                }
                Awaited::Data { left, .. } => {
                    let there = (self.buffer.len() - self.taken).min(*left);
                    if there == 0 {
                        return Ok(None);
                    }
                    *left -= there;
                    return Ok(self.take(there).map(Item::Data));
                }
                Awaited::End => return Ok(None),
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let bytes = self.buffer.get(self.taken..self.taken.checked_add(count)?)?.to_vec();
        self.taken += count;
        Some(bytes)
    }
}

/// What a header announces.
fn read_header(header: &[u8]) -> Result<Awaited, ArchiveError> {
    let field = |at: usize| {
        let digits = header.get(6 + 8 * at..14 + 8 * at)?;
        digits.iter().try_fold(0u32, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
    };
    let (Some(mode), Some(links), Some(size), Some(name)) = (field(1), field(4), field(6), field(11)) else {
        return Err(ArchiveError::Header);
    };
    if !header.starts_with(MAGIC) {
        return Err(ArchiveError::Header);
    }
    // With its NUL.
    if !(1..=PATH_BYTES_MAX + 1).contains(&(name as usize)) {
        return Err(ArchiveError::Path);
    }
    match mode & TYPE {
        FOLDER if size == 0 => {}
        FILE if links <= 1 => {}
        LINK if (1..=PATH_BYTES_MAX).contains(&(size as usize)) => {}
        // The trailer's.
        0 if size == 0 && name as usize == TRAILER.len() + 1 => {}
        _ => return Err(ArchiveError::Kind),
    }
    Ok(Awaited::Path { name: name as usize, mode, size })
}

/// A name with its NUL as a path that leads nowhere but below.
fn checked_path(name: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let Some((0, path)) = name.split_last() else { return Err(ArchiveError::Path) };
    if path == b"." {
        return Ok(Vec::new());
    }
    let wrong = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
    if path.split(|byte| *byte == b'/').any(wrong) {
        return Err(ArchiveError::Path);
    }
    Ok(path.to_vec())
}

/// How many bytes of padding come behind so many.
pub const fn pad(bytes: usize) -> usize {
    bytes.wrapping_neg() % 4
}

/// The beginning of an entry: all but a file's bytes and the padding behind them ([`pad`]).
pub fn head(entry: &Entry) -> Vec<u8> {
    let name: &[u8] = if entry.path.is_empty() { b"." } else { &entry.path };
    let (kind, size, data): (u32, u32, &[u8]) = match &entry.kind {
        Kind::Folder => (FOLDER, 0, &[]),
        Kind::File(size) => (FILE, *size, &[]),
        Kind::Link(target) => (LINK, target.len() as u32, target),
    };
    let mut bytes = record(kind | entry.mode & PERMISSIONS, size, name);
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len() + pad(data.len()), 0);
    bytes
}

/// What ends an archive.
pub fn trailer() -> Vec<u8> {
    record(0, 0, TRAILER)
}

/// Header and name. Owner, time and inode are none: equal files make equal archives.
fn record(mode: u32, size: u32, name: &[u8]) -> Vec<u8> {
    let length = name.len() as u32 + 1;
    let mut bytes = format!("070701{0:08X}{mode:08X}{0:08X}{0:08X}{1:08X}{0:08X}{size:08X}", 0, 1).into_bytes();
    bytes.extend_from_slice(format!("{0:08X}{0:08X}{0:08X}{0:08X}{length:08X}{0:08X}", 0).as_bytes());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&vec![0; 1 + pad(HEADER_BYTES + name.len() + 1)]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(path: &str, kind: Kind, mode: u32) -> Entry {
        Entry { path: path.into(), kind, mode }
    }

    fn archive() -> Vec<u8> {
        let mut all = head(&entry("", Kind::Folder, 0o755));
        all.extend(head(&entry("bin", Kind::Folder, 0o1777)));
        all.extend(head(&entry("bin/a", Kind::File(5), 0o4755)));
        all.extend(b"hello\0\0\0");
        all.extend(head(&entry("bin/b", Kind::Link(b"../bin/a".to_vec()), 0o777)));
        all.extend(head(&entry("empty", Kind::File(0), 0o600)));
        all.extend(trailer());
        all
    }

    fn read(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Item>, ArchiveError> {
        let (mut reader, mut items, mut at) = (Reader::default(), Vec::new(), 0);
        let mut cuts = cuts.iter().cycle();
        while at < bytes.len() {
            let end = (at + cuts.next().unwrap()).min(bytes.len());
            reader.push(&bytes[at..end]);
            at = end;
            while let Some(item) = reader.next_item()? {
                match (items.last_mut(), item) {
                    (Some(Item::Data(all)), Item::Data(more)) => all.extend(more),
                    (_, item) => items.push(item),
                }
            }
        }
        Ok(items)
    }

    proptest! {
        #[test]
        fn an_archive_survives_any_cutting(cuts in proptest::collection::vec(1usize..200, 1..20)) {
            let items = read(&archive(), &cuts).unwrap();
            let wanted = [
                Item::Entry(entry("", Kind::Folder, 0o755)),
                Item::Entry(entry("bin", Kind::Folder, 0o1777)),
                Item::Entry(entry("bin/a", Kind::File(5), 0o4755)),
                Item::Data(b"hello".to_vec()),
                Item::Entry(entry("bin/b", Kind::Link(b"../bin/a".to_vec()), 0o777)),
                Item::Entry(entry("empty", Kind::File(0), 0o600)),
                Item::End,
            ];
            prop_assert_eq!(&items[..], &wanted[..]);
        }

        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            at in 0usize..600,
            value in any::<u8>(),
        ) {
            let _ = read(&bytes, &[64]);
            let mut damaged = archive();
            let at = at % damaged.len();
            damaged[at] = value;
            let _ = read(&damaged, &[7, 100]);
        }
    }

    #[test]
    fn paths_lead_nowhere_but_below() {
        for path in ["/etc", "..", "a/../b", "a//b", "./a", "a/", "a\0b"] {
            let bytes = head(&entry(path, Kind::Folder, 0o755));
            assert_eq!(read(&bytes, &[1000]), Err(ArchiveError::Path), "{path}");
        }
        let longest = "a/".repeat(PATH_BYTES_MAX / 2) + "a";
        assert!(read(&head(&entry(&longest, Kind::Folder, 0)), &[9999]).is_ok());
        assert_eq!(read(&head(&entry(&(longest + "b"), Kind::Folder, 0)), &[9999]), Err(ArchiveError::Path));
    }

    #[test]
    fn devices_hard_links_and_other_formats_are_refused() {
        let mut device = head(&entry("a", Kind::Folder, 0o755));
        device[14..22].copy_from_slice(b"00002000");
        assert_eq!(read(&device, &[1000]), Err(ArchiveError::Kind));
        let mut linked = head(&entry("a", Kind::File(0), 0o755));
        linked[6 + 8 * 4..6 + 8 * 5].copy_from_slice(b"00000002");
        assert_eq!(read(&linked, &[1000]), Err(ArchiveError::Kind));
        assert_eq!(read(&[b'x'; 200], &[1000]), Err(ArchiveError::Header));
    }
}
