//! An image as members: parts that are packed each on its own, in parallel, and kept by their content.
//!
//! Takes a finished tree; gives the bytes of the image. The kernel unpacks members one after the other, so the
//! first holds every folder (a file whose folder was not written is dropped without a word), and each ends with a
//! trailer. A part whose content is in the cache costs neither archive nor compression.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use vmatic_plan::host_image;

use crate::archive;
use crate::archive::compress::Effort;
use crate::digest::hex;
use crate::error::{Error, PathContext, Result};
use crate::manifest::{Digests, MemberRecord};
use crate::names;
use crate::rootfs::tree::{Content, Entry, FileTree, LayerName};
use crate::spec::values::Compression;

/// A member is cut when its content is longer than this, so that processors share the work.
const MEMBER_BYTES: u64 = 16 << 20;
/// Members that were not used go when those in the cache have more bytes than this.
const CACHE_BYTES_MAX: u64 = 1 << 30;
/// Where the guests' image lies in a host image: it holds the same BusyBox as the base, and shares its member,
/// where the packer finds it again.
pub const GUEST_IMAGE: &str = "boot/guest/initramfs";

/// A packed image.
pub struct Packed {
    /// The packed image: its members, one behind the other.
    pub bytes: Vec<u8>,
    /// Bytes of all its archives.
    pub unpacked_bytes: u64,
    /// The members, in the order of the bytes.
    pub members: Vec<MemberRecord>,
    /// How many of them the cache had.
    pub cached: usize,
}

/// How to pack.
pub struct Packer {
    /// How each member is packed.
    pub compression: Compression,
    /// Members for work, one for a release.
    pub effort: Effort,
    /// Of every record.
    pub mtime: u32,
    /// The folder of members packed before; None keeps none.
    pub cache: Option<PathBuf>,
}

/// A part of a tree.
struct Part<'a> {
    name: String,
    entries: Vec<(&'a str, &'a Entry)>,
}

/// A packed part.
struct Done {
    bytes: Vec<u8>,
    unpacked_bytes: u64,
    cached: bool,
}

impl Packer {
    /// Packs a tree.
    pub fn pack(&self, tree: &FileTree, digests: &Digests) -> Result<Packed> {
        // Unpacked, one archive has the least padding; a release has the fewest bytes.
        let parts = if self.compression == Compression::None || self.effort == Effort::Release {
            vec![Part { name: "all".to_owned(), entries: in_order(tree) }]
        } else {
            split(tree)
        };
        let results: Vec<Mutex<Option<Result<Done>>>> = parts.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(index) else { break };
                let done = self.pack_part(part, digests);
                if let Ok(mut place) = results[index].lock() {
                    *place = Some(done);
                }
            }
        };
        std::thread::scope(|scope| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts.len());
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut packed = Packed { bytes: Vec::new(), unpacked_bytes: 0, members: Vec::new(), cached: 0 };
        for (part, result) in parts.into_iter().zip(results) {
            let done = result.into_inner().ok().flatten();
            let done = done.ok_or_else(|| Error::new(format!("cannot pack the part {}", part.name)))??;
            packed.bytes.extend_from_slice(&done.bytes);
            packed.unpacked_bytes += done.unpacked_bytes;
            packed.cached += usize::from(done.cached);
            packed.members.push(MemberRecord {
                name: part.name,
                packed_bytes: done.bytes.len() as u64,
                unpacked_bytes: done.unpacked_bytes,
            });
        }
        Ok(packed)
    }

    fn pack_part(&self, part: &Part, digests: &Digests) -> Result<Done> {
        let folder = self.cache.as_deref().filter(|_| self.compression != Compression::None);
        let key = folder.map(|folder| (folder, self.key(part, digests)));
        if let Some((folder, key)) = &key
            && let Some(done) = read_cached(folder, key)
        {
            return Ok(done);
        }
        let mut plain = Vec::with_capacity(part.entries.iter().map(|(_, entry)| entry.size() as usize + 256).sum());
        let written = archive::write_entries(&part.entries, self.mtime, &mut plain)?;
        let bytes =
            if self.compression == Compression::None { plain } else { self.compression.pack(&plain, self.effort)? };
        if let Some((folder, key)) = &key {
            // A cache that cannot be written only makes the next build slower.
            let _ = write_cached(folder, key, written.bytes, &bytes);
        }
        Ok(Done { bytes, unpacked_bytes: written.bytes, cached: false })
    }

    /// Everything that the bytes of a part depend on.
    fn key(&self, part: &Part, digests: &Digests) -> String {
        let mut hash = Sha256::new();
        let head = format!("vmatic member v1 {} {:?} {}\0", self.compression.name(), self.effort, self.mtime);
        hash.update(head);
        for (path, entry) in &part.entries {
            hash.update(format!("{path}\0{:o} {} {} ", entry.mode, entry.uid, entry.gid));
            match &entry.content {
                Content::Dir => hash.update("d"),
                Content::Symlink(target) => hash.update(format!("l{}\0{target}", target.len())),
                Content::Device { block, major, minor } => hash.update(format!("n{block} {major} {minor}")),
                Content::Fifo => hash.update("p"),
                Content::Socket => hash.update("s"),
                Content::File { data, group } => {
                    hash.update(format!("f{group:?} {} ", data.len()));
                    match digests.get(*path) {
                        Some(digest) => hash.update(digest),
                        None => hash.update(data),
                    }
                }
            }
            hash.update("\0");
        }
        hex(&hash.finalize())
    }
}

