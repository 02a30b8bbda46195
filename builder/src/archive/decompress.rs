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
/// Most bytes that a byte of a block unpacks to: one more of a length that goes on. So many small members cost no more
/// than their bytes.
const LZ4_RATIO_MAX: usize = 255;
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// How much of a damaged xz stream is asked for at a time.
const XZ_PIECE_BYTES: usize = 4 << 10;

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

/// What came out of packed bytes that may be damaged.
#[derive(Debug)]
pub struct PartlyUnpacked {
    /// How it was packed.
    pub method: &'static str,
    /// The bytes that came out, up to the damage.
    pub data: Vec<u8>,
    /// How many packed bytes they took; None where the damage leaves no end.
    pub used: Option<usize>,
    /// What is damaged. With an end: a checksum, which the kernel does not look at.
    pub wrong: Option<io::Error>,
}

/// What came out, how many bytes went in if there is an end, and what is wrong.
type Output = (Vec<u8>, Option<usize>, Option<io::Error>);
type Unpack = fn(&[u8], u64) -> io::Result<Output>;

/// Every method that can be unpacked, by its magic number.
const TABLE: [(&[u8], &str, Unpack); 6] = [
    (&[0x1f, 0x8b], "gzip", gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", zstd_frame),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", xz),
    (&LZ4_LEGACY, "lz4", lz4_legacy),
    (b"BZh", "bzip2", bzip2_stream),
    (&[0x5d, 0, 0], "lzma", lzma),
];

/// What the kernel knows and we do not unpack.
const OTHERS: [(&[u8], &str, &str); 1] = [(&[0x89, b'L', b'Z', b'O'], "lzo", "lzop -d")];

/// What is packed in a way that the kernel does not know.
const UNKNOWN_TO_KERNELS: [(&[u8], &str); 2] = [
    (&[0x04, 0x22, 0x4d, 0x18], "it is packed with lz4 in the frame format: kernels take the old one, of `lz4 -l`"),
    (&[0x50, 0x2a, 0x4d, 0x18], "it is packed with zstd behind a skippable frame"),
];

/// Unpacks what stands at the beginning of `bytes`, up to `limit` bytes. None if it is not packed in a way that anyone
/// knows.
pub fn unpack(bytes: &[u8], limit: u64) -> io::Result<Option<Unpacked>> {
    if let Some((_, why)) = UNKNOWN_TO_KERNELS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Err(io::Error::other(*why));
    }
    match unpack_partly(bytes, limit)? {
        None => Ok(None),
        Some(PartlyUnpacked { method, data, used: Some(used), wrong: None }) => {
            Ok(Some(Unpacked { method, data, used }))
        }
        Some(PartlyUnpacked { wrong, .. }) => Err(wrong.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
    }
}

/// The same, and of what is damaged, what came out before the damage. An error is more than `limit` bytes, or a method
/// that kernels know and we do not.
pub fn unpack_partly(bytes: &[u8], limit: u64) -> io::Result<Option<PartlyUnpacked>> {
    if let Some((_, name, command)) = OTHERS.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Err(io::Error::other(format!(
            "it is packed with {name}, which vmatic does not read: `{command}` unpacks it"
        )));
    }
    let Some((_, method, unpack)) = TABLE.iter().find(|(magic, ..)| bytes.starts_with(magic)) else { return Ok(None) };
    let (data, used, wrong) = unpack(bytes, limit)?;
    if data.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(Some(PartlyUnpacked { method, data, used, wrong }))
}

/// Why a kernel takes nothing of a member that begins so; None if it tries.
pub fn refused_by_kernels(bytes: &[u8]) -> Option<String> {
    let xz_check = bytes.starts_with(b"\xfd7zXZ\0").then(|| bytes.get(7).map_or(0, |flags| flags & 15));
    match xz_check {
        Some(4) => return Some(xz_refused("CRC64")),
        Some(10) => return Some(xz_refused("SHA-256")),
        Some(_) => return None,
        None => {}
    }
    // Of what may stand in the header, lib/decompress_inflate.c passes over the name alone.
    if let [0x1f, 0x8b, 8, flags, ..] = bytes
        && flags & 0b1_0110 != 0
    {
        return Some("its gzip header has fields that kernels do not pass over: pack it with `gzip -n`".to_owned());
    }
    if let Some((_, why)) = UNKNOWN_TO_KERNELS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some((*why).to_owned());
    }
    let known = TABLE.iter().map(|row| row.0).chain(OTHERS.iter().map(|row| row.0));
    let unknown = known.into_iter().all(|magic| !bytes.starts_with(magic));
    let magic = || bytes.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    unknown.then(|| format!("unknown magic {}", magic()))
}

