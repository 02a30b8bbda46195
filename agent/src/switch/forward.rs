//! The switch itself: ports, links, floods, and what is under way between them.
//!
//! Takes frames with the time; hands frames to whoever carries them ([`Egress`]). It does
//! no I/O and knows no clock, so that tests drive it. Nothing in it grows but with the
//! ports that are plugged in; what waits is bounded, and what does not fit is dropped
//! and counted at the port that is to blame.

use super::capture::{CapturePoint, Captures};
use super::counters::{Count, DropReason, PortCounters, pass};
use super::frame::{self, PACKET_AT};
use super::policy::{PolicyDecision, Rules};
use super::shaper::{Link, ShapeResult, Shaper};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use vmatic_plan::{GuestId, HostId};

/// Most bytes under way on all links together.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// How many frames for everyone a guest may send at once, and how many each second afterwards.
const FLOOD_BURST: u64 = 50;
const FLOOD_PER_S: u64 = 20;
/// The same for all guests together, counted in copies: a thousand guests hear each other's broadcasts.
const COPIES_BURST: u64 = 200_000;
const COPIES_PER_S: u64 = 100_000;

/// Who carries frames away. Each says whether it took the frame.
pub trait Egress {
    /// To a guest, a whole frame behind its virtio header.
    fn to_guest(&mut self, guest: GuestId, frame: &[u8]) -> bool;
    /// To the host's kernel, a packet.
    fn to_uplink(&mut self, packet: &[u8]) -> bool;
    /// Sees to it that the kernel has a route to another host's guests; `missing` if the kernel
    /// has just shown that it has none.
    fn route_to(&mut self, host: HostId, missing: bool) -> bool;
}

/// So many at once, and so many a second.
struct Bucket {
    level: u64,
    filled_us: u64,
}

impl Bucket {
    fn full(burst: u64) -> Self {
        Bucket { level: burst, filled_us: 0 }
    }

    fn take(&mut self, now_us: u64, count: u64, burst: u64, per_s: u64) -> bool {
        let gained = now_us.saturating_sub(self.filled_us).saturating_mul(per_s) / 1_000_000;
        if gained > 0 {
            self.level = (self.level + gained).min(burst);
            self.filled_us = now_us;
        }
        let enough = self.level >= count;
        self.level -= if enough { count } else { 0 };
        enough
    }
}

struct Port {
    counts: PortCounters,
    flood: Bucket,
    link: Link,
    /// From the guest, and to it. None on an ideal cable, which costs nothing.
    shapers: [Option<Box<Shaper>>; 2],
}

/// The directions of a port's link.
const FROM: usize = 0;
const TO: usize = 1;

/// A frame that is under way.
struct QueuedFrame {
    due_us: u64,
    /// What was sent first arrives first.
    order: u64,
    guest: GuestId,
    direction: usize,
    frame: Box<[u8]>,
}

impl PartialEq for QueuedFrame {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for QueuedFrame {}
impl PartialOrd for QueuedFrame {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for QueuedFrame {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_us, self.order).cmp(&(other.due_us, other.order))
    }
}

/// A host's switch.
pub struct Switch {
    rules: Rules,
    /// By guest; 0 is nobody.
    ports: Vec<Option<Box<Port>>>,
    plugged: u64,
    queue: BinaryHeap<Reverse<QueuedFrame>>,
    queued_bytes: usize,
    order: u64,
    copies: Bucket,
    /// What came from the kernel, and went to it.
    pub uplink: PortCounters,
    pub captures: Captures,
}

impl Switch {
    /// A switch without ports.
    pub fn new(rules: Rules) -> Self {
        Switch {
            rules,
            ports: Vec::new(),
            plugged: 0,
            queue: BinaryHeap::new(),
            queued_bytes: 0,
            order: 0,
            copies: Bucket::full(COPIES_BURST),
            uplink: PortCounters::default(),
            captures: Captures::default(),
        }
    }

