//! The virtio network card.
//!
//! Takes frames from the guest and gives them to a tap or a socket, and back. No offloads:
//! the guest needs buffers of one frame only, which keeps a small guest small. A guest's ports in a network are cards
//! that share one cable ([`Bundle`]), whose links go up and down, and which say how long a packet may be.

use crate::devices::tap::HEADER_BYTES;
use crate::devices::virtio::bundle::{Bundle, FRAME_BYTES_MAX};
use crate::devices::virtio::mmio::{Device, has_buffers, next_chain};
use crate::memory::Memory;
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use virtio_queue::{Queue, QueueT};
use vmatic_plan::Mac;

/// Features (virtio 1.2, 5.1.3): the card says its MTU, its MAC, and the state of its link.
const FEATURE_MTU: u64 = 1 << 3;
const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_STATUS: u64 = 1 << 16;
/// Where they stand in the configuration (virtio 1.2, 5.1.4).
const STATUS_AT: usize = 6;
const MTU_AT: usize = 10;
const STATUS_LINK_UP: u8 = 1;
/// Bytes of the configuration of a card that says its MAC alone, and of one that says all three.
const CONFIG_MAC_BYTES: usize = 6;
const CONFIG_BYTES: usize = 12;
const RX: usize = 0;
const TX: usize = 1;

/// Where a card's frames go.
enum Wire {
    /// A tap, or one end of a pair of sockets that keep frames apart; both with the header.
    Own(Option<File>),
    /// The cable of all of the guest's cards.
    Shared(Rc<RefCell<Bundle>>),
}

/// The network card.
pub(crate) struct Net {
    wire: Wire,
    /// Its number among the guest's cards.
    card: u8,
    features: u64,
    config: [u8; CONFIG_BYTES],
    /// The card's number, and a frame. Touched only as far as frames are long: a guest that is silent costs nothing.
    message: Vec<u8>,
}

impl Net {
    /// A card on a non-blocking tap or socket, each frame behind a 12-byte header.
    /// Without a cable, frames go nowhere.
    pub fn new(cable: Option<OwnedFd>, mac: Mac) -> Self {
        Self::with(Wire::Own(cable.map(File::from)), 0, FEATURE_MAC, mac)
    }

    /// The first of several cards, on the cable of all.
    pub fn first(bundle: Rc<RefCell<Bundle>>, mac: Mac) -> Self {
        Self::with(Wire::Shared(bundle), 0, FEATURE_MAC, mac)
    }

    /// The card of a port, from 1, on the cable of all cards; its link is up.
    pub fn port(bundle: Rc<RefCell<Bundle>>, port: u8, mac: Mac, mtu: u16) -> Self {
        let mut net = Self::with(Wire::Shared(bundle), port, FEATURE_MAC | FEATURE_STATUS | FEATURE_MTU, mac);
        net.config[STATUS_AT] = STATUS_LINK_UP;
        net.config[MTU_AT..].copy_from_slice(&mtu.to_le_bytes());
        net
    }

    fn with(wire: Wire, card: u8, features: u64, mac: Mac) -> Self {
        let mut config = [0; CONFIG_BYTES];
        config[..CONFIG_MAC_BYTES].copy_from_slice(&mac.0);
        Self { wire, card, features, config, message: Vec::new() }
    }

    /// The card's address.
    pub fn mac(&self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.config;
        Mac([a, b, c, d, e, f])
    }

    /// Takes what was said of its link; true if that is another state than it had.
    pub fn take_carrier(&mut self) -> bool {
        let Wire::Shared(bundle) = &self.wire else { return false };
        let Some(up) = bundle.borrow_mut().take_carrier(self.card) else { return false };
        let before = std::mem::replace(&mut self.config[STATUS_AT], if up { STATUS_LINK_UP } else { 0 });
        self.features & FEATURE_STATUS != 0 && before != self.config[STATUS_AT]
    }

    /// The next frame with its header, behind the card's number; false if there is none.
    fn next_message(&mut self) -> bool {
        self.message.clear();
        self.message.push(self.card);
        match &mut self.wire {
            Wire::Own(None) => false,
            Wire::Own(Some(cable)) => {
                self.message.reserve_exact(FRAME_BYTES_MAX);
                rustix::io::read(cable, rustix::buffer::spare_capacity(&mut self.message)).is_ok_and(|bytes| bytes > 0)
            }
            Wire::Shared(bundle) => {
                let mut bundle = bundle.borrow_mut();
                bundle.receive();
                let frame = bundle.take(self.card);
                frame.map(|frame| self.message.extend(frame)).is_some()
            }
        }
    }

