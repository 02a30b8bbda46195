//! The switch itself: ports, links, floods, and what is under way between them.
//!
//! Takes frames with the time; hands frames to whoever carries them ([`Egress`]). It does
//! no I/O and knows no clock, so that tests drive it. Nothing in it grows but with the
//! ports that are plugged in; what waits is bounded, and what does not fit is dropped
//! and counted at the port that is to blame. What all share no guest uses up alone: frames
//! for everyone and routes have rates of their own for each, links a share of what may wait.

use super::capture::{CapturePoint, Captures};
use super::counters::{Count, DropReason, PortCounters, pass};
use super::fairness::{Bucket, Contention, Rate, Recent};
use super::frame::{self, PACKET_AT};
use super::policy::{PolicyDecision, Rules};
use super::shaper::{self, Link, ShapeResult, Shaper};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use vmatic_plan::{GuestId, HostId};

/// Most memory that frames under way on all links together take, unless more is allowed.
pub const QUEUED_BYTES_MAX: usize = 64 << 20;
/// The part of what is left of it that one direction of a link may take: however many are full, the next has room.
const QUEUED_SHARE: usize = 8;
/// Most frames that are let go in one turn.
const RELEASE_BATCH: usize = 512;
/// How many frames for everyone a guest may send.
const FLOOD: Rate = Rate { burst: 50, per_s: 20 };
/// The same for all guests together, counted in copies: a thousand guests hear each other's broadcasts.
const COPIES: Rate = Rate { burst: 200_000, per_s: 100_000 };
/// How many routes to other hosts a guest may have made: each costs system calls, and a place in the kernel's table of
/// neighbours.
const GUEST_ROUTES: Rate = Rate { burst: 256, per_s: 16 };
/// The same for all guests together, and for what the host itself sends.
const ALL_ROUTES: Rate = Rate { burst: 1024, per_s: 100 };

/// Who carries frames away. Each says whether it took the frame.
pub trait Egress {
    /// To a guest, a whole frame behind its virtio header.
    fn to_guest(&mut self, guest: GuestId, frame: &[u8]) -> bool;
    /// To the host's kernel, a packet.
    fn to_uplink(&mut self, packet: &[u8]) -> bool;
    /// Whether the kernel has a route to another host's guests; nothing if that is not known yet.
    fn has_route(&mut self, host: HostId) -> Option<bool>;
    /// Makes one.
    fn make_route(&mut self, host: HostId) -> bool;
}

struct Port {
    counts: PortCounters,
    flood: Bucket,
    routes: Bucket,
    /// Who sends to the guest.
    contention: Contention,
    link: Link,
    /// From the guest, and to it. None on an ideal cable, which costs nothing.
    shapers: [Option<Box<Shaper>>; 2],
}

/// When a frame passes a link.
#[derive(PartialEq, Eq)]
enum Passage {
    Now,
    Later,
    /// There is no room for it.
    Full,
    Never,
}

/// The directions of a port's link.
const FROM: usize = 0;
const TO: usize = 1;