    /// What it goes by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A guest is plugged in, perhaps again: counters and link of its port stay as they are.
    pub fn plug(&mut self, guest: GuestId) {
        self.port_or_new(guest);
        self.plugged += 1;
    }

    /// A guest is gone; its port's counters and link stay for its next life.
    pub fn unplug(&mut self) {
        self.plugged = self.plugged.saturating_sub(1);
    }

    fn port_or_new(&mut self, guest: GuestId) -> &mut Port {
        let at = guest.0 as usize;
        if self.ports.len() <= at {
            self.ports.resize_with(at + 1, || None);
        }
        self.ports[at].get_or_insert_with(|| {
            let (counts, flood) = (PortCounters::default(), Bucket::full(FLOOD_BURST));
            Box::new(Port { counts, flood, link: Link::default(), shapers: [None, None] })
        })
    }

    fn port(&mut self, guest: GuestId) -> Option<&mut Port> {
        self.ports.get_mut(guest.0 as usize)?.as_deref_mut()
    }

    /// Gives a guest's cable new properties; what is under way arrives as before.
    pub fn set_link(&mut self, guest: GuestId, link: Link) {
        let cluster = self.rules.plan().cluster;
        let seed = cluster.iter().fold(0u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let seed = seed ^ (u64::from(self.rules.host().0) << 32) ^ (u64::from(guest.0) << 8);
        let shaper = |direction| (link != Link::default()).then(|| Box::new(Shaper::new(link, seed ^ direction)));
        let port = self.port_or_new(guest);
        port.link = link;
        port.shapers = [shaper(0), shaper(1)];
    }

    /// A port's link and counters, if it was ever used.
    pub fn describe(&self, guest: GuestId) -> Option<(Link, PortCounters)> {
        self.ports.get(guest.0 as usize)?.as_deref().map(|port| (port.link, port.counts.clone()))
    }

    /// When [`Self::release`] is due.
    pub fn due_us(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(queued)| queued.due_us)
    }

    /// A frame from a guest.
    pub fn guest_sent(&mut self, now_us: u64, guest: GuestId, frame: &mut [u8], egress: &mut impl Egress) {
        self.captures.take(CapturePoint::Guest(guest), frame);
        let Some(port) = self.port(guest) else { return };
        pass(&mut port.counts.sent, frame.len().saturating_sub(frame::HEADER_BYTES));
        if self.passes(now_us, guest, FROM, frame) {
            self.forward(now_us, guest, frame, egress);
        }
    }

    /// A packet from the kernel, behind room for its headers.
    pub fn uplink_sent(&mut self, now_us: u64, frame: &mut [u8], egress: &mut impl Egress) {
        self.captures.take(CapturePoint::Uplink, frame);
        pass(&mut self.uplink.sent, frame.len().saturating_sub(PACKET_AT));
        match self.rules.uplink_sent(frame) {
            PolicyDecision::Guest(guest) => self.deliver(now_us, guest, frame, egress),
            PolicyDecision::Uplink(Some(host)) => {
                let sent =
                    if egress.route_to(host, true) { self.send_up(frame, egress) } else { Err(DropReason::NoRoute) };
                if let Err(why) = sent {
                    self.uplink.drop(why);
                }
            }
            PolicyDecision::Drop(why) => self.uplink.drop(why),
            PolicyDecision::Everyone | PolicyDecision::Answer(_) | PolicyDecision::Uplink(None) => {
                self.uplink.drop(DropReason::Ignored)
            }
        }
    }

    /// Lets those frames go on whose time has come.
    pub fn release(&mut self, now_us: u64, egress: &mut impl Egress) {
        while let Some(Reverse(queued)) = self.queue.peek()
            && queued.due_us <= now_us
        {
            let Some(Reverse(mut queued)) = self.queue.pop() else { return };
            let bytes = queued.frame.len();
            self.queued_bytes -= bytes;
            if let Some(shaper) = self.port(queued.guest).and_then(|port| port.shapers[queued.direction].as_mut()) {
                shaper.done(bytes);
            }
            // What follows begins when it arrived, not when we looked.
            match queued.direction {
                FROM => self.forward(queued.due_us, queued.guest, &mut queued.frame, egress),
                _ => self.hand_over(queued.guest, &queued.frame, egress),
            }
        }
    }

