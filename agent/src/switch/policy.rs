//! Where a frame goes: computed by the plan, frame by frame, without a table.
//!
//! Takes a frame and the port that it came from; gives a [`PolicyDecision`]. The switch answers
//! ARP, neighbour discovery, DHCP and DNS itself, forwards between the guests of its host by
//! the inverse of the plan, and gives the host's kernel packets for what else guests may reach.
//! A guest may speak only as itself: what cannot be read to its end is not forwarded.

use super::counters::DropReason;
use super::frame::{self, ARP, ETHERNET_BYTES, Ethernet, ICMP, ICMPV6, IPV4, IPV6, Mac, PACKET_AT, UDP};
use super::reach::{self, Location};
use super::reply::{self, Lease};
use crate::dns;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vmatic_plan::defaults::RESOLVER;
use vmatic_plan::{GuestId, GuestReach, HostId, Node, Plan};

/// What is to be done with a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum PolicyDecision {
    /// To one guest of this host, as it now is.
    Guest(GuestId),
    /// To all other guests of this host.
    Everyone,
    /// Its packet goes to the host's kernel; on to this host, if another host's guest is meant.
    Uplink(Option<HostId>),
    /// Its packet goes to the host's kernel, and on to this address of the hosts' network.
    Nearby(IpAddr),
    /// This frame goes back to where it came from.
    Answer(Vec<u8>),
    /// Nowhere, and why.
    Drop(DropReason),
}

/// The plan, as one host's switch applies it.
pub struct Rules {
    plan: Plan,
    host: HostId,
    router: Mac,
}

/// ICMPv6 types (RFC 4443, 4861, 2710, 3810).
mod icmpv6 {
    pub const LISTENER: [u8; 4] = [130, 131, 132, 143];
    pub const ROUTER_SOLICITATION: u8 = 133;
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    pub const SOLICITATION: u8 = 135;
    pub const ADVERTISEMENT: u8 = 136;
    pub const REDIRECT: u8 = 137;
}

/// ICMP types with which routers speak (RFC 792, 1256).
const ICMP_REDIRECT: u8 = 5;
const ICMP_ROUTER_ADVERTISEMENT: u8 = 9;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
/// DHCPv6's (RFC 8415, 7.2).
const DHCPV6_CLIENT: u16 = 546;
const DHCPV6_SERVER: u16 = 547;

/// What routing needs to know of a packet.
struct Packet {
    from: IpAddr,
    to: IpAddr,
    hops: u8,
    /// Whether it may go to the router in every setting.
    opens_nothing: bool,
}

impl Rules {
    /// Those of `host`; none if the plan has no such host.
    pub fn new(plan: Plan, host: HostId) -> Option<Rules> {
        let router = plan.mac(Node::host(host))?;
        Some(Rules { plan, host, router })
    }

    /// The plan that they follow from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The host whose guests they are for.
    pub fn host(&self) -> HostId {
        self.host
    }

    fn mac(&self, guest: GuestId) -> Option<Mac> {
        self.plan.mac(Node::guest(self.host, guest))
    }

    /// The guest of this host that a node is.
    fn ours(&self, node: Node) -> Option<GuestId> {
        (node.host == self.host && !node.is_host()).then_some(node.guest)
    }

