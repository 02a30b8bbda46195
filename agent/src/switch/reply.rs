//! What the switch itself says to a guest: ARP, neighbour advertisements, DHCP, DNS.
//!
//! Takes a question that the rules found worth an answer; gives the frame that answers
//! it. Nothing is remembered: the same question has the same answer always, because
//! every address is computed by the plan.

use super::frame::{self, Ethernet, Mac, UDP};
use crate::dns::{self, Others};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpOption, DhcpPacket,
    DhcpRepr, EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr, UdpPacket, UdpRepr,
};
use std::net::{Ipv4Addr, Ipv6Addr};
use vmatic_plan::{GuestReach, Plan};

/// Addresses are computed, so a lease never ends (RFC 2131, 3.3).
const LEASE_S: u32 = u32::MAX;
/// Neighbour discovery is believed only from next door (RFC 4861, 7.1.2).
const NEIGHBOUR_HOPS: u8 = 255;
/// DHCP's options 6, who knows names, 12, the host name, and 15, the domain (RFC 2132, 3.8, 3.14, 3.17).
const OPTION_DNS: u8 = 6;
const OPTION_NAME: u8 = 12;
const OPTION_DOMAIN: u8 = 15;

/// What DHCP tells a guest.
#[derive(Clone)]
pub struct Lease {
    pub mac: Mac,
    pub name: String,
    pub domain: String,
    /// Whether the router is to be asked for names.
    pub names: bool,
    pub address: Ipv4Addr,
    pub netmask: Ipv4Addr,
    pub router: Ipv4Addr,
    pub router_mac: Mac,
}

/// A question by ARP (RFC 826).
#[derive(Debug, PartialEq, Eq)]
pub struct ArpAsked {
    pub request: bool,
    pub mac: Mac,
    pub from: Ipv4Addr,
    pub target: Ipv4Addr,
}

/// Reads an ARP packet.
pub fn read_arp(packet: &[u8]) -> Option<ArpAsked> {
    match ArpRepr::parse(&ArpPacket::new_checked(packet).ok()?).ok()? {
        ArpRepr::EthernetIpv4 {
            operation, source_hardware_addr, source_protocol_addr, target_protocol_addr, ..
        } => Some(ArpAsked {
            request: operation == ArpOperation::Request,
            mac: Mac(source_hardware_addr.0),
            from: source_protocol_addr,
            target: target_protocol_addr,
        }),
        _ => None,
    }
}

/// `asked.target` is at `owner`.
pub fn arp(asked: &ArpAsked, owner: Mac) -> Vec<u8> {
    let answer = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(owner.0),
        source_protocol_addr: asked.target,
        target_hardware_addr: EthernetAddress(asked.mac.0),
        target_protocol_addr: asked.from,
    };
    let header = Ethernet { to: asked.mac, from: owner, kind: frame::ARP };
    frame::build(header, answer.buffer_len(), |packet| answer.emit(&mut ArpPacket::new_unchecked(packet)))
}

/// The address whose owner a neighbour solicitation asks for; its checksum and hop limit are checked.
pub fn read_solicitation(packet: &[u8]) -> Option<Ipv6Addr> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    let sums = ChecksumCapabilities::default();
    match Icmpv6Repr::parse(&ip.src_addr(), &ip.dst_addr(), &icmp, &sums).ok()? {
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, .. }) if ip.hop_limit() == NEIGHBOUR_HOPS => {
            Some(target_addr)
        }
        _ => None,
    }
}

/// To `to` at `mac`: `target` is at `owner`, which may be a router (RFC 4861, 4.4).
pub fn advertisement(target: Ipv6Addr, owner: Mac, router: bool, mac: Mac, to: Ipv6Addr) -> Vec<u8> {
    // Whoever has no address yet hears it with all others (RFC 4861, 7.2.4).
    let (to, solicited) = match to.is_unspecified() {
        true => (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), NdiscNeighborFlags::empty()),
        false => (to, NdiscNeighborFlags::SOLICITED),
    };
    let router = if router { NdiscNeighborFlags::ROUTER } else { NdiscNeighborFlags::empty() };
    let icmp = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
        flags: solicited | router | NdiscNeighborFlags::OVERRIDE,
        target_addr: target,
        lladdr: Some(EthernetAddress(owner.0).into()),
    });
    let ip = Ipv6Repr {
        src_addr: target,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: icmp.buffer_len(),
        hop_limit: NEIGHBOUR_HOPS,
    };
    let header = Ethernet { to: mac, from: owner, kind: frame::IPV6 };
    frame::build(header, ip.buffer_len() + icmp.buffer_len(), |packet| {
        ip.emit(&mut Ipv6Packet::new_unchecked(&mut *packet));
        let mut inner = Icmpv6Packet::new_unchecked(&mut packet[ip.buffer_len()..]);
        icmp.emit(&target, &to, &mut inner, &ChecksumCapabilities::default());
    })
}

