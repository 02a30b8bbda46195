use super::*;
use crate::switch::frame::{HEADER_BYTES, build, packet};
use proptest::prelude::*;
use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, Icmpv6Packet, Ipv4Packet};
use vmatic_plan::{GuestId, GuestReach, HostId, HostNames};

#[path = "spoofing_tests.rs"]
mod spoofing;

const HOST: u32 = 7;

fn plan() -> Plan {
    Plan { guests_per_host: 9, cluster: [5; 16], ..Plan::new("t", HostNames::count(20).unwrap()) }
}

fn rules() -> Rules {
    Rules::new(plan(), HostId(HOST)).unwrap()
}

fn node(host: u32, guest: u32) -> Node {
    Node::guest(HostId(host), GuestId(guest))
}

fn mac(guest: u32) -> Mac {
    plan().mac(node(HOST, guest)).unwrap()
}

fn v4(host: u32, guest: u32) -> Ipv4Addr {
    plan().ipv4(node(host, guest)).unwrap()
}

fn v6(host: u32, guest: u32) -> Ipv6Addr {
    plan().ipv6(node(host, guest)).unwrap()
}

/// An IPv4 packet with a hop limit and eight bytes of UDP, from guest 1.
fn ipv4_frame(to_mac: Mac, from: Ipv4Addr, to: Ipv4Addr, ttl: u8, ports: (u16, u16)) -> Vec<u8> {
    build(Ethernet { to: to_mac, from: mac(1), kind: IPV4 }, 28, |packet| {
        packet[0] = 0x45;
        packet[3] = 28;
        packet[8] = ttl;
        packet[9] = UDP;
        packet[12..16].copy_from_slice(&from.octets());
        packet[16..20].copy_from_slice(&to.octets());
        packet[20..22].copy_from_slice(&ports.0.to_be_bytes());
        packet[22..24].copy_from_slice(&ports.1.to_be_bytes());
        packet[25] = 8;
        Ipv4Packet::new_unchecked(&mut *packet).fill_checksum();
    })
}

fn ipv6_frame(to_mac: Mac, from: Ipv6Addr, to: Ipv6Addr, kind: u8, target: Ipv6Addr) -> Vec<u8> {
    build(Ethernet { to: to_mac, from: mac(1), kind: IPV6 }, 64, |packet| {
        packet[0] = 0x60;
        packet[5] = 24;
        packet[6] = ICMPV6;
        packet[7] = 255;
        packet[8..24].copy_from_slice(&from.octets());
        packet[24..40].copy_from_slice(&to.octets());
        packet[40] = kind;
        packet[48..64].copy_from_slice(&target.octets());
        Icmpv6Packet::new_unchecked(&mut packet[40..]).fill_checksum(&from, &to);
    })
}

fn arp_frame(from_mac: Mac, from: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let asked = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(from_mac.0),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let header = Ethernet { to: Mac([0xff; 6]), from: mac(1), kind: ARP };
    build(header, 28, |packet| asked.emit(&mut ArpPacket::new_unchecked(packet)))
}

fn verdict(mut frame: Vec<u8>) -> PolicyDecision {
    rules().guest_sent(GuestId(1), &mut frame)
}

#[test]
fn arp_is_answered_for_neighbours_with_their_macs_for_the_rest_with_the_routers() {
    let router = mac(0);
    let who = |target| match verdict(arp_frame(mac(1), v4(HOST, 1), target)) {
        PolicyDecision::Answer(frame) => {
            let ethernet = frame::ethernet(&frame).unwrap();
            let said = reply::read_arp(packet(&frame)).unwrap();
            assert_eq!((ethernet.to, ethernet.from, said.from, said.request), (mac(1), said.mac, target, false));
            Ok(said.mac)
        }
        other => Err(other),
    };
    assert_eq!(who(v4(HOST, 5)), Ok(mac(5)));
    for elsewhere in [v4(HOST, 0), v4(8, 5), Ipv4Addr::new(1, 1, 1, 1), plan().host_ipv4(HostId(3)).unwrap()] {
        assert_eq!(who(elsewhere), Ok(router), "{elsewhere}");
    }
    assert_eq!(who(v4(HOST, 1)), Err(PolicyDecision::Drop(DropReason::Ignored)), "its own address is free");
    for nobody in [Ipv4Addr::new(10, 0, 7, 200), Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST] {
        assert_eq!(who(nobody), Err(PolicyDecision::Drop(DropReason::NoSuchNode)), "{nobody}");
    }
}

