//! The virtio transport over MMIO.
//!
//! Takes the guest's register accesses to one virtio-mmio window (version 2); gives
//! a device its queues and the guest its interrupts. All rings are guest memory and
//! may be hostile: devices take at most one ring's worth of buffers a call.

use crate::memory::Memory;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::atomic::Ordering;
use virtio_queue::{DescriptorChain, Queue, QueueState, QueueT};
use vm_memory::{Bytes, GuestAddress};

/// Ring size offered to the guest; small rings dirty few pages.
pub(crate) const RING_ENTRIES: u16 = 64;

const VERSION_1: u64 = 1 << 32;
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_FEATURES_OK: u32 = 8;
const INTERRUPT_USED: u32 = 1;
const INTERRUPT_CONFIG: u32 = 2;
const NO_INTERRUPT: u16 = 1;
/// A descriptor's size, where its flags and the number of the next lie in it, and two of the flags (virtio 1.2, 2.7.5).
const DESCRIPTOR_BYTES: u64 = 16;
const FLAGS_AT: u64 = 12;
const DESCRIPTOR_NEXT: u16 = 1;
const DESCRIPTOR_INDIRECT: u16 = 4;
/// Most rings that a device here has.
const RINGS_MAX: usize = 3;

/// What differs between network card, entropy source and socket device.
pub(crate) trait Device {
    /// The virtio device number.
    const ID: u32;
    /// How many rings it has.
    const QUEUES: usize;
    /// Feature bits besides VERSION_1.
    fn features(&self) -> u64;
    /// Bytes of the configuration space.
    fn config(&self) -> &[u8];
    /// Moves whatever can be moved now, on all rings; true if buffers were returned.
    fn work(&mut self, queues: &mut [Queue], memory: &Memory) -> bool;
    /// The driver starts afresh.
    fn reset(&mut self);
}

/// Answers every request that waits, at most a ring's worth of each ring; `serve` gives how many bytes it wrote into
/// a request's buffers. True if buffers were returned.
pub(crate) fn answer_each(
    queues: &mut [Queue],
    memory: &Memory,
    mut serve: impl FnMut(DescriptorChain<&Memory>) -> usize,
) -> bool {
    let mut used = false;
    for queue in queues {
        for _ in 0..queue.size() {
            let Some(chain) = next_chain(queue, memory, &mut used) else { break };
            let head = chain.head_index();
            let written = serve(chain);
            used |= queue.add_used(memory, head, written as u32).is_ok();
        }
    }
    used
}

/// The next chain that waits. Those with an indirect table go back unserved, which sets `used`: the table is not
/// offered (VIRTIO_F_INDIRECT_DESC), and could make one chain of 65,535 parts, where a ring has 64.
pub(crate) fn next_chain<'m>(
    queue: &mut Queue,
    memory: &'m Memory,
    used: &mut bool,
) -> Option<DescriptorChain<&'m Memory>> {
    for _ in 0..queue.size() {
        let chain = queue.pop_descriptor_chain(memory)?;
        let head = chain.head_index();
        if !is_indirect(queue, memory, head) {
            return Some(chain);
        }
        *used |= queue.add_used(memory, head, 0).is_ok();
    }
    None
}

/// Whether any part of a chain is an indirect table. The guest stands still while it is looked at.
fn is_indirect(queue: &Queue, memory: &Memory, head: u16) -> bool {
    let mut index = head;
    for _ in 0..queue.size() {
        let entry = queue.desc_table().checked_add(u64::from(index) * DESCRIPTOR_BYTES);
        let Some(flags_at) = entry.and_then(|entry| entry.checked_add(FLAGS_AT)) else { return false };
        // What cannot be read ends the chain for the device, too.
        let Ok([flags, next]) = memory.read_obj::<[u16; 2]>(GuestAddress(flags_at)) else { return false };
        if flags & DESCRIPTOR_INDIRECT != 0 {
            return true;
        }
        if flags & DESCRIPTOR_NEXT == 0 {
            return false;
        }
        index = next;
    }
    false
}

/// What a driver has made of a window: all of its registers, and its rings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransportState {
    device_features_page: u32,
    driver_features_page: u32,
    driver_features: u64,
    queue_selected: u32,
    interrupt: u32,
    status: u32,
    rings: Vec<Ring>,
}

/// A ring: how far it was served, and where its parts lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ring {
    size: u16,
    next_avail: u16,
    next_used: u16,
    ready: bool,
    desc_table: u64,
    avail_ring: u64,
    used_ring: u64,
}

