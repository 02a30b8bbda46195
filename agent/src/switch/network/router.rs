//! A computed router: what a router does with a frame, and what it says itself.
//!
//! Takes a frame that came to one of its ports; says what it is for the router: to be passed on, to be answered, or
//! nothing. Where it leads is the fabric's to find. A router answers ARP for itself and echo requests; what it cannot
//! pass on it reports as RFC 1812 has it, so that traceroute shows it and senders learn how long packets may be. It
//! speaks IPv4.

use crate::switch::counters::DropReason;
use crate::switch::frame::{self, ARP, Ethernet, HEADER_BYTES, ICMP, IPV4, Ipv4, Mac, PACKET_AT, TCP, UDP};
use crate::switch::reply::{self, ArpAsked};
use std::net::Ipv4Addr;

/// Bytes of an IPv4 header without options.
const IPV4_BYTES: usize = 20;
/// Bytes of an ICMP header (RFC 792).
const ICMP_BYTES: usize = 8;
/// Most bytes of a report with its header (RFC 1812, 4.3.2.3).
const REPORT_BYTES_MAX: usize = 576;
/// Time to live of what a router sends itself (RFC 1700).
const TTL: u8 = 64;
/// Don't fragment, and more fragments: bits of the byte that has them (RFC 791, 3.1).
const DONT_FRAGMENT: u8 = 0x40;
const MORE_FRAGMENTS: u8 = 0x20;

/// ICMP types (RFC 792).
mod icmp {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const ECHO: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    /// Those that may be reported on: they are no reports (RFC 1122, 3.2.2).
    pub const NO_REPORTS: [u8; 6] = [ECHO_REPLY, ECHO, 13, 14, 17, 18];
}

/// A router as one of its links sees it.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// The MAC of the port.
    pub mac: Mac,
    /// The router's address, on all ports.
    pub address: Ipv4Addr,
}

/// What a frame is for a router.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// A packet for somebody else.
    Route(Ipv4),
    /// A packet for the router, which answers with this frame.
    Answer(Vec<u8>),
    /// A packet for the router, of which it reports.
    Report(Problem),
    /// Somebody asks whose an address is that is not the router's.
    Asks(ArpAsked),
    /// Nothing, and why.
    Drop(DropReason),
}

/// Why a packet does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It has passed as many routers as it may.
    TimeExceeded,
    /// There is no way to its destination.
    NetUnreachable,
    /// Nobody has its destination.
    HostUnreachable,
    /// The router understands no such protocol.
    ProtocolUnreachable,
    /// Nobody listens at that port.
    PortUnreachable,
    /// It is longer than the next link takes, and may not be cut.
    TooLong {
        /// What the link takes.
        mtu: u16,
    },
}

impl Problem {
    /// Type, code, and the last two bytes of the header (RFC 792, 1191).
    fn words(self) -> (u8, u8, u16) {
        match self {
            Problem::NetUnreachable => (icmp::UNREACHABLE, 0, 0),
            Problem::HostUnreachable => (icmp::UNREACHABLE, 1, 0),
            Problem::ProtocolUnreachable => (icmp::UNREACHABLE, 2, 0),
            Problem::PortUnreachable => (icmp::UNREACHABLE, 3, 0),
            Problem::TooLong { mtu } => (icmp::UNREACHABLE, 4, mtu),
            Problem::TimeExceeded => (icmp::TIME_EXCEEDED, 0, 0),
        }
    }
}

/// The Internet checksum (RFC 1071): 0 over what has a right one.
fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, last) = bytes.as_chunks::<2>();
    let words = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair)));
    // At most 4,600 words of a jumbo frame: the sum fits.
    let sum = words.sum::<u32>() + last.first().map_or(0, |byte| u32::from(*byte) << 8);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// What a frame is for the router.
pub fn look(bytes: &[u8], own: Own) -> Look {
    let Some(ethernet) = frame::ethernet(bytes) else { return Look::Drop(DropReason::Malformed) };
    let group = ethernet.to.0[0] & 1 == 1;
    if ethernet.to != own.mac && !group {
        return Look::Drop(DropReason::Ignored);
    }
    let packet = frame::packet(bytes);
    match ethernet.kind {
        ARP => match reply::read_arp(packet) {
            None => Look::Drop(DropReason::Malformed),
            Some(asked) if !asked.request || asked.target == asked.from => Look::Drop(DropReason::Ignored),
            Some(asked) if asked.target == own.address => Look::Answer(reply::arp(&asked, own.mac)),
            Some(asked) => Look::Asks(asked),
        },
        IPV4 => match frame::ipv4(packet) {
            None => Look::Drop(DropReason::Malformed),
            Some(ip) if checksum(&packet[..ip.payload_at]) != 0 => Look::Drop(DropReason::Malformed),
            Some(ip) if ip.to == own.address => for_router(packet, &ip, &ethernet, own),
            // What is for all on a link, or for a group, is not passed on (RFC 1812, 4.2.2.11).
            Some(ip) if group || ip.to.is_multicast() || ip.to.is_broadcast() || !is_source(ip.from) => {
                Look::Drop(DropReason::Ignored)
            }
            Some(ip) => Look::Route(ip),
        },
        _ => Look::Drop(DropReason::EtherType),
    }
}

