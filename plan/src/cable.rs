//! The cable between a guest's monitor and its host's switch: a pair of sockets that keep messages apart.
//!
//! A message is a frame behind virtio-net's header of 12 bytes. Where a guest has ports in a network, a byte with the
//! card's number stands before that: 0 is `eth0`, n is port n. The switch tells the state of links over the same cable:
//! [`carrier`]. The monitor answers nothing.

/// Most cards of a guest in VMatic's own monitor, `eth0` among them: its window of devices and its lines of interrupts
/// are made before it boots.
pub const CARDS_MAX: u32 = 16;
/// What a message begins with that tells the state of a link; no card has this number.
pub const CARRIER: u8 = 0xff;

/// The message that a card's link is up, or down.
pub fn carrier(card: u8, up: bool) -> [u8; 3] {
    [CARRIER, card, u8::from(up)]
}

/// How many cards a template has whose clones have at most so many ports: a power of two, so that few shapes are saved.
/// None, if there are too many ports.
pub fn cards(ports: u32) -> Option<u32> {
    ports.checked_add(1)?.checked_next_power_of_two().filter(|cards| *cards <= CARDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_room_for_every_port() {
        let shapes = [0, 1, 2, 3, 4, 7, 8, 15, 16, u32::MAX].map(cards);
        assert_eq!(shapes, [Some(1), Some(2), Some(4), Some(4), Some(8), Some(8), Some(16), Some(16), None, None]);
    }
}