impl Ring {
    fn save(queue: &Queue) -> Self {
        let state = queue.state();
        Self {
            size: state.size,
            next_avail: state.next_avail,
            next_used: state.next_used,
            ready: state.ready,
            desc_table: state.desc_table,
            avail_ring: state.avail_ring,
            used_ring: state.used_ring,
        }
    }

    fn restore(&self) -> io::Result<Queue> {
        let state = QueueState {
            max_size: RING_ENTRIES,
            next_avail: self.next_avail,
            next_used: self.next_used,
            event_idx_enabled: false,
            size: self.size,
            ready: self.ready,
            desc_table: self.desc_table,
            avail_ring: self.avail_ring,
            used_ring: self.used_ring,
        };
        Queue::try_from(state).map_err(io::Error::other)
    }
}

/// The registers of one window, and the device behind them.
pub(crate) struct Transport<D> {
    device: D,
    queues: Vec<Queue>,
    device_features_page: u32,
    driver_features_page: u32,
    driver_features: u64,
    queue_selected: u32,
    interrupt: u32,
    status: u32,
}

impl<D: Device> Transport<D> {
    /// A device that no driver has touched.
    pub fn new(device: D) -> Self {
        Self {
            device,
            queues: fresh_queues(D::QUEUES),
            device_features_page: 0,
            driver_features_page: 0,
            driver_features: 0,
            queue_selected: 0,
            interrupt: 0,
            status: 0,
        }
    }

    /// The window as its driver left it, before another device of the same kind.
    pub fn restore(state: &TransportState, device: D) -> io::Result<Self> {
        if state.rings.len() != D::QUEUES {
            return Err(io::Error::other("it has another number of rings"));
        }
        Ok(Self {
            device,
            queues: state.rings.iter().map(Ring::restore).collect::<io::Result<_>>()?,
            device_features_page: state.device_features_page,
            driver_features_page: state.driver_features_page,
            driver_features: state.driver_features,
            queue_selected: state.queue_selected,
            interrupt: state.interrupt,
            status: state.status,
        })
    }

    /// What the driver has made of the window.
    pub fn save(&self) -> TransportState {
        TransportState {
            device_features_page: self.device_features_page,
            driver_features_page: self.driver_features_page,
            driver_features: self.driver_features,
            queue_selected: self.queue_selected,
            interrupt: self.interrupt,
            status: self.status,
            rings: self.queues.iter().map(Ring::save).collect(),
        }
    }

    /// The device behind the window.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Lets something be done with the device that may change its configuration; true if it did, and the guest must get
    /// an interrupt for it.
    pub fn configure(&mut self, change: impl FnOnce(&mut D) -> bool) -> bool {
        let changed = change(&mut self.device) && self.status & STATUS_DRIVER_OK != 0;
        if changed {
            self.interrupt |= INTERRUPT_CONFIG;
        }
        changed
    }

    fn offered(&self) -> u64 {
        self.device.features() | VERSION_1
    }

    fn page(features: u64, page: u32) -> u32 {
        match page {
            0 => features as u32,
            1 => (features >> 32) as u32,
            _ => 0,
        }
    }

