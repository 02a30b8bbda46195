//! The manifest: every file of every image with its sha256, its size and why it is there. It is
//! written beside the images as JSON, and `list`, `why` and `size` read it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vmatic_plan::host_image;

use crate::digest::{hex, sha256};
use crate::rootfs::tree::{Content, Entry, FileTree};

/// The version of this format.
pub const VERSION: u32 = 1;

/// The manifest of an output folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of the manifest: [`VERSION`].
    pub vmatic_manifest: u32,
    /// The cluster's name.
    pub name: String,
    /// The images: host, then guest.
    pub images: Vec<ImageRecord>,
    /// What went in from elsewhere.
    pub inputs: Vec<InputRecord>,
    /// The other files of the output folder.
    pub outputs: Vec<OutputRecord>,
}

/// What one image holds, and how it is packed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageRecord {
    /// "host" or "guest".
    pub which: String,
    /// The release of its kernel.
    pub kernel: String,
    /// zstd, gzip, xz or none.
    pub compression: String,
    /// Bytes of the packed archive.
    pub packed_bytes: u64,
    /// Bytes of the archive.
    pub unpacked_bytes: u64,
    /// What boots it; of the host image alone, since the guests' kernel is a file of that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub boot: Option<BootRecord>,
    /// What the operator should know of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
    /// The separately packed parts, in order.
    #[serde(default)]
    pub members: Vec<MemberRecord>,
    /// Every path of the image, sorted.
    pub files: Vec<FileRecord>,
}

/// What a host boots beside its image: a part of which image it is, since the next boot differs with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    /// sha256 of the kernel's file, as hexadecimal text.
    pub kernel_sha256: String,
    /// The kernel's command line, as the boot scripts have it.
    pub cmdline: String,
}

/// One separately packed part of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The layers that it holds.
    pub name: String,
    /// Bytes in the file.
    pub packed_bytes: u64,
    /// Bytes of its archive.
    pub unpacked_bytes: u64,
}

/// One path of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Absolute path in the image. A byte that is not part of UTF-8 is U+10F700 plus the byte ([`crate::names`]).
    pub path: String,
    /// file, directory, link, device, fifo or socket.
    pub kind: String,
    /// Permission bits, octal.
    pub mode: String,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// Of a file's content.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// Of a link; bytes as in the path.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// Of a device: `c 5 1`, as a layer's manifest has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// The first of the file's names, in all others of its names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hard_link: Option<String>,
    /// The layer it is from.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub layer: String,
    /// Why it is there.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Who asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub needed_by: Option<String>,
    /// Where its content came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
    /// How its mode came about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode_rule: Option<String>,
    /// Layers whose entry it replaced.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub overrode: Vec<String>,
}

/// One input: a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// What the spec asked for.
    pub asked: String,
    /// What it is.
    pub file: String,
    /// Its hash, if it is one file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
}

/// One file of the output folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// The name in the output folder.
    pub file: String,
    /// Bytes of the file.
    pub size: u64,
    /// sha256 of the file, as hexadecimal text.
    pub sha256: String,
}

impl OutputRecord {
    /// The record of a file's content.
    pub fn of(file: &str, data: &[u8]) -> OutputRecord {
        OutputRecord { file: file.to_owned(), size: data.len() as u64, sha256: sha256(data) }
    }
}

/// sha256 of every file's content, by its path; computed on all processors.
pub type Digests = HashMap<String, [u8; 32]>;

/// Hashes the files of a tree.
pub fn digests(tree: &FileTree) -> Digests {
    let files = tree.iter().filter_map(|(path, entry)| match &entry.content {
        Content::File { data, .. } => Some((path, &data[..])),
        _ => None,
    });
    let mut files: Vec<(&str, &[u8])> = files.collect();
    // The largest first, dealt in turn: the processors end at about the same time.
    files.sort_by_key(|(_, data)| std::cmp::Reverse(data.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let hash = &|first: usize| {
        let files = files.iter().skip(first).step_by(threads);
        files.map(|(path, data)| ((*path).to_owned(), Sha256::digest(data).into())).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|first| scope.spawn(move || hash(first))).collect();
        let mut digests: Digests = hash(0).into_iter().collect();
        for other in others {
            // Hashing cannot panic; a thread that did would leave its files without a hash in the manifest.
            digests.extend(other.join().unwrap_or_default());
        }
        digests
    })
}

/// Which image it is, by the records of its files: sha256 over their paths, kinds, modes, owners and contents, without
/// the file that says it, the times, and the reasons; and over what boots it, where that is known. However it is
/// packed, it is the same.
pub fn image_digest(files: &[FileRecord], boot: Option<&BootRecord>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for file in files.iter().filter(|file| file.path != host_image::IMAGE) {
        let FileRecord { path, kind, mode, uid, gid, size, sha256, target, device, hard_link, .. } = file;
        hash.update(format!("{path}\0{kind} {mode} {uid} {gid} {size}\0"));
        for part in [sha256, target, device, hard_link] {
            hash.update(part.as_deref().unwrap_or_default());
            hash.update("\0");
        }
    }
    // No path of an image is empty, so what follows is no file's.
    if let Some(BootRecord { kernel_sha256, cmdline }) = boot {
        hash.update(format!("\0{kernel_sha256}\0{cmdline}\0"));
    }
    hash.finalize().into()
}

/// The records of a tree.
pub fn files_of(tree: &FileTree, digests: &Digests) -> Vec<FileRecord> {
    let mut first_names: HashMap<u32, &str> = HashMap::new();
    let mut hard_link = |path, entry: &Entry| match entry.content {
        Content::File { group: Some(group), .. } => {
            let first = *first_names.entry(group).or_insert(path);
            (first != path).then(|| format!("/{first}"))
        }
        _ => None,
    };
    tree.iter()
        .map(|(path, entry)| FileRecord {
            path: format!("/{path}"),
            kind: entry.kind().to_owned(),
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size(),
            sha256: match &entry.content {
                Content::File { .. } => digests.get(path).map(|digest| hex(digest)),
                _ => None,
            },
            target: match &entry.content {
                Content::Symlink(target) => Some(target.clone()),
                _ => None,
            },
            device: match entry.content {
                Content::Device { block, major, minor } => {
                    Some(format!("{} {major} {minor}", if block { 'b' } else { 'c' }))
                }
                _ => None,
            },
            hard_link: hard_link(path, entry),
            layer: entry.why.layer.to_string(),
            reason: entry.why.reason.clone(),
            needed_by: entry.why.needed_by.clone(),
            origin: entry.why.origin.clone(),
            mode_rule: entry.why.mode_rule.clone(),
            overrode: entry.overrode.iter().map(ToString::to_string).collect(),
        })
        .collect()
}
