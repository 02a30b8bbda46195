//! The network of this host: ports, and what is under way between them.
//!
//! Takes frames of guests and of other hosts, with the time; hands frames to whoever carries them on ([`Outlets`]). A
//! frame is shaped where it is sent, each direction once, and goes from port to port without a copy until it waits,
//! leaves this host's network or is sent several ways. What it may cost is bounded: steps, copies, memory.

use super::impairment::{Effect, Impairment};
use super::ports::{self, Member, MemberKind, Part, PortState};
use super::router::Own;
use super::segment::Segment;
use super::ways::{Search, Ways};
use crate::switch::capture::{CapturePoint, Captures};
use crate::switch::counters::{Count, DropReason, pass};
use crate::switch::fairness::{Bucket, Contention, Rate};
use crate::switch::frame::{ETHERNET_BYTES, HEADER_BYTES};
use crate::switch::shaper::{self, ShapeResult};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use vmatic_plan::network::{Leg, Network, Properties};
use vmatic_plan::{GuestId, HostId, Plan};

/// Bytes before a frame: a card's number.
pub const CARD_BYTES: usize = 1;
/// Before the Ethernet header of a frame.
pub(super) const ETHERNET_AT: usize = CARD_BYTES + HEADER_BYTES;
/// What a frame has beside its packet at most: an Ethernet header and a tag (IEEE 802.1Q), which an MTU does not count.
const AROUND_PACKET_BYTES: usize = ETHERNET_BYTES + 4;
/// Most memory that frames under way take, unless more is allowed.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// The part of what is left of it that one direction of a link may take.
const QUEUED_SHARE: usize = 8;
/// Most frames that are let go in one turn.
const RELEASE_BATCH: usize = 512;
/// Most steps from port to port that one frame and its copies make at once: a circle of segments ends there.
const STEPS_MAX: u32 = 8192;
/// Most frames that wait for a way to one node, and in all.
const WAITING_EACH_MAX: usize = 32;
const WAITING_MAX: usize = 1024;
/// How many reports a router sends.
pub(super) const REPORTS: Rate = Rate { burst: 100, per_s: 1000 };

/// Who carries frames on. Each says whether it took the frame.
pub trait Outlets {
    /// To a guest, a whole message for its cable.
    fn to_guest(&mut self, guest: GuestId, message: &[u8]) -> bool;
    /// To a port at another host, an Ethernet frame.
    fn to_host(&mut self, host: HostId, slot: u16, port: u8, frame: &[u8]) -> bool;
}

/// A router of this host.
pub(super) struct Router {
    /// Its address, and the MAC from which those of its ports are made.
    pub own: Own,
    /// What it may still report.
    pub reports: Bucket,
}

/// Where a frame is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// It leaves a port.
    Leave(u32),
    /// It has passed the link of a port.
    Pass(u32),
    /// It arrives at a port.
    Enter(u32),
}

/// A frame that is under way.
struct Queued {
    due_ns: u64,
    /// What was sent first arrives first.
    order: u64,
    place: u32,
    frame: Box<[u8]>,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.order).cmp(&(other.due_ns, other.order))
    }
}

/// Of a link that the operator has changed: what it does to what its port sends.
pub(super) type Changed = HashMap<u32, Properties>;

/// A packet of a router that waits for its way, and the port that it came by.
type Waiting = (u32, Box<[u8]>);

/// A host's part of the network.
pub struct Fabric {
    pub(super) plan: Plan,
    pub(super) part: Part,
    pub(super) routers: Vec<Router>,
    pub(super) segments: Vec<Segment>,
    pub(super) ways: Ways,
    /// Which of a guest's cards get how much of its cable, by member.
    pub(super) contention: Vec<Option<Box<Contention<u32>>>>,
    queue: BinaryHeap<Reverse<Queued>>,
    queued_bytes: usize,
    queued_bytes_max: usize,
    order: u64,
    /// Frames that were made on the way: copies, answers, fragments.
    pub(super) emitted: VecDeque<(Step, Box<[u8]>)>,
    /// Frames at routers that wait for a search, by destination.
    waiting: HashMap<u32, Vec<Waiting>>,
    waiting_frames: usize,
    /// What the operator has made of links, by place.
    pub(super) changed: Changed,
    /// Copies of what passes ports.
    pub captures: Captures,
}

