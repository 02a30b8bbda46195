//! One frame of a guest, or of the kernel. Oracle: smoltcp reads what we let pass as we did, and what passes is from
//! the guest itself; an answer of the switch is one that smoltcp reads, to the guest that asked.

use super::input::Input;
use super::{GUESTS, HOST, plan, rules};
use crate::switch::frame::{self, ARP, Ethernet, HEADER_BYTES, IPV4, IPV6, PACKET_AT};
use crate::switch::policy::{PolicyDecision, link_local};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, DhcpPacket, DhcpRepr, EthernetFrame, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet,
    Ipv6Packet, NdiscRepr, UdpPacket,
};
use vmatic_plan::{GuestId, Mac, Node, Plan};

/// In the first byte: who sends, and whether its address is made right.
const FROM_KERNEL: u8 = 0x80;
const AS_IT_IS: u8 = 0x40;
/// Messages of ICMPv6 that only the switch may send: router and neighbour advertisements, redirects.
const FORBIDDEN: [u8; 3] = [134, 136, 137];

pub fn seeds() -> Vec<Vec<u8>> {
    let plan = plan();
    let address = |host, guest| plan.ipv4(node(host, guest)).map_or([0; 4], |address| address.octets());
    let long = |guest| plan.ipv6(node(2, guest)).map_or([0; 16], |address| address.octets());
    let mac = |guest| plan.mac(node(2, guest)).map_or([0; 6], |mac| mac.0);
    let framed = |to: [u8; 6], kind: u16, packet: &[u8]| [&[0][..], &to, &mac(1), &kind.to_be_bytes(), packet].concat();
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &mac(1), &address(2, 1), &[0; 6], &address(2, 2)].concat();
    let v4 = |to: [u8; 4], protocol: u8, payload: &[u8]| {
        let length = (20 + payload.len() as u16).to_be_bytes();
        [&[0x45, 0][..], &length, &[0, 0, 0, 0, 64, protocol, 0, 0], &address(2, 1), &to, payload].concat()
    };
    let v6 = |to: [u8; 16], next: u8, payload: &[u8]| {
        let length = (payload.len() as u16).to_be_bytes();
        [&[0x60, 0, 0, 0][..], &length, &[next, 255], &long(1), &to, payload].concat()
    };
    let mut dhcp = vec![0; 240];
    dhcp[..4].copy_from_slice(&[1, 1, 6, 0]);
    dhcp[28..34].copy_from_slice(&mac(1));
    dhcp[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    dhcp.extend([53, 1, 1, 255]);
    let udp = |from: u16, to: u16, data: &[u8]| {
        let length = 8 + data.len() as u16;
        [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], data].concat()
    };
    let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &long(2), &[1, 1], &mac(1)].concat();
    let advertisement = [&[134, 0, 0, 0, 64, 0, 0, 9][..], &[0; 8]].concat();
    vec![
        framed([255; 6], ARP, &arp),
        framed(mac(2), IPV4, &v4(address(2, 2), 1, &[8, 0, 0, 0, 0, 0, 0, 0])),
        framed(mac(0), IPV4, &v4(address(3, 2), 17, &udp(7, 7, b"x"))),
        framed([255; 6], IPV4, &v4([255; 4], 17, &udp(68, 67, &dhcp))),
        framed([0x33, 0x33, 0xff, 0, 0, 3], IPV6, &v6([0xff; 16], 58, &solicitation)),
        framed(mac(2), IPV6, &v6(long(2), 17, &udp(7, 7, b"x"))),
        framed(mac(2), IPV6, &v6(long(2), 60, &[&[58, 0, 1, 4, 0, 0, 0, 0][..], &advertisement].concat())),
        framed(
            [0x33, 0x33, 0, 0, 0, 1],
            IPV6,
            &v6([0xff; 16], 0, &[&[58, 0, 5, 2, 0, 0, 1, 0][..], &[143; 8]].concat()),
        ),
        [&[FROM_KERNEL][..], &v4(address(2, 2), 1, &[8, 0, 0, 0])].concat(),
        [&[FROM_KERNEL][..], &v6(long(2), 17, &udp(7, 7, b"x"))].concat(),
    ]
}

fn node(host: u32, guest: u32) -> Node {
    Node::guest(vmatic_plan::HostId(host), GuestId(guest))
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let first = input.byte();
    let (plan, rules) = (plan(), rules());
    if first & FROM_KERNEL != 0 {
        let mut frame = [&[0; PACKET_AT][..], input.0].concat();
        match rules.uplink_sent(&mut frame) {
            PolicyDecision::Guest(to) => delivered(&plan, to, &frame),
            PolicyDecision::Uplink(Some(host)) => assert!(host != HOST && plan.has(Node::host(host))),
            PolicyDecision::Drop(_) => {}
            other => panic!("the kernel's packet: {other:?}"),
        }
        return;
    }
    let guest = GuestId(1 + u32::from(first) % GUESTS);
    let mac = plan.mac(Node::guest(HOST, guest)).expect("the plan has the guest");
    let mut frame = [&[0; HEADER_BYTES][..], input.0].concat();
    if first & AS_IT_IS == 0
        && let Some(source) = frame.get_mut(HEADER_BYTES + 6..HEADER_BYTES + 12)
    {
        source.copy_from_slice(&mac.0);
    }
    let sent = frame.clone();
    match rules.guest_sent(guest, &mut frame) {
        PolicyDecision::Guest(to) => {
            delivered(&plan, to, &frame);
            passed(&plan, guest, &sent);
            hops(&sent, &frame);
        }
        PolicyDecision::Everyone | PolicyDecision::Uplink(_) => {
            assert_eq!(frame, sent);
            passed(&plan, guest, &sent);
        }
        PolicyDecision::Nearby(to) => panic!("the laboratory is closed, and {to} is no guest"),
        PolicyDecision::Answer(answer) => answered(mac, &answer),
        PolicyDecision::Drop(_) => {}
    }
}

