//! Hard links: files of a disk that are names of one inode stay so in an image.
//!
//! git alone has 140 names for one program.
//!
//! Takes a file's place on disk; gives its content, read once for all its names, and the group that they share.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{PathContext, Result};
use crate::rootfs::tree::{Content, Entry, FileTree, Why};

/// Device and inode.
type Inode = (u64, u64);

/// What was read of a disk.
#[derive(Default)]
pub struct HardLinks {
    known: HashMap<Inode, (Arc<[u8]>, u32)>,
    next: Option<u32>,
}

impl HardLinks {
    /// The entry of a file on disk, for a tree that may have link groups already.
    pub fn entry(&mut self, disk: &Path, mode: u32, why: Why, tree: &FileTree) -> Result<Entry> {
        let about = fs::metadata(disk).at("read", disk)?;
        if about.nlink() < 2 {
            return Ok(Entry::file(fs::read(disk).at("read", disk)?, mode, why));
        }
        let key = (about.dev(), about.ino());
        if let Some((data, group)) = self.known.get(&key) {
            return Ok(Entry::file(data.clone(), mode, why).linked(*group));
        }
        let group = self.next.unwrap_or_else(|| first_free(tree));
        self.next = Some(group + 1);
        let data: Arc<[u8]> = fs::read(disk).at("read", disk)?.into();
        self.known.insert(key, (data.clone(), group));
        Ok(Entry::file(data, mode, why).linked(group))
    }
}

/// A group that no entry of the tree has.
fn first_free(tree: &FileTree) -> u32 {
    let groups = tree.iter().filter_map(|(_, entry)| match entry.content {
        Content::File { group, .. } => group,
        _ => None,
    });
    groups.max().map_or(1, |group| group.wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_inode_share_a_group_and_others_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "c", "x"] {
            fs::write(at(name), name).unwrap();
        }
        fs::hard_link(at("a"), at("b")).unwrap();
        fs::hard_link(at("c"), at("d")).unwrap();
        let mut tree = FileTree::new();
        tree.insert("old", Entry::file(*b"old", 0o644, Why::default()).linked(7)).unwrap();
        let mut links = HardLinks::default();
        let mut group = |name: &str| match links.entry(&at(name), 0o755, Why::default(), &tree).unwrap().content {
            Content::File { group, .. } => group,
            _ => None,
        };
        assert_eq!(["a", "b", "c", "d", "x"].map(&mut group), [Some(8), Some(8), Some(9), Some(9), None]);
    }
}
