use super::*;
use crate::switch::frame::{Ethernet, IPV4, build};
use proptest::prelude::*;
use vmatic_plan::{GuestId, GuestReach, HostId, HostNames, Node, Plan};
use vmatic_tree::traffic::Frames;

/// Keeps what it is given; a guest takes `room` frames, and the kernel has a route to host 3's never.
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

    fn has_route(&mut self, host: HostId) -> Option<bool> {
        self.routes.contains(&host.0).then_some(host.0 != 3)
    }

    fn make_route(&mut self, host: HostId) -> bool {
        self.routes.push(host.0);
        host.0 != 3
    }
}

fn plan() -> Plan {
    Plan { guests_per_host: 9, ..Plan::new("t", HostNames::count(3).unwrap()) }
}

/// A switch of host 1 of many, so that there is somewhere to go.
fn wide_switch(guests: u32) -> Switch {
    let plan = Plan { guests_per_host: 9, ..Plan::new("t", HostNames::count(5000).unwrap()) };
    let mut switch = Switch::new(Rules::new(plan, HostId(1)).unwrap());
    (1..=guests).map(GuestId).for_each(|guest| switch.plug(guest));
    switch
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
    for _ in 0..FLOOD.burst + 10 {
        switch.guest_sent(0, GuestId(1), &mut shout(1), &mut recorder);
    }
    assert_eq!(recorder.to_guests.len() as u64, FLOOD.burst * 2);
    assert_eq!(counts(&switch, 1).dropped[DropReason::Flood as usize], 10);
    switch.guest_sent(0, GuestId(3), &mut shout(3), &mut recorder);
    assert_eq!(counts(&switch, 3).dropped[DropReason::Flood as usize], 0, "others may still speak");
    switch.guest_sent(1_000_000_000, GuestId(1), &mut shout(1), &mut recorder);
    assert_eq!(counts(&switch, 1).dropped[DropReason::Flood as usize], 10, "a second later it may again");
}

