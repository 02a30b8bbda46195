//! Frames as the switch holds them: a virtio-net header, an Ethernet header, a packet.
//!
//! Takes bytes that a guest or the tun wrote; gives the few fields that the rules look
//! at, each by a checked slice. One layout for all: a packet of the tun is read behind
//! room for the headers in front of it, and a frame is never copied to be routed.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of virtio-net header before every frame (VIRTIO 1.2, 5.1.6), all zero: no offloads.
pub const HEADER_BYTES: usize = 12;
/// Bytes of an Ethernet header (IEEE 802.3).
pub const ETHERNET_BYTES: usize = 14;
/// Where a packet begins.
pub const PACKET_AT: usize = HEADER_BYTES + ETHERNET_BYTES;
/// Largest frame with its header: a jumbo frame of 9,216 bytes, as in the monitor.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + 9_216;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Next header of ICMPv6.
pub const ICMPV6: u8 = 58;

/// An Ethernet address.
pub use vmatic_plan::Mac;

/// The Ethernet header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    pub to: Mac,
    pub from: Mac,
    pub kind: u16,
}

/// What the rules look at in an IPv4 packet (RFC 791).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub ttl: u8,
    pub protocol: u8,
    /// Whether this is the packet's first or only fragment.
    pub first: bool,
    /// Where its payload begins.
    pub payload_at: usize,
}

/// What the rules look at in an IPv6 packet (RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    pub from: Ipv6Addr,
    pub to: Ipv6Addr,
    pub hop_limit: u8,
    pub next: u8,
}

/// What an IPv6 packet carries, behind its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is, in IPv4's and IPv6's common numbers.
    pub protocol: u8,
    /// Where it begins.
    pub at: usize,
    /// Whether it is whole, or the first of its fragments.
    pub first: bool,
}

/// Bytes of an IPv6 header without extensions.
pub const IPV6_BYTES: usize = 40;
/// Most extension headers that are walked; honest packets have one or two.
const EXTENSIONS_MAX: usize = 8;

/// Next headers that are extensions (RFC 8200, 4; RFC 4302 for the authentication header).
mod extension {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    pub const DESTINATION: u8 = 60;
}

/// Reads a frame's Ethernet header.
pub fn ethernet(frame: &[u8]) -> Option<Ethernet> {
    let header: &[u8; ETHERNET_BYTES] = frame.get(HEADER_BYTES..)?.first_chunk()?;
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = *header;
    Some(Ethernet { to: Mac([a, b, c, d, e, f]), from: Mac([g, h, i, j, k, l]), kind: u16::from_be_bytes([m, n]) })
}

/// Writes a frame's virtio and Ethernet headers; nothing if there is no room for them.
pub fn set_ethernet(frame: &mut [u8], header: Ethernet) {
    if let Some(room) = frame.first_chunk_mut::<PACKET_AT>() {
        room[..HEADER_BYTES].fill(0);
        room[HEADER_BYTES..][..6].copy_from_slice(&header.to.0);
        room[HEADER_BYTES + 6..][..6].copy_from_slice(&header.from.0);
        room[HEADER_BYTES + 12..].copy_from_slice(&header.kind.to_be_bytes());
    }
}

/// What follows the Ethernet header.
pub fn packet(frame: &[u8]) -> &[u8] {
    frame.get(PACKET_AT..).unwrap_or_default()
}

/// Reads an IPv4 header whose packet is whole.
pub fn ipv4(packet: &[u8]) -> Option<Ipv4> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let payload_at = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fits = header[0] >> 4 == 4 && payload_at >= 20 && (payload_at..=packet.len()).contains(&total);
    fits.then(|| Ipv4 {
        from: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
        to: Ipv4Addr::new(header[16], header[17], header[18], header[19]),
        ttl: header[8],
        protocol: header[9],
        first: (header[6] & 0x1f, header[7]) == (0, 0),
        payload_at,
    })
}

/// Reads an IPv6 header whose packet is whole.
pub fn ipv6(packet: &[u8]) -> Option<Ipv6> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let from: [u8; 16] = *header[8..].first_chunk()?;
    let to: [u8; 16] = *header[24..].first_chunk()?;
    let fits = header[0] >> 4 == 6 && payload <= packet.len() - 40;
    fits.then(|| Ipv6 { from: from.into(), to: to.into(), hop_limit: header[7], next: header[6] })
}

