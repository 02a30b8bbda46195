//! The header of a disk image, as QEMU's docs/interop/qcow2.txt describes it: what kind of file it is, and whether it
//! would have QEMU read others.
//!
//! Takes the first bytes of a file that anyone may have made; gives its format, or why it cannot be used. A backing
//! file or an external data file is a path, which a guest's QEMU would open on the host: such images are refused here,
//! so that no image decides what a host reads.

use vmatic_plan::guest_kinds::Disk;
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

/// What a file is by its first bytes ([`HEAD_BYTES`] of them, or all), or why it cannot be a guest's disk.
pub fn format(head: &[u8]) -> Result<Disk, String> {
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(format!("it is {what}: convert it with `qemu-img convert -O qcow2`"));
    }
    if !head.starts_with(b"QFI\xfb") {
        return Ok(Disk::Raw);
    }
    let word = |at: usize| -> Option<u32> { head.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes) };
    let long = |at: usize| -> Option<u64> { head.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes) };
    let cut = || "its qcow2 header is cut off".to_owned();
    let version = word(4).ok_or_else(cut)?;
    if head.len() < if version == 2 { V2_BYTES } else { V3_BYTES } {
        return Err(cut());
    }
    let (backing, bits, bytes) = (long(8).unwrap_or(0), word(20).unwrap_or(0), long(24).unwrap_or(0));
    if version != 2 && version != 3 {
        return Err(format!("it is qcow2 of version {version}, and QEMU knows 2 and 3"));
    }
    if backing != 0 || word(16) != Some(0) {
        return Err("it stands on a backing file, which no host has: \
                    make it whole with `qemu-img convert -O qcow2`"
            .into());
    }
    let features = if version == 3 { long(72).unwrap_or(0) } else { 0 };
    if features & DATA_FILE != 0 {
        return Err("its data lies in another file: make it whole with `qemu-img convert -O qcow2`".into());
    }
    if features & CORRUPT != 0 {
        return Err("it is marked as corrupt: repair it with `qemu-img check -r all`".into());
    }
    if word(32) != Some(0) {
        return Err("it is encrypted, and a host has no key: convert it with `qemu-img convert -O qcow2`".into());
    }
    if !(9..=21).contains(&bits) || bytes == 0 || bytes > DISK_MAX_BYTES {
        return Err(format!("its header makes no sense: clusters of 2^{bits} bytes, {bytes} bytes in all"));
    }
    Ok(Disk::Qcow2)
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
        assert_eq!(format(&header(3, &[])), Ok(Disk::Qcow2));
        assert_eq!(format(&header(2, &[])[..V2_BYTES]), Ok(Disk::Qcow2));
        assert_eq!(format(b"\xeb\x63\x90 any boot sector"), Ok(Disk::Raw));
        assert_eq!(format(b""), Ok(Disk::Raw));
        for (wrong, why) in [
            (header(3, &[(8, &112u64.to_be_bytes()), (16, &9u32.to_be_bytes())]), "backing file"),
            (header(3, &[(16, &9u32.to_be_bytes())]), "backing file"),
            (header(3, &[(72, &DATA_FILE.to_be_bytes())]), "another file"),
            (header(3, &[(72, &CORRUPT.to_be_bytes())]), "corrupt"),
            (header(3, &[(32, &2u32.to_be_bytes())]), "encrypted"),
            (header(4, &[]), "version 4"),
            (header(3, &[(20, &40u32.to_be_bytes())]), "no sense"),
            (header(3, &[(24, &(DISK_MAX_BYTES + 1).to_be_bytes())]), "no sense"),
            (header(3, &[])[..V3_BYTES - 1].to_vec(), "cut off"),
            (b"KDMV".to_vec(), "VMDK"),
        ] {
            let error = format(&wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(format(&header(3, &[(24, &DISK_MAX_BYTES.to_be_bytes())])), Ok(Disk::Qcow2));
    }

    proptest! {
        #[test]
        fn noise_is_judged_without_a_panic(noise in vec(any::<u8>(), 0..200), cut in 0..200usize) {
            let _ = format(&noise);
            let mut bytes = header(3, &[]);
            bytes.iter_mut().skip(4).zip(&noise).for_each(|(byte, noise)| *byte ^= noise & 7);
            bytes.truncate(cut);
            let _ = format(&bytes);
        }
    }
}
