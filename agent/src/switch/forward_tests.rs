use super::*;
use crate::switch::frame::{Ethernet, IPV4, build};
use proptest::prelude::*;
use vmatic_plan::{GuestId, HostId, HostNames, Node, Plan};
use vmatic_tree::traffic::Frames;

/// Keeps what it is given; a guest takes `room` frames.
#[derive(Default)]
struct Recorder {
    to_guests: Vec<(u32, usize)>,
    up: Vec<usize>,
    routes: Vec<u32>,
    room: Option<usize>,
}

impl Egress for Recorder {
    fn to_guest(&mut self, guest: GuestId, frame: &[u8]) -> bool {
        let taken = self.room.is_none_or(|room| self.to_guests.len() < room);
        if taken {
            self.to_guests.push((guest.0, frame.len()));
        }
        taken
    }

    fn to_uplink(&mut self, packet: &[u8]) -> bool {
        self.up.push(packet.len());
        true
    }

    fn route_to(&mut self, host: HostId, _missing: bool) -> bool {
        self.routes.push(host.0);
        host.0 != 3
    }
}

fn plan() -> Plan {
    Plan { guests_per_host: 9, ..Plan::new("t", HostNames::count(3).unwrap()) }
}

fn node(host: u32, guest: u32) -> Node {
    Node::guest(HostId(host), GuestId(guest))
}

fn switch(guests: u32) -> Switch {
    let mut switch = Switch::new(Rules::new(plan(), HostId(1)).unwrap());
    (1..=guests).map(GuestId).for_each(|guest| switch.plug(guest));
    switch
}

/// An IPv4 packet of `bytes` between two nodes.
fn frame(from: Node, to: Node, to_mac: Option<vmatic_plan::Mac>, bytes: usize) -> Vec<u8> {
    let plan = plan();
    let to_mac = to_mac.unwrap_or(plan.mac(to).unwrap());
    build(Ethernet { to: to_mac, from: plan.mac(from).unwrap(), kind: IPV4 }, bytes, |packet| {
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(bytes as u16).to_be_bytes());
        packet[8] = 64;
        packet[12..16].copy_from_slice(&plan.ipv4(from).unwrap().octets());
        packet[16..20].copy_from_slice(&plan.ipv4(to).unwrap().octets());
    })
}

fn to_neighbour(bytes: usize) -> Vec<u8> {
    frame(node(1, 1), node(1, 2), None, bytes)
}

fn counts(switch: &Switch, guest: u32) -> PortCounters {
    switch.describe(GuestId(guest)).unwrap().1
}

fn dropped(ports: &[PortCounters]) -> u64 {
    ports.iter().flat_map(|port| port.dropped).sum()
}

/// One frame of 100 bytes behind its Ethernet header.
const FRAME: Frames = Frames { count: 1, bytes: 114 };

#[test]
fn a_frame_reaches_its_neighbour_and_both_ports_count_it() {
    let (mut switch, mut recorder) = (switch(3), Recorder::default());
    switch.guest_sent(0, GuestId(1), &mut to_neighbour(100), &mut recorder);
    assert_eq!(recorder.to_guests, [(2, PACKET_AT + 100)]);
    assert_eq!((counts(&switch, 1).sent, counts(&switch, 2).received), (FRAME, FRAME));
    switch.guest_sent(0, GuestId(1), &mut frame(node(1, 2), node(1, 3), None, 100), &mut recorder);
    assert_eq!(counts(&switch, 1).dropped[DropReason::Spoofed as usize], 1);
}

#[test]
fn packets_for_other_hosts_go_up_once_there_is_a_route() {
    let (mut switch, mut recorder) = (switch(1), Recorder::default());
    let router = plan().mac(Node::host(HostId(1)));
    for host in [2, 3] {
        switch.guest_sent(0, GuestId(1), &mut frame(node(1, 1), node(host, 2), router, 50), &mut recorder);
    }
    assert_eq!((recorder.routes, recorder.up), (vec![2, 3], vec![50]));
    assert_eq!(counts(&switch, 1).dropped[DropReason::NoRoute as usize], 1);
    assert_eq!(switch.uplink.received, Frames { count: 1, bytes: 50 });
}

#[test]
fn a_guest_that_floods_everyone_is_cut_off_alone() {
    let (mut switch, mut recorder) = (switch(3), Recorder::default());
    let shout = |guest| frame(node(1, guest), node(1, 2), Some(vmatic_plan::Mac::BROADCAST), 50);
    for _ in 0..FLOOD_BURST + 10 {
        switch.guest_sent(0, GuestId(1), &mut shout(1), &mut recorder);
    }
    assert_eq!(recorder.to_guests.len() as u64, FLOOD_BURST * 2);
    assert_eq!(counts(&switch, 1).dropped[DropReason::Flood as usize], 10);
    switch.guest_sent(0, GuestId(3), &mut shout(3), &mut recorder);
    assert_eq!(counts(&switch, 3).dropped[DropReason::Flood as usize], 0, "others may still speak");
    switch.guest_sent(1_000_000, GuestId(1), &mut shout(1), &mut recorder);
    assert_eq!(counts(&switch, 1).dropped[DropReason::Flood as usize], 10, "a second later it may again");
}

