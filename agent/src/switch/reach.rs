//! Where an address lies, seen from a host, and what guests may reach of that (`plan.guest_reach`).
//!
//! Takes addresses and packets; says where they lead. Of its own host a guest reaches the router's address in every
//! setting, but only so far as pings are answered and connections that the host itself opened go on: nothing that a
//! guest sends opens a port there. What no router forwards (link-local, loopback, reserved) is out of all reach.

use super::frame::{self, ICMP, ICMPV6, Ipv4, Ipv6, Payload, TCP};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vmatic_plan::{GuestId, GuestReach, HostId, Node, Plan};

/// Where an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// A guest of this host.
    Ours(GuestId),
    /// This host, as its guests' router.
    Router,
    /// A guest of another host.
    Elsewhere(HostId),
    /// Another host, as its guests' router.
    RouterOf(HostId),
    /// A host, this one or another, on the hosts' network.
    Host(HostId),
    /// In the guests' network, where the plan has nobody.
    Nobody,
    /// In the hosts' network, and no host's.
    HostNetwork,
    /// Beyond both networks.
    World,
    /// Where no router leads: link-local, loopback, reserved, groups.
    Nowhere,
}

impl Location {
    /// What guests must be allowed before they reach it; nothing if they never do, or if it is not decided by that.
    pub fn needs(self) -> Option<GuestReach> {
        match self {
            Location::Ours(_) | Location::Elsewhere(_) => Some(GuestReach::Guests),
            Location::Router | Location::RouterOf(_) | Location::Host(_) | Location::HostNetwork => {
                Some(GuestReach::Hosts)
            }
            Location::World => Some(GuestReach::World),
            Location::Nobody | Location::Nowhere => None,
        }
    }
}

/// Where an address lies, seen from `host`.
pub fn place(plan: &Plan, host: HostId, address: IpAddr) -> Location {
    match address {
        IpAddr::V4(address) => place_v4(plan, host, address),
        IpAddr::V6(address) => place_v6(plan, host, address),
    }
}

fn place_of(node: Node, host: HostId) -> Location {
    match (node.host == host, node.is_host()) {
        (true, true) => Location::Router,
        (true, false) => Location::Ours(node.guest),
        (false, true) => Location::RouterOf(node.host),
        (false, false) => Location::Elsewhere(node.host),
    }
}

fn place_v4(plan: &Plan, host: HostId, address: Ipv4Addr) -> Location {
    let node = plan.node_by_ipv4(address);
    if plan.guest_network.contains(address) {
        return node.map_or(Location::Nobody, |node| place_of(node, host));
    }
    if plan.is_host_network(address) {
        return node.map_or(Location::HostNetwork, |node| Location::Host(node.host));
    }
    let [first, ..] = address.octets();
    // 240.0.0.0/4 is reserved (RFC 1112, 4), 0.0.0.0/8 is nobody's (RFC 1122, 3.2.1.3).
    let unrouted = first == 0 || first >= 240 || address.is_loopback() || address.is_link_local();
    if unrouted || address.is_multicast() { Location::Nowhere } else { Location::World }
}

fn place_v6(plan: &Plan, host: HostId, address: Ipv6Addr) -> Location {
    let bytes = address.octets();
    // All nodes of a cluster share 40 bits; in its block 0 lies the hosts' network.
    let cluster = plan.ipv6(Node::host(host)).map(|router| router.octets());
    if cluster.is_some_and(|cluster| cluster[..5] == bytes[..5]) {
        if bytes[5..8] != [0; 3] {
            return plan.node_by_ipv6(address).map_or(Location::Nobody, |node| place_of(node, host));
        }
        let number = HostId(u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]));
        let is_host = plan.host_ipv6(number) == Some(address);
        return if is_host { Location::Host(number) } else { Location::HostNetwork };
    }
    // Unspecified, loopback and IPv4 in IPv6 (RFC 4291, 2.5) begin with 80 zero bits.
    let unrouted = bytes[..10] == [0; 10] || address.is_unicast_link_local() || address.is_multicast();
    if unrouted { Location::Nowhere } else { Location::World }
}

/// ICMP's echo and its reply (RFC 792). Not what reports on packets: the kernel would believe a guest that says how
/// long packets on the way to other hosts may be.
const ICMP_PASSES: [u8; 2] = [0, 8];
/// The same of ICMPv6 (RFC 4443).
const ICMPV6_PASSES: [u8; 2] = [128, 129];
/// An IPv4 header without options.
const IPV4_BYTES: usize = 20;
/// TCP's flags (RFC 9293, 3.1).
const TCP_RST: u8 = 4;
const TCP_ACK: u8 = 16;

