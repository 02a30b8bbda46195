//! A disk of qcow2's format that is empty and stands on another: what a guest writes comes into it, what it never
//! wrote is read from the one below. As QEMU's docs/interop/qcow2.txt describes version 3.

use vmatic_plan::guest_kinds::DiskFormat;
// Its first table then takes 256 KiB.
use vmatic_plan::host_image::DISK_MAX_BYTES;

/// Bytes of a cluster: 64 KiB, QEMU's own choice.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Sectors are what disks count in.
const SECTOR: u64 = 512;
/// Entries of 8 bytes in a cluster, each for a cluster: what one entry of the first table maps.
const L2_SPAN: u64 = CLUSTER / 8 * CLUSTER;
const HEADER_BYTES: u32 = 104;
const BACKING_FORMAT: u32 = 0xe279_2aca;

/// The bytes of an empty disk of `bytes` (rounded up to a sector) on the one that is found at `below`.
pub fn empty(bytes: u64, below: &str, format: DiskFormat) -> Vec<u8> {
    let bytes = bytes.min(DISK_MAX_BYTES).next_multiple_of(SECTOR);
    let l1_entries = bytes.div_ceil(L2_SPAN).max(1);
    let l1_clusters = (l1_entries * 8).div_ceil(CLUSTER);
    // Header, table of reference counts, one block of them (which counts 32,768 clusters), first table.
    let clusters = 3 + l1_clusters;
    let mut disk = vec![0; (clusters * CLUSTER) as usize];
    let name = below.as_bytes();
    let word = format.word().as_bytes();
    // Behind the header: the format of what is below, the end of such extensions, then its name.
    let extension = 8 + word.len().next_multiple_of(8);
    let name_at = HEADER_BYTES as usize + extension + 8;
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3u32.to_be_bytes());
    put(8, &(name_at as u64).to_be_bytes());
    put(16, &(name.len() as u32).to_be_bytes());
    put(20, &CLUSTER_BITS.to_be_bytes());
    put(24, &bytes.to_be_bytes());
    put(36, &(l1_entries as u32).to_be_bytes());
    put(40, &(3 * CLUSTER).to_be_bytes());
    put(48, &CLUSTER.to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(96, &4u32.to_be_bytes());
    put(100, &HEADER_BYTES.to_be_bytes());
    put(104, &BACKING_FORMAT.to_be_bytes());
    put(108, &(word.len() as u32).to_be_bytes());
    put(112, word);
    put(name_at, name);
    put(CLUSTER as usize, &(2 * CLUSTER).to_be_bytes());
    for cluster in 0..clusters {
        put((2 * CLUSTER + 2 * cluster) as usize, &1u16.to_be_bytes());
    }
    disk
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn says_what_it_stands_on() {
        let disk = empty(10 << 20, "/disk", DiskFormat::Qcow2);
        assert_eq!(disk.len() as u64, 4 * CLUSTER);
        assert_eq!(disk[24..32], (10u64 << 20).to_be_bytes());
        let at = u64::from_be_bytes(disk[8..16].try_into().unwrap()) as usize;
        assert_eq!(&disk[at..at + 5], b"/disk");
        assert_eq!(&disk[112..118], b"qcow2\0");
        let huge = empty(DISK_MAX_BYTES, "/disk", DiskFormat::Raw);
        assert_eq!(huge.len() as u64, 7 * CLUSTER);
    }

    #[test]
    fn qemu_finds_nothing_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (base, overlay) = (folder.path().join("base"), folder.path().join("overlay"));
        std::fs::write(&base, vec![7; 3 << 20]).unwrap();
        std::fs::write(&overlay, empty(3 << 20, base.to_str().unwrap(), DiskFormat::Raw)).unwrap();
        // Where it is not installed, the tests of whole machines show the same.
        let Ok(output) = Command::new("qemu-img").arg("check").arg(&overlay).output() else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
