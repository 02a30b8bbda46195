//! The laws: addresses and places in the tree, computed both ways.
//!
//! Takes a plan and a node (or an address); gives addresses (or the node).
//! Host n's guests live in the n-th block of the guest network, so one route
//! a host suffices; a MAC and an IPv6 address carry the two numbers as they
//! are. Block 0 stays free, which keeps `10.0.17.4` readable as 17/3.

pub mod mac;
pub mod net;

use crate::ids::{GuestId, HostId};
use crate::plan::Plan;
use crate::sets::{Node, RangeSet};
use core::net::{Ipv4Addr, Ipv6Addr};
use mac::Mac;

/// First byte of every MAC: locally administered, unicast (IEEE 802-2014, 8.2).
const MAC_PREFIX: u8 = 0x02;
/// First byte of a unique local IPv6 address with L = 1 (RFC 4193, 3.1).
const ULA_PREFIX: u8 = 0xfd;

impl Plan {
    /// The node's MAC: 02, the host's 24 bits, the guest's 16 bits.
    pub fn mac(&self, node: Node) -> Option<Mac> {
        let (h, g) = (node.host.0.to_be_bytes(), node.guest.0.to_be_bytes());
        self.has(node).then_some(Mac([MAC_PREFIX, h[1], h[2], h[3], g[2], g[3]]))
    }

    /// The node that has this MAC.
    pub fn node_by_mac(&self, mac: Mac) -> Option<Node> {
        let Mac(mac) = mac;
        let host = HostId(u32::from_be_bytes([0, mac[1], mac[2], mac[3]]));
        let guest = GuestId(u32::from_be_bytes([0, 0, mac[4], mac[5]]));
        let node = Node { host, guest };
        (mac[0] == MAC_PREFIX && self.has(node)).then_some(node)
    }

    /// The node's address on the guests' network; a host's is its guests' router.
    pub fn ipv4(&self, node: Node) -> Option<Ipv4Addr> {
        let index = (u64::from(node.host.0) << self.block_bits()) + u64::from(node.guest.0) + 1;
        if self.has(node) { self.guest_network.nth(index) } else { None }
    }

    /// The node that has this address, on either network.
    pub fn node_by_ipv4(&self, address: Ipv4Addr) -> Option<Node> {
        let node = match self.guest_network.offset(address) {
            Some(at) => {
                let member = at & ((1 << self.block_bits()) - 1);
                let host = HostId((at >> self.block_bits()) as u32);
                Node { host, guest: GuestId(member.checked_sub(1)? as u32) }
            }
            None => Node::host(HostId(u32::try_from(self.host_network.offset(address)?).ok()?)),
        };
        self.has(node).then_some(node)
    }

    /// The host's address on the machines' own network.
    pub fn host_ipv4(&self, host: HostId) -> Option<Ipv4Addr> {
        if self.has(Node::host(host)) { self.host_network.nth(u64::from(host.0)) } else { None }
    }

    /// The block of guest addresses that a host routes: its first address and its prefix length.
    pub fn host_block(&self, host: HostId) -> Option<(Ipv4Addr, u8)> {
        let bits = self.block_bits();
        let base = self.guest_network.nth(u64::from(host.0) << bits)?;
        self.has(Node::host(host)).then_some((base, 32 - bits as u8))
    }

    /// The node's IPv6 address: fd, 32 bits of the cluster, the host's 24 bits, then the
    /// guest's number plus one. A host's guests share a /64, hosts aggregate below a /40.
    pub fn ipv6(&self, node: Node) -> Option<Ipv6Addr> {
        let mut bytes = [0; 16];
        bytes[0] = ULA_PREFIX;
        bytes[1..5].copy_from_slice(&self.cluster[..4]);
        bytes[5..8].copy_from_slice(&node.host.0.to_be_bytes()[1..]);
        bytes[12..].copy_from_slice(&(node.guest.0.wrapping_add(1)).to_be_bytes());
        self.has(node).then(|| Ipv6Addr::from(bytes))
    }

    /// The host's IPv6 address on the machines' own network: in the /64 of host 0, which no host is,
    /// so that it differs from its guests' network as in IPv4.
    pub fn host_ipv6(&self, host: HostId) -> Option<Ipv6Addr> {
        let mut bytes = self.ipv6(Node::host(host))?.octets();
        bytes[5..].fill(0);
        bytes[12..].copy_from_slice(&host.0.to_be_bytes());
        Some(Ipv6Addr::from(bytes))
    }

    /// The block of IPv6 addresses of a host and its guests: its first address and its prefix length.
    pub fn host_block_ipv6(&self, host: HostId) -> Option<(Ipv6Addr, u8)> {
        let mut bytes = self.ipv6(Node::host(host))?.octets();
        bytes[8..].fill(0);
        Some((Ipv6Addr::from(bytes), 64))
    }

    /// The node that has this IPv6 address.
    pub fn node_by_ipv6(&self, address: Ipv6Addr) -> Option<Node> {
        let b = address.octets();
        let host = HostId(u32::from_be_bytes([0, b[5], b[6], b[7]]));
        let guest = GuestId(u32::from_be_bytes([b[12], b[13], b[14], b[15]]).checked_sub(1)?);
        let node = Node { host, guest };
        (self.ipv6(node) == Some(address)).then_some(node)
    }

    /// The node above: a guest's is its host, a host's follows the `fanout`-ary heap, host 1 has none.
    pub fn parent(&self, node: Node) -> Option<Node> {
        if !self.has(node) {
            return None;
        }
        if !node.is_host() {
            return Some(Node::host(node.host));
        }
        Some(Node::host(HostId((node.host.0.checked_sub(2)?) / self.fanout + 1)))
    }

    /// The hosts below a host.
    pub fn child_hosts(&self, host: HostId) -> RangeSet {
        let (host, fanout) = (u64::from(host.0), u64::from(self.fanout));
        let clamp = |n: u64| n.min(u64::from(self.host_count()) + 1) as u32;
        match host {
            0 => RangeSet::new(),
            _ => RangeSet::span(clamp(fanout * (host - 1) + 2), clamp(fanout * host + 1).min(self.host_count())),
        }
    }

    /// How far a host is from the root: host 1 is at 0.
    pub fn level(&self, host: HostId) -> u32 {
        let (mut host, mut level) = (host, 0);
        while let Some(parent) = self.parent(Node::host(host)) {
            host = parent.host;
            level += 1;
        }
        level
    }

    /// All hosts at one level.
    pub fn level_hosts(&self, level: u32) -> RangeSet {
        let (mut first, mut width) = (1u64, 1u64);
        for _ in 0..level {
            first += width;
            width *= u64::from(self.fanout);
            if first > u64::from(self.host_count()) {
                return RangeSet::new();
            }
        }
        RangeSet::span(first as u32, (first + width - 1).min(u64::from(self.host_count())) as u32)
    }

    /// The hosts that may stand in for a lost parent: the level of the grandparent,
    /// or the root where there is no grandparent.
    pub fn stand_ins(&self, host: HostId) -> RangeSet {
        self.level_hosts(self.level(host).saturating_sub(2)).difference(&RangeSet::one(host.0))
    }
}

#[cfg(test)]
#[path = "laws_tests.rs"]
mod tests;
