use super::*;
use crate::archive;
use crate::archive::compress::{Effort, TABLE};
use crate::rootfs::tree::{Entry, FileTree, Why};
use proptest::prelude::*;

fn archive_of(path: &str, data: &[u8]) -> Vec<u8> {
    let mut tree = FileTree::new();
    tree.insert(path, Entry::file(data, 0o644, Why::default())).unwrap();
    let mut bytes = Vec::new();
    archive::write(&tree, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn members_of_every_packing_are_read_after_each_other() {
    let mut bytes = Vec::new();
    for row in TABLE {
        bytes.extend(row.compression.pack(&archive_of(row.compression.name(), b"data"), Effort::Work).unwrap());
        bytes.resize(bytes.len().next_multiple_of(4) + 64, 0);
    }
    let image = read(bytes).unwrap();
    let found: Vec<_> = image.entries.iter().map(|entry| (entry.name.as_str(), entry.member)).collect();
    assert_eq!(found, [("zstd", 0), ("gzip", 1), ("xz", 2), ("none", 3)]);
    assert_eq!(image.members.iter().map(|m| m.packing).collect::<Vec<_>>(), ["zstd", "gzip", "xz", "none"]);
    assert!(image.entries.iter().all(|entry| image.data(entry) == b"data"));
    assert!(image.notes.is_empty());
}

#[test]
fn plain_archives_are_members_of_their_own_and_early_files_are_found_in_the_first() {
    let ucode = "kernel/x86/microcode/AuthenticAMD.bin";
    let plain = [archive_of("a", b"1"), archive_of(ucode, b"2")].concat();
    let image = read([&plain[..], &zstd::encode_all(&plain[..], 3).unwrap()].concat()).unwrap();
    let packings: Vec<_> = image.members.iter().map(|m| (m.packing, m.unpacked_bytes)).collect();
    assert_eq!(packings, [("none", 512), ("none", 1024), ("zstd", 1536)], "{:?}", image.notes);
    assert_eq!(image.early().collect::<Vec<_>>(), [ucode]);
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let plain = archive_of("x", &vec![0; 1 << 20]);
    for row in TABLE {
        let packed = row.compression.pack(&plain, Effort::Work).unwrap();
        assert!(read_limited(&packed, plain.len() as u64).is_ok(), "{}", row.compression.name());
        let error = read_limited(&packed, plain.len() as u64 - 513).unwrap_err().to_string();
        assert!(error.contains("more than"), "{}: {error}", row.compression.name());
    }
}

#[test]
fn what_is_no_image_is_refused() {
    for bytes in [
        &b""[..],
        b"\0\0\0\0",
        b"#!/bin/sh\n",
        b"070701",
        b"0707010000000",
        &[0x1f, 0x8b, 8],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"MZ",
        &[0x27, 0x05, 0x19, 0x56],
    ] {
        assert!(read(bytes.to_vec()).is_err(), "{bytes:?}");
    }
}

#[test]
fn headers_and_members_have_a_number_that_is_not_passed() {
    let mut trailers = archive_of("x", b"");
    trailers.truncate(112);
    // What is passed over counts as well: a folder with data.
    let mut folder = trailers.clone();
    folder[14..22].copy_from_slice(b"000041ed");
    folder[54..62].copy_from_slice(b"00000004");
    folder.extend(b"data");
    let bytes = [&trailers[..], &folder, &trailers].concat();
    let left = |headers, members| Left { bytes: 1 << 20, headers, members };
    let image = read_within(&bytes, left(3, 1)).unwrap();
    assert_eq!((image.entries.len(), image.notes.len()), (2, 1));
    assert!(read_within(&bytes, left(2, 1)).unwrap_err().to_string().contains("records"));
    let two = [&archive_of("a", b"1")[..], &archive_of("b", b"2")].concat();
    assert_eq!(read_within(&two, left(4, 2)).unwrap().members.len(), 2);
    assert!(read_within(&two, left(4, 1)).unwrap_err().to_string().contains("members"));
    assert!(read_within(&two, left(3, 2)).unwrap_err().to_string().contains("records"));
    let packed = zstd::encode_all(&bytes[..], 3).unwrap();
    assert!(read_within(&packed, left(3, 0)).unwrap_err().to_string().contains("members"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A damaged archive gives records or an error, never a panic or a large allocation.
    #[test]
    fn damage_never_panics(cut in 0usize..700, at in 0usize..700, byte: u8, row in 0usize..4) {
        let plain = archive_of("some/path", b"0123456789");
        let mut bytes = TABLE[row].compression.pack(&plain, Effort::Work).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut.max(1));
        let _ = read_limited(&bytes, 1 << 20);
        let mut damaged = plain.clone();
        let at = at % damaged.len();
        damaged[at] = byte;
        let _ = read_limited(&damaged, 1 << 20);
    }

    /// Noise behind a right magic never panics.
    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400), row in 0usize..4) {
        let mut bytes = TABLE[row].magic.to_vec();
        bytes.extend(noise);
        let _ = read_limited(&bytes, 1 << 20);
    }
}