    /// Whether a frame passes one direction of a link at once; else it is under way, or gone.
    fn passes(&mut self, now_us: u64, guest: GuestId, direction: usize, frame: &[u8]) -> bool {
        let room = self.queued_bytes + frame.len() <= QUEUED_BYTES_MAX;
        let Some(port) = self.port(guest) else { return false };
        let fate = match &mut port.shapers[direction] {
            None => return true,
            Some(shaper) => shaper.send(now_us, frame.len()),
        };
        match fate {
            ShapeResult::Now => return true,
            ShapeResult::Lost => port.counts.drop(DropReason::Lost),
            ShapeResult::Full => port.counts.drop(DropReason::Full),
            ShapeResult::At(_) if !room => {
                port.counts.drop(DropReason::Full);
                if let Some(shaper) = &mut port.shapers[direction] {
                    shaper.done(frame.len());
                }
            }
            ShapeResult::At(due_us) => {
                self.order += 1;
                self.queued_bytes += frame.len();
                let queued = QueuedFrame { due_us, order: self.order, guest, direction, frame: frame.into() };
                self.queue.push(Reverse(queued));
            }
        }
        false
    }

    /// What a guest sent, past its own link.
    fn forward(&mut self, now_us: u64, guest: GuestId, frame: &mut [u8], egress: &mut impl Egress) {
        let blamed = match self.rules.guest_sent(guest, frame) {
            PolicyDecision::Guest(to) => return self.deliver(now_us, to, frame, egress),
            PolicyDecision::Answer(answer) => return self.deliver(now_us, guest, &answer, egress),
            PolicyDecision::Everyone => self.flood(now_us, guest, frame, egress),
            PolicyDecision::Uplink(Some(host)) if !egress.route_to(host, false) => Err(DropReason::NoRoute),
            PolicyDecision::Uplink(_) => self.send_up(frame, egress),
            PolicyDecision::Drop(why) => Err(why),
        };
        if let (Err(why), Some(port)) = (blamed, self.port(guest)) {
            port.counts.drop(why);
        }
    }

    fn send_up(&mut self, frame: &[u8], egress: &mut impl Egress) -> Result<(), DropReason> {
        let packet = frame::packet(frame);
        if !egress.to_uplink(packet) {
            return Err(DropReason::Full);
        }
        self.captures.take(CapturePoint::Uplink, frame);
        pass(&mut self.uplink.received, packet.len());
        Ok(())
    }

    fn flood(&mut self, now_us: u64, guest: GuestId, frame: &[u8], egress: &mut impl Egress) -> Result<(), DropReason> {
        let copies = self.plugged;
        let Some(port) = self.port(guest) else { return Err(DropReason::NoSuchNode) };
        if !port.flood.take(now_us, 1, FLOOD_BURST, FLOOD_PER_S)
            || !self.copies.take(now_us, copies, COPIES_BURST, COPIES_PER_S)
        {
            return Err(DropReason::Flood);
        }
        for to in (1..self.ports.len() as u32).map(GuestId).filter(|to| *to != guest) {
            self.deliver(now_us, to, frame, egress);
        }
        Ok(())
    }

    /// To a guest, through its link.
    fn deliver(&mut self, now_us: u64, guest: GuestId, frame: &[u8], egress: &mut impl Egress) {
        if self.passes(now_us, guest, TO, frame) {
            self.hand_over(guest, frame, egress);
        }
    }

    fn hand_over(&mut self, guest: GuestId, frame: &[u8], egress: &mut impl Egress) {
        let taken = egress.to_guest(guest, frame);
        let Some(port) = self.port(guest) else { return };
        if !taken {
            return port.counts.drop(DropReason::Full);
        }
        pass(&mut port.counts.received, frame.len().saturating_sub(frame::HEADER_BYTES));
        self.captures.take(CapturePoint::Guest(guest), frame);
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