    fn receive(&mut self, queue: &mut Queue, memory: &Memory) -> bool {
        let mut used = false;
        for _ in 0..queue.size() {
            if !has_buffers(queue, memory) || !self.next_message() {
                break;
            }
            let Some(frame) = self.message.get_mut(1..).filter(|frame| frame.len() >= HEADER_BYTES) else { continue };
            // One buffer a frame, since VIRTIO_NET_F_MRG_RXBUF is not offered.
            frame[10..12].copy_from_slice(&1u16.to_le_bytes());
            let Some(chain) = next_chain(queue, memory, &mut used) else { break };
            let head = chain.head_index();
            let written = chain.writer(memory).map_or(0, |mut writer| match writer.available_bytes() >= frame.len() {
                true => writer.write(frame).unwrap_or(0),
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
                self.message.resize(1 + bytes, 0);
                if bytes > 0 && reader.read_exact(&mut self.message[1..]).is_ok() {
                    self.send();
                }
            }
            used |= queue.add_used(memory, head, 0).is_ok();
        }
        used
    }

    /// Sends the frame behind the first byte.
    fn send(&mut self) {
        self.message[0] = self.card;
        // The guest negotiated no offloads, so the header says nothing.
        self.message[1..1 + HEADER_BYTES].fill(0);
        match &mut self.wire {
            // A full or closed interface drops frames, as a cable does.
            Wire::Own(cable) => drop(cable.as_mut().map(|cable| cable.write(&self.message[1..]))),
            Wire::Shared(bundle) => bundle.borrow_mut().send(&self.message),
        }
    }
}

impl Device for Net {
    const ID: u32 = 1;
    const QUEUES: usize = 2;

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> &[u8] {
        &self.config[..if self.features & FEATURE_STATUS == 0 { CONFIG_MAC_BYTES } else { CONFIG_BYTES }]
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

    #[test]
    fn cards_of_one_cable_get_their_own_frames_and_the_state_of_their_links() {
        let memory = crate::memory::create(1).unwrap();
        let (near, far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let bundle = Rc::new(RefCell::new(Bundle::new(Some(near.into()), 2)));
        let mut first = Net::first(bundle.clone(), Mac([2, 0, 0, 0, 0, 7]));
        let mut port = Net::port(bundle, 1, Mac([6, 0, 0, 0, 0, 7]), 1450);
        assert_eq!((first.features(), first.config()), (FEATURE_MAC, &[2, 0, 0, 0, 0, 7][..]));
        assert_eq!(port.features(), FEATURE_MAC | FEATURE_STATUS | FEATURE_MTU);
        assert_eq!(port.config(), [6, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0xaa, 5], "up, 1450");
        let Driver { queue: rx, offer: mut offer_rx, used: used_rx } = driver(&memory, 0);
        let Driver { queue: tx, offer: mut offer_tx, used: _ } = driver(&memory, 1);
        let mut queues = [rx, tx];
        offer_rx(&[(0x8000, 1526, true)]);
        memory.write_slice(&[5; 72], GuestAddress(0x9000)).unwrap();
        offer_tx(&[(0x9000, 72, false)]);
        let framed = |card: u8, fill: u8| [&[card][..], &[0; HEADER_BYTES], &[fill; 60]].concat();
        far.send(&framed(0, 3)).unwrap();
        far.send(&framed(1, 4)).unwrap();
        assert!(port.work(&mut queues, &memory));
        assert_eq!((used_rx(), bytes(&memory, 0x800c, 60)), (vec![72], vec![4; 60]));
        let mut heard = [9; 100];
        assert_eq!((far.recv(&mut heard).unwrap(), &heard[..73]), (73, &framed(1, 5)[..]));
        assert!(first.next_message() && first.message == framed(0, 3), "it waited for its card");
        for (message, changed, state) in [
            (vmatic_plan::cable::carrier(1, true), false, 1),
            (vmatic_plan::cable::carrier(1, false), true, 0),
            (vmatic_plan::cable::carrier(1, true), true, 1),
        ] {
            far.send(&message).unwrap();
            assert!(!port.next_message());
            assert_eq!((port.take_carrier(), port.config()[STATUS_AT], port.take_carrier()), (changed, state, false));
        }
    }
}
