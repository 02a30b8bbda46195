//! The driver's half of a ring, for tests of devices.

use crate::memory::Memory;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress};

/// One ring, and closures that play the driver.
pub(crate) struct Driver<O, U> {
    pub queue: Queue,
    /// Offers a chain of (address, length, device-writable).
    pub offer: O,
    /// Lengths of all returned chains.
    pub used: U,
}

/// Sets up ring number `index` (its own 64 KiB from 0x10000 on).
#[allow(clippy::type_complexity)] // closures have no shorter names
pub(crate) fn driver(
    memory: &Memory,
    index: u64,
) -> Driver<impl FnMut(&[(u64, u32, bool)]) + '_, impl Fn() -> Vec<u32> + '_> {
    let base = 0x1_0000 + index * 0x1_0000;
    let (desc, avail, ring) = (base, base + 0x1000, base + 0x2000);
    let mut queue = Queue::new(64).unwrap();
    queue.set_desc_table_address(Some(desc as u32), None);
    queue.set_avail_ring_address(Some(avail as u32), None);
    queue.set_used_ring_address(Some(ring as u32), None);
    queue.set_ready(true);
    assert!(queue.is_valid(memory));
    let (mut next_desc, mut next_avail) = (0u64, 0u16);
    let offer = move |chain: &[(u64, u32, bool)]| {
        let slot = u64::from(next_avail % 64);
        memory.write_obj((next_desc % 64) as u16, GuestAddress(avail + 4 + slot * 2)).unwrap();
        for (at, (address, length, writable)) in chain.iter().enumerate() {
            let entry = GuestAddress(desc + next_desc % 64 * 16);
            let more = at + 1 < chain.len();
            memory.write_obj(*address, entry).unwrap();
            memory.write_obj(*length, GuestAddress(entry.0 + 8)).unwrap();
            memory.write_obj(u16::from(more) | u16::from(*writable) << 1, GuestAddress(entry.0 + 12)).unwrap();
            next_desc += 1;
            memory.write_obj((next_desc % 64) as u16, GuestAddress(entry.0 + 14)).unwrap();
        }
        next_avail += 1;
        memory.write_obj(next_avail, GuestAddress(avail + 2)).unwrap();
    };
    let used = move || {
        let count: u16 = memory.read_obj(GuestAddress(ring + 2)).unwrap();
        (0..count).map(|i| memory.read_obj(GuestAddress(ring + 4 + u64::from(i % 64) * 8 + 4)).unwrap()).collect()
    };
    Driver { queue, offer, used }
}

/// Reads guest memory.
pub(crate) fn bytes(memory: &Memory, at: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
    bytes
}
