//! Whether an image fits the memory of the machine that boots it, and the least that would do.
//!
//! A kernel unpacks its image into a tmpfs, which holds at most half of what memory is left when it is mounted
//! (tmpfs(5), `size` and `nr_inodes`): without what the kernel keeps to itself, and without the packed image, which
//! lies there until all is unpacked. What does not fit is cut off: "Initramfs unpacking failed: write error", and then
//! a panic, or a machine that runs with half a file. So a machine needs what its kernel keeps, the packed image, and
//! twice what is unpacked. Drivers start meanwhile: it also needs what runs, beside the packed and the unpacked image.
//!
//! What kernels keep ([`KernelNeeds`]) is what `mount` and `dmesg` say of them: memory, less the image, less twice the
//! size of the root's tmpfs. A guest with our kernel and an image of 26.2 MB unpacks it whole in 84 MiB, the least that
//! is computed, and not in 80; a host with our kernel and one of 27.9 MB (26.1 packed) does in 106, and not in 92.

use crate::kernel::choice::{ChosenKernel, Source};
use crate::manifest::ImageRecord;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Bytes of a page: a file takes whole ones, half of one more than its bytes on average, and for each page of it the
/// tmpfs has room for one file, folder or link.
const PAGE_BYTES: u64 = 4096;
/// A kernel keeps a page's description for each page, 64 bytes: this part of all memory.
const PAGES_SHARE: u64 = 64;
/// What a guest in QEMU needs more, in MiB: its loader copies kernel and image. It is what the agent gives ordinary
/// guests there.
const MORE_IN_QEMU_MIB: u32 = 16;

/// What a kernel needs of a machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelNeeds {
    /// What it keeps to itself before the image is unpacked, in KiB, but for the descriptions of pages.
    kept_kib: u64,
    /// What it needs for all that runs, beside the packed and the unpacked image, in MiB.
    running_mib: u64,
}

/// Guests on our kernel: with the bare image (2.2 MB) they boot and join in 16 MiB.
const GUEST_SMALL: KernelNeeds = KernelNeeds { kept_kib: 7_400, running_mib: 11 };
/// Guests on Debian's: with the bare image (2.8 MB) in 72 MiB.
const GUEST_DEBIAN: KernelNeeds = KernelNeeds { kept_kib: 43_600, running_mib: 66 };
/// Hosts on our kernel: with the bare image (3.9 MB) in 64 MiB.
const HOST_SMALL: KernelNeeds = KernelNeeds { kept_kib: 25_500, running_mib: 58 };
/// Hosts on Debian's: with the bare image (8.2 MB) in 88 MiB.
const HOST_DEBIAN: KernelNeeds = KernelNeeds { kept_kib: 45_200, running_mib: 77 };

impl KernelNeeds {
    /// Of a guest's kernel. Of one in a folder nobody knows what it needs: it counts as the smallest that is known.
    pub fn of_guest(kernel: &ChosenKernel) -> KernelNeeds {
        if kernel.source == Source::Package { GUEST_DEBIAN } else { GUEST_SMALL }
    }

    /// Of a host's kernel, likewise.
    pub fn of_host(kernel: &ChosenKernel) -> KernelNeeds {
        if kernel.source == Source::Package { HOST_DEBIAN } else { HOST_SMALL }
    }

    /// The least memory of a machine that boots this image on the kernel, in MiB.
    pub fn least_mib(self, image: &ImageRecord) -> u32 {
        let files = image.files.iter().filter(|file| file.kind == "file").count() as u64;
        let unpacked = image.unpacked_bytes.saturating_add(files * PAGE_BYTES / 2);
        let unpacked = unpacked.max(image.files.len() as u64 * PAGE_BYTES);
        let unpacking =
            (self.kept_kib * KIB).saturating_add(image.packed_bytes).saturating_add(unpacked.saturating_mul(2));
        let unpacking = (unpacking / (PAGES_SHARE - 1)).saturating_mul(PAGES_SHARE);
        let running = (self.running_mib * MIB).saturating_add(image.packed_bytes).saturating_add(image.unpacked_bytes);
        u32::try_from(unpacking.max(running).div_ceil(MIB)).unwrap_or(u32::MAX)
    }
}

/// The same for a guest that QEMU runs.
pub fn in_qemu(least_mib: u32) -> u32 {
    least_mib.saturating_add(MORE_IN_QEMU_MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: u64, files: usize) -> ImageRecord {
        let file = crate::manifest::FileRecord { kind: "file".to_owned(), ..Default::default() };
        ImageRecord {
            which: "guest".to_owned(),
            kernel: String::new(),
            compression: "none".to_owned(),
            packed_bytes: bytes,
            unpacked_bytes: bytes,
            boot: None,
            warnings: Vec::new(),
            members: Vec::new(),
            files: vec![file; files],
        }
    }

    #[test]
    fn a_small_image_needs_what_its_kernel_needs_and_a_large_one_more() {
        assert_eq!(GUEST_SMALL.least_mib(&image(2_178_048, 20)), 16);
        assert_eq!(GUEST_SMALL.least_mib(&image(26_178_048, 20)), 84);
        // The guests of 24 MiB that ended with "System is deadlocked on memory".
        assert_eq!(GUEST_SMALL.least_mib(&image(14_900_000, 20)), 51);
        assert_eq!(GUEST_DEBIAN.least_mib(&image(2_800_000, 40)), 72);
        // Many small files need as many inodes.
        assert!(GUEST_SMALL.least_mib(&image(1_000_000, 10_000)) > 80);
        assert_eq!(GUEST_SMALL.least_mib(&image(u64::MAX / 2, 1)), u32::MAX, "nothing overflows");
    }
}