/// Walks the extension headers of an IPv6 packet whose first next header is `next`; none if they do not end in it.
pub fn ipv6_payload(mut next: u8, packet: &[u8]) -> Option<Payload> {
    let mut at = IPV6_BYTES;
    let mut first = true;
    for _ in 0..=EXTENSIONS_MAX {
        let bytes = |header: &[u8; 8]| match next {
            extension::HOP_BY_HOP | extension::ROUTING | extension::DESTINATION => Some(8 + 8 * usize::from(header[1])),
            extension::AUTHENTICATION => Some(8 + 4 * usize::from(header[1])),
            extension::FRAGMENT => Some(8),
            _ => None,
        };
        let header: Option<&[u8; 8]> = packet.get(at..).and_then(|rest| rest.first_chunk());
        let length = match header {
            // A later fragment is the middle of something whose first was looked at.
            _ if !first => None,
            Some(header) => bytes(header),
            // Too short for an extension: right for what is none.
            None => bytes(&[0; 8]).map(|_| usize::MAX),
        };
        match (length, header) {
            (None, _) => return (at <= packet.len()).then_some(Payload { protocol: next, at, first }),
            (Some(length), Some(header)) => {
                if next == extension::FRAGMENT {
                    // The offset counts in eights, above three other bits.
                    first = u16::from_be_bytes([header[2], header[3]]) >> 3 == 0;
                }
                next = header[0];
                at += length;
            }
            (Some(_), None) => return None,
        }
    }
    None
}

/// UDP's source and destination port.
pub fn ports(payload: &[u8]) -> Option<(u16, u16)> {
    let header: &[u8; 8] = payload.first_chunk()?;
    Some((u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]])))
}

/// A router's part: one hop less, and the checksum follows (RFC 1141).
pub fn take_a_hop(frame: &mut [u8]) {
    let Some(packet) = frame.get_mut(PACKET_AT..) else { return };
    match packet.first().map(|byte| byte >> 4) {
        Some(4) if packet.len() >= 20 => {
            packet[8] = packet[8].saturating_sub(1);
            let sum = u16::from_be_bytes([packet[10], packet[11]]);
            let (sum, carry) = sum.overflowing_add(0x100);
            packet[10..12].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        }
        Some(6) if packet.len() >= 40 => packet[7] = packet[7].saturating_sub(1),
        _ => {}
    }
}

/// A frame with room for `bytes` of packet, which `fill` writes.
pub fn build(header: Ethernet, bytes: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut frame = vec![0; PACKET_AT + bytes];
    set_ethernet(&mut frame, header);
    fill(&mut frame[PACKET_AT..]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{Ipv4Packet, Ipv6Packet};

    proptest! {
        #[test]
        fn what_is_read_is_what_another_parser_reads(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120),
            options in 5u8..8,
            fragment: bool,
        ) {
            // Whatever it is, it is read without a panic.
            let _ = (ethernet(&bytes), ports(&bytes), ipv4(&bytes), ipv6(&bytes));
            // Made so that both must read it, as long as it says.
            bytes.resize(bytes.len().max(40), 7);
            let length = bytes.len() as u16;
            bytes[0] = 0x40 | options;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            if !fragment {
                bytes[6..8].fill(0);
            }
            let (ip, other) = (ipv4(&bytes).unwrap(), Ipv4Packet::new_checked(&bytes[..]).unwrap());
            prop_assert_eq!((ip.from, ip.to, ip.ttl), (other.src_addr(), other.dst_addr(), other.hop_limit()));
            prop_assert_eq!((ip.first, ip.payload_at), (other.frag_offset() == 0, other.header_len() as usize));
            prop_assert_eq!(ip.protocol, u8::from(other.next_header()));
            bytes[0] = 0x60;
            bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes());
            let (ip, other) = (ipv6(&bytes).unwrap(), Ipv6Packet::new_checked(&bytes[..]).unwrap());
            let theirs = (other.src_addr(), other.dst_addr(), other.hop_limit(), u8::from(other.next_header()));
            prop_assert_eq!((ip.from, ip.to, ip.hop_limit, ip.next), theirs);
        }

        #[test]
        fn a_packet_that_is_cut_is_none(cut in 0usize..40, six: bool) {
            let mut bytes = [0; 40];
            bytes[0] = if six { 0x60 } else { 0x45 };
            bytes[3] = 40;
            prop_assert!(ipv4(&bytes[..cut]).is_none() && ipv6(&bytes[..cut]).is_none());
        }

        #[test]
        fn any_chain_of_headers_ends(next: u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(payload) = ipv6_payload(next, &bytes) {
                prop_assert!(payload.at >= IPV6_BYTES);
            }
        }

        #[test]
        fn a_hop_less_keeps_the_checksum_right(ttl in 1u8.., from: u32, to: u32, id: u16) {
            let header = Ethernet { to: Mac([2; 6]), from: Mac([3; 6]), kind: IPV4 };
            let mut frame = build(header, 20, |packet| {
                packet[0] = 0x45;
                packet[3] = 20;
                packet[4..6].copy_from_slice(&id.to_be_bytes());
                packet[8] = ttl;
                packet[12..16].copy_from_slice(&from.to_be_bytes());
                packet[16..20].copy_from_slice(&to.to_be_bytes());
                Ipv4Packet::new_unchecked(&mut *packet).fill_checksum();
            });
            take_a_hop(&mut frame);
            prop_assert!(Ipv4Packet::new_unchecked(packet(&frame)).verify_checksum());
            prop_assert_eq!(ipv4(packet(&frame)).unwrap().ttl, ttl - 1);
        }
    }
}
