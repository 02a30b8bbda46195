//! A switch with links of any kind. Oracles: without links that delay, each frame to one destination is delivered or
//! counted as dropped, once; when time is up, nothing is under way any more.

use super::input::Input;
use super::{GUESTS, HOST, plan, rules};
use crate::switch::capture::CapturePoint;
use crate::switch::forward::{Egress, Switch};
use crate::switch::frame::{Ethernet, FRAME_BYTES_MAX, IPV4, PACKET_AT, build};
use vmatic_plan::{GuestId, HostId, LinkProperties, Mac, Node, Plan};

/// What was handed on; who takes nothing is decided by the input.
struct Recorder {
    taken: u64,
    full: bool,
    no_route: bool,
}

impl Egress for Recorder {
    fn to_guest(&mut self, guest: GuestId, frame: &[u8]) -> bool {
        assert!((1..=GUESTS).contains(&guest.0) && (PACKET_AT..=FRAME_BYTES_MAX).contains(&frame.len()));
        self.taken += u64::from(!self.full);
        !self.full
    }

    fn to_uplink(&mut self, packet: &[u8]) -> bool {
        assert!(packet.len() <= FRAME_BYTES_MAX);
        self.taken += u64::from(!self.full);
        !self.full
    }

    fn has_route(&mut self, host: HostId) -> Option<bool> {
        assert!(host != HOST);
        Some(false)
    }

    fn make_route(&mut self, host: HostId) -> bool {
        assert!(host != HOST);
        !self.no_route
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 1, 2, 100, 0, 0, 1, 3, 10, 0, 0, 2, 0x42, 0, 4],
        vec![2, 1, 16, 39, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 2, 100, 0, 3, 255, 4, 1, 0, 1, 2, 100, 0, 3, 255],
        vec![5, 3, 0, 1, 0x80, 50, 0, 1, 0, 9, 0, 3, 1, 0xc0, 7, 0],
    ]
}

/// Most batches of what is due at once: each byte of an input makes less than a frame, and each frame one for each
/// guest.
const BATCHES_MAX: usize = 4096;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let plan = plan();
    let mut switch = Switch::new(rules());
    (1..=GUESTS).map(GuestId).for_each(|guest| switch.plug(guest));
    let mut recorder = Recorder { taken: 0, full: false, no_route: false };
    let (mut now_ns, mut ideal) = (0u64, true);
    while !input.is_empty() {
        let kind = input.byte();
        let guest = GuestId(1 + u32::from(input.byte()) % GUESTS);
        match kind % 6 {
            0 | 1 => {
                let (to, bytes) = (input.byte(), usize::from(input.half()) % (FRAME_BYTES_MAX - PACKET_AT));
                let mut frame = frame(&plan, guest, to, bytes);
                if kind % 6 == 1 {
                    // As it came, but for whom it is from.
                    let noise = input.bytes(bytes);
                    let room = frame.len().min(PACKET_AT + noise.len());
                    frame[PACKET_AT..room].copy_from_slice(&noise[..room - PACKET_AT]);
                }
                let before = accounted(&switch, &recorder);
                switch.guest_sent(now_ns, guest, &mut frame, &mut recorder);
                let after = accounted(&switch, &recorder);
                if ideal && to & 0x80 == 0 {
                    assert_eq!(after, before + 1, "guest {guest} to {to}: delivered or dropped, once");
                }
            }
            2 => {
                let (rate, delay, loss) = (u64::from(input.word()), u64::from(input.word()), u64::from(input.half()));
                let link = LinkProperties { rate_bits_s: rate, delay_us: delay, loss_ppm: loss * 16 };
                if link.is_valid() {
                    ideal &= link == LinkProperties::default();
                    switch.set_link(guest, link);
                }
            }
            3 => {
                now_ns += u64::from(input.byte()) * 1_000_000;
                // A batch at a time: others have their turn in between.
                let mut batches = 0;
                switch.release(now_ns, &mut recorder);
                while switch.due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
                    switch.release(now_ns, &mut recorder);
                    batches += 1;
                    assert!(batches <= BATCHES_MAX, "what is due is never done");
                }
            }
            4 => {
                recorder.full = input.byte() & 1 == 1;
                recorder.no_route = kind & 0x80 != 0;
            }
            _ => {
                let point = if kind & 0x40 == 0 { CapturePoint::Guest(guest) } else { CapturePoint::Uplink };
                match switch.captures.next(u64::from(input.byte() % 4), point, now_ns) {
                    Ok(piece) => assert!(piece.bytes.len() <= 48 * 1024),
                    // There are 16 already.
                    Err(why) => assert!(!why.is_empty()),
                }
            }
        }
    }
    // As late as it can be: a queue of the slowest rate, and the longest delay.
    while let Some(due_ns) = switch.due_ns() {
        switch.release(due_ns, &mut recorder);
    }
}

/// How many frames were delivered or dropped.
fn accounted(switch: &Switch, recorder: &Recorder) -> u64 {
    let ports = (1..=GUESTS).filter_map(|guest| switch.describe(GuestId(guest)));
    let dropped: u64 = ports.map(|(_, counts)| counts.dropped.iter().sum::<u64>()).sum();
    recorder.taken + dropped + switch.uplink.dropped.iter().sum::<u64>()
}

/// A packet to a guest of this or another host, or, with the top bit, to all.
fn frame(plan: &Plan, from: GuestId, to: u8, bytes: usize) -> Vec<u8> {
    let node = Node::guest(HostId(1 + u32::from(to) / 16 % 3), GuestId(u32::from(to) % (GUESTS + 1)));
    let beside = if node.host == HOST { plan.mac(node) } else { plan.mac(Node::host(HOST)) };
    let to_mac = if to & 0x80 == 0 { beside.unwrap_or(Mac::BROADCAST) } else { Mac::BROADCAST };
    let own = Node::guest(HOST, from);
    let header = Ethernet { to: to_mac, from: plan.mac(own).unwrap_or(Mac::BROADCAST), kind: IPV4 };
    build(header, bytes.max(20), |packet| {
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(bytes.max(20) as u16).to_be_bytes());
        packet[8] = 64;
        for (at, node) in [(12, own), (16, node)] {
            let address = plan.ipv4(node).map_or([0; 4], |address| address.octets());
            packet[at..at + 4].copy_from_slice(&address);
        }
    })
}