    /// A frame from a guest. What is routed is changed in place.
    pub fn guest_sent(&self, guest: GuestId, frame: &mut [u8]) -> PolicyDecision {
        let Some(ethernet) = frame::ethernet(frame) else { return PolicyDecision::Drop(DropReason::Malformed) };
        if Some(ethernet.from) != self.mac(guest) {
            return PolicyDecision::Drop(DropReason::Spoofed);
        }
        let special = match ethernet.kind {
            ARP => Some(self.arp(guest, ethernet.from, frame::packet(frame))),
            IPV4 => self.look_at_ipv4(guest, &ethernet, frame::packet(frame)),
            IPV6 => self.look_at_ipv6(guest, &ethernet, frame::packet(frame)),
            // Tagged frames too: their receiver takes off a tag of VLAN 0, and believes what is inside.
            _ => return PolicyDecision::Drop(DropReason::EtherType),
        };
        if let Some(verdict) = special {
            return verdict;
        }
        if ethernet.to.0[0] & 1 == 1 {
            return PolicyDecision::Everyone;
        }
        if ethernet.to == self.router {
            return self.route(frame, ethernet.kind, true);
        }
        match self.plan.node_by_mac(ethernet.to).and_then(|node| self.ours(node)) {
            Some(to) if to != guest => PolicyDecision::Guest(to),
            _ => PolicyDecision::Drop(DropReason::NoSuchNode),
        }
    }

    /// A packet from the host's kernel, behind room for headers, which are written.
    pub fn uplink_sent(&self, frame: &mut [u8]) -> PolicyDecision {
        match frame.get(PACKET_AT).map(|byte| byte >> 4) {
            Some(4) => self.route(frame, IPV4, false),
            Some(6) => self.route(frame, IPV6, false),
            _ => PolicyDecision::Drop(DropReason::Malformed),
        }
    }

    /// The guest of this host that sent a packet which the kernel gave back.
    pub fn guest_behind(&self, frame: &[u8]) -> Option<GuestId> {
        let kind = if frame.get(PACKET_AT)? >> 4 == 4 { IPV4 } else { IPV6 };
        match reach::place(&self.plan, self.host, read(frame::packet(frame), kind)?.from) {
            Location::Ours(guest) => Some(guest),
            _ => None,
        }
    }

    /// Routes a packet: to a guest of this host with a new Ethernet header, or to the kernel.
    /// One from a guest loses a hop; one from the kernel has lost it there.
    fn route(&self, frame: &mut [u8], kind: u16, from_guest: bool) -> PolicyDecision {
        let Some(packet) = read(frame::packet(frame), kind) else { return PolicyDecision::Drop(DropReason::Malformed) };
        let place = |address| reach::place(&self.plan, self.host, address);
        let decision = match from_guest {
            true => self.guest_reaches(place(packet.to), &packet),
            false => self.kernel_reaches(place(packet.from), place(packet.to)),
        };
        if let PolicyDecision::Guest(guest) = decision {
            let Some(to) = self.mac(guest) else { return PolicyDecision::Drop(DropReason::NoSuchNode) };
            if from_guest {
                frame::take_a_hop(frame);
            }
            frame::set_ethernet(frame, Ethernet { to, from: self.router, kind });
        }
        decision
    }

    /// Where a guest's packet goes.
    fn guest_reaches(&self, to: Location, packet: &Packet) -> PolicyDecision {
        match to {
            // The kernel says that the packet's time is over.
            Location::Ours(_) if packet.hops <= 1 => PolicyDecision::Uplink(None),
            Location::Ours(guest) => PolicyDecision::Guest(guest),
            Location::Elsewhere(host) => PolicyDecision::Uplink(Some(host)),
            Location::Router if packet.opens_nothing => PolicyDecision::Uplink(None),
            Location::Nobody => PolicyDecision::Drop(DropReason::NoSuchNode),
            _ if packet.to.is_multicast() || packet.to == IpAddr::V4(Ipv4Addr::BROADCAST) => {
                PolicyDecision::Drop(DropReason::Ignored)
            }
            place if place.needs().is_none_or(|needs| self.plan.guest_reach < needs) => {
                PolicyDecision::Drop(DropReason::OutOfReach)
            }
            Location::RouterOf(host) => PolicyDecision::Uplink(Some(host)),
            Location::Host(host) if host != self.host => PolicyDecision::Nearby(packet.to),
            Location::HostNetwork => PolicyDecision::Nearby(packet.to),
            _ => PolicyDecision::Uplink(None),
        }
    }

