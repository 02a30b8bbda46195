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
/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
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
    /// Whether it is no fragment.
    pub whole: bool,
    /// Where its payload begins, and where it ends: padding may follow.
    pub payload_at: usize,
    pub end: usize,
}

/// What the rules look at in an IPv6 packet (RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    pub from: Ipv6Addr,
    pub to: Ipv6Addr,
    pub hop_limit: u8,
    pub next: u8,
    /// Where its payload ends: padding may follow.
    pub end: usize,
}

/// What an IPv6 packet carries, behind its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is, in IPv4's and IPv6's common numbers.
    pub protocol: u8,
    /// Where it begins.
    pub at: usize,
    /// Whether it is whole, or the first of its fragments: only there it shows.
    pub first: bool,
    /// Whether the packet is no fragment.
    pub whole: bool,
}

/// Bytes of an IPv6 header without extensions.
pub const IPV6_BYTES: usize = 40;
/// Most extension headers that are walked; honest packets have one or two.
const EXTENSIONS_MAX: usize = 8;

/// Next headers that are extensions (RFC 7045, 4; RFC 4302 for the authentication header).
mod extension {
    pub const HOP_BY_HOP: u8 = 0;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    /// Routing, destination options, mobility, HIP, shim6: all count their length in eights behind the first.
    pub const IN_EIGHTS: [u8; 5] = [43, 60, 135, 139, 140];
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
        // Reserved and don't-fragment bits aside.
        whole: (header[6] & 0x3f, header[7]) == (0, 0),
        payload_at,
        end: total,
    })
}

/// Reads an IPv6 header whose packet is whole.
pub fn ipv6(packet: &[u8]) -> Option<Ipv6> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let from: [u8; 16] = *header[8..].first_chunk()?;
    let to: [u8; 16] = *header[24..].first_chunk()?;
    let fits = header[0] >> 4 == 6 && payload <= packet.len() - 40;
    let end = 40 + payload;
    fits.then(|| Ipv6 { from: from.into(), to: to.into(), hop_limit: header[7], next: header[6], end })
}

/// Walks a packet's extension headers (RFC 8200, 4); nothing if they are longer than the packet, out of order or too
/// many, for a first fragment has to hold them all (RFC 7112).
pub fn ipv6_payload(packet: &[u8], ip: &Ipv6) -> Option<Payload> {
    let packet = packet.get(..ip.end)?;
    let mut payload = Payload { protocol: ip.next, at: IPV6_BYTES, first: true, whole: true };
    for place in 0..=EXTENSIONS_MAX {
        let header = || packet.get(payload.at..)?.first_chunk::<8>();
        let bytes = match payload.protocol {
            extension::HOP_BY_HOP if place == 0 => (usize::from(header()?[1]) + 1) * 8,
            extension::HOP_BY_HOP => return None,
            extension::AUTHENTICATION => (usize::from(header()?[1]) + 2) * 4,
            extension::FRAGMENT if !payload.whole => return None,
            extension::FRAGMENT => 8,
            kind if extension::IN_EIGHTS.contains(&kind) => (usize::from(header()?[1]) + 1) * 8,
            _ => return (payload.at <= packet.len()).then_some(payload),
        };
        let header = *header()?;
        if payload.protocol == extension::FRAGMENT {
            payload.whole = false;
            // The offset counts in eights, above three other bits.
            payload.first = u16::from_be_bytes([header[2], header[3]]) >> 3 == 0;
        }
        payload = Payload { protocol: header[0], at: payload.at + bytes, ..payload };
        if payload.at > packet.len() {
            return None;
        }
        // A later fragment is the middle of something whose first was looked at.
        if !payload.first {
            return Some(payload);
        }
    }
    None
}

/// UDP's source and destination port.
pub fn ports(payload: &[u8]) -> Option<(u16, u16)> {
    let header: &[u8; 8] = payload.first_chunk()?;
    Some((u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]])))
}

