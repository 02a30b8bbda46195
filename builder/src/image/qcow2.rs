//! The header of a disk image, as QEMU's docs/interop/qcow2.txt describes it: what kind of file it is, and whether it
//! would have QEMU read others.
//!
//! Takes the first bytes of a file that anyone may have made; gives its format and the size of the disk that it is of,
//! or why it cannot be used. Nobody else reads the header: the agent is told what stands in it. A backing file or an
//! external data file is a path, which a guest's QEMU would open on the host: such images are refused here, so that no
//! image decides what a host reads.

use vmatic_plan::guest_kinds::{Disk, DiskFormat};
use vmatic_plan::host_image::DISK_MAX_BYTES;

/// Bytes that are enough to judge.
pub const HEAD_BYTES: usize = 1024;
/// Bytes of version 2's header.
const V2_BYTES: usize = 72;
/// Bytes of version 3's header, at the least.
const V3_BYTES: usize = 104;
/// Features that do not hinder: dirty counts, a corruption mark, another compression, extended tables.
const DATA_FILE: u64 = 1 << 2;
const CORRUPT: u64 = 1 << 1;

/// Other formats by how they begin, for a clear word.
const OTHERS: [(&[u8], &str); 5] = [
    (b"KDMV", "a VMDK image"),
    (b"conectix", "a VHD image"),
    (b"vhdxfile", "a VHDX image"),
    (b"<<< ", "a VirtualBox image"),
    (b"QED\0", "a QED image"),
];

/// Why a file cannot be a guest's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// What is wrong with it.
    pub cause: String,
    /// What to do about it.
    pub help: &'static str,
}

impl Unfit {
    fn new(cause: impl Into<String>, help: &'static str) -> Unfit {
        Unfit { cause: cause.into(), help }
    }
}

const CONVERT: &str = "convert it with `qemu-img convert -O qcow2`";
const MAKE_WHOLE: &str = "make it whole with `qemu-img convert -O qcow2`";
const EXAMINE: &str = "`qemu-img info` says what it is; copy it again, or make another";

/// What disk a file is of, by its first bytes ([`HEAD_BYTES`] of them, or all) and its length, or why it cannot be a
/// guest's.
pub fn disk(head: &[u8], file_bytes: u64) -> Result<Disk, Unfit> {
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Unfit::new(format!("it is {what}"), CONVERT));
    }
    let (format, virtual_bytes) = match head.starts_with(b"QFI\xfb") {
        true => (DiskFormat::Qcow2, virtual_bytes(head)?),
        false => (DiskFormat::Raw, file_bytes),
    };
    if !(1..=DISK_MAX_BYTES).contains(&virtual_bytes) {
        let most = DISK_MAX_BYTES >> 40;
        let cause = format!("it is a disk of {virtual_bytes} bytes, and one has 1 byte to {most} TiB");
        return Err(Unfit::new(cause, EXAMINE));
    }
    Ok(Disk { format, virtual_bytes })
}