    /// Where a packet goes that the kernel gave: it comes from this host, or from where guests may reach. Hosts of the
    /// plan may speak to every guest, since their operator does.
    fn kernel_reaches(&self, from: Location, to: Location) -> PolicyDecision {
        let allowed = match from {
            Location::Router | Location::RouterOf(_) | Location::Host(_) | Location::Elsewhere(_) => true,
            // What a guest sent for another host's comes back, if the kernel had no route; never to one of ours.
            Location::Ours(_) => matches!(to, Location::Elsewhere(_) | Location::RouterOf(_)),
            place => place.needs().is_some_and(|needs| self.plan.guest_reach >= needs),
        };
        let ours = matches!(from, Location::Ours(_) | Location::Router) || from == Location::Host(self.host);
        match to {
            Location::Nowhere => PolicyDecision::Drop(DropReason::Ignored),
            _ if !allowed => match from {
                Location::Ours(_) => PolicyDecision::Drop(DropReason::Spoofed),
                _ => PolicyDecision::Drop(DropReason::OutOfReach),
            },
            Location::Ours(guest) => PolicyDecision::Guest(guest),
            Location::Elsewhere(host) | Location::RouterOf(host) if ours => PolicyDecision::Uplink(Some(host)),
            // We are no router for others.
            Location::Elsewhere(_) | Location::RouterOf(_) => PolicyDecision::Drop(DropReason::OutOfReach),
            // The kernel thinks that it is ours, but no guest has that number.
            _ => PolicyDecision::Drop(DropReason::NoSuchNode),
        }
    }

    fn arp(&self, guest: GuestId, mac: Mac, packet: &[u8]) -> PolicyDecision {
        let Some(asked) = reply::read_arp(packet) else { return PolicyDecision::Drop(DropReason::Malformed) };
        let own = self.plan.ipv4(Node::guest(self.host, guest));
        if asked.mac != mac || !(asked.from.is_unspecified() || Some(asked.from) == own) {
            return PolicyDecision::Drop(DropReason::Spoofed);
        }
        if !asked.request || Some(asked.target) == own {
            // Announcements tell nobody what is not computed anyway.
            return PolicyDecision::Drop(DropReason::Ignored);
        }
        match self.owner_of_ipv4(asked.target) {
            Some(owner) => PolicyDecision::Answer(reply::arp(&asked, owner)),
            None => PolicyDecision::Drop(DropReason::NoSuchNode),
        }
    }

