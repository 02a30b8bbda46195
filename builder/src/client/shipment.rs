//! A parcel on the operator's side: which files are in it, cut into chunks, and read again when a chunk is asked for.
//!
//! Takes a file or a folder of this machine, or a list of what is to be where; gives the chunks
//! (`vmatic_tree::parcel`). Memory holds names and hashes, no files. A long file begins a chunk and ends one, so that
//! it is the same chunks in every parcel that it is in, and nodes fetch it once.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vmatic_tree::parcel::archive::{Entry, Kind, head, pad, trailer};
use vmatic_tree::parcel::{CHUNK_BYTES_MAX, Chunk, ParcelId, Part, Waybill, hash};

use crate::error::{Error, PathContext, Result};
use crate::ui::say;

/// A file of so many bytes has chunks of its own.
const APART_BYTES: u64 = 64 * 1024;

/// What is to be at a path of the parcel.
#[derive(Clone, Debug)]
pub enum Content {
    /// A folder of this mode.
    Folder(u32),
    /// A symbolic link to this.
    Link(Vec<u8>),
    /// This file of this machine, with its mode.
    File(PathBuf),
    /// A file of these bytes, which everybody may read.
    Bytes(Vec<u8>),
}

/// What is to be where: paths without a slash before them, the root's empty.
pub type Contents = BTreeMap<Vec<u8>, Content>;

/// A part of a chunk.
#[derive(Debug)]
enum Segment {
    Bytes(Vec<u8>),
    File { path: Arc<Path>, from: u64, length: usize },
}

/// A parcel that can be given.
#[derive(Debug)]
pub struct Shipment {
    chunks: Vec<Vec<Segment>>,
    waybill: Waybill,
    id: ParcelId,
}

impl Shipment {
    /// A file, or a folder with all that is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_path(path: &Path) -> Result<Shipment> {
        let mut contents = Contents::new();
        add(&mut contents, path, b"")?;
        Shipment::of(contents)
    }

    /// All this.
    ///
    /// # Errors
    /// When a file cannot be read, or it is more than a parcel holds.
    pub fn of(contents: Contents) -> Result<Shipment> {
        let mut packer = Packer::default();
        for (path, content) in contents {
            match content {
                Content::Folder(mode) => packer.bytes(head(&Entry { path, kind: Kind::Folder, mode })),
                Content::Link(target) => packer.bytes(head(&Entry { path, kind: Kind::Link(target), mode: 0o777 })),
                Content::Bytes(bytes) => {
                    let kind = Kind::File(bytes.len() as u32);
                    packer.bytes(head(&Entry { path, kind, mode: 0o644 }));
                    let padding = pad(bytes.len());
                    packer.bytes(bytes);
                    packer.bytes(vec![0; padding]);
                }
                Content::File(file) => packer.file(path, &file)?,
            }
        }
        packer.bytes(trailer());
        packer.cut();
        let mut chunks = Vec::with_capacity(packer.chunks.len());
        for chunk in &packer.chunks {
            let bytes = read(chunk)?;
            chunks.push(Chunk { bytes: bytes.len() as u32, hash: hash(&bytes) });
        }
        let waybill = Waybill::new(chunks).map_err(|why| {
            let error = Error::new("cannot send so much at once").because(why);
            error.help("send parts of it, each by a command of its own")
        })?;
        let id = ParcelId(hash(&waybill.bytes()));
        Ok(Shipment { chunks: packer.chunks, waybill, id })
    }

    /// Its name, which is what the operator signs.
    pub fn id(&self) -> ParcelId {
        self.id
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        self.waybill.total_bytes()
    }

    /// A part of it; none if there is no such part.
    ///
    /// # Errors
    /// When a file cannot be read any more, or has changed.
    pub fn part(&self, part: Part) -> Result<Option<Vec<u8>>> {
        let Part::Chunk(number) = part else { return Ok(Some(self.waybill.bytes())) };
        let Some(chunk) = self.chunks.get(number as usize) else { return Ok(None) };
        let bytes = read(chunk)?;
        if self.waybill.chunks().get(number as usize).is_some_and(|chunk| chunk.hash == hash(&bytes)) {
            return Ok(Some(bytes));
        }
        let file = chunk.iter().find_map(|part| if let Segment::File { path, .. } = part { Some(path) } else { None });
        let file = file.map_or_else(|| "the files".into(), |path| path.display().to_string());
        Err(Error::new(format!("cannot send {file}"))
            .because("it has changed since the command was signed")
            .help("run the command again"))
    }
}

/// Adds a file, or a folder with all that is in it, as this path.
///
/// # Errors
/// When it cannot be read.
pub fn add(contents: &mut Contents, from: &Path, path: &[u8]) -> Result<()> {
    // What is named may be a link; what it leads to is meant.
    let metadata = fs::metadata(from).at("send", from)?;
    add_entry(contents, from, path, &metadata)
}

fn add_entry(contents: &mut Contents, from: &Path, path: &[u8], metadata: &Metadata) -> Result<()> {
    let content = if metadata.is_dir() {
        for entry in fs::read_dir(from).at("send", from)? {
            let entry = entry.at("send", from)?;
            let name = entry.file_name();
            let below = if path.is_empty() { name.as_bytes().to_vec() } else { [path, b"/", name.as_bytes()].concat() };
            add_entry(contents, &entry.path(), &below, &entry.metadata().at("send", entry.path())?)?;
        }
        Content::Folder(metadata.permissions().mode())
    } else if metadata.is_symlink() {
        Content::Link(fs::read_link(from).at("send", from)?.as_os_str().as_bytes().to_vec())
    } else if metadata.is_file() {
        Content::File(from.to_owned())
    } else {
        say::warn(format!("{} is left out: it is no file, folder or link", from.display()));
        return Ok(());
    };
    contents.insert(path.to_vec(), content);
    Ok(())
}

