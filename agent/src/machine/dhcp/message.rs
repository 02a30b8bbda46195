//! DHCP's messages as bytes (RFC 2131, options of RFC 2132 and 3046).
//!
//! Takes what a server sent; gives what it means, if it is for this card and can be used. Whoever is on the network may
//! send such a thing: no length is believed that was not checked, and what contradicts itself is no message.

use super::{Lease, Times};
use smoltcp::wire::{DHCP_CLIENT_PORT, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};
use std::net::Ipv4Addr;
use vmatic_plan::Mac;

/// Where servers are heard and this client is.
pub const SERVER_PORT: u16 = 67;
/// See there.
pub const CLIENT_PORT: u16 = DHCP_CLIENT_PORT;
/// Most bytes of a message: what a network carries that says nothing else.
pub const MESSAGE_BYTES_MAX: usize = 1500;

/// Options (RFC 2132; 82 of RFC 3046).
const MASK: u8 = 1;
const ROUTER: u8 = 3;
const NAME: u8 = 12;
const LEASE_TIME: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const RENEW_TIME: u8 = 58;
const REBIND_TIME: u8 = 59;
const VENDOR: u8 = 60;
const RELAY: u8 = 82;
/// What the client wants to know.
const WANTED: &[u8] = &[MASK, ROUTER, NAME, LEASE_TIME, SERVER, RENEW_TIME, REBIND_TIME];
/// Shortest lease that is kept to, in seconds: a server that gives less would be asked without end.
pub const LEASE_S_MIN: u32 = 10;
/// Parts of option 82.
const CIRCUIT: u8 = 1;
const REMOTE: u8 = 2;
/// Most bytes of a part that is told.
const PART_BYTES_MAX: usize = 64;
/// Longest name (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It would give this.
    Offer(Lease),
    /// It gives it.
    Ack(Lease),
    /// It does not; who says so.
    Nak(Ipv4Addr),
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Who gives an address?
    Discover,
    /// This address, which that server offered.
    Select(Ipv4Addr, Ipv4Addr),
    /// This address, which the machine had before.
    Confirm(Ipv4Addr),
    /// To keep this address, which the card has.
    Extend(Ipv4Addr),
}

/// A question as bytes.
pub fn write(ask: Ask, mac: Mac, transaction: u32, waited_s: u16) -> Vec<u8> {
    let kind = if ask == Ask::Discover { DhcpMessageType::Discover } else { DhcpMessageType::Request };
    let (requested_ip, server_identifier, client_ip) = match ask {
        Ask::Discover => (None, None, Ipv4Addr::UNSPECIFIED),
        Ask::Select(address, server) => (Some(address), Some(server), Ipv4Addr::UNSPECIFIED),
        Ask::Confirm(address) => (Some(address), None, Ipv4Addr::UNSPECIFIED),
        Ask::Extend(address) => (None, None, address),
    };
    let repr = DhcpRepr {
        message_type: kind,
        transaction_id: transaction,
        secs: waited_s,
        client_hardware_address: EthernetAddress(mac.0),
        client_ip,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        // Without an address nothing reaches the card that is not for all.
        broadcast: client_ip.is_unspecified(),
        requested_ip,
        // Boot ROMs and iPXE say the same, so that servers know one machine.
        client_identifier: Some(EthernetAddress(mac.0)),
        server_identifier,
        parameter_request_list: Some(WANTED),
        dns_servers: None,
        max_size: Some(MESSAGE_BYTES_MAX as u16),
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[DhcpOption { kind: VENDOR, data: b"vmatic" }],
    };
    let mut bytes = vec![0; repr.buffer_len()];
    // The buffer is as long as it says that it needs.
    let _ = repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..]));
    // Old relays take nothing that is shorter (RFC 1542, 2.1).
    bytes.resize(bytes.len().max(300), 0);
    bytes
}

