//! The manifest: every file of every image with its sha256, its size and why it is there. It is
//! written beside the images as JSON, and `list`, `why` and `size` read it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::debpkg::hex;
use crate::filetree::{FileTree, Node};

/// The version of this format.
pub const VERSION: u32 = 1;

/// The manifest of an output folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
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

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageRecord {
    /// "host" or "guest".
    pub which: String,
    /// The release of its kernel.
    pub kernel: String,
    /// zstd, gzip or none.
    pub compression: String,
    /// Bytes of the packed archive.
    pub packed_bytes: u64,
    /// Bytes of the archive.
    pub unpacked_bytes: u64,
    /// Every path.
    pub files: Vec<FileRecord>,
}

/// One path of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Absolute path in the image.
    pub path: String,
    /// file, directory, link or device.
    pub kind: String,
    /// Permission bits, octal.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content.
    pub size: u64,
    /// Of a file's content.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// Of a link.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
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
    /// Its name.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: String,
}

impl OutputRecord {
    /// The record of a file's content.
    pub fn of(file: &str, data: &[u8]) -> OutputRecord {
        OutputRecord { file: file.to_owned(), size: data.len() as u64, sha256: sha256(data) }
    }
}

/// The records of a tree.
pub fn files_of(tree: &FileTree) -> Vec<FileRecord> {
    tree.iter()
        .map(|(path, entry)| FileRecord {
            path: format!("/{path}"),
            kind: entry.kind().to_owned(),
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size(),
            sha256: match &entry.node {
                Node::File { data, .. } => Some(sha256(data)),
                _ => None,
            },
            target: match &entry.node {
                Node::Symlink(target) => Some(target.clone()),
                _ => None,
            },
            layer: entry.why.layer.clone(),
            reason: entry.why.reason.clone(),
            needed_by: entry.why.needed_by.clone(),
            origin: entry.why.origin.clone(),
            overrode: entry.overrode.clone(),
        })
        .collect()
}

/// sha256 as hexadecimal text.
pub fn sha256(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}