#[test]
fn neighbours_are_advertised_by_their_addresses_of_either_kind() {
    let asks = |from, target| verdict(ipv6_frame(Mac([0x33; 6]), from, "ff02::1:ff00:6".parse().unwrap(), 135, target));
    let who = |target: Ipv6Addr| match asks(v6(HOST, 1), target) {
        PolicyDecision::Answer(frame) => Ok(frame::ethernet(&frame).unwrap().from),
        other => Err(other),
    };
    assert_eq!(who(v6(HOST, 5)), Ok(mac(5)));
    assert_eq!(who(link_local(mac(5).0)), Ok(mac(5)));
    assert_eq!(who(link_local(mac(0).0)), Ok(mac(0)));
    for elsewhere in [v6(HOST, 0), v6(8, 5), "2001:db8::1".parse().unwrap()] {
        assert_eq!(who(elsewhere), Ok(mac(0)));
    }
    assert_eq!(who(v6(HOST, 1)), Err(PolicyDecision::Drop(DropReason::Ignored)));
    assert_eq!(who("fe80::1".parse().unwrap()), Err(PolicyDecision::Drop(DropReason::NoSuchNode)));
    assert!(matches!(asks(Ipv6Addr::UNSPECIFIED, v6(HOST, 5)), PolicyDecision::Answer(_)));
    assert_eq!(asks(v6(HOST, 2), v6(HOST, 5)), PolicyDecision::Drop(DropReason::Spoofed));
}

#[test]
fn a_guest_speaks_only_as_itself() {
    let spoofed = PolicyDecision::Drop(DropReason::Spoofed);
    let own = v4(HOST, 1);
    let data = (1000, 2000);
    let mut frame = ipv4_frame(mac(2), own, v4(HOST, 2), 64, data);
    assert_eq!(rules().guest_sent(GuestId(2), &mut frame), spoofed, "another port's MAC");
    assert_eq!(rules().guest_sent(GuestId(1), &mut frame), PolicyDecision::Guest(GuestId(2)));
    assert_eq!(verdict(ipv4_frame(mac(2), v4(HOST, 3), v4(HOST, 2), 64, data)), spoofed);
    assert_eq!(verdict(ipv4_frame(mac(0), v4(8, 1), v4(9, 2), 64, data)), spoofed);
    assert_eq!(verdict(ipv4_frame(mac(0), v4(HOST, 0), v4(9, 2), 64, data)), spoofed, "the router's address");
    assert_eq!(verdict(ipv4_frame(mac(2), own, v4(HOST, 2), 64, (67, 68))), spoofed, "no other leases addresses");
    assert_eq!(verdict(arp_frame(mac(1), v4(HOST, 2), v4(HOST, 3))), spoofed);
    assert_eq!(verdict(arp_frame(mac(2), own, v4(HOST, 3))), spoofed);
    let all: Ipv6Addr = "ff02::1".parse().unwrap();
    for kind in [134, 137] {
        assert_eq!(
            verdict(ipv6_frame(Mac([0x33; 6]), link_local(mac(1).0), all, kind, v6(HOST, 5))),
            spoofed,
            "{kind}"
        );
    }
    assert_eq!(verdict(ipv6_frame(mac(2), v6(HOST, 1), v6(HOST, 2), 136, v6(HOST, 5))), spoofed);
    assert_eq!(verdict(ipv6_frame(mac(2), v6(HOST, 3), v6(HOST, 2), 128, all)), spoofed);
}

/// The same frame with extension headers in front of its payload, each with its number; the last leads to ICMPv6.
fn extended(frame: &[u8], headers: &[(u8, &[u8])]) -> Vec<u8> {
    let mut long = frame[..PACKET_AT + 40].to_vec();
    long[PACKET_AT + 6] = headers[0].0;
    for (at, (_, bytes)) in headers.iter().enumerate() {
        let start = long.len();
        long.extend_from_slice(bytes);
        long[start] = headers.get(at + 1).map_or(ICMPV6, |(number, _)| *number);
    }
    long.extend_from_slice(&frame[PACKET_AT + 40..]);
    let payload = (long.len() - PACKET_AT - 40) as u16;
    long[PACKET_AT + 4..][..2].copy_from_slice(&payload.to_be_bytes());
    long
}

