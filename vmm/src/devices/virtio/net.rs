//! The virtio network card.
//!
//! Takes frames from the guest and gives them to a tap or a socket, and back. No offloads:
//! the guest needs buffers of one frame only, which keeps a small guest small.

use crate::devices::tap::HEADER_BYTES;
use crate::devices::virtio::mmio::{Device, has_buffers, next_chain};
use crate::memory::Memory;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use virtio_queue::{Queue, QueueT};
use vmatic_plan::Mac;

const FEATURE_MAC: u64 = 1 << 5;
/// Largest frame with header that is moved: a jumbo frame of 9,216 bytes.
const FRAME_BYTES_MAX: usize = HEADER_BYTES + 9_216;
const RX: usize = 0;
const TX: usize = 1;

/// The network card.
pub(crate) struct Net {
    /// A tap, or one end of a pair of sockets that keep frames apart; both with the header.
    cable: Option<File>,
    mac: Mac,
    /// Touched only as far as frames are long: a guest that is silent costs nothing.
    frame: Vec<u8>,
}

impl Net {
    /// A card on a non-blocking tap or socket, each frame behind a 12-byte header.
    /// Without a cable, frames go nowhere.
    pub fn new(cable: Option<OwnedFd>, mac: Mac) -> Self {
        Self { cable: cable.map(File::from), mac, frame: Vec::new() }
    }

    /// The card's address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    fn receive(&mut self, queue: &mut Queue, memory: &Memory) -> bool {
        let mut used = false;
        for _ in 0..queue.size() {
            if !has_buffers(queue, memory) {
                break;
            }
            let Some(cable) = &mut self.cable else { break };
            self.frame.clear();
            self.frame.reserve_exact(FRAME_BYTES_MAX);
            let Ok(bytes @ 1..) = rustix::io::read(cable, rustix::buffer::spare_capacity(&mut self.frame)) else {
                break;
            };
            if bytes < HEADER_BYTES {
                continue;
            }
            // One buffer a frame, since VIRTIO_NET_F_MRG_RXBUF is not offered.
            self.frame[10..12].copy_from_slice(&1u16.to_le_bytes());
            let Some(chain) = next_chain(queue, memory, &mut used) else { break };
            let head = chain.head_index();
            let written = chain.writer(memory).map_or(0, |mut writer| match writer.available_bytes() >= bytes {
                true => writer.write(&self.frame[..bytes]).unwrap_or(0),
                false => 0,
            });
            used |= queue.add_used(memory, head, written as u32).is_ok();
        }
        used
    }

    fn transmit(&mut self, queue: &mut Queue, memory: &Memory) -> bool {
        let mut used = false;
        for _ in 0..queue.size() {
            let Some(chain) = next_chain(queue, memory, &mut used) else { break };
            let head = chain.head_index();
            if let Ok(mut reader) = chain.reader(memory) {
                let bytes = reader.available_bytes();
                let bytes = if (HEADER_BYTES..=FRAME_BYTES_MAX).contains(&bytes) { bytes } else { 0 };
                self.frame.resize(bytes, 0);
                if bytes > 0 && reader.read_exact(&mut self.frame).is_ok() {
                    // The guest negotiated no offloads, so the header says nothing.
                    self.frame[..HEADER_BYTES].fill(0);
                    // A full or closed interface drops frames, as a cable does.
                    let _ = self.cable.as_mut().map(|cable| cable.write(&self.frame));
                }
            }
            used |= queue.add_used(memory, head, 0).is_ok();
        }
        used
    }
}

impl Device for Net {
    const ID: u32 = 1;
    const QUEUES: usize = 2;

    fn features(&self) -> u64 {
        FEATURE_MAC
    }

    fn config(&self) -> &[u8] {
        &self.mac.0
    }

    fn work(&mut self, queues: &mut [Queue], memory: &Memory) -> bool {
        let sent = queues.get_mut(TX).is_some_and(|queue| self.transmit(queue, memory));
        let received = queues.get_mut(RX).is_some_and(|queue| self.receive(queue, memory));
        sent | received
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::virtio::rings::{Driver, bytes, driver};
    use std::os::unix::net::UnixDatagram;
    use vm_memory::{Bytes, GuestAddress};

    fn card() -> (Net, UnixDatagram) {
        let (near, far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        (Net::new(Some(near.into()), Mac([2, 0, 0, 0, 0, 7])), far)
    }

    #[test]
    fn frames_go_both_ways() {
        let memory = crate::memory::create(1).unwrap();
        let (mut net, far) = card();
        let Driver { queue: rx, offer: mut offer_rx, used: used_rx } = driver(&memory, 0);
        let Driver { queue: tx, offer: mut offer_tx, used: used_tx } = driver(&memory, 1);
        let mut queues = [rx, tx];
        far.send(&[9; 72]).unwrap();
        assert!(!net.work(&mut queues, &memory), "no buffers: the frame waits in the tap");
        offer_rx(&[(0x8000, 12, true), (0x8100, 1514, true)]);
        assert!(net.work(&mut queues, &memory));
        assert_eq!(used_rx(), vec![72]);
        assert_eq!(bytes(&memory, 0x800a, 2), [1, 0]);
        assert_eq!(bytes(&memory, 0x8100, 60), [9; 60]);
        memory.write_slice(&[5; 60], GuestAddress(0xa000)).unwrap();
        offer_tx(&[(0x9000, 12, false), (0xa000, 60, false)]);
        assert!(net.work(&mut queues, &memory));
        assert_eq!(used_tx(), vec![0]);
        let mut frame = [0; 100];
        assert_eq!(far.recv(&mut frame).unwrap(), 72);
        assert_eq!((frame[0], frame[12], frame[71]), (0, 5, 5));
    }

    #[test]
    fn short_and_long_frames_are_dropped_and_returned() {
        let memory = crate::memory::create(4).unwrap();
        let (mut net, far) = card();
        let Driver { queue: rx, offer: mut offer_rx, used: used_rx } = driver(&memory, 0);
        let Driver { queue: tx, offer: mut offer_tx, used: used_tx } = driver(&memory, 1);
        let mut queues = [rx, tx];
        offer_tx(&[(0x10_0000, 11, false)]);
        offer_tx(&[(0x10_0000, FRAME_BYTES_MAX as u32 + 1, false)]);
        offer_tx(&[(0xffff_ffff_0000, 100, false)]);
        offer_rx(&[(0x8000, 20, true)]);
        far.send(&[9; 72]).unwrap();
        net.work(&mut queues, &memory);
        assert_eq!(used_tx(), vec![0, 0, 0]);
        assert_eq!(used_rx(), vec![0]);
        assert!(far.recv(&mut [0; 100]).is_err());
    }
}