/// Bytes of the disk that a whole qcow2 image is of.
fn virtual_bytes(head: &[u8]) -> Result<u64, Unfit> {
    let word = |at: usize| -> Option<u32> { head.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes) };
    let long = |at: usize| -> Option<u64> { head.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes) };
    let cut = || Unfit::new("its qcow2 header is cut off", EXAMINE);
    let version = word(4).ok_or_else(cut)?;
    if head.len() < if version == 2 { V2_BYTES } else { V3_BYTES } {
        return Err(cut());
    }
    let (backing, bits, bytes) = (long(8).unwrap_or(0), word(20).unwrap_or(0), long(24).unwrap_or(0));
    if version != 2 && version != 3 {
        return Err(Unfit::new(format!("it is qcow2 of version {version}, and QEMU knows 2 and 3"), CONVERT));
    }
    if backing != 0 || word(16) != Some(0) {
        return Err(Unfit::new("it stands on a backing file, which no host has", MAKE_WHOLE));
    }
    let features = if version == 3 { long(72).unwrap_or(0) } else { 0 };
    if features & DATA_FILE != 0 {
        return Err(Unfit::new("its data lies in another file", MAKE_WHOLE));
    }
    if features & CORRUPT != 0 {
        return Err(Unfit::new("it is marked as corrupt", "repair it with `qemu-img check -r all`"));
    }
    if word(32) != Some(0) {
        return Err(Unfit::new("it is encrypted, and a host has no key", CONVERT));
    }
    if !(9..=21).contains(&bits) {
        return Err(Unfit::new(format!("its header makes no sense: clusters of 2^{bits} bytes"), EXAMINE));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// A good header with some bytes replaced.
    fn header(version: u32, changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; V3_BYTES];
        let good: [(usize, &[u8]); 4] = [
            (0, b"QFI\xfb"),
            (4, &version.to_be_bytes()),
            (20, &16u32.to_be_bytes()),
            (24, &(1u64 << 30).to_be_bytes()),
        ];
        for (at, part) in good.iter().chain(changes) {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        bytes
    }

    #[test]
    fn tells_whole_images_from_those_that_read_others() {
        let qcow2 = |virtual_bytes| Ok(Disk { format: DiskFormat::Qcow2, virtual_bytes });
        let raw = |virtual_bytes| Ok(Disk { format: DiskFormat::Raw, virtual_bytes });
        assert_eq!(disk(&header(3, &[]), 9), qcow2(1 << 30));
        assert_eq!(disk(&header(2, &[])[..V2_BYTES], 9), qcow2(1 << 30));
        assert_eq!(disk(b"\xeb\x63\x90 any boot sector", 512), raw(512));
        assert_eq!(disk(b"x", DISK_MAX_BYTES), raw(DISK_MAX_BYTES));
        assert!(disk(b"", 0).is_err() && disk(b"x", DISK_MAX_BYTES + 1).is_err());
        for (wrong, why) in [
            (header(3, &[(8, &112u64.to_be_bytes()), (16, &9u32.to_be_bytes())]), "backing file"),
            (header(3, &[(16, &9u32.to_be_bytes())]), "backing file"),
            (header(3, &[(72, &DATA_FILE.to_be_bytes())]), "another file"),
            (header(3, &[(72, &CORRUPT.to_be_bytes())]), "corrupt"),
            (header(3, &[(32, &2u32.to_be_bytes())]), "encrypted"),
            (header(4, &[]), "version 4"),
            (header(3, &[(20, &40u32.to_be_bytes())]), "no sense"),
            (header(3, &[(24, &(DISK_MAX_BYTES + 1).to_be_bytes())]), "16 TiB"),
            (header(3, &[(24, &0u64.to_be_bytes())]), "0 bytes"),
            (header(3, &[])[..V3_BYTES - 1].to_vec(), "cut off"),
            (b"KDMV".to_vec(), "VMDK"),
        ] {
            let error = disk(&wrong, 9).unwrap_err();
            assert!(error.cause.contains(why) && !error.help.is_empty(), "{error:?}");
        }
        assert_eq!(disk(&header(3, &[(24, &DISK_MAX_BYTES.to_be_bytes())]), 9), qcow2(DISK_MAX_BYTES));
    }

    proptest! {
        #[test]
        fn noise_is_judged_without_a_panic(noise in vec(any::<u8>(), 0..200), cut in 0..200usize) {
            let _ = disk(&noise, noise.len() as u64);
            let mut bytes = header(3, &[]);
            bytes.iter_mut().skip(4).zip(&noise).for_each(|(byte, noise)| *byte ^= noise & 7);
            bytes.truncate(cut);
            if let Ok(disk) = disk(&bytes, 1) {
                prop_assert!((1..=DISK_MAX_BYTES).contains(&disk.virtual_bytes));
            }
        }
    }
}