/// Documentation/staging/xz.rst of the kernel.
fn xz_refused(check: &str) -> String {
    format!("it is packed by xz with {check}, and kernels know CRC32 alone: pack it with `xz --check=crc32`")
}

/// The error for more than `limit` bytes.
pub fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it unpacks to more than {limit} bytes"))
}

/// The checksum behind the data is looked at here, since the kernel does not: with a wrong one all is there.
fn gzip(bytes: &[u8], limit: u64) -> io::Result<Output> {
    let nothing = |why: &str| Ok((Vec::new(), None, Some(io::Error::other(why.to_owned()))));
    let Some([_, _, method, flags, ..]) = bytes.first_chunk::<10>() else { return nothing("its header is cut off") };
    if *method != 8 {
        return nothing("it is packed in no way that gzip has");
    }
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + bytes.get(at..at + 2).map_or(0, |length| usize::from(length[0]) | usize::from(length[1]) << 8);
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += bytes.get(at..).and_then(|text| text.iter().position(|byte| *byte == 0)).unwrap_or(bytes.len()) + 1;
        }
    }
    at += if flags & 2 != 0 { 2 } else { 0 };
    let Some(packed) = bytes.get(at..) else { return nothing("its header is cut off") };
    let mut decoder = flate2::bufread::DeflateDecoder::new(packed);
    let (data, wrong) = read_bounded(&mut decoder, limit);
    if wrong.is_some() {
        return Ok((data, None, wrong));
    }
    let end = bytes.len() - decoder.into_inner().len();
    let Some(behind) = bytes[end..].first_chunk::<8>() else {
        return Ok((data, Some(bytes.len()), Some(io::Error::other("its checksum is cut off"))));
    };
    let mut sum = flate2::Crc::new();
    sum.update(&data);
    let want = [sum.sum().to_le_bytes(), sum.amount().to_le_bytes()].concat();
    let wrong = (behind[..] != want[..]).then(|| io::Error::other("a gzip checksum is wrong"));
    Ok((data, Some(end + 8), wrong))
}

fn zstd_frame(bytes: &[u8], limit: u64) -> io::Result<Output> {
    let mut decoder = zstd::stream::Decoder::with_buffer(bytes)?.single_frame();
    decoder.window_log_max(WINDOW_BYTES_MAX.ilog2())?;
    let (data, wrong) = read_bounded(&mut decoder, limit);
    let used = wrong.is_none().then(|| bytes.len() - decoder.finish().len());
    Ok((data, used, wrong))
}

fn xz(bytes: &[u8], limit: u64) -> io::Result<Output> {
    let mut decoder = lzma_rust2::XzReader::new_mem_limit(bytes, false, WINDOW_BYTES_MAX / 1024);
    let (data, wrong) = read_bounded(&mut decoder, limit);
    if wrong.is_none() {
        return Ok((data, Some(bytes.len() - decoder.into_inner().len()), None));
    }
    // This decoder drops what it had of a read that fails: it is asked again, in small pieces. It still gives a chunk
    // of its format whole or not at all, where the kernel gives what it has.
    let mut decoder = lzma_rust2::XzReader::new_mem_limit(bytes, false, WINDOW_BYTES_MAX / 1024);
    let (mut data, mut piece) = (Vec::new(), vec![0; XZ_PIECE_BYTES]);
    while let Ok(bytes @ 1..) = decoder.read(&mut piece) {
        data.extend_from_slice(&piece[..bytes]);
        if data.len() as u64 > limit {
            break;
        }
    }
    Ok((data, None, wrong))
}

fn lzma(bytes: &[u8], limit: u64) -> io::Result<Output> {
    let mut decoder = match lzma_rust2::LzmaReader::new_mem_limit(bytes, WINDOW_BYTES_MAX / 1024, None) {
        Ok(decoder) => decoder,
        Err(cause) => return Ok((Vec::new(), None, Some(cause))),
    };
    decoder.set_defer_errors(true);
    let (data, wrong) = read_bounded(&mut decoder, limit);
    let (rest, unused) = decoder.into_parts();
    let used = wrong.is_none().then(|| bytes.len() - rest.len() - unused.len());
    Ok((data, used, wrong))
}

