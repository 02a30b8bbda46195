//! A kernel's boot image. Oracle: what comes out is an ELF file whose segments hold what they held.

use crate::kernel::vmlinux::extract_vmlinux;
use goblin::elf::Elf;

pub fn seeds() -> Vec<Vec<u8>> {
    let mut vmlinux = vec![0; 0x2100];
    vmlinux[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let mut put = |at: usize, value: u64| vmlinux[at..at + 8].copy_from_slice(&value.to_le_bytes());
    for (at, value) in [(0x10, 0x0001_003e_0002), (0x20, 64), (0x34, 0x0002_0038_0040), (64, 1), (120, 1)] {
        put(at, value);
    }
    for (at, value) in [(72, 0x1000), (96, 0x80), (104, 0x1000), (128, 0x2010), (152, 0x40), (160, 0x40)] {
        put(at, value);
    }
    vec![image(&vmlinux), image(&zstd::stream::encode_all(&vmlinux[..], 3).unwrap_or_default()), vmlinux]
}

/// A boot image with this payload, as the x86 boot protocol has it.
fn image(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&[8, 2]);
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend_from_slice(payload);
    image
}

pub fn run(data: &[u8]) {
    // Mostly a payload, so that the boot image around it need not be guessed.
    for bytes in [data, &image(data)] {
        match extract_vmlinux(bytes) {
            Ok(vmlinux) => {
                assert!(vmlinux.starts_with(b"\x7fELF"));
                // Read whole by another: it may find fault, and must not run away.
                let _ = Elf::parse_header(&vmlinux);
            }
            Err(why) => assert!(!why.to_string().is_empty()),
        }
    }
}