#[test]
fn what_is_hidden_behind_other_headers_is_seen() {
    let (spoofed, malformed) = (DropReason::Spoofed, DropReason::Malformed);
    let dropped = |frame: Vec<u8>| match verdict(frame) {
        PolicyDecision::Drop(why) => Some(why),
        _ => None,
    };
    // A tag of VLAN 0 in front of an answer that would be dropped, or of a packet from anywhere.
    for kind in [0x8100, 0x88a8, 0x9100, 0x88cc] {
        let mut tagged = arp_frame(mac(1), v4(HOST, 1), v4(HOST, 2));
        tagged[HEADER_BYTES + 12..][..2].copy_from_slice(&u16::to_be_bytes(kind));
        assert_eq!(dropped(tagged), Some(DropReason::EtherType), "{kind:#x}");
    }
    let all: Ipv6Addr = "ff02::1".parse().unwrap();
    let options: &[u8] = &[0; 8];
    for kind in [133, 134, 135, 136, 137] {
        let said = ipv6_frame(Mac([0x33; 6]), link_local(mac(1).0), all, kind, v6(HOST, 5));
        for headers in [&[(60, options)][..], &[(0, options), (60, options)], &[(44, options)], &[(43, options)]] {
            assert_eq!(dropped(extended(&said, headers)), Some(spoofed), "{kind} behind {headers:?}");
        }
    }
    let echo = ipv6_frame(mac(2), v6(HOST, 1), v6(HOST, 2), 128, all);
    assert_eq!(verdict(extended(&echo, &[(60, options)])), PolicyDecision::Guest(GuestId(2)));
    // A later fragment: its first was looked at.
    assert_eq!(verdict(extended(&echo, &[(44, &[0, 0, 0, 8, 0, 0, 0, 1])])), PolicyDecision::Guest(GuestId(2)));
    let longer_than_the_packet: &[u8] = &[0, 200, 0, 0, 0, 0, 0, 0];
    assert_eq!(dropped(extended(&echo, &[(60, longer_than_the_packet)])), Some(malformed));
    assert_eq!(dropped(extended(&echo, &[(60, options); 10])), Some(malformed), "a chain without an end");
    let leases = {
        let mut frame = ipv6_frame(mac(2), v6(HOST, 1), v6(HOST, 2), 128, all);
        frame[PACKET_AT + 6] = UDP;
        frame[PACKET_AT + 40..][..4].copy_from_slice(&[0x02, 0x23, 0x02, 0x22]);
        frame
    };
    assert_eq!(dropped(leases), Some(spoofed), "no other leases addresses");
}

/// An IPv6 packet whose headers and payload are these, behind the first number.
fn ipv6_chain(to_mac: Mac, from: Ipv6Addr, to: Ipv6Addr, next: u8, rest: &[u8]) -> Vec<u8> {
    build(Ethernet { to: to_mac, from: mac(1), kind: IPV6 }, 40 + rest.len(), |packet| {
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
        (packet[6], packet[7]) = (next, 255);
        packet[8..24].copy_from_slice(&from.octets());
        packet[24..40].copy_from_slice(&to.octets());
        packet[40..].copy_from_slice(rest);
    })
}

/// Where the router takes what a guest sends through it, if guests reach so far.
fn through_router(reach: GuestReach, mut frame: Vec<u8>) -> PolicyDecision {
    let rules = Rules::new(Plan { guest_reach: reach, ..plan() }, HostId(HOST)).unwrap();
    rules.guest_sent(GuestId(1), &mut frame)
}