impl Fabric {
    /// The part of a host; none if the plan has no network.
    pub fn new(plan: &Plan, host: HostId) -> Option<Fabric> {
        let network = plan.network()?;
        let part = Part::new(network, host, plan.guests_per_host);
        let router = |node: &u32| {
            let own = Own { mac: network.mac(*node, 0)?, address: network.address(plan.guest_network, *node)? };
            Some(Router { own, reports: Bucket::full(REPORTS) })
        };
        let routers = part.routers.iter().map(router).collect::<Option<Vec<Router>>>()?;
        let is_segment = |member: &&Member| matches!(member.kind, MemberKind::Segment(_));
        let segments = part.members.iter().filter(is_segment).map(|member| Segment::new(member.node, member.ports));
        let segments = segments.collect();
        let ways = Ways::new(network, plan.guest_network, part.routers.clone());
        Some(Fabric {
            plan: plan.clone(),
            contention: part.members.iter().map(|_| None).collect(),
            part,
            routers,
            segments,
            ways,
            queue: BinaryHeap::new(),
            queued_bytes: 0,
            queued_bytes_max: QUEUED_BYTES_MAX,
            order: 0,
            emitted: VecDeque::new(),
            waiting: HashMap::new(),
            waiting_frames: 0,
            changed: Changed::new(),
            captures: Captures::default(),
        })
    }

    /// Frames under way may take so much memory from now on.
    pub fn may_hold(&mut self, bytes: usize) {
        self.queued_bytes_max = bytes;
    }

    /// How many cards a guest has in the network: ports of the law.
    pub fn cards(&self, guest: GuestId) -> u32 {
        let member = self.part.member_at(guest.0).filter(|member| member.kind == MemberKind::Guest(guest));
        member.map_or(0, |member| member.ports)
    }

    /// A guest's cable is there, perhaps again: its cards hear how their links are.
    pub fn plug(&mut self, guest: GuestId, out: &mut impl Outlets) {
        let Some(member) = self.part.member_at(guest.0).copied() else { return };
        for card in 1..=member.ports {
            self.tell(&member, card, out);
        }
    }

    /// Tells a guest's card how its link is.
    pub(super) fn tell(&self, member: &Member, card: u32, out: &mut impl Outlets) {
        let MemberKind::Guest(guest) = member.kind else { return };
        let port = member.place(card).and_then(|place| self.part.ports.get(place as usize));
        if let (Some(port), Ok(card)) = (port, u8::try_from(card)) {
            out.to_guest(guest, &vmatic_plan::cable::carrier(card, port.up));
        }
    }

    /// Whether a cable goes to another host.
    pub fn crosses_hosts(&self) -> bool {
        self.part.crosses_hosts()
    }