/// Cuts a stream into chunks.
#[derive(Default)]
struct Packer {
    chunks: Vec<Vec<Segment>>,
    chunk: Vec<Segment>,
    room_taken: usize,
}

impl Packer {
    fn cut(&mut self) {
        if !self.chunk.is_empty() {
            self.chunks.push(std::mem::take(&mut self.chunk));
        }
        self.room_taken = 0;
    }

    /// How much goes into the current chunk.
    fn room(&mut self) -> usize {
        if self.room_taken == CHUNK_BYTES_MAX {
            self.cut();
        }
        CHUNK_BYTES_MAX - self.room_taken
    }

    fn bytes(&mut self, mut bytes: Vec<u8>) {
        while !bytes.is_empty() {
            let rest = bytes.split_off(self.room().min(bytes.len()));
            self.room_taken += bytes.len();
            self.chunk.push(Segment::Bytes(std::mem::replace(&mut bytes, rest)));
        }
    }

    fn file(&mut self, path: Vec<u8>, file: &Path) -> Result<()> {
        let metadata = fs::metadata(file).at("send", file)?;
        let size = u32::try_from(metadata.len()).map_err(|_| {
            Error::new(format!("cannot send {}", file.display())).because("it has more than 4 GiB").help("cut it")
        })?;
        self.bytes(head(&Entry { path, kind: Kind::File(size), mode: metadata.permissions().mode() }));
        let apart = u64::from(size) >= APART_BYTES;
        if apart {
            self.cut();
        }
        let (shared, mut from): (Arc<Path>, u64) = (file.into(), 0);
        while from < u64::from(size) {
            let length = (u64::from(size) - from).min(self.room() as u64) as usize;
            self.room_taken += length;
            self.chunk.push(Segment::File { path: shared.clone(), from, length });
            from += length as u64;
        }
        if apart {
            self.cut();
        }
        self.bytes(vec![0; pad(size as usize)]);
        Ok(())
    }
}

/// The bytes of a chunk.
fn read(chunk: &[Segment]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in chunk {
        match part {
            Segment::Bytes(part) => bytes.extend_from_slice(part),
            Segment::File { path, from, length } => {
                let start = bytes.len();
                bytes.resize(start + length, 0);
                let file = File::open(path).at("send", path)?;
                file.read_exact_at(&mut bytes[start..], *from).map_err(|e| {
                    let shorter = e.kind() == io::ErrorKind::UnexpectedEof;
                    let error = Error::new(format!("cannot send {}", path.display()));
                    if shorter { error.because("it became shorter while it was sent") } else { error.because(e) }
                })?;
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_tree::parcel::archive::{Item, Reader};

    fn items(shipment: &Shipment) -> Vec<Item> {
        let (mut reader, mut items) = (Reader::default(), Vec::new());
        for number in 0..shipment.chunks.len() {
            reader.push(&shipment.part(Part::Chunk(number as u32)).unwrap().unwrap());
            while let Some(item) = reader.next_item().unwrap() {
                match (items.last_mut(), item) {
                    (Some(Item::Data(all)), Item::Data(more)) => all.extend(more),
                    (_, item) => items.push(item),
                }
            }
        }
        assert!(reader.is_done());
        items
    }

    #[test]
    fn a_folder_becomes_the_same_chunks_each_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/long"), vec![7; 3 * CHUNK_BYTES_MAX + 5]).unwrap();
        fs::write(folder.path().join("a"), "text").unwrap();
        let shipment = Shipment::of_path(folder.path()).unwrap();
        assert_eq!(shipment.id(), Shipment::of_path(folder.path()).unwrap().id());
        let items = items(&shipment);
        let paths: Vec<&[u8]> =
            items.iter().filter_map(|i| if let Item::Entry(e) = i { Some(&e.path[..]) } else { None }).collect();
        assert_eq!(paths, [&b""[..], b"a", b"b", b"b/long"]);
        assert!(items.contains(&Item::Data(vec![7; 3 * CHUNK_BYTES_MAX + 5])));
        // What is beside it changes nothing of a long file's chunks.
        let hashes = |shipment: &Shipment| shipment.waybill.chunks().iter().map(|c| c.hash).collect::<Vec<_>>();
        let before = hashes(&shipment);
        fs::write(folder.path().join("a"), "another text").unwrap();
        let after = hashes(&Shipment::of_path(folder.path()).unwrap());
        assert_eq!(before.iter().filter(|hash| after.contains(hash)).count(), before.len() - 1);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "first").unwrap();
        let shipment = Shipment::of_path(&file).unwrap();
        assert!(shipment.part(Part::Chunk(9)).unwrap().is_none());
        fs::write(&file, "other").unwrap();
        let error = shipment.part(Part::Chunk(0)).unwrap_err().to_string();
        assert!(error.contains("changed since the command was signed"), "{error}");
        fs::write(&file, "x").unwrap();
        assert!(shipment.part(Part::Chunk(0)).unwrap_err().to_string().contains("became shorter"));
        assert!(Shipment::of_path(&folder.path().join("none")).is_err());
    }
}
