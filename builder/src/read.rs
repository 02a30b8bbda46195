//! Reads any initramfs: one or more newc archives after each other, each as it is or packed with
//! gzip or zstd, with zeros between them. Takes bytes that anyone may have made, so every length is
//! checked, memory is bounded, and nothing panics. Gives the records and their data.

use std::io::{self, Read};

use cpio::newc::Reader;

use crate::error::{Error, Result};

/// Most bytes an image may have when all its members are unpacked.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// Most records of an image.
pub const RECORDS_MAX: usize = 4_000_000;
/// Longest name of a record, as in the kernel.
pub const NAME_BYTES_MAX: u32 = 4096;

/// One record of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Path without leading slash or `./`; the root itself is empty.
    pub path: String,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
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
    /// "gzip", "zstd" or "none".
    pub packing: &'static str,
    /// Bytes in the file.
    pub packed_bytes: u64,
    /// Bytes unpacked.
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
        .remedy("the file is damaged, or not an initramfs of gzip, zstd or plain newc members")
}

/// One member: its bytes unpacked, and how many bytes of the file it took.
fn unpack(bytes: &[u8], limit: u64) -> io::Result<(Member, usize)> {
    let (packing, data, used) = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut decoder = flate2::bufread::GzDecoder::new(bytes);
        let data = read_bounded(&mut decoder, limit)?;
        let rest = decoder.into_inner();
        ("gzip", data, bytes.len() - rest.len())
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::Decoder::with_buffer(bytes)?.single_frame();
        decoder.window_log_max(27)?;
        let data = read_bounded(&mut decoder, limit)?;
        let rest = decoder.finish();
        ("zstd", data, bytes.len() - rest.len())
    } else if bytes.starts_with(b"0707") {
        let used = plain_length(bytes)?;
        ("none", bounded_copy(&bytes[..used], limit)?, used)
    } else {
        let magic: Vec<_> = bytes.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        return Err(io::Error::other(format!("unknown magic {}", magic.join(" "))));
    };
    let member = Member { packing, packed_bytes: used as u64, unpacked_bytes: data.len() as u64, data };
    Ok((member, used))
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it unpacks to more than {limit} bytes"))
}

fn bounded_copy(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 > limit { Err(too_large(limit)) } else { Ok(bytes.to_vec()) }
}

fn read_bounded(reader: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut data)?;
    if data.len() as u64 > limit { Err(too_large(limit)) } else { Ok(data) }
}

/// Where a plain archive ends: after its trailer, or at the end of the bytes.
fn plain_length(bytes: &[u8]) -> io::Result<usize> {
    let mut at = 0;
    while at < bytes.len() && bytes[at..].starts_with(b"0707") {
        let (trailer, next) = match header(bytes, at)? {
            (reader, _) if reader.entry().is_trailer() => (true, record_end(&reader, bytes, at)?),
            (reader, _) => (false, record_end(&reader, bytes, at)?),
        };
        at = next;
        if trailer {
            break;
        }
    }
    Ok(at)
}

/// The record at `at`, its header parsed by the cpio crate, and where its data begins.
fn header(bytes: &[u8], at: usize) -> io::Result<(Reader<&[u8]>, usize)> {
    let head = &bytes[at..];
    let name_bytes = head
        .get(94..102)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| io::Error::other(format!("the header at byte {at} is cut off or not hexadecimal")))?;
    if name_bytes == 0 || name_bytes > NAME_BYTES_MAX {
        return Err(io::Error::other(format!(
            "the name at byte {at} has {name_bytes} bytes, beyond 1 to {NAME_BYTES_MAX}"
        )));
    }
    let data = at + (110 + name_bytes as usize).next_multiple_of(4);
    let reader = Reader::new(head)?;
    Ok((reader, data))
}

fn record_end(reader: &Reader<&[u8]>, bytes: &[u8], at: usize) -> io::Result<usize> {
    let (_, data) = header(bytes, at)?;
    let size = reader.entry().file_size() as usize;
    let end = data + size;
    if end > bytes.len() {
        return Err(io::Error::other(format!("the data of {:?} is cut off", reader.entry().name())));
    }
    Ok(end.next_multiple_of(4).min(bytes.len()))
}

/// Reads the records of the member pushed last. After a trailer, zeros and another archive may
/// follow inside one packed member.
fn read_member(image: &mut Image) -> io::Result<()> {
    let member = image.members.len() - 1;
    let Some(Member { data, .. }) = image.members.last() else { return Ok(()) };
    let mut at = 0;
    while let Some(skip) = data[at..].iter().position(|byte| *byte != 0) {
        at += skip;
        let (reader, offset) = header(data, at)?;
        let entry = reader.entry();
        let next = record_end(&reader, data, at)?;
        if !entry.is_trailer() {
            if image.entries.len() == RECORDS_MAX {
                return Err(io::Error::other(format!("more than {RECORDS_MAX} records")));
            }
            let name = entry.name();
            if name.contains('\0') {
                return Err(io::Error::other(format!("the name at byte {at} contains a NUL byte")));
            }
            image.entries.push(Record {
                path: plain_name(name).to_owned(),
                mode: entry.mode(),
                uid: entry.uid(),
                gid: entry.gid(),
                inode: entry.ino(),
                links: entry.nlink(),
                mtime: entry.mtime(),
                size: u64::from(entry.file_size()),
                device: (entry.rdev_major(), entry.rdev_minor()),
                member,
                offset,
            });
        }
        at = next;
    }
    Ok(())
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
    use crate::compress::TABLE;
    use crate::filetree::{Entry, FileTree, Why};
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
            bytes.extend(row.method.pack(&archive_of(row.name, b"data")).unwrap());
            bytes.extend([0; 64]);
        }
        let image = read(bytes).unwrap();
        let found: Vec<_> = image.entries.iter().map(|entry| (entry.path.as_str(), entry.member)).collect();
        assert_eq!(found, [("zstd", 0), ("gzip", 1), ("none", 2)]);
        assert_eq!(image.members.iter().map(|m| m.packing).collect::<Vec<_>>(), ["zstd", "gzip", "none"]);
        assert!(image.entries.iter().all(|entry| image.data(entry) == b"data"));
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let plain = archive_of("x", &vec![0; 1 << 20]);
        for row in TABLE {
            let packed = row.method.pack(&plain).unwrap();
            assert!(read_limited(&packed, plain.len() as u64).is_ok(), "{}", row.name);
            let error = read_limited(&packed, plain.len() as u64 - 513).unwrap_err().to_string();
            assert!(error.contains("more than"), "{}: {error}", row.name);
        }
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
        fn damage_never_panics(cut in 0usize..700, at in 0usize..700, byte: u8, row in 0usize..3) {
            let plain = archive_of("some/path", b"0123456789");
            let mut bytes = TABLE[row].method.pack(&plain).unwrap();
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
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400), row in 0usize..3) {
            let mut bytes = TABLE[row].magic.to_vec();
            bytes.extend(noise);
            let _ = read_limited(&bytes, 1 << 20);
        }
    }
}