/// A frame that is under way.
struct QueuedFrame {
    due_ns: u64,
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
        (self.due_ns, self.order).cmp(&(other.due_ns, other.order))
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
    queued_bytes_max: usize,
    order: u64,
    copies: Bucket,
    routes: Bucket,
    nearby: Recent,
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
            queued_bytes_max: QUEUED_BYTES_MAX,
            order: 0,
            copies: Bucket::full(COPIES),
            routes: Bucket::full(ALL_ROUTES),
            nearby: Recent::default(),
            uplink: PortCounters::default(),
            captures: Captures::default(),
        }
    }

    /// Frames under way may take so much memory from now on.
    pub fn may_hold(&mut self, bytes: usize) {
        self.queued_bytes_max = bytes;
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
            Box::new(Port {
                counts: PortCounters::default(),
                flood: Bucket::full(FLOOD),
                routes: Bucket::full(GUEST_ROUTES),
                contention: Contention::default(),
                link: Link::default(),
                shapers: [None, None],
            })
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
    pub fn due_ns(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(queued)| queued.due_ns)
    }

    /// A frame from a guest.
    pub fn guest_sent(&mut self, now_ns: u64, guest: GuestId, frame: &mut [u8], egress: &mut impl Egress) {
        self.captures.take(CapturePoint::Guest(guest), frame);
        let Some(port) = self.port(guest) else { return };
        pass(&mut port.counts.sent, frame.len().saturating_sub(frame::HEADER_BYTES));
        if self.passes(now_ns, guest, FROM, frame) == Passage::Now {
            self.forward(now_ns, guest, frame, egress);
        }
    }

    /// A packet from the kernel, behind room for its headers.
    pub fn uplink_sent(&mut self, now_ns: u64, frame: &mut [u8], egress: &mut impl Egress) {
        self.captures.take(CapturePoint::Uplink, frame);
        pass(&mut self.uplink.sent, frame.len().saturating_sub(PACKET_AT));
        match self.rules.uplink_sent(frame) {
            PolicyDecision::Guest(guest) => self.deliver(now_ns, None, guest, frame, egress),
            // That it came shows that the kernel has no route, whatever we know. Who sent it pays for the next.
            PolicyDecision::Uplink(Some(host)) => {
                let may = match self.rules.guest_behind(frame) {
                    Some(guest) => self.may_find(now_ns, guest),
                    None => self.routes.take(now_ns, 1, ALL_ROUTES),
                };
                let routed = may && egress.make_route(host);
                let sent = if routed { self.send_up(frame, egress) } else { Err(DropReason::NoRoute) };
                if let Err(why) = sent {
                    self.uplink.drop(why);
                }
            }
            PolicyDecision::Drop(why) => self.uplink.drop(why),
            PolicyDecision::Everyone
            | PolicyDecision::Answer(_)
            | PolicyDecision::Uplink(None)
            | PolicyDecision::Nearby(_) => self.uplink.drop(DropReason::Ignored),
        }
    }

    /// Lets those frames go on whose time has come, a batch of them.
    pub fn release(&mut self, now_ns: u64, egress: &mut impl Egress) {
        for _ in 0..RELEASE_BATCH {
            if self.queue.peek().is_none_or(|Reverse(queued)| queued.due_ns > now_ns) {
                return;
            }
            let Some(Reverse(mut queued)) = self.queue.pop() else { return };
            let bytes = shaper::queue_cost(queued.frame.len());
            self.queued_bytes -= bytes;
            if let Some(shaper) = self.port(queued.guest).and_then(|port| port.shapers[queued.direction].as_mut()) {
                shaper.done(bytes);
            }
            // What follows begins when it arrived, not when we looked.
            match queued.direction {
                FROM => self.forward(queued.due_ns, queued.guest, &mut queued.frame, egress),
                _ => {
                    self.hand_over(queued.guest, &queued.frame, egress);
                }
            }
        }
    }

    /// Whether a frame passes one direction of a link at once; else it is under way now, or gone.
    fn passes(&mut self, now_ns: u64, guest: GuestId, direction: usize, frame: &[u8]) -> Passage {
        let room = self.queued_bytes_max.saturating_sub(self.queued_bytes) / QUEUED_SHARE;
        let Some(port) = self.port(guest) else { return Passage::Never };
        let fate = match &mut port.shapers[direction] {
            None => return Passage::Now,
            Some(shaper) => shaper.send(now_ns, frame.len(), room),
        };
        match fate {
            ShapeResult::Now => return Passage::Now,
            ShapeResult::Lost => port.counts.drop(DropReason::Lost),
            ShapeResult::Full => {
                port.counts.drop(DropReason::Full);
                return Passage::Full;
            }
            ShapeResult::At(due_ns) => {
                self.order += 1;
                self.queued_bytes += shaper::queue_cost(frame.len());
                let queued = QueuedFrame { due_ns, order: self.order, guest, direction, frame: frame.into() };
                self.queue.push(Reverse(queued));
                return Passage::Later;
            }
        }
        Passage::Never
    }

    /// What a guest sent, past its own link.
    fn forward(&mut self, now_ns: u64, guest: GuestId, frame: &mut [u8], egress: &mut impl Egress) {
        let blamed = match self.rules.guest_sent(guest, frame) {
            PolicyDecision::Guest(to) => return self.deliver(now_ns, Some(guest), to, frame, egress),
            PolicyDecision::Answer(answer) => return self.deliver(now_ns, None, guest, &answer, egress),
            PolicyDecision::Everyone => self.flood(now_ns, guest, frame, egress),
            PolicyDecision::Uplink(Some(host)) if !self.routes_to(now_ns, guest, host, egress) => {
                Err(DropReason::NoRoute)
            }
            PolicyDecision::Nearby(address) if !self.finds(now_ns, guest, address) => Err(DropReason::NoRoute),
            PolicyDecision::Uplink(_) | PolicyDecision::Nearby(_) => self.send_up(frame, egress),
            PolicyDecision::Drop(why) => Err(why),
        };
        if let (Err(why), Some(port)) = (blamed, self.port(guest)) {
            port.counts.drop(why);
        }
    }

    /// Sees to it that the kernel has a route to another host's guests; a guest that asks for too many gets none.
    fn routes_to(&mut self, now_ns: u64, guest: GuestId, host: HostId, egress: &mut impl Egress) -> bool {
        egress.has_route(host).unwrap_or_else(|| self.may_find(now_ns, guest) && egress.make_route(host))
    }

    /// Whether a guest may have the kernel look for a neighbour that it does not know yet.
    fn may_find(&mut self, now_ns: u64, guest: GuestId) -> bool {
        let may = self.port(guest).is_some_and(|port| port.routes.take(now_ns, 1, GUEST_ROUTES));
        may && self.routes.take(now_ns, 1, ALL_ROUTES)
    }

    /// Whether a packet may go to an address of the hosts' network, where a walk over all would cost a neighbour each.
    fn finds(&mut self, now_ns: u64, guest: GuestId, address: IpAddr) -> bool {
        self.nearby.knows(address) || self.may_find(now_ns, guest) && self.nearby.note(address)
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

    fn flood(&mut self, now_ns: u64, guest: GuestId, frame: &[u8], egress: &mut impl Egress) -> Result<(), DropReason> {
        let copies = self.plugged;
        let Some(port) = self.port(guest) else { return Err(DropReason::NoSuchNode) };
        if !port.flood.take(now_ns, 1, FLOOD) || !self.copies.take(now_ns, copies, COPIES) {
            return Err(DropReason::Flood);
        }
        for to in (1..self.ports.len() as u32).map(GuestId).filter(|to| *to != guest) {
            self.deliver(now_ns, Some(guest), to, frame, egress);
        }
        Ok(())
    }

    /// To a guest, through its link; from nobody is from the kernel, or from the switch itself.
    fn deliver(&mut self, now_ns: u64, from: Option<GuestId>, guest: GuestId, frame: &[u8], egress: &mut impl Egress) {
        let Some(port) = self.port(guest) else { return };
        if !port.contention.admits(now_ns, from) {
            return port.counts.drop(DropReason::Full);
        }
        let room = match self.passes(now_ns, guest, TO, frame) {
            Passage::Now => self.hand_over(guest, frame, egress),
            Passage::Later => true,
            Passage::Full => false,
            Passage::Never => return,
        };
        match self.port(guest) {
            Some(port) if room => port.contention.took(now_ns, from),
            Some(port) => port.contention.full(now_ns, from),
            None => {}
        }
    }

    /// Gives a guest a frame; says whether there was room.
    fn hand_over(&mut self, guest: GuestId, frame: &[u8], egress: &mut impl Egress) -> bool {
        let taken = egress.to_guest(guest, frame);
        let Some(port) = self.port(guest) else { return false };
        if !taken {
            port.counts.drop(DropReason::Full);
            return false;
        }
        pass(&mut port.counts.received, frame.len().saturating_sub(frame::HEADER_BYTES));
        self.captures.take(CapturePoint::Guest(guest), frame);
        true
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
