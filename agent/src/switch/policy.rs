//! Where a frame goes: computed by the plan, frame by frame, without a table.
//!
//! Takes a frame and the port that it came from; gives a [`PolicyDecision`]. The switch answers
//! ARP, neighbour discovery and DHCP itself, forwards between the guests of its host by
//! the inverse of the plan, and gives the rest to the host's kernel as packets. A guest
//! may speak only as itself.

use super::counters::DropReason;
use super::frame::{self, ARP, ETHERNET_BYTES, Ethernet, ICMPV6, IPV4, IPV6, Mac, PACKET_AT, UDP};
use super::reply::{self, Lease};
use std::net::{Ipv4Addr, Ipv6Addr};
use vmatic_plan::{GuestId, HostId, Node, Plan};

/// What is to be done with a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum PolicyDecision {
    /// To one guest of this host, as it now is.
    Guest(GuestId),
    /// To all other guests of this host.
    Everyone,
    /// Its packet goes to the host's kernel; on to this host, if another host's guest is meant.
    Uplink(Option<HostId>),
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

const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
/// The port of DHCPv6 servers (RFC 8415, 7.2).
const DHCPV6_SERVER: u16 = 547;

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
            // Only what is looked at is passed on: a system takes a tagged frame (IEEE 802.1Q) for the one in it.
            _ => Some(PolicyDecision::Drop(DropReason::Ignored)),
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

    /// Routes a packet: to a guest of this host with a new Ethernet header, or to the kernel.
    /// One from a guest loses a hop; one from the kernel has lost it there.
    fn route(&self, frame: &mut [u8], kind: u16, from_guest: bool) -> PolicyDecision {
        let packet = frame::packet(frame);
        let (node, hops, group) = match kind {
            IPV4 => match frame::ipv4(packet) {
                Some(ip) => (self.plan.node_by_ipv4(ip.to), ip.ttl, ip.to.is_multicast() || ip.to.is_broadcast()),
                None => return PolicyDecision::Drop(DropReason::Malformed),
            },
            IPV6 => match frame::ipv6(packet) {
                Some(ip) => (self.plan.node_by_ipv6(ip.to), ip.hop_limit, ip.to.is_multicast()),
                None => return PolicyDecision::Drop(DropReason::Malformed),
            },
            _ => return PolicyDecision::Drop(DropReason::Ignored),
        };
        if group {
            return PolicyDecision::Drop(DropReason::Ignored);
        }
        match (node.and_then(|node| self.ours(node)), node) {
            // The kernel says that the packet's time is over.
            (Some(_), _) if from_guest && hops <= 1 => PolicyDecision::Uplink(None),
            (Some(guest), _) => {
                let Some(to) = self.mac(guest) else { return PolicyDecision::Drop(DropReason::NoSuchNode) };
                if from_guest {
                    frame::take_a_hop(frame);
                }
                frame::set_ethernet(frame, Ethernet { to, from: self.router, kind });
                PolicyDecision::Guest(guest)
            }
            (None, Some(node)) if node.host != self.host && !node.is_host() => PolicyDecision::Uplink(Some(node.host)),
            (None, _) if from_guest => PolicyDecision::Uplink(None),
            // The kernel thinks that it is ours, but no guest has that number.
            (None, _) => PolicyDecision::Drop(DropReason::NoSuchNode),
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
            address: self.plan.ipv4(node)?,
            netmask: Ipv4Addr::from(u32::MAX << (32 - u32::from(prefix))),
            router: self.plan.ipv4(Node::host(self.host))?,
            router_mac: self.router,
        })
    }

    /// Answers DHCP, and stops what a guest must not say; nothing for packets that just travel.
    fn look_at_ipv4(&self, guest: GuestId, ethernet: &Ethernet, packet: &[u8]) -> Option<PolicyDecision> {
        let Some(ip) = frame::ipv4(packet) else { return Some(PolicyDecision::Drop(DropReason::Malformed)) };
        let payload = packet.get(ip.payload_at..).unwrap_or_default();
        let ports = (ip.protocol == UDP && ip.first).then(|| frame::ports(payload)).flatten();
        let own = Some(ip.from) == self.plan.ipv4(Node::guest(self.host, guest));
        let for_router = ethernet.to == Mac::BROADCAST || ethernet.to == self.router;
        match ports {
            Some((DHCP_CLIENT, DHCP_SERVER)) if for_router && (own || ip.from.is_unspecified()) => {
                let answer = self.lease(guest).and_then(|lease| reply::dhcp(payload, &lease));
                Some(answer.map_or(PolicyDecision::Drop(DropReason::Ignored), PolicyDecision::Answer))
            }
            // Only the switch leases addresses.
            Some((DHCP_SERVER, _)) => Some(PolicyDecision::Drop(DropReason::Spoofed)),
            _ if !own => Some(PolicyDecision::Drop(DropReason::Spoofed)),
            _ => None,
        }
    }

    /// The same for IPv6 and its neighbour discovery.
    fn look_at_ipv6(&self, guest: GuestId, ethernet: &Ethernet, packet: &[u8]) -> Option<PolicyDecision> {
        let Some(ip) = frame::ipv6(packet) else { return Some(PolicyDecision::Drop(DropReason::Malformed)) };
        let node = Node::guest(self.host, guest);
        let own = |address| Some(address) == self.plan.ipv6(node) || address == link_local(ethernet.from.0);
        // What cannot be walked to its end could be anything to who receives it (RFC 7112).
        let Some(upper) = frame::ipv6_payload(ip.next, packet) else {
            return Some(PolicyDecision::Drop(DropReason::Malformed));
        };
        let payload = packet.get(upper.at..).unwrap_or_default();
        let kind = if upper.protocol == ICMPV6 && upper.first { payload.first().copied() } else { None };
        let ports = (upper.protocol == UDP && upper.first).then(|| frame::ports(payload)).flatten();
        // Neighbour discovery stands alone in its packet: behind other headers, or in fragments, it is there to pass
        // guards like this one (RFC 7113, 6980).
        let discovery = kind.is_some_and(|kind| (icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT).contains(&kind));
        if (discovery && upper.at != frame::IPV6_BYTES) || matches!(ports, Some((DHCPV6_SERVER, _))) {
            return Some(PolicyDecision::Drop(DropReason::Spoofed));
        }
        let reports = kind.is_some_and(is_listener_report);
        let allowed = own(ip.from) || (ip.from.is_unspecified() && (reports || kind == Some(icmpv6::SOLICITATION)));
        match kind {
            // Who may be heard is computed, so nobody has to say it; routers are not looked for either.
            _ if reports && allowed => Some(PolicyDecision::Drop(DropReason::Ignored)),
            Some(icmpv6::ROUTER_SOLICITATION) => Some(PolicyDecision::Drop(DropReason::Ignored)),
            // Only the host is a router.
            Some(icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT) => Some(PolicyDecision::Drop(DropReason::Spoofed)),
            Some(icmpv6::SOLICITATION) if allowed => Some(self.solicited(&ip, ethernet.from, packet, own)),
            Some(icmpv6::ADVERTISEMENT) => {
                let target: Option<[u8; 16]> = packet.get(48..64).and_then(|bytes| bytes.try_into().ok());
                let honest = own(ip.from) && target.is_some_and(|target| own(target.into()));
                Some(PolicyDecision::Drop(if honest { DropReason::Ignored } else { DropReason::Spoofed }))
            }
            _ if !own(ip.from) => Some(PolicyDecision::Drop(DropReason::Spoofed)),
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