/// TCP's flags.
pub fn tcp_flags(payload: &[u8]) -> Option<u8> {
    let header: &[u8; 20] = payload.first_chunk()?;
    Some(header[13])
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
    use proptest::test_runner::TestRunner;
    use smoltcp::wire::{Ipv4Packet, Ipv6Packet};
    use std::cell::Cell;

    /// A whole IPv4 packet with options, or an IPv6 packet, of any contents; then its lengths are changed a little.
    fn nearly_whole() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop::collection::vec(any::<u8>(), 60..200);
        (bytes, any::<bool>(), 5u8..16, -4i32..5, any::<bool>()).prop_map(|(mut bytes, six, words, off, change)| {
            let off = if change { off } else { 0 };
            let length = |bytes: usize| ((bytes as i32 + off) as u16).to_be_bytes();
            if six {
                bytes[0] = 0x60 | bytes[0] & 15;
                let length = length(bytes.len() - 40);
                bytes[4..6].copy_from_slice(&length);
            } else {
                bytes[0] = 0x40 | words;
                let length = length(bytes.len());
                bytes[2..4].copy_from_slice(&length);
            }
            bytes
        })
    }

    /// What both readers must say alike of a packet.
    fn agree(bytes: &[u8]) -> Result<bool, TestCaseError> {
        if bytes[0] >> 4 == 4 {
            let (ours, theirs) = (ipv4(bytes), Ipv4Packet::new_checked(bytes));
            prop_assert_eq!(ours.is_some(), theirs.is_ok(), "one of the two does not read it: {:?}", theirs.err());
            let (Some(ip), Ok(other)) = (ours, theirs) else { return Ok(false) };
            prop_assert_eq!((ip.from, ip.to, ip.ttl), (other.src_addr(), other.dst_addr(), other.hop_limit()));
            prop_assert_eq!((ip.first, ip.whole), (other.frag_offset() == 0, ip.first && !other.more_frags()));
            prop_assert_eq!(&bytes[ip.payload_at..ip.end], other.payload());
            prop_assert_eq!(ip.protocol, u8::from(other.next_header()));
        } else {
            let (ours, theirs) = (ipv6(bytes), Ipv6Packet::new_checked(bytes));
            prop_assert_eq!(ours.is_some(), theirs.is_ok(), "one of the two does not read it: {:?}", theirs.err());
            let (Some(ip), Ok(other)) = (ours, theirs) else { return Ok(false) };
            let theirs = (other.src_addr(), other.dst_addr(), other.hop_limit());
            prop_assert_eq!((ip.from, ip.to, ip.hop_limit), theirs);
            prop_assert_eq!((ip.next, &bytes[40..ip.end]), (u8::from(other.next_header()), other.payload()));
        }
        Ok(true)
    }

    #[test]
    fn what_is_read_is_what_another_parser_reads() {
        const CASES: u32 = 1000;
        let (read, refused) = (Cell::new(0), Cell::new(0));
        let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
        let compared = runner.run(&nearly_whole(), |bytes| {
            let count = if agree(&bytes)? { &read } else { &refused };
            count.set(count.get() + 1);
            Ok(())
        });
        compared.unwrap();
        // About half have their lengths changed, and half of those are longer than the bytes.
        assert!(read.get() > CASES / 2, "only {} of {CASES} were read by both", read.get());
        assert!(refused.get() > CASES / 10, "only {} of {CASES} were refused by both", refused.get());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (ethernet(&bytes), ports(&bytes), tcp_flags(&bytes), ipv4(&bytes));
            if let Some(ip) = ipv6(&bytes) {
                let _ = ipv6_payload(&bytes, &ip);
            }
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
            let (from, to) = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
            let ip = Ipv6 { from, to, hop_limit: 1, next, end: bytes.len() };
            if let Some(payload) = ipv6_payload(&bytes, &ip) {
                prop_assert!((IPV6_BYTES..=bytes.len()).contains(&payload.at));
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