    fn queue(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.queue_selected as usize)
    }

    /// The guest reads `data.len()` bytes at `offset` of the window.
    pub fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if offset >= 0x100 {
            let config = self.device.config();
            for (at, byte) in data.iter_mut().enumerate() {
                *byte = config.get(offset as usize - 0x100 + at).copied().unwrap_or(0);
            }
            return;
        }
        let Ok(word) = <&mut [u8; 4]>::try_from(data) else { return };
        let value = match offset {
            0x00 => u32::from_le_bytes(*b"virt"),
            0x04 => 2,
            0x08 => D::ID,
            0x0c => u32::from_le_bytes(*b"VMat"),
            0x10 => Self::page(self.offered(), self.device_features_page),
            0x34 => self.queue().map_or(0, |queue| u32::from(queue.max_size())),
            0x44 => self.queue().map_or(0, |queue| u32::from(queue.ready())),
            0x60 => self.interrupt,
            0x70 => self.status,
            // No shared memory regions: their length reads as all ones.
            0xb0..=0xbc => u32::MAX,
            _ => 0,
        };
        *word = value.to_le_bytes();
    }

    /// The guest writes; true if it must get an interrupt for it.
    pub fn write(&mut self, offset: u64, data: &[u8], memory: &Memory) -> bool {
        let Ok(word) = <[u8; 4]>::try_from(data) else { return false };
        let value = u32::from_le_bytes(word);
        match offset {
            0x14 => self.device_features_page = value,
            0x24 => self.driver_features_page = value,
            0x20 if self.status & STATUS_FEATURES_OK == 0 => self.accept_features(value),
            0x30 => self.queue_selected = value,
            0x38 | 0x44 | 0x80..=0xa4 if self.status & STATUS_DRIVER_OK == 0 || offset == 0x44 => {
                self.write_queue(offset, value, memory);
            }
            0x50 => return self.work(memory),
            0x64 => self.interrupt &= !value,
            0x70 => return self.write_status(value, memory),
            _ => {}
        }
        false
    }

    fn accept_features(&mut self, value: u32) {
        let (keep, shift) = match self.driver_features_page {
            0 => (0xffff_ffff_0000_0000, 0),
            1 => (0x0000_0000_ffff_ffff, 32),
            _ => return,
        };
        self.driver_features = self.driver_features & keep | u64::from(value) << shift;
    }

    fn write_queue(&mut self, offset: u64, value: u32, memory: &Memory) {
        let Some(queue) = self.queue() else { return };
        match offset {
            0x38 => queue.set_size(u16::try_from(value).unwrap_or(0)),
            0x44 => {
                queue.set_ready(value == 1);
                if value == 1 && !queue.is_valid(memory) {
                    queue.set_ready(false);
                }
            }
            0x80 => queue.set_desc_table_address(Some(value), None),
            0x84 => queue.set_desc_table_address(None, Some(value)),
            0x90 => queue.set_avail_ring_address(Some(value), None),
            0x94 => queue.set_avail_ring_address(None, Some(value)),
            0xa0 => queue.set_used_ring_address(Some(value), None),
            0xa4 => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    fn write_status(&mut self, value: u32, memory: &Memory) -> bool {
        if value == 0 {
            self.device.reset();
            self.queues = fresh_queues(D::QUEUES);
            self.driver_features = 0;
            self.interrupt = 0;
            self.status = 0;
            return false;
        }
        let mut value = value & 0xff;
        let understood = self.driver_features & !self.offered() == 0 && self.driver_features & VERSION_1 != 0;
        if value & STATUS_FEATURES_OK != 0 && !understood {
            value &= !STATUS_FEATURES_OK;
        }
        self.status = value;
        self.work(memory)
    }

    /// Lets the device move what it can; true if the guest must get an interrupt.
    pub fn work(&mut self, memory: &Memory) -> bool {
        const { assert!(D::QUEUES <= RINGS_MAX, "the rings beyond would get no interrupts") };
        let before: [u16; RINGS_MAX] = std::array::from_fn(|at| self.queues.get(at).map_or(0, Queue::next_used));
        if self.status & STATUS_DRIVER_OK == 0 || !self.device.work(&mut self.queues, memory) {
            return false;
        }
        let mut served = self.queues.iter().zip(before).filter(|(queue, before)| queue.next_used() != *before);
        let wanted = served.any(|(queue, _)| queue.ready() && wants_interrupts(queue, memory));
        if wanted {
            self.interrupt |= INTERRUPT_USED;
        }
        wanted
    }
}

/// Whether the driver wants to hear of buffers that come back: VIRTQ_AVAIL_F_NO_INTERRUPT (virtio 1.2, 2.7.7).
fn wants_interrupts(queue: &Queue, memory: &Memory) -> bool {
    // Devices and driver never run at once: the flag is the one that the driver left when it was interrupted last.
    memory
        .read_obj::<u16>(GuestAddress(queue.avail_ring()))
        .map_or(true, |flags| u16::from_le(flags) & NO_INTERRUPT == 0)
}

/// True if the driver has offered buffers that were not taken yet.
pub(crate) fn has_buffers(queue: &Queue, memory: &Memory) -> bool {
    queue.ready() && queue.avail_idx(memory, Ordering::Acquire).is_ok_and(|index| index.0 != queue.next_avail())
}

fn fresh_queues(count: usize) -> Vec<Queue> {
    // 64 is a power of two below the crate's limit: the only way `new` can fail is
    // ruled out, and an empty list would merely be a device without rings.
    (0..count).filter_map(|_| Queue::new(RING_ENTRIES).ok()).collect()
}

#[cfg(test)]
#[path = "mmio_tests.rs"]
mod tests;