/// Answers a DHCP message that came from the lease's port (RFC 2131, 4.3); none if it wants no answer.
pub fn dhcp(payload: &[u8], lease: &Lease) -> Option<Vec<u8>> {
    let datagram = UdpPacket::new_checked(payload).ok()?;
    let packet = DhcpPacket::new_checked(datagram.payload()).ok()?;
    let asked = DhcpRepr::parse(&packet).ok()?;
    if asked.client_hardware_address.0 != lease.mac.0 {
        return None;
    }
    // For another server; there is none, but the client chose.
    if asked.server_identifier.is_some_and(|server| server != lease.router) {
        return None;
    }
    let wanted = asked.requested_ip.unwrap_or(asked.client_ip);
    let message_type = match asked.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request if wanted == lease.address => DhcpMessageType::Ack,
        DhcpMessageType::Request => DhcpMessageType::Nak,
        DhcpMessageType::Inform => DhcpMessageType::Ack,
        _ => return None,
    };
    let refused = message_type == DhcpMessageType::Nak;
    let inform = asked.message_type == DhcpMessageType::Inform;
    let resolver = lease.router.octets();
    let options = [
        DhcpOption { kind: OPTION_DOMAIN, data: lease.domain.as_bytes() },
        DhcpOption { kind: OPTION_NAME, data: lease.name.as_bytes() },
        DhcpOption { kind: OPTION_DNS, data: &resolver },
    ];
    // Who reaches the world asks whom it likes: we know no more than nodes.
    let options = if lease.names { &options[..] } else { &options[..2] };
    let answer = DhcpRepr {
        message_type,
        transaction_id: asked.transaction_id,
        secs: 0,
        client_hardware_address: asked.client_hardware_address,
        client_ip: if refused { Ipv4Addr::UNSPECIFIED } else { asked.client_ip },
        your_ip: if refused || inform { Ipv4Addr::UNSPECIFIED } else { lease.address },
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: (!refused).then_some(lease.router),
        subnet_mask: (!refused).then_some(lease.netmask),
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: asked.broadcast,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(lease.router),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: (!refused && !inform).then_some(LEASE_S),
        renew_duration: None,
        rebind_duration: None,
        additional_options: if refused { &[] } else { options },
    };
    // A client that has its address already is answered there; one that cannot hear it yet, everywhere.
    let to = match (asked.client_ip.is_unspecified(), asked.broadcast || refused) {
        (false, _) if !refused => asked.client_ip,
        (_, true) => Ipv4Addr::BROADCAST,
        _ => lease.address,
    };
    let fill = |payload: &mut [u8]| {
        // Fails only for want of room, and there is what `buffer_len` asked for.
        let _ = answer.emit(&mut DhcpPacket::new_unchecked(payload));
    };
    let way = Way { from: (lease.router, DHCP_SERVER_PORT), to: (to, DHCP_CLIENT_PORT) };
    Some(datagram_to(lease, way, answer.buffer_len(), fill))
}

/// Answers a question of DNS that came to `resolver`; none if it is none.
pub fn dns(payload: &[u8], resolver: Ipv4Addr, lease: &Lease, plan: &Plan) -> Option<Vec<u8>> {
    let asked = UdpPacket::new_checked(payload).ok()?;
    // Who reaches the world may have another to ask.
    let others = if plan.guest_reach == GuestReach::World { Others::MayKnow } else { Others::None };
    let answer = dns::answer(asked.payload(), plan, others)?;
    let way = Way { from: (resolver, dns::PORT), to: (lease.address, asked.src_port()) };
    Some(datagram_to(lease, way, answer.len(), |payload| payload.copy_from_slice(&answer)))
}

/// The ends of a datagram.
struct Way {
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
}

