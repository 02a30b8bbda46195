//! The one cable of a guest with several cards: what of it belongs to which card.
//!
//! Takes messages of the socket as [`vmatic_plan::cable`] has them; keeps frames for each card until its driver has
//! room, and what the switch last said of its link. What a card has no room for is lost, so that a card whose driver
//! sleeps holds up no other.

use crate::devices::tap::HEADER_BYTES;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use vmatic_plan::cable::{CARDS_MAX, CARRIER};

/// Largest frame with header that is moved: a jumbo frame of 9,216 bytes.
pub(crate) const FRAME_BYTES_MAX: usize = HEADER_BYTES + 9_216;
/// The same with the card's number before it.
const MESSAGE_BYTES_MAX: usize = 1 + FRAME_BYTES_MAX;
/// Most bytes of frames that wait for one card: as much as a cable holds.
const WAITING_BYTES_MAX: usize = 128 * 1024;
/// Most messages taken at a time. More than a cable holds: what is left then arrived meanwhile, and signals itself.
const MESSAGES_MAX: usize = 1024;

/// One card's part.
#[derive(Default)]
struct Inbox {
    /// Frames with their headers.
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// What was said of its link, if that was not yet taken.
    carrier: Option<bool>,
}

/// The cable.
pub(crate) struct Bundle {
    socket: Option<File>,
    inboxes: Vec<Inbox>,
    buffer: Vec<u8>,
}

impl Bundle {
    /// A non-blocking socket, and so many cards; without one, frames go nowhere.
    pub fn new(socket: Option<OwnedFd>, cards: usize) -> Self {
        let inboxes = (0..cards.min(CARDS_MAX as usize)).map(|_| Inbox::default()).collect();
        Self { socket: socket.map(File::from), inboxes, buffer: Vec::new() }
    }

    /// Takes what has arrived.
    pub fn receive(&mut self) {
        let Some(socket) = &self.socket else { return };
        for _ in 0..MESSAGES_MAX {
            self.buffer.clear();
            self.buffer.reserve_exact(MESSAGE_BYTES_MAX);
            match rustix::io::read(socket, rustix::buffer::spare_capacity(&mut self.buffer)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            match self.buffer[..] {
                [CARRIER, card, up] => {
                    if let Some(inbox) = self.inboxes.get_mut(usize::from(card)) {
                        inbox.carrier = Some(up != 0);
                    }
                }
                [card, ref frame @ ..] => {
                    let inbox = self.inboxes.get_mut(usize::from(card));
                    if let Some(inbox) = inbox.filter(|inbox| inbox.bytes + frame.len() <= WAITING_BYTES_MAX) {
                        inbox.bytes += frame.len();
                        inbox.frames.push_back(frame.to_vec());
                    }
                }
                [] => {}
            }
        }
    }

    /// The next frame for a card, with its header.
    pub fn take(&mut self, card: u8) -> Option<Vec<u8>> {
        let inbox = self.inboxes.get_mut(usize::from(card))?;
        let frame = inbox.frames.pop_front()?;
        inbox.bytes -= frame.len();
        Some(frame)
    }

    /// What was said last of a card's link, once.
    pub fn take_carrier(&mut self, card: u8) -> Option<bool> {
        self.inboxes.get_mut(usize::from(card))?.carrier.take()
    }

    /// Says of a card's link what the switch would.
    pub fn set_carrier(&mut self, card: u8, up: bool) {
        if let Some(inbox) = self.inboxes.get_mut(usize::from(card)) {
            inbox.carrier = Some(up);
        }
    }

    /// Sends a message, which begins with the card's number.
    pub fn send(&mut self, message: &[u8]) {
        // A full or closed socket drops frames, as a cable does.
        let _ = self.socket.as_mut().map(|socket| socket.write(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use vmatic_plan::cable::carrier;

    fn bundle(cards: usize) -> (Bundle, UnixDatagram) {
        let (near, far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        (Bundle::new(Some(near.into()), cards), far)
    }

    #[test]
    fn frames_wait_for_their_card_and_links_for_nobody() {
        let (mut bundle, far) = bundle(3);
        for message in [&[2, 9, 9][..], &[0, 7], &[2, 8], &carrier(1, false), &[3, 1], &[CARRIER, 9, 1], &[CARRIER]] {
            far.send(message).unwrap();
        }
        bundle.receive();
        assert_eq!((bundle.take_carrier(1), bundle.take_carrier(1), bundle.take_carrier(2)), (Some(false), None, None));
        assert_eq!([bundle.take(2), bundle.take(2), bundle.take(2)], [Some(vec![9, 9]), Some(vec![8]), None]);
        assert_eq!(
            [bundle.take(0), bundle.take(1), bundle.take(3), bundle.take(255)],
            [Some(vec![7]), None, None, None]
        );
        far.send(&carrier(1, false)).unwrap();
        far.send(&carrier(1, true)).unwrap();
        bundle.receive();
        assert_eq!(bundle.take_carrier(1), Some(true), "the last counts");
        bundle.send(&[2, 5]);
        let mut heard = [0; 8];
        assert_eq!((far.recv(&mut heard).unwrap(), &heard[..2]), (2, &[2, 5][..]));
    }

    #[test]
    fn a_card_that_sleeps_holds_up_no_other() {
        let (mut bundle, far) = bundle(2);
        let (mut long, mut sent) = (vec![1; 1001], 0);
        while sent < WAITING_BYTES_MAX + 5000 {
            far.send(&long).unwrap();
            sent += 1000;
            bundle.receive();
        }
        far.send(&[0, 4]).unwrap();
        bundle.receive();
        assert_eq!(bundle.take(0), Some(vec![4]));
        let kept = std::iter::from_fn(|| bundle.take(1)).count();
        assert_eq!(kept, WAITING_BYTES_MAX / 1000);
        // What was taken makes room.
        long[0] = 1;
        far.send(&long).unwrap();
        bundle.receive();
        assert_eq!(bundle.take(1).map(|frame| frame.len()), Some(1000));
    }
}