#[test]
fn a_slow_link_delivers_late_in_order_and_drops_what_does_not_fit() {
    let (mut switch, mut recorder) = (switch(2), Recorder::default());
    switch.set_link(GuestId(2), "delay=10ms".parse().unwrap());
    for bytes in [100, 200] {
        switch.guest_sent(0, GuestId(1), &mut to_neighbour(bytes), &mut recorder);
    }
    assert_eq!((recorder.to_guests.len(), switch.due_ns()), (0, Some(10_000_000)));
    switch.release(9_999_999, &mut recorder);
    assert!(recorder.to_guests.is_empty());
    switch.release(10_000_000, &mut recorder);
    assert_eq!(recorder.to_guests, [(2, PACKET_AT + 100), (2, PACKET_AT + 200)]);
    assert_eq!((switch.due_ns(), switch.queued_bytes), (None, 0));
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

#[test]
fn a_walk_over_all_hosts_makes_few_routes_and_leaves_some_for_others() {
    let (mut switch, mut recorder) = (wide_switch(3), Recorder::default());
    let plan = switch.rules().plan().clone();
    let mut walk = |guest: u32, hosts: std::ops::RangeInclusive<u32>, now_ns| {
        for host in hosts {
            let (from, to) = (node(1, guest), node(host, 2));
            let header = Ethernet { to: plan.mac(node(1, 0)).unwrap(), from: plan.mac(from).unwrap(), kind: IPV4 };
            let mut frame = build(header, 20, |packet| {
                (packet[0], packet[3], packet[8]) = (0x45, 20, 64);
                packet[12..16].copy_from_slice(&plan.ipv4(from).unwrap().octets());
                packet[16..20].copy_from_slice(&plan.ipv4(to).unwrap().octets());
            });
            switch.guest_sent(now_ns, GuestId(guest), &mut frame, &mut recorder);
        }
        (recorder.routes.len() as u64, counts(&switch, guest).dropped[DropReason::NoRoute as usize])
    };
    // Host 3 has no route in these tests, once it was tried.
    assert_eq!(walk(1, 2..=5000, 0), (GUEST_ROUTES.burst, 4999 - GUEST_ROUTES.burst + 1));
    assert_eq!(walk(2, 4001..=4010, 0), (GUEST_ROUTES.burst + 10, 0), "a neighbour has its own");
    let later = walk(1, 4900..=5000, 1_000_000_000).0;
    assert_eq!(later, GUEST_ROUTES.burst + 10 + GUEST_ROUTES.per_s, "a second later there are a few more");
    // What has a route needs none.
    assert_eq!(walk(3, 4..=100, 1_000_000_000), (later, 0));
}

#[test]
fn a_walk_over_the_hosts_network_finds_few_neighbours() {
    let open = Plan { guest_reach: GuestReach::Hosts, ..plan() };
    let (mut switch, mut recorder) = (Switch::new(Rules::new(open, HostId(1)).unwrap()), Recorder::default());
    switch.plug(GuestId(1));
    let router = plan().mac(node(1, 0));
    for _ in 0..2 {
        for address in 0x1000u16..0x1400 {
            let mut packet = frame(node(1, 1), node(1, 1), router, 50);
            let [high, low] = address.to_be_bytes();
            packet[PACKET_AT + 16..][..4].copy_from_slice(&[172, 20, high, low]);
            switch.guest_sent(0, GuestId(1), &mut packet, &mut recorder);
        }
    }
    // What was found is found the second time, too.
    assert_eq!(recorder.up.len() as u64, 2 * GUEST_ROUTES.burst);
    assert_eq!(counts(&switch, 1).dropped[DropReason::NoRoute as usize], 2 * (1024 - GUEST_ROUTES.burst));
}

#[test]
fn packets_that_come_back_for_want_of_a_route_do_not_make_routes_without_end() {
    let back = |switch: &mut Switch, from: u32, recorder: &mut Recorder| {
        let before = recorder.routes.len() as u64;
        for _ in 0..3 * ALL_ROUTES.burst {
            switch.uplink_sent(0, &mut frame(node(1, from), node(2, 2), None, 50), recorder);
        }
        recorder.routes.len() as u64 - before
    };
    let (mut switch, mut recorder) = (wide_switch(2), Recorder::default());
    // What guest 1 sends leaves a share to guest 2, and to the host itself.
    assert_eq!(back(&mut switch, 1, &mut recorder), GUEST_ROUTES.burst);
    assert_eq!(back(&mut switch, 2, &mut recorder), GUEST_ROUTES.burst);
    assert_eq!(back(&mut switch, 0, &mut recorder), ALL_ROUTES.burst - 2 * GUEST_ROUTES.burst);
    assert_eq!(switch.uplink.dropped[DropReason::NoRoute as usize], 9 * ALL_ROUTES.burst - ALL_ROUTES.burst);
}

#[test]
fn links_that_are_full_leave_room_for_the_next() {
    let (mut switch, mut recorder) = (switch(9), Recorder::default());
    (1..=8).map(GuestId).for_each(|guest| switch.set_link(guest, "delay=60s".parse().unwrap()));
    switch.set_link(GuestId(9), "delay=10ms".parse().unwrap());
    // Eight guests fill one direction of their links with what they send, then the other with what arrives.
    for now_ns in [0, 60_000_000_000] {
        for (from, to) in (1..=8).flat_map(|from| (1..=8).map(move |to| (from, to))).filter(|(from, to)| from != to) {
            for _ in 0..600 {
                let mut frame = frame(node(1, from), node(1, to), None, 1400);
                switch.guest_sent(now_ns, GuestId(from), &mut frame, &mut recorder);
            }
        }
        while now_ns == 0 && switch.due_ns() == Some(60_000_000_000) {
            switch.release(60_000_000_000, &mut recorder);
        }
    }
    let taken = switch.queued_bytes * 100 / QUEUED_BYTES_MAX;
    assert!((50..90).contains(&taken), "{taken} % of the memory is taken");
    for _ in 0..100 {
        switch.guest_sent(60_000_000_000, GuestId(9), &mut frame(node(1, 9), node(1, 1), None, 1400), &mut recorder);
    }
    assert_eq!(counts(&switch, 9).dropped[DropReason::Full as usize], 0, "its link is not full");
}

#[test]
fn what_is_under_way_takes_the_memory_that_is_counted() {
    let (mut switch, mut recorder) = (switch(2), Recorder::default());
    switch.set_link(GuestId(1), "delay=60s".parse().unwrap());
    let mut count = 0;
    while counts(&switch, 1).dropped[DropReason::Full as usize] == 0 {
        // The smallest that a guest can send: a header and nothing behind it.
        switch.guest_sent(0, GuestId(1), &mut [0; frame::HEADER_BYTES], &mut recorder);
        count += 1;
    }
    // glibc and musl give no piece of less than 32 bytes.
    let held = switch.queue.capacity() * size_of::<QueuedFrame>() + count * 32;
    assert!(held <= switch.queued_bytes, "{count} frames hold {held} bytes and count as {}", switch.queued_bytes);
}

#[test]
fn a_turn_ends_however_much_is_due() {
    let (mut switch, mut recorder) = (switch(2), Recorder::default());
    switch.set_link(GuestId(2), "delay=10ms".parse().unwrap());
    for _ in 0..RELEASE_BATCH + 5 {
        switch.guest_sent(0, GuestId(1), &mut to_neighbour(50), &mut recorder);
    }
    switch.release(10_000_000, &mut recorder);
    assert_eq!((recorder.to_guests.len(), switch.due_ns()), (RELEASE_BATCH, Some(10_000_000)));
    switch.release(10_000_000, &mut recorder);
    assert_eq!((recorder.to_guests.len(), switch.due_ns()), (RELEASE_BATCH + 5, None));
}

#[test]
fn a_guest_that_floods_anothers_cable_does_not_keep_a_third_out() {
    let (mut switch, mut recorder) = (switch(3), Recorder { room: Some(100), ..Recorder::default() });
    let from = |guest| frame(node(1, guest), node(1, 2), None, 60 + guest as usize);
    for turn in 0..1000 {
        (0..32).for_each(|_| switch.guest_sent(turn * 1_000_000, GuestId(1), &mut from(1), &mut recorder));
        switch.guest_sent(turn * 1_000_000, GuestId(3), &mut from(3), &mut recorder);
        // The second reads four.
        recorder.room = recorder.room.map(|room| room + 4);
    }
    let heard = recorder.to_guests.iter().filter(|(_, bytes)| *bytes == PACKET_AT + 63).count();
    assert!(heard >= 500, "{heard} of 1000 got through, of {}", recorder.to_guests.len());
    assert!(recorder.to_guests.len() > 3600, "only {} were taken", recorder.to_guests.len());
    let all = counts(&switch, 2).received.count + counts(&switch, 2).dropped[DropReason::Full as usize];
    assert_eq!(all, 33_000, "each was delivered or counted");
}

/// One frame of a run: who sends it, or the kernel; what it is.
#[derive(Clone, Copy, Debug)]
enum Sent {
    /// To a neighbour of this number.
    Neighbour(u32),
    Everyone,
    /// To another host's guest, of which host 3 cannot be reached.
    Elsewhere(u32),
    /// As somebody else.
    Spoofed,
    /// With bytes that mean nothing.
    Noise(u8),
    /// A question that the switch answers.
    Question,
    /// From the kernel, to this guest.
    FromKernel(u32),
}

fn sent() -> impl Strategy<Value = (u32, Sent, usize)> {
    let what = prop_oneof![
        4 => (1u32..4).prop_map(Sent::Neighbour),
        1 => Just(Sent::Everyone),
        1 => (2u32..4).prop_map(Sent::Elsewhere),
        1 => Just(Sent::Spoofed),
        1 => any::<u8>().prop_map(Sent::Noise),
        1 => Just(Sent::Question),
        1 => (1u32..4).prop_map(Sent::FromKernel),
    ];
    (1u32..4, what, 20usize..1400)
}

fn arp_question(guest: u32) -> Vec<u8> {
    let plan = plan();
    let (own, mac) = (plan.ipv4(node(1, guest)).unwrap(), plan.mac(node(1, guest)).unwrap());
    build(Ethernet { to: vmatic_plan::Mac::BROADCAST, from: mac, kind: frame::ARP }, 28, |packet| {
        packet[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
        packet[8..14].copy_from_slice(&mac.0);
        packet[14..18].copy_from_slice(&own.octets());
        packet[24..28].copy_from_slice(&plan.ipv4(node(1, 0)).unwrap().octets());
    })
}

/// The frame, and what must become of it where nothing is lost or full: copies for each guest, and packets up.
fn made(guest: u32, what: Sent, bytes: usize) -> (Vec<u8>, [u64; 4], u64) {
    let mut heard = [0; 4];
    let router = plan().mac(node(1, 0));
    let (frame, up) = match what {
        Sent::Neighbour(to) => {
            heard[to as usize] += u64::from(to != guest);
            (frame(node(1, guest), node(1, to), None, bytes), 0)
        }
        Sent::Everyone => {
            (1..4).for_each(|to| heard[to as usize] += u64::from(to != guest));
            (frame(node(1, guest), node(1, 0), Some(vmatic_plan::Mac::BROADCAST), bytes), 0)
        }
        Sent::Elsewhere(host) => (frame(node(1, guest), node(host, 2), router, bytes), u64::from(host != 3)),
        Sent::Spoofed => (frame(node(1, guest % 3 + 1), node(1, guest), None, bytes), 0),
        Sent::Noise(byte) => (vec![byte; bytes / 8], 0),
        Sent::Question => {
            heard[guest as usize] += 1;
            (arp_question(guest), 0)
        }
        Sent::FromKernel(to) => {
            heard[to as usize] += 1;
            (frame(node(2, 1), node(1, to), None, bytes), 0)
        }
    };
    (frame, heard, up)
}

/// What was counted as gone, at all ports and the uplink.
fn gone(switch: &Switch) -> u64 {
    (1..4).map(|guest| counts(switch, guest).dropped).chain([switch.uplink.dropped]).flatten().sum()
}

/// What the sender's own link, or the limit for floods, ended.
fn ended(switch: &Switch, guest: u32) -> u64 {
    [DropReason::Lost, DropReason::Full, DropReason::Flood]
        .map(|r| counts(switch, guest).dropped[r as usize])
        .iter()
        .sum()
}

proptest! {
    /// Conservation, frame by frame: each is delivered, given up or in one counter, a broadcast once a neighbour.
    #[test]
    fn every_frame_is_delivered_or_counted(
        frames in prop::collection::vec(sent(), 1..60),
        link in "(rate=[1-9]kbit )?(delay=[1-9]ms )?(loss=[1-9]0%)?",
        room in prop::option::of(0usize..30),
    ) {
        let (mut switch, mut recorder) = (switch(3), Recorder { room, ..Recorder::default() });
        switch.set_link(GuestId(1), link.parse().unwrap());
        let mut offered = [0u64; 4];
        for (now, (guest, what, bytes)) in frames.iter().copied().enumerate() {
            let (mut frame, to_hear, to_go_up) = made(guest, what, bytes);
            let heard = |recorder: &Recorder| {
                [0, 1, 2, 3].map(|guest| recorder.to_guests.iter().filter(|(to, _)| *to == guest).count() as u64)
            };
            let before = (heard(&recorder), recorder.up.len() as u64, gone(&switch), ended(&switch, guest));
            if let Sent::FromKernel(_) = what {
                offered[0] += 1;
                switch.uplink_sent(now as u64 * 1_000_000, &mut frame, &mut recorder);
            } else {
                offered[guest as usize] += 1;
                switch.guest_sent(now as u64 * 1_000_000, GuestId(guest), &mut frame, &mut recorder);
            }
            switch.release(u64::MAX, &mut recorder);
            prop_assert_eq!((switch.queued_bytes, switch.due_ns()), (0, None));
            let after = heard(&recorder);
            let heard: Vec<u64> = after.iter().zip(before.0).map(|(after, before)| after - before).collect();
            let up = recorder.up.len() as u64 - before.1;
            let ends = heard.iter().sum::<u64>() + up + (gone(&switch) - before.2);
            let copies = matches!(what, Sent::Everyone) && ended(&switch, guest) == before.3;
            prop_assert_eq!(ends, 1 + u64::from(copies), "{:?} of guest {}", what, guest);
            prop_assert!(heard.iter().zip(to_hear).all(|(heard, most)| *heard <= most) && up <= to_go_up);
            if link.is_empty() && room.is_none() {
                prop_assert_eq!((&heard[..], up), (&to_hear[..], to_go_up), "{:?} of guest {}", what, guest);
            }
        }
        let taken = |guest: u32| recorder.to_guests.iter().filter(|(to, _)| *to == guest).count() as u64;
        for guest in 1..4 {
            let port = counts(&switch, guest);
            prop_assert_eq!((port.sent.count, port.received.count), (offered[guest as usize], taken(guest)));
        }
        let uplink = (switch.uplink.sent.count, switch.uplink.received.count);
        prop_assert_eq!(uplink, (offered[0], recorder.up.len() as u64));
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