    /// When [`Self::release`] is due.
    pub fn due_ns(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(queued)| queued.due_ns)
    }

    /// A message of a guest's cable, for another card than its first.
    pub fn guest_sent(&mut self, now_ns: u64, guest: GuestId, message: &mut [u8], out: &mut impl Outlets) {
        let Some(card) = message.first().copied() else { return };
        let member = self.part.member_at(guest.0).filter(|member| member.kind == MemberKind::Guest(guest));
        let Some(place) = member.and_then(|member| member.place(card.into())) else { return };
        self.carry(now_ns, Step::Leave(place), message, out);
    }

    /// An Ethernet frame behind room for what stands before it, from another host, for a port here; it is taken if the
    /// law has that port's other end there.
    pub fn host_sent(
        &mut self,
        now_ns: u64,
        (from, slot, port): (HostId, u16, u8),
        frame: &mut [u8],
        out: &mut impl Outlets,
    ) -> bool {
        let place = self.part.member_at(slot.into()).and_then(|member| member.place(port.into()));
        let is_from = |place: &u32| {
            let peer = self.part.ports[*place as usize].peer;
            matches!(peer, ports::Peer::Remote { host, .. } if host == from)
        };
        let Some(place) = place.filter(is_from) else { return false };
        self.carry(now_ns, Step::Enter(place), frame, out);
        true
    }

    /// Lets those frames go on whose time has come, a batch of them.
    pub fn release(&mut self, now_ns: u64, out: &mut impl Outlets) {
        for _ in 0..RELEASE_BATCH {
            if self.queue.peek().is_none_or(|Reverse(queued)| queued.due_ns > now_ns) {
                return;
            }
            let Some(Reverse(mut queued)) = self.queue.pop() else { return };
            let cost = shaper::queue_cost(queued.frame.len());
            self.queued_bytes -= cost;
            let state = self.state(queued.place);
            state.lateness.add(now_ns - queued.due_ns);
            if let Some(impairment) = &mut state.impairment {
                impairment.done(cost);
            }
            // What follows begins when it arrived, not when we looked.
            self.carry(queued.due_ns, Step::Pass(queued.place), &mut queued.frame, out);
        }
    }

    /// A search that somebody has to do; its result comes by [`Self::found`].
    pub fn take_wanted(&mut self) -> Option<Search> {
        self.ways.take_wanted()
    }

    /// The result of a search: what waited for it goes on.
    pub fn found(&mut self, now_ns: u64, search: &Search, legs: Vec<Option<Leg>>, out: &mut impl Outlets) {
        self.ways.found(search, legs);
        for (place, mut frame) in self.waiting.remove(&search.to).unwrap_or_default() {
            self.waiting_frames -= 1;
            self.carry(now_ns, Step::Enter(place), &mut frame, out);
        }
    }

    /// A frame at a router's port waits for a way to a node.
    pub(super) fn await_way(&mut self, to: u32, place: u32, frame: &[u8]) {
        let waiting = self.waiting.entry(to).or_default();
        if waiting.len() < WAITING_EACH_MAX && self.waiting_frames < WAITING_MAX {
            waiting.push((place, frame.into()));
            self.waiting_frames += 1;
        } else {
            self.drop(place, DropReason::Full);
        }
    }

    /// What a port has that is used.
    pub(super) fn state(&mut self, place: u32) -> &mut PortState {
        let Part { members, ports, .. } = &mut self.part;
        let port = &mut ports[place as usize];
        let member = &members[port.member as usize];
        let plan = &self.plan;
        port.state.get_or_insert_with(|| {
            let number = place - member.first + 1;
            let impairment = plan.network().and_then(|network| link(network, member.node, number));
            Box::new(PortState { impairment, ..PortState::default() })
        })
    }

    /// A frame went nowhere, and this port is to blame.
    pub(super) fn drop(&mut self, place: u32, why: DropReason) {
        self.state(place).counters.drop(why);
    }

    /// Takes a frame, and all that comes of it, as far as it goes now.
    fn carry(&mut self, now_ns: u64, step: Step, frame: &mut [u8], out: &mut impl Outlets) {
        let mut steps = STEPS_MAX;
        self.walk(now_ns, step, frame, &mut steps, out);
        while let Some((step, mut frame)) = self.emitted.pop_front() {
            self.walk(now_ns, step, &mut frame, &mut steps, out);
        }
    }

    fn walk(&mut self, now_ns: u64, mut step: Step, frame: &mut [u8], steps: &mut u32, out: &mut impl Outlets) {
        loop {
            if *steps == 0 {
                let (Step::Leave(place) | Step::Pass(place) | Step::Enter(place)) = step;
                return self.drop(place, DropReason::Flood);
            }
            *steps -= 1;
            let next = match step {
                Step::Leave(place) if !self.leaves(now_ns, place, frame) => None,
                Step::Leave(place) | Step::Pass(place) => self.arrive(now_ns, place, frame, out),
                Step::Enter(place) => self.enter(now_ns, place, frame, out),
            };
            match next {
                Some(next) => step = Step::Leave(next),
                None => return,
            }
        }
    }

    /// A frame leaves a port: whether it passes the link at once; else it is under way now, or gone.
    fn leaves(&mut self, now_ns: u64, place: u32, frame: &mut [u8]) -> bool {
        let bytes = frame.len().saturating_sub(ETHERNET_AT);
        let room = self.queued_bytes_max.saturating_sub(self.queued_bytes) / QUEUED_SHARE;
        self.capture(place, frame);
        pass(&mut self.state(place).counters.sent, bytes);
        let port = &self.part.ports[place as usize];
        if !port.up || bytes < ETHERNET_BYTES || bytes > usize::from(port.mtu) + AROUND_PACKET_BYTES {
            let why = match port.up {
                false => DropReason::Down,
                true if bytes < ETHERNET_BYTES => DropReason::Malformed,
                true => DropReason::TooLong,
            };
            self.drop(place, why);
            return false;
        }
        let Some(impairment) = &mut self.state(place).impairment else { return true };
        let Effect { result, double, flipped_bit } = impairment.send(now_ns, bytes, room);
        if let Some(byte) = flipped_bit.and_then(|bit| Some((frame.get_mut(ETHERNET_AT + bit / 8)?, bit % 8))) {
            *byte.0 ^= 1 << byte.1;
        }
        if let Some(double) = double
            && self.waits(place, double, frame)
        {
            self.emitted.push_back((Step::Pass(place), (&*frame).into()));
        }
        self.waits(place, result, frame)
    }

    /// Sees to what becomes of a frame; true if it passes at once.
    fn waits(&mut self, place: u32, result: ShapeResult, frame: &[u8]) -> bool {
        match result {
            ShapeResult::Now => return true,
            ShapeResult::Lost => self.drop(place, DropReason::Lost),
            ShapeResult::Full => self.drop(place, DropReason::Full),
            ShapeResult::At(due_ns) => {
                self.order += 1;
                self.queued_bytes += shaper::queue_cost(frame.len());
                self.queue.push(Reverse(Queued { due_ns, order: self.order, place, frame: frame.into() }));
            }
        }
        false
    }

    /// Shows a frame to who captures at this port.
    pub(super) fn capture(&mut self, place: u32, frame: &[u8]) {
        if self.captures.is_empty() {
            return;
        }
        if let Some((member, port)) = self.part.owner(place) {
            self.captures
                .take(CapturePoint::Port { node: member.node, port }, frame.get(CARD_BYTES..).unwrap_or_default());
        }
    }
}

/// What the law has the link of a node's port do to what the node sends.
fn link(network: &Network, node: u32, port: u32) -> Option<Impairment> {
    Impairment::new(ports::properties(network, node, port), ports::seed(network, node, port))
}

#[cfg(test)]
#[path = "fabric_tests.rs"]
mod tests;