    /// Who answers for an address: a guest of this host itself, the router for whatever is elsewhere.
    fn owner_of_ipv4(&self, address: Ipv4Addr) -> Option<Mac> {
        if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
            return None;
        }
        let node = self.plan.node_by_ipv4(address);
        if let Some(guest) = node.and_then(|node| self.ours(node)) {
            return self.mac(guest);
        }
        // An address of our block that nobody has stays silent, as on any network.
        let (base, prefix) = self.plan.host_block(self.host)?;
        let same_block = (u32::from(base) ^ u32::from(address)).leading_zeros() >= u32::from(prefix);
        (!same_block || node.is_some()).then_some(self.router)
    }

    fn lease(&self, guest: GuestId) -> Option<Lease> {
        let node = Node::guest(self.host, guest);
        let (_, prefix) = self.plan.host_block(self.host)?;
        Some(Lease {
            mac: self.plan.mac(node)?,
            name: self.plan.node_name(node)?,
            domain: self.plan.name.clone(),
            names: self.plan.guest_reach < GuestReach::World,
            address: self.plan.ipv4(node)?,
            netmask: Ipv4Addr::from(u32::MAX << (32 - u32::from(prefix))),
            router: self.plan.ipv4(Node::host(self.host))?,
            router_mac: self.router,
        })
    }

    /// Answers DHCP and DNS, and stops what a guest must not say; nothing for packets that just travel.
    fn look_at_ipv4(&self, guest: GuestId, ethernet: &Ethernet, packet: &[u8]) -> Option<PolicyDecision> {
        let drop = |why| Some(PolicyDecision::Drop(why));
        let Some(ip) = frame::ipv4(packet) else { return drop(DropReason::Malformed) };
        let payload = packet.get(ip.payload_at..ip.end).unwrap_or_default();
        let ports = (ip.protocol == UDP && ip.first).then(|| frame::ports(payload));
        let icmp = (ip.protocol == ICMP && ip.first).then(|| payload.first().copied());
        let own = Some(ip.from) == self.plan.ipv4(Node::guest(self.host, guest));
        let for_router = ethernet.to == Mac::BROADCAST || ethernet.to == self.router;
        match (ports, icmp) {
            // Whoever puts fragments together would see more than we do.
            (Some(None), _) | (_, Some(None)) => drop(DropReason::Malformed),
            (Some(Some((DHCP_CLIENT, DHCP_SERVER))), _) if for_router && (own || ip.from.is_unspecified()) => {
                let answer = self.lease(guest).and_then(|lease| reply::dhcp(payload, &lease));
                Some(answer.map_or(PolicyDecision::Drop(DropReason::Ignored), PolicyDecision::Answer))
            }
            // Only the switch leases addresses: clients look at the port that they hear on, not at the server's.
            (Some(Some((DHCP_SERVER, _) | (_, DHCP_CLIENT))), _) => drop(DropReason::Spoofed),
            // Only the host is a router.
            (_, Some(Some(ICMP_REDIRECT | ICMP_ROUTER_ADVERTISEMENT))) => drop(DropReason::Spoofed),
            _ if !own => drop(DropReason::Spoofed),
            // Names are the switch's, whatever guests may reach: the question goes no farther.
            (Some(Some((_, dns::PORT))), _) if ethernet.to == self.router && self.is_resolver(ip.to) => {
                let answer = self.lease(guest).and_then(|lease| reply::dns(payload, ip.to, &lease, &self.plan));
                Some(answer.map_or(PolicyDecision::Drop(DropReason::Ignored), PolicyDecision::Answer))
            }
            _ => None,
        }
    }

    /// Whether guests ask for names at this address.
    fn is_resolver(&self, address: Ipv4Addr) -> bool {
        address == RESOLVER || Some(address) == self.plan.ipv4(Node::host(self.host))
    }

    /// The same for IPv6 and its neighbour discovery, behind whatever headers it hides (RFC 7113).
    fn look_at_ipv6(&self, guest: GuestId, ethernet: &Ethernet, packet: &[u8]) -> Option<PolicyDecision> {
        let drop = |why| Some(PolicyDecision::Drop(why));
        let Some(ip) = frame::ipv6(packet) else { return drop(DropReason::Malformed) };
        // What cannot be walked to its end could be anything to who receives it (RFC 7112).
        let Some(upper) = frame::ipv6_payload(packet, &ip) else { return drop(DropReason::Malformed) };
        let node = Node::guest(self.host, guest);
        let own = |address| Some(address) == self.plan.ipv6(node) || address == link_local(ethernet.from.0);
        let payload = packet.get(upper.at..ip.end).unwrap_or_default();
        let icmp = (upper.protocol == ICMPV6 && upper.first).then(|| payload.first().copied());
        let ports = (upper.protocol == UDP && upper.first).then(|| frame::ports(payload));
        if matches!(icmp, Some(None)) || matches!(ports, Some(None)) {
            return drop(DropReason::Malformed);
        }
        let kind = icmp.flatten();
        let reports = kind.is_some_and(is_listener_report);
        let allowed = own(ip.from) || (ip.from.is_unspecified() && (reports || kind == Some(icmpv6::SOLICITATION)));
        match kind {
            // Who may be heard is computed, so nobody has to say it; routers are not looked for either.
            _ if reports && allowed => drop(DropReason::Ignored),
            // Only the host is a router.
            Some(icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT) => drop(DropReason::Spoofed),
            // Discovery stands alone in its packet: behind other headers, or in fragments, it is there to pass guards
            // like this one (RFC 7113, 6980).
            Some(icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT) if upper.at != frame::IPV6_BYTES => {
                drop(DropReason::Spoofed)
            }
            Some(icmpv6::ROUTER_SOLICITATION) => drop(DropReason::Ignored),
            Some(icmpv6::SOLICITATION) if allowed => Some(self.solicited(&ip, ethernet.from, packet, own)),
            Some(icmpv6::ADVERTISEMENT) => {
                let target: Option<[u8; 16]> = packet.get(48..64).and_then(|bytes| bytes.try_into().ok());
                let honest = own(ip.from) && target.is_some_and(|target| own(target.into()));
                drop(if honest { DropReason::Ignored } else { DropReason::Spoofed })
            }
            _ if matches!(ports, Some(Some((DHCPV6_SERVER, _) | (_, DHCPV6_CLIENT)))) => drop(DropReason::Spoofed),
            _ if !own(ip.from) => drop(DropReason::Spoofed),
            _ => None,
        }
    }

    fn solicited(&self, ip: &frame::Ipv6, mac: Mac, packet: &[u8], own: impl Fn(Ipv6Addr) -> bool) -> PolicyDecision {
        let Some(target) = reply::read_solicitation(packet) else { return PolicyDecision::Drop(DropReason::Malformed) };
        if own(target) {
            // It wants to know whether somebody else has its address: nobody has.
            return PolicyDecision::Drop(DropReason::Ignored);
        }
        match self.owner_of_ipv6(target) {
            Some(owner) => {
                let router = owner == self.router;
                PolicyDecision::Answer(reply::advertisement(target, owner, router, mac, ip.from))
            }
            None => PolicyDecision::Drop(DropReason::NoSuchNode),
        }
    }

    fn owner_of_ipv6(&self, address: Ipv6Addr) -> Option<Mac> {
        if let Some(mac) = mac_of_link_local(address) {
            let node = self.plan.node_by_mac(mac).filter(|node| node.host == self.host)?;
            return self.plan.mac(node);
        }
        if address.is_multicast() || address.is_unspecified() || address.is_unicast_link_local() {
            return None;
        }
        let node = self.plan.node_by_ipv6(address);
        if let Some(guest) = node.and_then(|node| self.ours(node)) {
            return self.mac(guest);
        }
        let router = self.plan.ipv6(Node::host(self.host))?;
        let same_block = address.octets()[..8] == router.octets()[..8];
        (!same_block || node.is_some()).then_some(self.router)
    }
}