/// What a server says to this card in this transaction; none if it is for another, or cannot be used.
pub fn read(bytes: &[u8], mac: Mac, transaction: u32) -> Option<Reply> {
    let packet = DhcpPacket::new_checked(bytes).ok()?;
    // Addresses of Ethernet, of six bytes (RFC 1700): what is no such reply has no place for this card's.
    if bytes.first() != Some(&2) || bytes.get(1..3) != Some(&[1, 6]) || packet.magic_number() != 0x6382_5363 {
        return None;
    }
    if packet.transaction_id() != transaction || packet.client_hardware_address().0 != mac.0 {
        return None;
    }
    let option = |kind: u8| packet.options().find(|option| option.kind == kind).map(|option| option.data);
    let address = |kind: u8| option(kind).and_then(first_address);
    let seconds = |kind: u8| Some(u32::from_be_bytes(option(kind)?.try_into().ok()?));
    let [kind] = option(KIND)? else { return None };
    let server = address(SERVER).unwrap_or(Ipv4Addr::UNSPECIFIED);
    if *kind == u8::from(DhcpMessageType::Nak) {
        return Some(Reply::Nak(server));
    }
    let own = packet.your_ip();
    if own.is_unspecified() || own.is_loopback() || own.is_multicast() || own.is_broadcast() {
        return None;
    }
    let lease = Lease {
        address: own,
        netmask: address(MASK).filter(|mask| is_netmask(*mask)).unwrap_or_else(|| mask_of_class(own)),
        router: address(ROUTER).filter(|router| !router.is_unspecified()),
        server,
        name: option(NAME).and_then(name),
        place: option(RELAY).and_then(place),
        times_s: seconds(LEASE_TIME).and_then(|end| times(end, seconds(RENEW_TIME), seconds(REBIND_TIME))),
    };
    match *kind {
        kind if kind == u8::from(DhcpMessageType::Offer) => Some(Reply::Offer(lease)),
        kind if kind == u8::from(DhcpMessageType::Ack) => Some(Reply::Ack(lease)),
        _ => None,
    }
}

/// The first of the addresses that an option lists.
fn first_address(data: &[u8]) -> Option<Ipv4Addr> {
    data.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets))
}

/// Ones, then zeroes.
fn is_netmask(mask: Ipv4Addr) -> bool {
    let bits = u32::from(mask);
    bits != 0 && bits.leading_ones() + bits.trailing_zeros() == 32
}

fn mask_of_class(own: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX << (32 - [8, 8, 16, 24][usize::from(own.octets()[0] >> 6)]))
}

/// The times of a lease (RFC 2131, 4.4.5): a half and seven eighths of it, where the server does not say others that
/// make sense. One without an end has none.
fn times(end: u32, renew: Option<u32>, rebind: Option<u32>) -> Option<Times> {
    if end == u32::MAX {
        return None;
    }
    let end = end.max(LEASE_S_MIN);
    let rebind = rebind.filter(|rebind| (2..end).contains(rebind)).unwrap_or(end - end.div_ceil(8));
    let renew = renew.filter(|renew| (1..rebind).contains(renew)).unwrap_or((end / 2).min(rebind - 1));
    Some(Times { renew, rebind, end })
}

/// A host name, in the characters that such names have.
fn name(data: &[u8]) -> Option<String> {
    // Some servers end it with a NUL (RFC 2132, 2).
    let text = std::str::from_utf8(data).ok()?.trim_end_matches('\0');
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (plain && (1..=NAME_BYTES_MAX).contains(&text.len())).then(|| text.to_owned())
}

/// Where the machine hangs, as a relay says it: `REMOTE/CIRCUIT`, each as text if it is one, or in hexadecimal digits.
fn place(data: &[u8]) -> Option<String> {
    let (mut circuit, mut remote, mut rest) = (None, None, data);
    while let [kind, length, tail @ ..] = rest {
        let (part, tail) = tail.split_at_checked(usize::from(*length))?;
        match *kind {
            CIRCUIT => circuit = part_text(part),
            REMOTE => remote = part_text(part),
            _ => {}
        }
        rest = tail;
    }
    let parts: Vec<String> = [remote, circuit].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn part_text(part: &[u8]) -> Option<String> {
    if part.is_empty() || part.len() > PART_BYTES_MAX {
        return None;
    }
    match part.iter().all(u8::is_ascii_graphic) {
        true => std::str::from_utf8(part).ok().map(str::to_owned),
        false => Some(part.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
pub mod tests;
