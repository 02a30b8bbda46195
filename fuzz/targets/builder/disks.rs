//! A disk image's header. Oracle: a disk that is taken has a size that a guest's may have.

use crate::image::qcow2::{HEAD_BYTES, disk};
use vmatic_plan::host_image::DISK_MAX_BYTES;

pub fn seeds() -> Vec<Vec<u8>> {
    let header = |version: u32| {
        let mut head = vec![0; 104];
        head[..4].copy_from_slice(b"QFI\xfb");
        head[4..8].copy_from_slice(&version.to_be_bytes());
        head[20..24].copy_from_slice(&16u32.to_be_bytes());
        head[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
        head
    };
    vec![header(3), header(2), b"KDMV".to_vec(), vec![0; 512]]
}

pub fn run(data: &[u8]) {
    let head = &data[..data.len().min(HEAD_BYTES)];
    match disk(head, data.len() as u64) {
        Ok(disk) => assert!((1..=DISK_MAX_BYTES).contains(&disk.virtual_bytes)),
        Err(unfit) => assert!(!unfit.cause.is_empty() && !unfit.help.is_empty()),
    }
}