fn bzip2_stream(bytes: &[u8], limit: u64) -> io::Result<Output> {
    let mut decoder = bzip2::bufread::BzDecoder::new(bytes);
    let (data, wrong) = read_bounded(&mut decoder, limit);
    let used = wrong.is_none().then(|| bytes.len() - decoder.into_inner().len());
    Ok((data, used, wrong))
}

/// A magic number, then blocks: a length and that many bytes. It has no end of its own: it ends where no block follows.
fn lz4_legacy(bytes: &[u8], limit: u64) -> io::Result<Output> {
    let mut data = Vec::new();
    let mut rest = &bytes[LZ4_LEGACY.len()..];
    let mut block = Vec::new();
    let wrong = |data: Vec<u8>, why: String| Ok((data, None, Some(io::Error::other(why))));
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
        let Some(packed) = tail.get(..length) else { return wrong(data, "an lz4 block is cut off".to_owned()) };
        block.resize(LZ4_BLOCK_BYTES.min(length * LZ4_RATIO_MAX), 0);
        let size = match lz4_flex::block::decompress_into(packed, &mut block) {
            Ok(size) => size,
            Err(cause) => return wrong(data, format!("an lz4 block is damaged: {cause}")),
        };
        if data.len() as u64 + size as u64 > limit {
            return Err(too_large(limit));
        }
        data.extend_from_slice(&block[..size]);
        rest = &tail[length..];
    }
    Ok((data, Some(bytes.len() - rest.len()), None))
}

/// Reads to the end, to the first error, or one byte past the limit.
fn read_bounded(reader: &mut impl Read, limit: u64) -> (Vec<u8>, Option<io::Error>) {
    let mut data = Vec::new();
    let read = reader.take(limit.saturating_add(1)).read_to_end(&mut data);
    (data, read.err())
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
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(1));
        bzip2.write_all(data).unwrap();
        let options = lzma_rust2::LzmaOptions::with_preset(1);
        let mut lzma = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
        lzma.write_all(data).unwrap();
        vec![
            ("gzip", gzip.finish().unwrap()),
            ("zstd", zstd::encode_all(data, 3).unwrap()),
            ("xz", xz.finish().unwrap()),
            ("lz4", pack_lz4_legacy(data)),
            ("bzip2", bzip2.finish().unwrap()),
            ("lzma", lzma.finish().unwrap()),
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
        assert!(unpack(b"\x89LZO", 10).unwrap_err().to_string().contains("lzop -d"));
    }

    #[test]
    fn of_what_is_damaged_the_beginning_comes_out() {
        let data: Vec<u8> = (0..400_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 25) as u8).collect();
        for (name, packed) in every_packing(&data) {
            let half = unpack_partly(&packed[..packed.len() * 3 / 4], u64::MAX).unwrap().unwrap();
            assert!(half.wrong.is_some() && half.used.is_none(), "{name}");
            assert!(data.starts_with(&half.data), "{name}");
            // A chunk of xz comes out whole or not at all.
            assert!(name == "xz" || !half.data.is_empty(), "{name}");
            assert!(unpack(&packed[..packed.len() * 3 / 4], u64::MAX).is_err(), "{name}");
        }
        let (_, mut packed) = every_packing(&data).swap_remove(0);
        let sum = packed.len() - 8;
        packed[sum] ^= 1;
        let all = unpack_partly(&packed, u64::MAX).unwrap().unwrap();
        assert_eq!((all.data.len(), all.used), (data.len(), Some(packed.len())));
        assert!(all.wrong.is_some() && unpack(&packed, u64::MAX).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..2000, byte: u8, cut in 0usize..4000, which in 0usize..6) {
            let (_, mut packed) = every_packing(&[7; 3000]).swap_remove(which);
            let at = at % packed.len();
            packed[at] = byte;
            packed.truncate(cut.max(1));
            let _ = unpack(&packed, 1 << 20);
        }

        #[test]
        fn noise_behind_a_right_magic_never_panics(
            noise in prop::collection::vec(any::<u8>(), 0..400),
            which in 0usize..6,
        ) {
            let bytes = [TABLE[which].0, &noise].concat();
            let _ = unpack(&bytes, 1 << 20);
        }
    }
}