#[test]
fn guests_reach_guests_and_more_only_by_the_word() {
    let own = v4(HOST, 1);
    let four = |to| ipv4_frame(mac(0), own, to, 64, (1000, 2000));
    let six = |to| ipv6_chain(mac(0), v6(HOST, 1), to, 17, &[0, 9, 0, 9, 0, 8, 0, 0]);
    let six_of = |text: &str| six(text.parse().unwrap());
    let none = || PolicyDecision::Drop(DropReason::OutOfReach);
    for reach in GuestReach::ALL {
        assert_eq!(through_router(reach, four(v4(8, 1))), PolicyDecision::Uplink(Some(HostId(8))), "{reach}");
        assert_eq!(through_router(reach, six(v6(9, 3))), PolicyDecision::Uplink(Some(HostId(9))), "{reach}");
        let by = |needs: GuestReach, decision| if reach >= needs { decision } else { none() };
        let up = || PolicyDecision::Uplink(None);
        for (host, decision) in [
            (v4(HOST, 0), up()),
            (v4(8, 0), PolicyDecision::Uplink(Some(HostId(8)))),
            (Ipv4Addr::new(172, 20, 0, 7), up()),
            (Ipv4Addr::new(172, 20, 0, 8), PolicyDecision::Nearby(Ipv4Addr::new(172, 20, 0, 8).into())),
            (Ipv4Addr::new(172, 20, 9, 9), PolicyDecision::Nearby(Ipv4Addr::new(172, 20, 9, 9).into())),
        ] {
            assert_eq!(through_router(reach, four(host)), by(GuestReach::Hosts, decision), "{reach}: {host}");
        }
        let (host, other) = (plan().host_ipv6(HostId(7)).unwrap(), plan().host_ipv6(HostId(8)).unwrap());
        for (host, decision) in [
            (v6(HOST, 0), up()),
            (v6(8, 0), PolicyDecision::Uplink(Some(HostId(8)))),
            (host, up()),
            (other, PolicyDecision::Nearby(other.into())),
        ] {
            assert_eq!(through_router(reach, six(host)), by(GuestReach::Hosts, decision), "{reach}: {host}");
        }
        assert_eq!(through_router(reach, four(Ipv4Addr::new(1, 1, 1, 1))), by(GuestReach::World, up()), "{reach}");
        assert_eq!(through_router(reach, six_of("2001:db8::1")), by(GuestReach::World, up()), "{reach}");
        for nowhere in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(0, 0, 0, 1)] {
            assert_eq!(through_router(reach, four(nowhere)), none(), "{reach}: {nowhere}");
        }
        for nowhere in ["::1", "::ffff:172.20.0.7", "fe80::1"] {
            assert_eq!(through_router(reach, six_of(nowhere)), none(), "{reach}: {nowhere}");
        }
    }
}

#[test]
fn the_router_answers_pings_and_keeps_its_ports_shut() {
    let (own, router) = (v4(HOST, 1), v4(HOST, 0));
    let four = |protocol: u8, at: usize, byte: u8, fragment: u8| {
        let payload = [0; 20];
        let mut frame = build(Ethernet { to: mac(0), from: mac(1), kind: IPV4 }, 20 + payload.len(), |packet| {
            (packet[0], packet[3], packet[8], packet[9]) = (0x45, 40, 64, protocol);
            packet[6] = fragment;
            packet[12..16].copy_from_slice(&own.octets());
            packet[16..20].copy_from_slice(&router.octets());
            packet[20 + at] = byte;
        });
        rules().guest_sent(GuestId(1), &mut frame)
    };
    let six = |next: u8, at: usize, byte: u8| {
        let mut payload = [0; 20];
        payload[at] = byte;
        verdict(ipv6_chain(mac(0), v6(HOST, 1), v6(HOST, 0), next, &payload))
    };
    let passes = || PolicyDecision::Uplink(None);
    let none = || PolicyDecision::Drop(DropReason::OutOfReach);
    assert_eq!([four(ICMP, 0, 8, 0), four(ICMP, 0, 0, 0), six(ICMPV6, 0, 128)], [passes(), passes(), passes()]);
    let (syn, rst, syn_ack, ack) = (2, 4, 18, 16);
    for flags in [rst, syn_ack, ack] {
        assert_eq!([four(6, 13, flags, 0), six(6, 13, flags)], [passes(), passes()], "what the host opened goes on");
    }
    for flags in [syn, 0, 1, 32] {
        assert_eq!([four(6, 13, flags, 0), six(6, 13, flags)], [none(), none()], "TCP with flags {flags}");
    }
    assert_eq!([four(17, 0, 0, 0), six(17, 0, 0), four(132, 0, 0, 0)], [none(), none(), none()]);
    assert_eq!(four(ICMP, 0, 13, 0), none(), "a timestamp");
    assert_eq!(four(ICMP, 0, 8, 0x20), none(), "a fragment");
    let mut routed = ipv4_frame(mac(0), own, router, 64, (0, 0));
    routed.splice(PACKET_AT + 20..PACKET_AT + 20, [131, 7, 4, 172, 20, 0, 8, 0]);
    let length = (routed.len() - PACKET_AT) as u8;
    (routed[PACKET_AT], routed[PACKET_AT + 3], routed[PACKET_AT + 9]) = (0x47, length, ICMP);
    routed[PACKET_AT + 28] = 8;
    assert_eq!(verdict(routed), none(), "a ping that says by which way it wants to go");
}

