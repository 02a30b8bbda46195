//! Which image it is, written into it: a host that runs it can say so.
//!
//! Takes a finished tree with its files' digests, and what boots it; adds one file to both.

use sha2::{Digest, Sha256};
use vmatic_plan::host_image;

use crate::digest::hex;
use crate::error::Result;
use crate::manifest::{self, BootRecord, Digests};
use crate::rootfs::tree::{Entry, FileTree, LayerName, Why};

/// Adds the file that says which image it is.
pub fn add(tree: &mut FileTree, digests: &mut Digests, boot: Option<&BootRecord>) -> Result<()> {
    let digest = hex(&manifest::image_digest(&manifest::files_of(tree, digests), boot));
    let text = format!("{digest}\n").into_bytes();
    digests.insert(host_image::IMAGE.trim_start_matches('/').to_owned(), Sha256::digest(&text).into());
    let why = Why::new(LayerName::Vmatic, "which image it is");
    tree.insert(host_image::IMAGE, Entry::file(text, 0o644, why))
}