/// A tree's entries in the order of their names' bytes.
fn in_order(tree: &FileTree) -> Vec<(&str, &Entry)> {
    let mut entries: Vec<_> = tree.iter().collect();
    names::sort_by_bytes(&mut entries, |(path, _)| path);
    entries
}

/// The parts of a tree: folders first, then a part for each kind of layer, long ones cut between records.
fn split(tree: &FileTree) -> Vec<Part<'_>> {
    let mut groups: BTreeMap<u32, u8> = BTreeMap::new();
    let mut parts: BTreeMap<u8, Vec<(&str, &Entry)>> = BTreeMap::new();
    for (path, entry) in in_order(tree) {
        let own = rank(path, entry);
        let rank = match entry.content {
            // Names of one inode stay together, with the first of them.
            Content::File { group: Some(group), .. } => *groups.entry(group).or_insert(own),
            _ => own,
        };
        parts.entry(rank).or_default().push((path, entry));
    }
    let mut all = Vec::new();
    for (rank, entries) in parts {
        let linked = entries.iter().any(|(_, entry)| matches!(entry.content, Content::File { group: Some(_), .. }));
        let pieces = if linked { vec![entries] } else { cut(entries) };
        all.extend(pieces.into_iter().map(|entries| Part { name: RANKS[usize::from(rank)].to_owned(), entries }));
    }
    all
}

/// The parts in their order; what changes often comes last.
const RANKS: [&str; 8] =
    ["folders", "kernel", "packages", "modules", "base, guest image", "overlays", "vmatic", "identity"];

fn is_identity(path: &str) -> bool {
    Some(path) == host_image::IMAGE.strip_prefix('/')
}

fn rank(path: &str, entry: &Entry) -> u8 {
    match entry.content {
        Content::Dir => 0,
        _ if path == GUEST_IMAGE => 4,
        // It changes with whatever else does.
        _ if is_identity(path) => 7,
        _ if path.starts_with("boot/") => 1,
        _ => match entry.why.layer {
            // What came from the system.
            LayerName::Binaries | LayerName::Unknown => 2,
            LayerName::Modules => 3,
            LayerName::Base => 4,
            LayerName::Overlay(_) | LayerName::Files => 5,
            LayerName::Vmatic => 6,
        },
    }
}

fn cut<'a>(entries: Vec<(&'a str, &'a Entry)>) -> Vec<Vec<(&'a str, &'a Entry)>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0;
    for item in entries {
        if bytes >= MEMBER_BYTES {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += item.1.size();
        if let Some(piece) = pieces.last_mut() {
            piece.push(item);
        }
    }
    pieces
}

/// A cached member: 8 bytes of the archive's length, then the packed bytes and their sha256's first half.
fn read_cached(folder: &Path, key: &str) -> Option<Done> {
    let path = folder.join(key);
    let data = fs::read(&path).ok()?;
    let (length, rest) = data.split_first_chunk::<8>()?;
    let (bytes, sum) = rest.split_last_chunk::<16>()?;
    if Sha256::digest(bytes)[..16] != sum[..] {
        let _ = fs::remove_file(&path);
        return None;
    }
    if let Ok(file) = fs::File::open(&path) {
        let _ = file.set_modified(SystemTime::now());
    }
    Some(Done { bytes: bytes.to_vec(), unpacked_bytes: u64::from_le_bytes(*length), cached: true })
}

fn write_cached(folder: &Path, key: &str, unpacked_bytes: u64, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(folder).at("create", folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).at("write in", folder)?;
    for piece in [&unpacked_bytes.to_le_bytes()[..], bytes, &Sha256::digest(bytes)[..16]] {
        file.write_all(piece).at("write", folder)?;
    }
    file.persist(folder.join(key)).map_err(|error| error.error).at("write in", folder)?;
    prune(folder);
    Ok(())
}

/// Removes the members that were not used for the longest time, when there are too many.
fn prune(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let known = entry.metadata().ok()?;
        Some((known.modified().ok()?, known.len(), entry.path()))
    });
    let mut files: Vec<_> = files.collect();
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    files.sort();
    for (_, size, path) in files {
        if bytes <= CACHE_BYTES_MAX {
            return;
        }
        if fs::remove_file(path).is_ok() {
            bytes -= size;
        }
    }
}