/// What leads to a guest has room for its headers, and is for that guest.
fn delivered(plan: &Plan, to: GuestId, frame: &[u8]) {
    let ethernet = frame::ethernet(frame).expect("it has an Ethernet header");
    assert!(frame[..HEADER_BYTES].iter().all(|byte| *byte == 0) || plan.node_by_mac(ethernet.from).is_some());
    assert_eq!(Some(ethernet.to), plan.mac(Node::guest(HOST, to)));
}

/// A guest speaks only as itself.
fn passed(plan: &Plan, guest: GuestId, sent: &[u8]) {
    let Ethernet { from, kind, .. } = frame::ethernet(sent).expect("it has an Ethernet header");
    let node = Node::guest(HOST, guest);
    assert_eq!(Some(from), plan.mac(node));
    let packet = frame::packet(sent);
    match kind {
        ARP => panic!("ARP is answered, never passed on"),
        IPV4 => {
            let ip = Ipv4Packet::new_checked(packet).expect("smoltcp reads what we read");
            assert_eq!(Some(ip.src_addr()), plan.ipv4(node));
            let whole = ip.frag_offset() == 0 && ip.next_header() == IpProtocol::Udp;
            if let Some(udp) = whole.then(|| ip.payload()).filter(|payload| payload.len() >= 8) {
                assert_ne!(&udp[..2], &67u16.to_be_bytes(), "only the switch leases addresses");
            }
        }
        IPV6 => {
            let ip = Ipv6Packet::new_checked(packet).expect("smoltcp reads what we read");
            assert!(Some(ip.src_addr()) == plan.ipv6(node) || ip.src_addr() == link_local(from.0), "{ip}");
            if ip.next_header() == IpProtocol::Icmpv6
                && let Some(kind) = ip.payload().first()
            {
                assert!(!FORBIDDEN.contains(kind), "a guest says ICMPv6 {kind}");
            }
        }
        _ => {}
    }
}

/// A routed packet has one hop less, and its checksum holds as before.
fn hops(sent: &[u8], frame: &[u8]) {
    if frame::packet(sent) == frame::packet(frame) {
        return;
    }
    let sum = |packet: &[u8]| {
        let header = usize::from(packet[0] & 15) * 4;
        let words = packet[..header].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        (sum & 0xffff) + (sum >> 16)
    };
    let (before, after) = (frame::packet(sent), frame::packet(frame));
    match (frame::ipv4(before), frame::ipv4(after), frame::ipv6(before), frame::ipv6(after)) {
        (Some(old), Some(new), None, None) => {
            assert_eq!(new.ttl, old.ttl - 1);
            assert_eq!(sum(before) == 0xffff, sum(after) == 0xffff, "{before:02x?}");
        }
        (None, None, Some(old), Some(new)) => assert_eq!(new.hop_limit, old.hop_limit - 1),
        _ => panic!("another packet: {after:02x?}"),
    }
}

fn answered(mac: Mac, answer: &[u8]) {
    let ethernet = EthernetFrame::new_checked(&answer[HEADER_BYTES..]).expect("an answer has an Ethernet header");
    assert!(ethernet.dst_addr().0 == mac.0 || ethernet.dst_addr().is_broadcast(), "{ethernet}");
    let sums = ChecksumCapabilities::default();
    match u16::from(ethernet.ethertype()) {
        ARP => {
            let arp = ArpPacket::new_checked(ethernet.payload()).expect("an answer can be read");
            assert!(ArpRepr::parse(&arp).is_ok());
        }
        IPV4 => {
            let ip = Ipv4Packet::new_checked(ethernet.payload()).expect("an answer can be read");
            let udp = UdpPacket::new_checked(ip.payload()).expect("an answer can be read");
            assert!(ip.verify_checksum() && udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
            let dhcp = DhcpPacket::new_checked(udp.payload()).expect("an answer can be read");
            assert!(DhcpRepr::parse(&dhcp).is_ok_and(|lease| lease.client_hardware_address.0 == mac.0));
        }
        IPV6 => {
            let ip = Ipv6Packet::new_checked(ethernet.payload()).expect("an answer can be read");
            let icmp = Icmpv6Packet::new_checked(ip.payload()).expect("an answer can be read");
            let said = Icmpv6Repr::parse(&ip.src_addr(), &ip.dst_addr(), &icmp, &sums);
            assert!(matches!(said, Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { .. }))), "{said:?}");
        }
        kind => panic!("the switch says {kind:#06x}"),
    }
}
