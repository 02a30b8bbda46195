//! The virtio block device: a disk that guests share.
//!
//! Takes the guest's requests to a disk; gives it the bytes of a file that all guests of
//! a host share. Nobody can write: a file system arrives once on a host, not once a guest.

use crate::devices::virtio::mmio::{Device, answer_each};
use crate::memory::Memory;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use virtio_queue::{DescriptorChain, Queue, Writer};

const SECTOR_BYTES: u64 = 512;
const FEATURE_READ_ONLY: u64 = 1 << 5;
const READ: u32 = 0;
const GET_ID: u32 = 8;
const STATUS_OK: u8 = 0;
const STATUS_FAILED: u8 = 1;
const STATUS_UNSUPPORTED: u8 = 2;
const NAME: &[u8; 20] = b"vmatic-shared\0\0\0\0\0\0\0";
/// Bytes of one request; Linux asks for at most 128 KiB at a time on small machines.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// A read-only disk: a file that all guests share.
pub(crate) struct Block {
    file: Arc<File>,
    bytes: u64,
    capacity: [u8; 8],
}

impl Block {
    /// A disk of the file's whole sectors.
    pub fn new(file: Arc<File>) -> io::Result<Self> {
        let sectors = file.metadata()?.len() / SECTOR_BYTES;
        Ok(Self { file, bytes: sectors * SECTOR_BYTES, capacity: sectors.to_le_bytes() })
    }

    /// Carries out one request; gives how many bytes were written to the guest.
    fn serve(&self, chain: DescriptorChain<&Memory>, memory: &Memory) -> io::Result<usize> {
        let mut header = [0; 16];
        chain.clone().reader(memory).map_err(io::Error::other)?.read_exact(&mut header)?;
        let kind = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let mut sector = [0; 8];
        sector.copy_from_slice(&header[8..]);
        let mut data = chain.writer(memory).map_err(io::Error::other)?;
        let room = data.available_bytes().checked_sub(1).ok_or(io::ErrorKind::InvalidInput)?;
        // The last byte that the guest can be given is the status.
        let mut status = data.split_at(room).map_err(io::Error::other)?;
        let (code, written) = match kind {
            READ => match self.read(u64::from_le_bytes(sector), room, &mut data) {
                Ok(()) => (STATUS_OK, room),
                Err(_) => (STATUS_FAILED, 0),
            },
            GET_ID => (STATUS_OK, data.write(&NAME[..NAME.len().min(room)])?),
            _ => (STATUS_UNSUPPORTED, 0),
        };
        status.write_all(&[code])?;
        Ok(written + 1)
    }

    fn read(&self, sector: u64, bytes: usize, into: &mut Writer) -> io::Result<()> {
        let bad = io::ErrorKind::InvalidInput;
        let mut at = sector.checked_mul(SECTOR_BYTES).ok_or(bad)?;
        let end = at.checked_add(bytes as u64).ok_or(bad)?;
        if end > self.bytes || bytes > REQUEST_BYTES_MAX {
            return Err(bad.into());
        }
        let mut part = [0; 4096];
        while at < end {
            let count = (end - at).min(part.len() as u64) as usize;
            self.file.read_exact_at(&mut part[..count], at)?;
            into.write_all(&part[..count])?;
            at += count as u64;
        }
        Ok(())
    }
}

impl Device for Block {
    const ID: u32 = 2;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        FEATURE_READ_ONLY
    }

    fn config(&self) -> &[u8] {
        &self.capacity
    }

    fn work(&mut self, queues: &mut [Queue], memory: &Memory) -> bool {
        // A request that makes no sense comes back with nothing written.
        answer_each(queues, memory, |chain| self.serve(chain, memory).unwrap_or(0))
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::virtio::rings::{Driver, bytes, driver};
    use vm_memory::{Bytes, GuestAddress};

    fn disk(sectors: u8) -> Block {
        let mut file = File::from(rustix::fs::memfd_create(c"disk", rustix::fs::MemfdFlags::empty()).unwrap());
        for sector in 0..sectors {
            file.write_all(&[sector + 1; 512]).unwrap();
        }
        // What is less than a sector is not there.
        file.write_all(&[99; 100]).unwrap();
        Block::new(Arc::new(file)).unwrap()
    }

    #[test]
    fn sectors_are_read_and_nothing_beyond_them_or_written() {
        let memory = crate::memory::create(1).unwrap();
        let mut disk = disk(16);
        assert_eq!(disk.config(), 16u64.to_le_bytes());
        let Driver { mut queue, mut offer, used } = driver(&memory, 0);
        let cases: [(u32, u64, u32, u8, u32); 7] = [
            (READ, 0, 8192, STATUS_OK, 8193),
            (READ, 15, 512, STATUS_OK, 513),
            (READ, 16, 512, STATUS_FAILED, 1),
            (READ, 15, 1024, STATUS_FAILED, 1),
            (READ, u64::MAX, 512, STATUS_FAILED, 1),
            (GET_ID, 0, 20, STATUS_OK, 21),
            (1, 0, 512, STATUS_UNSUPPORTED, 1),
        ];
        for (number, (kind, sector, bytes, ..)) in cases.iter().enumerate() {
            let at = 0x4_0000 + number as u64 * 0x4000;
            memory.write_obj(*kind, GuestAddress(at)).unwrap();
            memory.write_obj(*sector, GuestAddress(at + 8)).unwrap();
            memory.write_obj(77u8, GuestAddress(at + 0x100)).unwrap();
            offer(&[(at, 16, false), (at + 0x1000, *bytes, true), (at + 0x100, 1, true)]);
        }
        assert!(disk.work(std::slice::from_mut(&mut queue), &memory));
        assert_eq!(used(), cases.iter().map(|case| case.4).collect::<Vec<_>>());
        for (number, case) in cases.iter().enumerate() {
            assert_eq!(bytes(&memory, 0x4_0100 + number as u64 * 0x4000, 1), [case.3], "request {number}");
        }
        assert_eq!(bytes(&memory, 0x4_1000 + 15 * 512, 512), [16; 512]);
        assert_eq!(bytes(&memory, 0x4_5000, 513), [&[16; 512][..], &[0]].concat());
    }

    #[test]
    fn requests_without_room_for_an_answer_come_back_empty() {
        let memory = crate::memory::create(1).unwrap();
        let Driver { mut queue, mut offer, used } = driver(&memory, 0);
        offer(&[(0x8000, 16, false)]);
        offer(&[(0x8000, 15, false), (0x9000, 512, true)]);
        offer(&[(0x9000, 512, true)]);
        disk(1).work(std::slice::from_mut(&mut queue), &memory);
        assert_eq!(used(), [0, 0, 0]);
    }
}
