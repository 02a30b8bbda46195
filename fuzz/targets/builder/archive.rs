//! An initramfs. Oracles: a plain archive that the cpio crate reads we read as it does; what was read is laid into a
//! tree, written, and read again with the same files.

use crate::archive::{read, tree, write};
use crate::rootfs::tree::{Content, Entry, FileTree, Why};

/// Most bytes that come out.
const UNPACKED_BYTES_MAX: u64 = 4 << 20;

pub fn seeds() -> Vec<Vec<u8>> {
    let mut tree = FileTree::new();
    let why = Why::default();
    let entries = [
        ("bin", Entry::dir(0o755, why.clone())),
        ("bin/sh", Entry::file(&b"#!"[..], 0o755, why.clone())),
        ("bin/ash", Entry::file(&b"x"[..], 0o755, why.clone()).linked(7)),
        ("bin/bash", Entry::file(&b"x"[..], 0o755, why.clone()).linked(7)),
        ("dev", Entry::dir(0o755, why.clone())),
        ("dev/null", Entry::device(false, 1, 3, 0o666, why.clone())),
        ("init", Entry::symlink("bin/sh", why)),
    ];
    for (path, entry) in entries {
        assert!(tree.insert(path, entry).is_ok());
    }
    let mut plain = Vec::new();
    assert!(write::write(&tree, 9, &mut plain).is_ok());
    let twice = [&plain[..], &[0; 20], &plain].concat();
    let packed = zstd::stream::encode_all(&plain[..], 3).unwrap_or_default();
    let cut = plain[..plain.len() - 600].to_vec();
    let odd = [&packed[..], &[0; 1][..(packed.len() + 1) % 2], &plain].concat();
    vec![plain.clone(), twice, packed.clone(), [&plain[..], &packed].concat(), cut, odd]
}

pub fn run(data: &[u8]) {
    let image = match read::read_limited(data, UNPACKED_BYTES_MAX) {
        Ok(image) => image,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    agrees_with_the_cpio_crate(data, &image);
    let (laid, _notes) = tree::tree(&image);
    let mut again = Vec::new();
    // What cannot be written (a name too long with its folders) is said.
    if write::write(&laid, 1, &mut again).is_err() {
        return;
    }
    let read = read::read_limited(&again, u64::MAX);
    let (back, left_out) = tree::tree(read.as_ref().expect("what we write we read"));
    assert!(left_out.is_empty(), "{left_out:?}");
    let view = |tree: &FileTree| {
        tree.iter().map(|(path, entry)| (path.to_owned(), entry.mode, shape(&entry.content))).collect::<Vec<_>>()
    };
    assert_eq!(view(&back), view(&laid));
}

/// A content without the numbers of its links, which are given anew.
fn shape(content: &Content) -> String {
    match content {
        Content::File { data, .. } => format!("file {}", crate::digest::hex(data)),
        other => format!("{other:?}"),
    }
}

fn agrees_with_the_cpio_crate(data: &[u8], image: &read::Image) {
    let [member] = &image.members[..] else { return };
    // The kernel passes over some records, and cuts names at a NUL.
    if member.packing != "none" || image.entries.is_empty() || !image.notes.is_empty() {
        return;
    }
    let mut rest = data;
    for record in &image.entries {
        let Ok(reader) = cpio::NewcReader::new(rest) else { return };
        let entry = reader.entry();
        if entry.is_trailer() {
            return;
        }
        assert_eq!(
            (entry.mode() & 0xffff, u64::from(entry.file_size())),
            (record.mode, record.size),
            "{}",
            record.name
        );
        let name = entry.name().split('\0').next().unwrap_or_default();
        assert_eq!(crate::names::encode(name.as_bytes()), record.name);
        let mut content = Vec::new();
        let Ok(next) = reader.to_writer(&mut content) else { return };
        assert_eq!(content, image.data(record), "{}", record.name);
        rest = next;
    }
}
