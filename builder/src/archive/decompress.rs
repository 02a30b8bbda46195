//! Unpacking, in one table: what packed bytes begin with, the method's name, the function.
//!
//! Takes bytes that anyone may have made: what comes out is bounded by a limit that the caller gives, and a decoder's
//! own memory by [`WINDOW_BYTES_MAX`]. Used for images, for the kernel inside a boot image, and for kernel modules.

use std::io::{self, Read};

/// Most memory that a decoder may ask for by its header: the kernel's own limit for zstd.
pub const WINDOW_BYTES_MAX: u32 = 128 << 20;
/// Block size of the LZ4 legacy format (`lz4 -l`), the only one the kernel knows.
const LZ4_BLOCK_BYTES: usize = 8 << 20;
/// Longest packed block: what LZ4 may add to bytes that do not shrink.
const LZ4_PACKED_BYTES_MAX: usize = LZ4_BLOCK_BYTES + LZ4_BLOCK_BYTES / 255 + 16;
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// How it was packed.
    pub method: &'static str,
    /// The unpacked bytes.
    pub data: Vec<u8>,
    /// How many packed bytes they took; others may follow.
    pub used: usize,
}

type Unpack = fn(&[u8], u64) -> io::Result<(Vec<u8>, usize)>;

/// Every method that can be unpacked, by its magic number.
const TABLE: [(&[u8], &str, Unpack); 4] = [
    (&[0x1f, 0x8b], "gzip", gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", zstd_frame),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", xz),
    (&LZ4_LEGACY, "lz4", lz4_legacy),
];

/// Methods that the kernel knows and that we do not unpack.
const OTHERS: [(&[u8], &str, &str); 4] = [
    (b"BZh", "bzip2", "bzip2 -d"),
    (&[0x5d, 0, 0], "lzma", "xz -d --format=lzma"),
    (&[0x89, b'L', b'Z', b'O'], "lzo", "lzop -d"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4 (not the legacy format, which alone the kernel takes)", "lz4 -d"),
];

/// Unpacks what stands at the beginning of `bytes`, up to `limit` bytes. None if it is not packed in a way that anyone
/// knows.
pub fn unpack(bytes: &[u8], limit: u64) -> io::Result<Option<Unpacked>> {
    if let Some((_, method, unpack)) = TABLE.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        let (data, used) = unpack(bytes, limit)?;
        return Ok(Some(Unpacked { method, data, used }));
    }
    match OTHERS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        Some((_, name, command)) => Err(io::Error::other(format!(
            "it is packed with {name}, which vmatic does not read: `{command}` unpacks it"
        ))),
        None => Ok(None),
    }
}

/// The error for more than `limit` bytes.
pub fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it unpacks to more than {limit} bytes"))
}

fn gzip(bytes: &[u8], limit: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut decoder = flate2::bufread::GzDecoder::new(bytes);
    let data = read_bounded(&mut decoder, limit)?;
    Ok((data, bytes.len() - decoder.into_inner().len()))
}

fn zstd_frame(bytes: &[u8], limit: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut decoder = zstd::stream::Decoder::with_buffer(bytes)?.single_frame();
    decoder.window_log_max(WINDOW_BYTES_MAX.ilog2())?;
    let data = read_bounded(&mut decoder, limit)?;
    Ok((data, bytes.len() - decoder.finish().len()))
}

fn xz(bytes: &[u8], limit: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut decoder = lzma_rust2::XzReader::new_mem_limit(bytes, false, WINDOW_BYTES_MAX / 1024);
    let data = read_bounded(&mut decoder, limit)?;
    Ok((data, bytes.len() - decoder.into_inner().len()))
}

/// A magic number, then blocks: a length and that many bytes. It has no end of its own: it ends where no block follows.
fn lz4_legacy(bytes: &[u8], limit: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    let mut rest = &bytes[LZ4_LEGACY.len()..];
    let mut block = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*head) as usize;
        if *head == LZ4_LEGACY {
            rest = tail;
            continue;
        }
        // Zeros are padding. What stands alone is no block: Linux appends the size of what it packed.
        if length == 0 || length > LZ4_PACKED_BYTES_MAX || tail.is_empty() {
            break;
        }
        let packed = tail.get(..length).ok_or_else(|| io::Error::other("an lz4 block is cut off"))?;
        block.resize(LZ4_BLOCK_BYTES, 0);
        let size = lz4_flex::block::decompress_into(packed, &mut block)
            .map_err(|cause| io::Error::other(format!("an lz4 block is damaged: {cause}")))?;
        if data.len() as u64 + size as u64 > limit {
            return Err(too_large(limit));
        }
        data.extend_from_slice(&block[..size]);
        rest = &tail[length..];
    }
    Ok((data, bytes.len() - rest.len()))
}

fn read_bounded(reader: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut data)?;
    if data.len() as u64 > limit { Err(too_large(limit)) } else { Ok(data) }
}

/// Packs as the LZ4 legacy format, for tests.
#[cfg(test)]
pub fn pack_lz4_legacy(data: &[u8]) -> Vec<u8> {
    let mut packed = LZ4_LEGACY.to_vec();
    for block in data.chunks(8192) {
        let block = lz4_flex::block::compress(block);
        packed.extend((block.len() as u32).to_le_bytes());
        packed.extend(block);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn every_packing(data: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        gzip.write_all(data).unwrap();
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
        xz.write_all(data).unwrap();
        vec![
            ("gzip", gzip.finish().unwrap()),
            ("zstd", zstd::encode_all(data, 3).unwrap()),
            ("xz", xz.finish().unwrap()),
            ("lz4", pack_lz4_legacy(data)),
        ]
    }

    #[test]
    fn every_packing_unpacks_and_leaves_what_follows() {
        let data: Vec<u8> = (0..50_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
        for (name, packed) in every_packing(&data) {
            // LZ4's legacy format has no end, so that another packed member behind it may look like a block.
            let tails = [&b""[..], &[0; 8], b"070701", &[0x1f, 0x8b, 0, 0, 0]];
            for tail in &tails[..if name == "lz4" { 3 } else { 4 }] {
                let bytes = [&packed[..], *tail].concat();
                let unpacked = unpack(&bytes, data.len() as u64).unwrap().unwrap();
                assert_eq!((unpacked.method, unpacked.used), (name, packed.len()), "followed by {tail:?}");
                assert_eq!(unpacked.data, data);
            }
            let error = unpack(&packed, data.len() as u64 - 1).unwrap_err().to_string();
            assert!(error.contains("more than"), "{name}: {error}");
        }
        assert_eq!(unpack(b"plain", 10).unwrap(), None);
        assert!(unpack(b"BZh9", 10).unwrap_err().to_string().contains("bzip2 -d"));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..2000, byte: u8, cut in 0usize..4000, which in 0usize..4) {
            let (_, mut packed) = every_packing(&[7; 3000]).swap_remove(which);
            let at = at % packed.len();
            packed[at] = byte;
            packed.truncate(cut.max(1));
            let _ = unpack(&packed, 1 << 20);
        }

        #[test]
        fn noise_behind_a_right_magic_never_panics(
            noise in prop::collection::vec(any::<u8>(), 0..400),
            which in 0usize..4,
        ) {
            let bytes = [TABLE[which].0, &noise].concat();
            let _ = unpack(&bytes, 1 << 20);
        }
    }
}