/// Whether an IPv4 packet may go to the router in every setting. Fragments may not, for the kernel would keep them, nor
/// packets with options, which could send it elsewhere.
pub fn opens_nothing_v4(packet: &[u8], ip: &Ipv4) -> bool {
    let payload = packet.get(ip.payload_at..ip.end).unwrap_or_default();
    let plain = ip.whole && ip.payload_at == IPV4_BYTES;
    plain && opens_nothing(payload, ip.protocol == TCP, ip.protocol == ICMP && passes(payload, &ICMP_PASSES))
}

/// The same of an IPv6 packet.
pub fn opens_nothing_v6(packet: &[u8], ip: &Ipv6, upper: &Payload) -> bool {
    let payload = packet.get(upper.at..ip.end).unwrap_or_default();
    let icmp = upper.protocol == ICMPV6 && passes(payload, &ICMPV6_PASSES);
    upper.whole && upper.at == frame::IPV6_BYTES && opens_nothing(payload, upper.protocol == TCP, icmp)
}

fn passes(payload: &[u8], types: &[u8]) -> bool {
    payload.first().is_some_and(|kind| types.contains(kind))
}

/// Whoever answers carries ACK, or RST; who opens a connection carries neither.
fn opens_nothing(payload: &[u8], tcp: bool, icmp: bool) -> bool {
    icmp || (tcp && frame::tcp_flags(payload).is_some_and(|flags| flags & (TCP_ACK | TCP_RST) != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmatic_plan::HostNames;

    fn plan() -> Plan {
        Plan { guests_per_host: 9, cluster: [5; 16], ..Plan::new("t", HostNames::count(20).unwrap()) }
    }

    fn at(text: &str) -> Location {
        place(&plan(), HostId(7), text.parse().unwrap())
    }

    #[test]
    fn every_address_has_its_place_in_both_protocols() {
        let (router, own, other) = (Location::Router, Location::Ours(GuestId(2)), Location::Elsewhere(HostId(8)));
        for (address, want) in [
            ("10.0.7.1", router),
            ("fd05:505:500:7::1", router),
            ("10.0.7.3", own),
            ("fd05:505:500:7::3", own),
            ("10.0.8.3", other),
            ("fd05:505:500:8::3", other),
            ("10.0.8.1", Location::RouterOf(HostId(8))),
            ("fd05:505:500:8::1", Location::RouterOf(HostId(8))),
            ("172.20.0.7", Location::Host(HostId(7))),
            ("fd05:505:500::7", Location::Host(HostId(7))),
            ("172.20.255.1", Location::HostNetwork),
            ("fd05:505:500::ffff", Location::HostNetwork),
            ("10.0.7.200", Location::Nobody),
            ("fd05:505:500:7::ffff", Location::Nobody),
            ("1.1.1.1", Location::World),
            ("2001:db8::1", Location::World),
            ("fd06::1", Location::World),
        ] {
            assert_eq!(at(address), want, "{address}");
        }
        for nowhere in
            ["0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255"]
        {
            assert_eq!(at(nowhere), Location::Nowhere, "{nowhere}");
        }
        for nowhere in ["::", "::1", "::ffff:172.20.0.1", "::172.20.0.1", "fe80::1", "ff02::1"] {
            assert_eq!(at(nowhere), Location::Nowhere, "{nowhere}");
        }
    }

    proptest! {
        /// Who is allowed guests alone never gets to an address that is not a guest's, whatever it is.
        #[test]
        fn a_closed_laboratory_holds_guests_alone(near in any::<u16>(), far: u32, six: u128, which in 0..4) {
            let address: IpAddr = match which {
                0 => Ipv4Addr::from(0x0a00_0000 | u32::from(near)).into(),
                1 => Ipv4Addr::from(0xac14_0000 | u32::from(near)).into(),
                2 => Ipv4Addr::from(far).into(),
                _ => Ipv6Addr::from(six).into(),
            };
            let place = place(&plan(), HostId(7), address);
            let node = match address {
                IpAddr::V4(address) => plan().node_by_ipv4(address),
                IpAddr::V6(address) => plan().node_by_ipv6(address),
            };
            let guest = node.is_some_and(|node| !node.is_host());
            prop_assert_eq!(place.needs() == Some(GuestReach::Guests), guest, "{} {:?}", address, place);
        }
    }
}