#[test]
fn a_slow_link_delivers_late_in_order_and_drops_what_does_not_fit() {
    let (mut switch, mut recorder) = (switch(2), Recorder::default());
    switch.set_link(GuestId(2), "delay=10ms".parse().unwrap());
    for bytes in [100, 200] {
        switch.guest_sent(0, GuestId(1), &mut to_neighbour(bytes), &mut recorder);
    }
    assert_eq!((recorder.to_guests.len(), switch.due_us()), (0, Some(10_000)));
    switch.release(9_999, &mut recorder);
    assert!(recorder.to_guests.is_empty());
    switch.release(10_000, &mut recorder);
    assert_eq!(recorder.to_guests, [(2, PACKET_AT + 100), (2, PACKET_AT + 200)]);
    assert_eq!((switch.due_us(), switch.queued_bytes), (None, 0));
    switch.set_link(GuestId(1), "rate=1mbit".parse().unwrap());
    for _ in 0..100 {
        switch.guest_sent(0, GuestId(1), &mut to_neighbour(1400), &mut recorder);
    }
    let full = counts(&switch, 1).dropped[DropReason::Full as usize];
    assert!(full > 40, "{full}");
    switch.release(u64::MAX, &mut recorder);
    assert_eq!(recorder.to_guests.len() as u64, 2 + 100 - full, "each was delivered or counted");
}

#[test]
fn a_guest_that_does_not_read_loses_its_own_frames() {
    let (mut switch, mut recorder) = (switch(2), Recorder { room: Some(1), ..Recorder::default() });
    for _ in 0..3 {
        switch.guest_sent(0, GuestId(1), &mut to_neighbour(100), &mut recorder);
    }
    assert_eq!(counts(&switch, 2).dropped[DropReason::Full as usize], 2);
    assert_eq!(counts(&switch, 2).received.count, 1);
}

#[test]
fn a_capture_sees_a_port_and_the_uplink() {
    let (mut switch, mut recorder) = (switch(2), Recorder::default());
    for spot in [CapturePoint::Guest(GuestId(2)), CapturePoint::Uplink] {
        switch.captures.next(1, spot, 0).unwrap();
    }
    switch.guest_sent(0, GuestId(1), &mut to_neighbour(100), &mut recorder);
    let router = plan().mac(Node::host(HostId(1)));
    switch.guest_sent(0, GuestId(1), &mut frame(node(1, 1), node(2, 2), router, 50), &mut recorder);
    assert_eq!(switch.captures.next(1, CapturePoint::Guest(GuestId(2)), 0).unwrap().bytes.len(), 16 + 114);
    assert_eq!(switch.captures.next(1, CapturePoint::Uplink, 0).unwrap().bytes.len(), 16 + 50);
}

proptest! {
    /// Frames between neighbours, of whom one has a slow link and a socket that takes only so many: each arrives or
    /// is counted as dropped, and no more arrive than were sent.
    #[test]
    fn every_frame_is_delivered_or_counted(
        frames in prop::collection::vec((1u32..4, 20usize..90), 1..40),
        link in "(rate=[1-9]kbit )?(delay=[1-9]ms )?(loss=[1-9]0%)?",
        room in prop::option::of(0usize..20),
    ) {
        let (mut switch, mut recorder) = (switch(3), Recorder { room, ..Recorder::default() });
        switch.set_link(GuestId(1), link.parse().unwrap());
        for (now, (guest, bytes)) in frames.iter().enumerate() {
            let mut frame = frame(node(1, *guest), node(1, guest % 3 + 1), None, *bytes);
            switch.guest_sent(now as u64 * 1000, GuestId(*guest), &mut frame, &mut recorder);
        }
        switch.release(u64::MAX, &mut recorder);
        switch.release(u64::MAX, &mut recorder);
        prop_assert_eq!(switch.queued_bytes, 0);
        let all: Vec<PortCounters> = (1..4).map(|guest| counts(&switch, guest)).collect();
        let sum = |count: fn(&PortCounters) -> u64| all.iter().map(count).sum::<u64>();
        let (sent, received) = (sum(|port| port.sent.count), sum(|port| port.received.count));
        prop_assert_eq!(received, recorder.to_guests.len() as u64);
        // A frame that a rule stopped was not sent; what got lost behind the rules was.
        prop_assert_eq!((sent, received + dropped(&all)), (frames.len() as u64, frames.len() as u64));
    }

    /// Whatever bytes a guest sends, one thing becomes of them, and it can be seen which.
    #[test]
    fn whatever_is_sent_goes_somewhere_or_is_counted(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        to in prop::sample::select(vec![0u32, 2, 3, 9]),
        kind in prop::sample::select(vec![0x0800u16, 0x0806, 0x86dd, 0x8100, 0x1234]),
        shape: bool,
    ) {
        let (mut switch, mut recorder) = (switch(3), Recorder::default());
        if shape {
            let plan = plan();
            let header = Ethernet { to: plan.mac(node(1, to)).unwrap(), from: plan.mac(node(1, 1)).unwrap(), kind };
            crate::switch::frame::set_ethernet(&mut bytes, header);
        }
        switch.guest_sent(0, GuestId(1), &mut bytes, &mut recorder);
        let all: Vec<PortCounters> = (1..4).map(|guest| counts(&switch, guest)).collect();
        let arrived = recorder.to_guests.len() as u64 + recorder.up.len() as u64;
        prop_assert_eq!(arrived + dropped(&all), 1, "{:?} {:?}", recorder.to_guests, all);
    }
}