#[test]
fn frames_go_to_neighbours_packets_elsewhere() {
    let own = v4(HOST, 1);
    let data = (1000, 2000);
    assert_eq!(verdict(ipv4_frame(Mac([0xff; 6]), own, Ipv4Addr::BROADCAST, 64, data)), PolicyDecision::Everyone);
    assert_eq!(verdict(ipv4_frame(mac(1), own, own, 64, data)), PolicyDecision::Drop(DropReason::NoSuchNode));
    for nobody in [Ipv4Addr::new(10, 0, 7, 200), Ipv4Addr::new(10, 0, 200, 1)] {
        assert_eq!(verdict(ipv4_frame(mac(0), own, nobody, 64, data)), PolicyDecision::Drop(DropReason::NoSuchNode));
    }
    assert_eq!(
        verdict(ipv4_frame(Mac([4; 6]), own, v4(HOST, 2), 64, data)),
        PolicyDecision::Drop(DropReason::NoSuchNode)
    );
}

#[test]
fn a_packet_to_a_neighbour_through_the_router_loses_a_hop() {
    let mut frame = ipv4_frame(mac(0), v4(HOST, 1), v4(HOST, 2), 64, (1, 2));
    assert_eq!(rules().guest_sent(GuestId(1), &mut frame), PolicyDecision::Guest(GuestId(2)));
    let ethernet = frame::ethernet(&frame).unwrap();
    assert_eq!((ethernet.to, ethernet.from), (mac(2), mac(0)));
    assert_eq!(frame::ipv4(packet(&frame)).unwrap().ttl, 63);
    assert!(Ipv4Packet::new_checked(packet(&frame)).unwrap().verify_checksum());
    let last = verdict(ipv4_frame(mac(0), v4(HOST, 1), v4(HOST, 2), 1, (1, 2)));
    assert_eq!(last, PolicyDecision::Uplink(None), "the kernel says that its time is over");
    let mut frame = ipv6_frame(mac(0), v6(HOST, 1), v6(HOST, 2), 128, v6(HOST, 2));
    assert_eq!(rules().guest_sent(GuestId(1), &mut frame), PolicyDecision::Guest(GuestId(2)));
    assert_eq!(frame::ipv6(packet(&frame)).unwrap().hop_limit, 254);
}

#[test]
fn what_comes_from_the_kernel_gets_the_guests_mac() {
    let mut frame = ipv4_frame(Mac([0; 6]), v4(8, 1), v4(HOST, 2), 64, (1, 2));
    assert_eq!(rules().uplink_sent(&mut frame), PolicyDecision::Guest(GuestId(2)));
    let ethernet = frame::ethernet(&frame).unwrap();
    assert_eq!((ethernet.to, ethernet.from, ethernet.kind), (mac(2), mac(0), IPV4));
    assert_eq!(frame::ipv4(packet(&frame)).unwrap().ttl, 64, "the kernel took its hop");
    let up = |from, to| rules().uplink_sent(&mut ipv4_frame(Mac([0; 6]), from, to, 64, (1, 2)));
    for ours in [v4(HOST, 1), v4(HOST, 0), plan().host_ipv4(HostId(HOST)).unwrap()] {
        assert_eq!(up(ours, v4(9, 1)), PolicyDecision::Uplink(Some(HostId(9))), "a route is missing");
    }
    assert_eq!(up(v4(8, 1), Ipv4Addr::new(10, 0, 7, 200)), PolicyDecision::Drop(DropReason::NoSuchNode));
    assert_eq!(up(v4(8, 1), Ipv4Addr::new(224, 0, 0, 1)), PolicyDecision::Drop(DropReason::Ignored));
}

#[test]
fn a_host_is_no_router_for_strangers() {
    let up = |reach, from, to| {
        let rules = Rules::new(Plan { guest_reach: reach, ..plan() }, HostId(HOST)).unwrap();
        rules.uplink_sent(&mut ipv4_frame(Mac([0; 6]), from, to, 64, (1, 2)))
    };
    let (guest, other) = (v4(HOST, 2), plan().host_ipv4(HostId(8)).unwrap());
    let none = || PolicyDecision::Drop(DropReason::OutOfReach);
    let (stranger, world) = (Ipv4Addr::new(172, 20, 99, 1), Ipv4Addr::new(1, 1, 1, 1));
    for reach in GuestReach::ALL {
        assert_eq!(up(reach, other, guest), PolicyDecision::Guest(GuestId(2)), "{reach}: hosts reach guests");
        assert_eq!(up(reach, v4(8, 1), v4(9, 1)), none(), "{reach}: another's guest to a third's");
        assert_eq!(up(reach, stranger, v4(9, 1)), none(), "{reach}: a stranger to another host's");
        let spoofed = PolicyDecision::Drop(DropReason::Spoofed);
        assert_eq!(up(reach, v4(HOST, 1), guest), spoofed, "{reach}: our own guest from outside");
        for (from, needs) in [(stranger, GuestReach::Hosts), (world, GuestReach::World)] {
            let want = if reach >= needs { PolicyDecision::Guest(GuestId(2)) } else { none() };
            assert_eq!(up(reach, from, guest), want, "{reach}: {from}");
        }
    }
}

