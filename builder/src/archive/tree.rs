//! What a kernel makes of an image: its records, one after the other, as a file tree.
//!
//! Later records win. A folder over a link replaces the link, as in the kernel (measured on 6.1); a file goes through
//! the links among its folders. Names that lead out of the image are left out and named.

use std::collections::HashMap;

use crate::archive::read::{Image, Record};
use crate::rootfs::tree::{Content, Entry, FileTree, Why};

const TYPE: u32 = 0o170000;
const DIRECTORY: u32 = 0o040000;
const REGULAR: u32 = 0o100000;
const LINK: u32 = 0o120000;
const BLOCK: u32 = 0o060000;
const CHARACTER: u32 = 0o020000;

/// The tree of an image, and the records that could not be laid into it, each with the reason.
pub fn tree(image: &Image) -> (FileTree, Vec<String>) {
    let mut tree = FileTree::new();
    let mut left_out = Vec::new();
    let data = link_data(image);
    for record in image.entries.iter().filter(|record| !record.path.is_empty()) {
        let Some(entry) = entry(image, record, &data) else {
            left_out.push(format!("{}: neither file, folder, link nor device", record.path));
            continue;
        };
        let over_link = tree.get(&record.path).is_some_and(|old| matches!(old.content, Content::Symlink(_)));
        if over_link && entry.content == Content::Dir {
            let _ = tree.whiteout(&record.path);
        }
        if let Err(error) = tree.insert(&record.path, entry) {
            left_out.push(error.cause());
        }
    }
    (tree, left_out)
}

/// The names of an inode, and the record that has its data: archives differ in which it is.
fn link_data(image: &Image) -> HashMap<(usize, u32), &Record> {
    let linked = image.entries.iter().filter(|record| record.mode & TYPE == REGULAR && record.links > 1);
    let mut data: HashMap<(usize, u32), &Record> = HashMap::new();
    for record in linked {
        let known = data.entry((record.member, record.inode)).or_insert(record);
        if record.size > 0 {
            *known = record;
        }
    }
    data
}

fn entry(image: &Image, record: &Record, links: &HashMap<(usize, u32), &Record>) -> Option<Entry> {
    let mode = record.mode & 0o7777;
    let why = Why::default();
    let entry = match record.mode & TYPE {
        DIRECTORY => Entry::dir(mode, why),
        REGULAR => {
            let holder = links.get(&(record.member, record.inode)).filter(|_| record.links > 1);
            let file = Entry::file(image.data(holder.copied().unwrap_or(record)), mode, why);
            // Inodes are numbered anew in each member.
            let group = (record.member as u32).wrapping_mul(0x9e37_79b1) ^ record.inode;
            if record.links > 1 { file.linked(group) } else { file }
        }
        LINK => Entry { mode, ..Entry::symlink(String::from_utf8_lossy(image.data(record)), why) },
        kind @ (BLOCK | CHARACTER) => Entry::device(kind == BLOCK, record.device.0, record.device.1, mode, why),
        _ => return None,
    };
    Some(entry.owned(record.uid, record.gid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    fn image(records: &[(&str, Entry)]) -> Image {
        let mut bytes = Vec::new();
        for (path, entry) in records {
            archive::write_entries(&[(*path, entry)], 0, &mut bytes).unwrap();
        }
        crate::archive::read::read(bytes).unwrap()
    }

    #[test]
    fn records_are_laid_as_the_kernel_lays_them() {
        let why = Why::default;
        let (tree, left_out) = tree(&image(&[
            ("real", Entry::dir(0o755, why())),
            ("link", Entry::symlink("real", why())),
            ("link/y", Entry::file(*b"1", 0o644, why())),
            ("link", Entry::dir(0o700, why())),
            ("../out", Entry::file(*b"2", 0o644, why())),
        ]));
        assert_eq!(tree.get("real/y").unwrap().kind(), "file", "a file goes through the link");
        assert_eq!(tree.get("link").unwrap().kind(), "directory", "a folder replaces the link");
        assert_eq!(left_out.len(), 1, "{left_out:?}");
    }

    #[test]
    fn the_data_of_a_linked_file_may_be_on_any_of_its_names() {
        let mut tree_in = FileTree::new();
        for path in ["a", "b"] {
            tree_in.insert(path, Entry::file(*b"data", 0o644, Why::default()).linked(1)).unwrap();
        }
        let mut bytes = Vec::new();
        archive::write(&tree_in, 0, &mut bytes).unwrap();
        let (tree, _) = tree(&crate::archive::read::read(bytes).unwrap());
        assert!(["a", "b"].iter().all(|path| tree.get(path).unwrap().size() == 4));
    }
}
