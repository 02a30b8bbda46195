//! The virtio entropy source.
//!
//! Takes the guest's empty buffers; gives them filled from the host's entropy.

use crate::devices::virtio::mmio::{Device, answer_each};
use crate::memory::Memory;
use rustix::rand::GetRandomFlags;
use std::io::Write;
use virtio_queue::Queue;

/// Bytes given for one request; a guest asks for 64 at a time.
const REQUEST_BYTES_MAX: usize = 256;

/// The entropy source.
pub(crate) struct Rng;

impl Device for Rng {
    const ID: u32 = 4;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> &[u8] {
        &[]
    }

    fn work(&mut self, queues: &mut [Queue], memory: &Memory) -> bool {
        answer_each(queues, memory, |chain| {
            chain.writer(memory).map_or(0, |mut writer| {
                let mut entropy = [0u8; REQUEST_BYTES_MAX];
                let wanted = writer.available_bytes().min(REQUEST_BYTES_MAX);
                let have = fill(&mut entropy[..wanted]);
                writer.write(&entropy[..have]).unwrap_or(0)
            })
        })
    }

    fn reset(&mut self) {}
}

/// Fills from the host; returns how many bytes are random.
fn fill(buffer: &mut [u8]) -> usize {
    // The system call, not libc::getrandom: std refers to that symbol weakly, and fat
    // LTO of a static musl program then makes every call of it a jump to address 0.
    rustix::rand::getrandom(buffer, GetRandomFlags::NONBLOCK).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::virtio::rings::{Driver, driver};

    #[test]
    fn buffers_come_back_full_of_different_bytes() {
        let memory = crate::memory::create(1).unwrap();
        let Driver { mut queue, mut offer, used } = driver(&memory, 0);
        offer(&[(0x8000, 64, true)]);
        offer(&[(0x9000, 100_000, true)]);
        assert!(Rng.work(std::slice::from_mut(&mut queue), &memory));
        assert_eq!(used(), vec![64, REQUEST_BYTES_MAX as u32]);
        assert_ne!(
            crate::devices::virtio::rings::bytes(&memory, 0x8000, 32),
            crate::devices::virtio::rings::bytes(&memory, 0x9000, 32)
        );
    }
}
