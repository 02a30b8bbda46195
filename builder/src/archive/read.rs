//! A reader of any initramfs: one or more newc archives after each other, each as it is or packed with gzip, xz, zstd
//! or lz4, with zeros between them. Takes bytes that anyone may have made, so every length is checked, memory is
//! bounded, and nothing panics. Gives the records and their data.

use std::io;

use crate::archive::{decompress, newc};
use crate::error::{Error, Result};

/// Most bytes an image may have when all its members are unpacked.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// Most records of an image.
pub const RECORDS_MAX: usize = 4_000_000;

/// One record of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Path without leading slash or `./`; the root itself is empty. Bytes that are not UTF-8 are written `\xNN`.
    pub path: String,
    /// Type and permission bits.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Inode number in its member.
    pub inode: u32,
    /// Number of names.
    pub links: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes of data in this record.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Which member holds it.
    pub member: usize,
    offset: usize,
}

/// One member: how it was packed, its sizes.
#[derive(Clone, Debug)]
pub struct Member {
    /// The method, or "none".
    pub packing: &'static str,
    /// Bytes in the file.
    pub packed_bytes: u64,
    /// Bytes of the member, unpacked.
    pub unpacked_bytes: u64,
    data: Vec<u8>,
}

/// A whole image.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The members, in order.
    pub members: Vec<Member>,
    /// All records, in order; a later one of a path wins.
    pub entries: Vec<Record>,
}

impl Image {
    /// The data of a record: a file's content or a link's target.
    pub fn data(&self, record: &Record) -> &[u8] {
        self.members
            .get(record.member)
            .and_then(|member| member.data.get(record.offset..record.offset + record.size as usize))
            .unwrap_or(&[])
    }
}

/// Reads an image from its bytes.
pub fn read(bytes: Vec<u8>) -> Result<Image> {
    read_limited(&bytes, UNPACKED_BYTES_MAX)
}

/// Reads an image, unpacking at most `limit` bytes.
pub fn read_limited(bytes: &[u8], limit: u64) -> Result<Image> {
    let mut image = Image::default();
    let mut at = 0;
    let mut left = limit;
    while let Some(skip) = bytes[at..].iter().position(|byte| *byte != 0) {
        at += skip;
        let (member, used) = unpack(&bytes[at..], left).map_err(|cause| failed(at, cause))?;
        left -= member.unpacked_bytes;
        at += used;
        image.members.push(member);
        read_member(&mut image).map_err(|cause| failed(at - used, cause))?;
    }
    if image.members.is_empty() {
        return Err(failed(0, io::Error::other("the file is empty or all zeros")));
    }
    Ok(image)
}

fn failed(at: usize, cause: io::Error) -> Error {
    Error::new(format!("cannot read the image's member at byte {at}"))
        .because(cause)
        .help("the file is damaged, or not an initramfs of gzip, xz, zstd, lz4 or plain newc members")
}

/// One member: its bytes unpacked, and how many bytes of the file it took.
fn unpack(bytes: &[u8], limit: u64) -> io::Result<(Member, usize)> {
    let (packing, data, used) = if bytes.starts_with(b"0707") {
        let used = plain_length(bytes)?;
        if used as u64 > limit {
            return Err(decompress::too_large(limit));
        }
        ("none", bytes[..used].to_vec(), used)
    } else if let Some(unpacked) = decompress::unpack(bytes, limit)? {
        (unpacked.method, unpacked.data, unpacked.used)
    } else {
        let magic: Vec<_> = bytes.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        return Err(io::Error::other(format!("unknown magic {}", magic.join(" "))));
    };
    let member = Member { packing, packed_bytes: used as u64, unpacked_bytes: data.len() as u64, data };
    Ok((member, used))
}

/// Where a plain archive ends: after its trailer, or at the end of the bytes.
fn plain_length(bytes: &[u8]) -> io::Result<usize> {
    let mut at = 0;
    while bytes[at..].starts_with(b"0707") {
        let header = newc::header(bytes, at)?;
        at = header.next;
        if header.name == newc::TRAILER {
            break;
        }
    }
    Ok(at)
}

/// Reads the records of the member pushed last. After a trailer, zeros and another archive may
/// follow inside one packed member.
fn read_member(image: &mut Image) -> io::Result<()> {
    let member = image.members.len() - 1;
    let Some(Member { data, .. }) = image.members.last() else { return Ok(()) };
    let mut at = 0;
    while let Some(skip) = data[at..].iter().position(|byte| *byte != 0) {
        at += skip;
        let header = newc::header(data, at)?;
        at = header.next;
        if header.name == newc::TRAILER {
            continue;
        }
        if image.entries.len() == RECORDS_MAX {
            return Err(io::Error::other(format!("more than {RECORDS_MAX} records")));
        }
        image.entries.push(Record {
            path: plain_name(&text(header.name)).to_owned(),
            mode: header.mode,
            uid: header.uid,
            gid: header.gid,
            inode: header.inode,
            links: header.links,
            mtime: header.mtime,
            size: header.size as u64,
            device: header.device,
            member,
            offset: header.data,
        });
    }
    Ok(())
}

/// A name as text.
fn text(name: &[u8]) -> String {
    let part = |chunk: std::str::Utf8Chunk| {
        let bytes: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
        chunk.valid().to_owned() + &bytes
    };
    name.utf8_chunks().map(part).collect()
}

/// A name without leading slashes and `./`; "." is the root.
fn plain_name(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix("./").or_else(|| name.strip_prefix('/')) {
        name = rest;
    }
    let name = name.trim_end_matches('/');
    if name == "." { "" } else { name }
}

#[cfg(test)]
mod tests {
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
            bytes.extend([0; 64]);
        }
        let image = read(bytes).unwrap();
        let found: Vec<_> = image.entries.iter().map(|entry| (entry.path.as_str(), entry.member)).collect();
        assert_eq!(found, [("zstd", 0), ("gzip", 1), ("xz", 2), ("none", 3)]);
        assert_eq!(image.members.iter().map(|m| m.packing).collect::<Vec<_>>(), ["zstd", "gzip", "xz", "none"]);
        assert!(image.entries.iter().all(|entry| image.data(entry) == b"data"));
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
    fn names_that_are_not_utf8_are_shown() {
        let mut bytes = archive_of("caf_", b"x");
        let at = bytes.windows(4).position(|window| window == b"caf_").unwrap();
        bytes[at + 3] = 0xe9;
        assert_eq!(read(bytes).unwrap().entries[0].path, "caf\\xe9");
    }

    #[test]
    fn a_checksum_is_checked() {
        let mut bytes = archive_of("x", b"ab");
        bytes[5] = b'2';
        assert!(read(bytes.clone()).unwrap_err().to_string().contains("checksum"));
        bytes[102..110].copy_from_slice(b"000000c3");
        // The trailer has no data, and its sum of 0 is right whatever it says its format is.
        assert_eq!(read(bytes).unwrap().entries[0].size, 2);
    }

    #[test]
    fn names_are_plain() {
        for (name, plain) in [("./a/b", "a/b"), (".", ""), ("/a/", "a"), (".hidden", ".hidden"), ("./.x", ".x")] {
            assert_eq!(plain_name(name), plain);
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
        ] {
            assert!(read(bytes.to_vec()).is_err(), "{bytes:?}");
        }
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
}
