//! Frames of guests into a host's part of a network: cables, a segment, computed routers. Oracle: what a guest gets is
//! for one of its cards and no longer than its link takes, and what a router says itself another parser reads.

use super::input::Input;
use crate::switch::frame::{self, ARP, IPV4, PACKET_AT};
use crate::switch::network::fabric::{Fabric, Outlets};
use crate::switch::network::router::{self, Look, Own, Problem};
use smoltcp::wire::{ArpPacket, ArpRepr, Icmpv4Packet, Ipv4Packet};
use std::sync::OnceLock;
use vmatic_plan::network::{Draft, PlannedNetwork};
use vmatic_plan::{GuestId, HostId, HostNames, Mac, Plan};

/// Three guests on a segment with a router, a line of routers to a fourth, links of every kind.
const NETWORK: &str = "vmatic-network 1\nlink s a[1-3] each=all\nlink s r1\nline r[1-4] delay=1ms jitter=1ms dup=10%\n\
    link r4 b rate=1mbit queue=5p corrupt=5% mtu=1280\nnodes r[1-4] kind=router\nnodes s kind=switch\n";
/// The bytes before a packet on a cable: a card's number, and headers.
const BEFORE_BYTES: usize = 1 + PACKET_AT;
const MTU: usize = 1500;

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let draft = Draft::decode(NETWORK).expect("the network can be read");
        let (network, _) = PlannedNetwork::plan(&draft, 1, 4).expect("it is a network");
        let hosts = HostNames::count(1).expect("one host has a name");
        Plan { guests_per_host: 4, network: Some(network), ..Plan::new("fuzz", hosts) }
    })
}

fn mac(name: &str, port: u32) -> Mac {
    let network = plan().network().expect("the plan has a network");
    network.number(name).and_then(|node| network.mac(node, port)).expect("the node has a MAC")
}

fn address(name: &str) -> [u8; 4] {
    let network = plan().network().expect("the plan has a network");
    let node = network.number(name).expect("the network has the node");
    network.address(plan().guest_network, node).expect("it has an address").octets()
}

pub fn seeds() -> Vec<Vec<u8>> {
    // A guest and how long its frame is, then the frame.
    let framed = |to: Mac, kind: u16, packet: &[u8]| {
        let frame = [&to.0[..], &mac("a1", 1).0, &kind.to_be_bytes(), packet].concat();
        [&[0, frame.len() as u8][..], &frame].concat()
    };
    let v4 = |to: [u8; 4], ttl: u8, protocol: u8, payload: &[u8]| {
        let [high, low] = (20 + payload.len() as u16).to_be_bytes();
        let mut header = vec![0x45, 0, high, low, 0, 0, 0, 0, ttl, protocol, 0, 0];
        header.extend([address("a1"), to].concat());
        let sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        [&header, payload].concat()
    };
    // An echo request whose checksum is right (RFC 792).
    let echo = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let router = mac("r1", 1);
    let arp =
        |target| [&[0, 1, 8, 0, 6, 4, 0, 1][..], &mac("a1", 1).0, &address("a1"), &[0; 6], &address(target)].concat();
    vec![
        framed(router, IPV4, &v4(address("b"), 64, 1, &echo)),
        framed(router, IPV4, &v4(address("b"), 3, 1, &echo)),
        framed(router, IPV4, &v4(address("r1"), 9, 1, &echo)),
        framed(router, IPV4, &v4([9, 9, 9, 9], 9, 17, &[0; 8])),
        framed(Mac::BROADCAST, ARP, &arp("r1")),
        framed(Mac::BROADCAST, ARP, &arp("b")),
        framed(Mac([1, 0x80, 0xc2, 0, 0, 14]), 0x88cc, b"lldp"),
    ]
}

/// Looks at what is handed on.
struct Checked;

impl Outlets for Checked {
    fn to_guest(&mut self, guest: GuestId, message: &[u8]) -> bool {
        assert!((1..=4).contains(&guest.0) && message[0] == 1, "a card that guest {guest} has not");
        assert!(message.len() <= BEFORE_BYTES + 4 + MTU, "{} bytes", message.len());
        true
    }

    fn to_host(&mut self, host: HostId, _: u16, _: u8, _: &[u8]) -> bool {
        panic!("there is no host {host}");
    }
}

/// What a router says of a frame can be read by others.
fn spoken(frame: &[u8]) {
    let own = Own { mac: mac("r1", 1), address: address("r1").into() };
    let answer = if let Look::Answer(answer) = router::look(frame, own) { Some(answer) } else { None };
    for said in answer.into_iter().chain(router::report(frame, own, Problem::TooLong { mtu: 1400 })) {
        let ethernet = frame::ethernet(&said).expect("it has an Ethernet header");
        assert_eq!(ethernet.from, own.mac);
        if ethernet.kind == ARP {
            let arp = ArpPacket::new_checked(frame::packet(&said)).expect("another parser reads it");
            assert!(ArpRepr::parse(&arp).is_ok());
            continue;
        }
        let ip = Ipv4Packet::new_checked(frame::packet(&said)).expect("another parser reads it");
        let icmp = Icmpv4Packet::new_checked(ip.payload()).expect("it says something");
        assert!(ip.verify_checksum() && icmp.verify_checksum() && ip.src_addr() == own.address);
    }
    let fragments = router::fragments(frame, 600);
    assert!(fragments.iter().all(|one| frame::packet(one).len() <= 600));
}

pub fn run(data: &[u8]) {
    let mut fabric = Fabric::new(plan(), HostId(1)).expect("the plan has a network");
    let (mut input, mut now_ns) = (Input(data), 0u64);
    while !input.0.is_empty() {
        let (guest, bytes) = (input.byte(), usize::from(input.byte()));
        let (frame, rest) = input.0.split_at(bytes.min(input.0.len()));
        input = Input(rest);
        spoken(&[&[0; frame::HEADER_BYTES], frame].concat());
        let mut message = [&[1][..], &[0; frame::HEADER_BYTES], frame].concat();
        fabric.guest_sent(now_ns, GuestId(1 + u32::from(guest % 4)), &mut message, &mut Checked);
        // Time goes by, more or less.
        now_ns += u64::from(guest / 4) * 100_000;
        fabric.release(now_ns, &mut Checked);
    }
    while let Some(due) = fabric.due_ns() {
        fabric.release(due, &mut Checked);
    }
}