/// Whether a packet may be from there.
fn is_source(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 224 && !address.is_loopback()
}

fn for_router(packet: &[u8], ip: &Ipv4, ethernet: &Ethernet, own: Own) -> Look {
    let payload = packet.get(ip.payload_at..ip.end).unwrap_or_default();
    match ip.protocol {
        // The router keeps nothing, so it puts no fragments together.
        _ if !ip.whole || !is_source(ip.from) => Look::Drop(DropReason::Ignored),
        ICMP if payload.first() == Some(&icmp::ECHO) && payload.len() >= ICMP_BYTES => {
            if checksum(payload) != 0 {
                return Look::Drop(DropReason::Malformed);
            }
            Look::Answer(from_router(ethernet.from, ip.from, own, payload.len(), |answer| {
                answer.copy_from_slice(payload);
                answer[0] = icmp::ECHO_REPLY;
            }))
        }
        ICMP => Look::Drop(DropReason::Ignored),
        UDP | TCP => Look::Report(Problem::PortUnreachable),
        _ => Look::Report(Problem::ProtocolUnreachable),
    }
}

/// A frame with an ICMP message of so many bytes from the router, whose checksum is written.
fn from_router(mac: Mac, to: Ipv4Addr, own: Own, bytes: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let header = Ethernet { to: mac, from: own.mac, kind: IPV4 };
    frame::build(header, IPV4_BYTES + bytes, |packet| {
        let (ip, message) = packet.split_at_mut(IPV4_BYTES);
        fill(message);
        message[2..4].fill(0);
        let sum = checksum(message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        (ip[0], ip[8], ip[9]) = (0x45, TTL, ICMP);
        ip[2..4].copy_from_slice(&((IPV4_BYTES + bytes) as u16).to_be_bytes());
        ip[12..16].copy_from_slice(&own.address.octets());
        ip[16..20].copy_from_slice(&to.octets());
        let sum = checksum(ip).to_be_bytes();
        ip[10..12].copy_from_slice(&sum);
    })
}

/// The report on a packet, to whoever brought it; none where none may be sent (RFC 1812, 4.3.2.7).
pub fn report(bytes: &[u8], own: Own, problem: Problem) -> Option<Vec<u8>> {
    let ethernet = frame::ethernet(bytes)?;
    let packet = frame::packet(bytes);
    let ip = frame::ipv4(packet)?;
    let payload = packet.get(ip.payload_at..ip.end)?;
    let of_report = ip.protocol == ICMP && payload.first().is_none_or(|kind| !icmp::NO_REPORTS.contains(kind));
    let group = ethernet.to.0[0] & 1 == 1 || ip.to.is_multicast() || ip.to.is_broadcast();
    if of_report || group || !ip.first || !is_source(ip.from) {
        return None;
    }
    let quoted = &packet[..ip.end.min(REPORT_BYTES_MAX - IPV4_BYTES - ICMP_BYTES)];
    let (kind, code, value) = problem.words();
    Some(from_router(ethernet.from, ip.from, own, ICMP_BYTES + quoted.len(), |message| {
        (message[0], message[1]) = (kind, code);
        message[6..8].copy_from_slice(&value.to_be_bytes());
        message[ICMP_BYTES..].copy_from_slice(quoted);
    }))
}

/// Whether a packet may be cut into fragments.
pub fn may_be_cut(bytes: &[u8]) -> bool {
    frame::packet(bytes).get(6).is_some_and(|flags| flags & DONT_FRAGMENT == 0)
}

/// A packet in fragments that a link takes (RFC 791, 3.2), each a frame with the Ethernet header of the whole; options
/// go with the first alone, since none that routers may copy is of use any more (RFC 6814).
pub fn fragments(bytes: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    let packet = frame::packet(bytes);
    let Some(ip) = frame::ipv4(packet) else { return Vec::new() };
    let payload = packet.get(ip.payload_at..ip.end).unwrap_or_default();
    let place = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff;
    let more = packet[6] & MORE_FRAGMENTS;
    let (mut all, mut at) = (Vec::new(), 0);
    while at < payload.len() {
        let header = &packet[..if at == 0 { ip.payload_at } else { IPV4_BYTES }];
        let room = usize::from(mtu).saturating_sub(header.len()) & !7;
        if room == 0 {
            return Vec::new();
        }
        let part = &payload[at..payload.len().min(at + room)];
        let mut fragment = [&bytes[..PACKET_AT], header, part].concat();
        let own = &mut fragment[PACKET_AT..];
        own[0] = 0x40 | (header.len() / 4) as u8;
        own[2..4].copy_from_slice(&((header.len() + part.len()) as u16).to_be_bytes());
        let [high, low] = (place + (at / 8) as u16).to_be_bytes();
        let last = at + part.len() == payload.len();
        (own[6], own[7]) = (high & 0x1f | if last { more } else { MORE_FRAGMENTS }, low);
        own[10..12].fill(0);
        let sum = checksum(&own[..header.len()]).to_be_bytes();
        own[10..12].copy_from_slice(&sum);
        all.push(fragment);
        at += room;
    }
    all
}

// A packet's bytes are behind two headers.
const _: () = assert!(PACKET_AT == HEADER_BYTES + frame::ETHERNET_BYTES);

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
