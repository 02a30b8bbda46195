//! The virtio-pmem device: a file as memory.
//!
//! Takes a file; gives it to the guest as memory that it can read and execute in place
//! (DAX): the file's pages are the host's, once for all guests, and never the guest's.

use crate::devices::virtio::mmio::{Device, answer_each};
use crate::error::{Context, Error};
use crate::memory::Memory;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use virtio_queue::Queue;

/// Linux takes persistent memory in pieces of this size.
const PIECE_BYTES: u64 = 2 << 20;
/// The largest file: more does not fit below the end of small address spaces.
const BYTES_MAX: u64 = 64 << 30;

/// A file, mapped, with zeroes behind it up to a whole piece.
pub(crate) struct Mapped {
    at: *mut libc::c_void,
    /// Of the mapping.
    pub bytes: u64,
}

impl Mapped {
    /// Maps the whole file to be read.
    pub fn new(file: &File) -> Result<Self, Error> {
        let tried = "map the guests' shared file";
        let next = "free memory, or share a smaller file";
        let length = file.metadata().context(tried, next)?.len();
        if length == 0 || length > BYTES_MAX {
            return Err(Error::new(tried, format!("it has {length} bytes; 1 to {BYTES_MAX} can be mapped"), next));
        }
        let bytes = length.next_multiple_of(PIECE_BYTES);
        let (read, anonymous) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: a new mapping, wherever the kernel finds room.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes as usize, read, anonymous, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(Error::new(tried, io::Error::last_os_error(), next));
        }
        let mapped = Self { at, bytes };
        let shared = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: replaces the first pages of the mapping just made, which nobody else knows.
        let file_at = unsafe { libc::mmap(at, length as usize, read, shared, file.as_raw_fd(), 0) };
        if file_at == libc::MAP_FAILED {
            return Err(Error::new(tried, io::Error::last_os_error(), next));
        }
        Ok(mapped)
    }

    /// Where it is in this process.
    pub fn address(&self) -> u64 {
        self.at as u64
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`; the virtual machine that used it is gone before.
        unsafe { libc::munmap(self.at, self.bytes as usize) };
    }
}

/// The device that tells where that memory is.
pub(crate) struct Pmem {
    config: [u8; 16],
}

impl Pmem {
    /// At guest address `start`.
    pub fn new(start: u64, bytes: u64) -> Self {
        let mut config = [0; 16];
        config[..8].copy_from_slice(&start.to_le_bytes());
        config[8..].copy_from_slice(&bytes.to_le_bytes());
        Self { config }
    }
}

impl Device for Pmem {
    const ID: u32 = 27;
    const QUEUES: usize = 1;

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    /// Every request is a flush, and there is never anything to flush.
    fn work(&mut self, queues: &mut [Queue], memory: &Memory) -> bool {
        answer_each(queues, memory, |chain| {
            chain.writer(memory).map_or(0, |mut writer| writer.write(&[0; 4]).unwrap_or(0))
        })
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::virtio::rings::{Driver, bytes, driver};
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_file_is_mapped_whole_and_padded_with_zeroes() {
        let file = File::from(rustix::fs::memfd_create(c"pmem", rustix::fs::MemfdFlags::empty()).unwrap());
        assert!(Mapped::new(&file).is_err(), "an empty file");
        file.write_all_at(&[7; 5000], 0).unwrap();
        let mapped = Mapped::new(&file).unwrap();
        assert_eq!(mapped.bytes, PIECE_BYTES);
        // SAFETY: the mapping is alive and as long as that.
        let seen = unsafe { std::slice::from_raw_parts(mapped.address() as *const u8, mapped.bytes as usize) };
        assert_eq!((seen[0], seen[4999], seen[5000], seen[PIECE_BYTES as usize - 1]), (7, 7, 0, 0));
    }

    #[test]
    fn a_flush_is_done_at_once() {
        let memory = crate::memory::create(1).unwrap();
        let Driver { mut queue, mut offer, used } = driver(&memory, 0);
        offer(&[(0x8000, 4, false), (0x9000, 4, true)]);
        offer(&[(0x8000, 4, false)]);
        assert!(Pmem::new(1 << 32, PIECE_BYTES).work(std::slice::from_mut(&mut queue), &memory));
        assert_eq!((used(), bytes(&memory, 0x9000, 4)), (vec![4, 0], vec![0; 4]));
    }
}