/// What routing looks at; nothing if the packet is not whole.
fn read(packet: &[u8], kind: u16) -> Option<Packet> {
    match kind {
        IPV4 => frame::ipv4(packet).map(|ip| Packet {
            from: ip.from.into(),
            to: ip.to.into(),
            hops: ip.ttl,
            opens_nothing: reach::opens_nothing_v4(packet, &ip),
        }),
        IPV6 => frame::ipv6(packet).map(|ip| Packet {
            from: ip.from.into(),
            to: ip.to.into(),
            hops: ip.hop_limit,
            opens_nothing: frame::ipv6_payload(packet, &ip)
                .is_some_and(|upper| reach::opens_nothing_v6(packet, &ip, &upper)),
        }),
        _ => None,
    }
}

fn is_listener_report(kind: u8) -> bool {
    icmpv6::LISTENER.contains(&kind)
}

pub use vmatic_sys::netdev::link_local;

/// The MAC that a link-local address was made of (RFC 4291, appendix A).
fn mac_of_link_local(address: Ipv6Addr) -> Option<Mac> {
    let b = address.octets();
    let mac = [b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]];
    (link_local(mac) == address).then_some(Mac(mac))
}

// A frame's packet is looked at where the Ethernet header ends.
const _: () = assert!(PACKET_AT - ETHERNET_BYTES == frame::HEADER_BYTES);

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