#[test]
fn dhcp_is_answered_from_the_plan() {
    let mut asks = ipv4_frame(Mac([0xff; 6]), Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, 64, (68, 67));
    assert_eq!(
        rules().guest_sent(GuestId(1), &mut asks),
        PolicyDecision::Drop(DropReason::Ignored),
        "no DHCP message in it"
    );
    let lease = rules().lease(GuestId(1)).unwrap();
    assert_eq!((lease.address, lease.router), (v4(HOST, 1), v4(HOST, 0)));
    assert_eq!((lease.netmask, lease.name.as_str()), (Ipv4Addr::new(255, 255, 255, 0), "h7-g1"));
}

#[test]
fn names_are_answered_at_the_routers_address_and_at_the_resolvers() {
    let ask = |from: Ipv4Addr, to: Ipv4Addr, port: u16| {
        let question = dns::tests::question("h9-g2", 1);
        let length = (8 + question.len()) as u16;
        let mut frame = ipv4_frame(mac(0), from, to, 64, (40_000, port));
        frame.extend_from_slice(&question);
        frame[PACKET_AT + 2..][..2].copy_from_slice(&(20 + length).to_be_bytes());
        frame[PACKET_AT + 24..][..2].copy_from_slice(&length.to_be_bytes());
        Ipv4Packet::new_unchecked(&mut frame[PACKET_AT..]).fill_checksum();
        verdict(frame)
    };
    for to in [v4(HOST, 0), RESOLVER] {
        let PolicyDecision::Answer(frame) = ask(v4(HOST, 1), to, 53) else { panic!("no answer from {to}") };
        let packet = packet(&frame);
        let (_, address) = dns::tests::read(&packet[28..]);
        assert_eq!(address, Some(IpAddr::V4(v4(9, 2))));
        let ip = Ipv4Packet::new_checked(packet).unwrap();
        assert!(ip.verify_checksum() && (ip.src_addr(), ip.dst_addr()) == (to, v4(HOST, 1)));
        assert_eq!(packet[20..24], [0, 53, 0x9c, 0x40], "the ports");
        assert_eq!(ask(v4(HOST, 2), to, 53), PolicyDecision::Drop(DropReason::Spoofed));
        assert!(matches!(ask(v4(HOST, 1), to, 54), PolicyDecision::Drop(_)), "no other port opens by it");
    }
    let no_dns = ipv4_frame(mac(0), v4(HOST, 1), RESOLVER, 64, (40_000, 53));
    assert_eq!(verdict(no_dns), PolicyDecision::Drop(DropReason::Ignored));
}

proptest! {
    #[test]
    fn no_frame_panics_and_no_verdict_names_another_host(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in prop::sample::select(vec![ARP, IPV4, IPV6, 0x8100]),
        to in prop::sample::select(vec![mac(0), mac(2), Mac([0xff; 6])]),
        shape in any::<bool>(),
    ) {
        if shape && bytes.len() >= PACKET_AT + 8 {
            frame::set_ethernet(&mut bytes, Ethernet { to, from: mac(1), kind });
            bytes[PACKET_AT] = if kind == IPV4 { 0x45 } else { 0x60 };
            let length = (bytes.len() - PACKET_AT) as u16;
            if kind == IPV4 {
                bytes[PACKET_AT + 2..][..2].copy_from_slice(&length.to_be_bytes());
            } else {
                bytes[PACKET_AT + 4..][..2].copy_from_slice(&length.saturating_sub(40).to_be_bytes());
                bytes[PACKET_AT + 6] = ICMPV6;
            }
        }
        let mut copy = bytes.clone();
        for verdict in [rules().guest_sent(GuestId(1), &mut bytes), rules().uplink_sent(&mut copy)] {
            match verdict {
                PolicyDecision::Guest(guest) => prop_assert!((1..=9).contains(&guest.0)),
                PolicyDecision::Uplink(Some(host)) => prop_assert!(host.0 != HOST && host.0 <= 20),
                PolicyDecision::Answer(frame) => prop_assert!(frame.len() > HEADER_BYTES + 14),
                _ => {}
            }
        }
    }
}