/// A frame with a datagram to the guest that has the lease.
fn datagram_to(lease: &Lease, way: Way, bytes: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let udp = UdpRepr { src_port: way.from.1, dst_port: way.to.1 };
    let ip = Ipv4Repr {
        src_addr: way.from.0,
        dst_addr: way.to.0,
        next_header: IpProtocol::from(UDP),
        payload_len: udp.header_len() + bytes,
        hop_limit: 64,
    };
    let to_mac = if way.to.0.is_broadcast() { Mac::BROADCAST } else { lease.mac };
    let header = Ethernet { to: to_mac, from: lease.router_mac, kind: frame::IPV4 };
    let sums = ChecksumCapabilities::default();
    frame::build(header, ip.buffer_len() + ip.payload_len, |packet| {
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &sums);
        let mut datagram = UdpPacket::new_unchecked(&mut packet[ip.buffer_len()..]);
        udp.emit(&mut datagram, &ip.src_addr.into(), &ip.dst_addr.into(), bytes, fill, &sums);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn lease() -> Lease {
        Lease {
            mac: Mac([2, 0, 0, 1, 0, 3]),
            name: "h1-g3".into(),
            domain: "t".into(),
            names: true,
            address: Ipv4Addr::new(10, 0, 1, 4),
            netmask: Ipv4Addr::new(255, 255, 255, 0),
            router: Ipv4Addr::new(10, 0, 1, 1),
            router_mac: Mac([2, 0, 0, 1, 0, 0]),
        }
    }

    /// A DHCP message as BusyBox's udhcpc lays it out, behind its UDP header.
    fn message(kind: u8, wanted: Option<Ipv4Addr>, mac: Mac) -> Vec<u8> {
        let mut bytes = vec![0u8; 8 + 240];
        bytes[8..12].copy_from_slice(&[1, 1, 6, 0]);
        bytes[12..16].copy_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
        bytes[8 + 28..8 + 34].copy_from_slice(&mac.0);
        bytes[8 + 236..].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend([53, 1, kind]);
        if let Some(wanted) = wanted {
            bytes.extend([50, 4]);
            bytes.extend(wanted.octets());
        }
        bytes.push(255);
        let length = bytes.len() as u16;
        bytes[..2].copy_from_slice(&68u16.to_be_bytes());
        bytes[2..4].copy_from_slice(&67u16.to_be_bytes());
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    /// Message type, address and checksums of an answer.
    fn read(frame: &[u8]) -> (DhcpMessageType, Ipv4Addr, Option<u32>) {
        let ip = Ipv4Packet::new_checked(frame::packet(frame)).unwrap();
        assert!(ip.verify_checksum());
        let udp = UdpPacket::new_checked(ip.payload()).unwrap();
        assert!(udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
        let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
        let answer = DhcpRepr::parse(&packet).unwrap();
        assert_eq!(answer.transaction_id, 0xdead_beef);
        (answer.message_type, answer.your_ip, answer.lease_duration)
    }

    #[test]
    fn dhcp_offers_and_confirms_the_plans_address_only() {
        let lease = lease();
        let answer = |kind, wanted| dhcp(&message(kind, wanted, lease.mac), &lease);
        assert_eq!(read(&answer(1, None).unwrap()), (DhcpMessageType::Offer, lease.address, Some(LEASE_S)));
        let confirmed = answer(3, Some(lease.address)).unwrap();
        assert_eq!(read(&confirmed), (DhcpMessageType::Ack, lease.address, Some(LEASE_S)));
        assert!(String::from_utf8_lossy(&confirmed).contains("h1-g3"));
        let names_us = |packet: &[u8]| packet.windows(6).any(|option| option == [6, 4, 10, 0, 1, 1]);
        assert!(names_us(&confirmed), "who knows names");
        let world = Lease { names: false, ..lease.clone() };
        assert!(!names_us(&dhcp(&message(1, None, world.mac), &world).unwrap()), "who reaches the world asks others");
        let refused = answer(3, Some(Ipv4Addr::new(10, 0, 1, 9))).unwrap();
        assert_eq!(read(&refused), (DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED, None));
        assert_eq!(frame::ethernet(&refused).unwrap().to, Mac::BROADCAST);
        assert_eq!(answer(7, None), None, "a release wants no answer");
        assert_eq!(dhcp(&message(1, None, Mac([9; 6])), &lease), None, "another's message");
    }

    #[test]
    fn a_neighbour_is_advertised_so_that_it_is_believed() {
        let (target, to): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::4".parse().unwrap());
        for to in [to, Ipv6Addr::UNSPECIFIED] {
            let frame = advertisement(target, Mac([2; 6]), true, Mac([3; 6]), to);
            let ip = Ipv6Packet::new_checked(frame::packet(&frame)).unwrap();
            let icmp = Icmpv6Packet::new_checked(ip.payload()).unwrap();
            assert!(icmp.verify_checksum(&ip.src_addr(), &ip.dst_addr()));
            assert_eq!((ip.hop_limit(), ip.src_addr()), (255, target));
            assert!(ip.dst_addr() == to || to.is_unspecified() && ip.dst_addr().is_multicast());
        }
    }

    proptest! {
        #[test]
        fn no_question_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            at in 0usize..260,
            cut in 0usize..300,
        ) {
            let _ = (read_arp(&bytes), read_solicitation(&bytes), dhcp(&bytes, &lease()));
            // A sound message with noise in it, and cut short: options of any kind and length.
            let mut sound = message(3, Some(Ipv4Addr::LOCALHOST), lease().mac);
            for (to, from) in sound[at.min(250)..].iter_mut().zip(&bytes) {
                *to = *from;
            }
            let _ = dhcp(&sound, &lease());
            let cut = cut.min(sound.len());
            sound[4..6].copy_from_slice(&(cut as u16).to_be_bytes());
            let _ = dhcp(&sound[..cut], &lease());
            let plan = Plan::new("t", vmatic_plan::HostNames::count(2).unwrap());
            let mut asked = [&[0x9c, 0x40, 0, 53, 0, 0, 0, 0][..], &dns::tests::question("h2", 1)].concat();
            let length = asked.len() as u16;
            asked[4..6].copy_from_slice(&length.to_be_bytes());
            prop_assert!(dns(&asked, Ipv4Addr::LOCALHOST, &lease(), &plan).is_some());
            for (to, from) in asked[at.min(length as usize - 1)..].iter_mut().zip(&bytes) {
                *to = *from;
            }
            for bytes in [&asked[..], &asked[..cut.min(asked.len())], &bytes] {
                let _ = dns(bytes, Ipv4Addr::LOCALHOST, &lease(), &plan);
            }
        }
    }
}
