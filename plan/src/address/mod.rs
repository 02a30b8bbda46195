//! The laws: addresses and places in the tree, computed both ways.
//!
//! Takes a plan and a node (or an address); gives addresses (or the node). Where the site has names, MACs and addresses
//! for its machines, the hosts' are those of the plan's table; whoever asks need not know of it.
//! Host n's guests live in the n-th block of the guest network, so one route
//! a host suffices; a MAC and an IPv6 address carry the two numbers as they
//! are. Block 0 stays free, which keeps `10.0.17.4` readable as 17/3.

pub mod mac;
pub mod net;
mod place;

use crate::ids::{GuestId, HostId};
use crate::plan::Plan;
use crate::sets::Node;
use core::net::{Ipv4Addr, Ipv6Addr};
use mac::Mac;
use net::Ipv4Net;

/// First byte of every MAC: locally administered, unicast (IEEE 802-2014, 8.2).
const MAC_PREFIX: u8 = 0x02;
/// First byte of a unique local IPv6 address with L = 1 (RFC 4193, 3.1).
const ULA_PREFIX: u8 = 0xfd;

impl Plan {
    /// The node's MAC: a host's card's, where the site's table has it; else 02, the host's 24 bits, the guest's 16
    /// bits.
    pub fn mac(&self, node: Node) -> Option<Mac> {
        let own = self.host_table.as_ref().filter(|_| node.is_host() && self.has(node));
        own.and_then(|table| table.mac(node.host)).or_else(|| self.computed_mac(node))
    }

    fn computed_mac(&self, node: Node) -> Option<Mac> {
        let (h, g) = (node.host.0.to_be_bytes(), node.guest.0.to_be_bytes());
        self.has(node).then_some(Mac([MAC_PREFIX, h[1], h[2], h[3], g[2], g[3]]))
    }

    /// The node that has this MAC.
    pub fn node_by_mac(&self, mac: Mac) -> Option<Node> {
        let own = self.host_table.as_ref().and_then(|table| table.host_by_mac(mac)).map(Node::host);
        own.filter(|node| self.has(*node))
            .or_else(|| self.node_by_computed_mac(mac).filter(|node| self.mac(*node) == Some(mac)))
    }

    /// The node that would have this MAC if all were computed.
    pub(crate) fn node_by_computed_mac(&self, mac: Mac) -> Option<Node> {
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
            None => Node::host(self.host_by_ipv4(address)?),
        };
        self.has(node).then_some(node)
    }

    /// The host's address on the machines' own network; none where the site's table has it and is not at hand.
    pub fn host_ipv4(&self, host: HostId) -> Option<Ipv4Addr> {
        let table = self.host_table.as_ref().filter(|table| table.has_addresses() != Some(false));
        match table {
            _ if !self.has(Node::host(host)) => None,
            Some(table) => table.ipv4(host),
            None => self.host_network.nth(u64::from(host.0)),
        }
    }

    /// The host that has this address on the machines' own network.
    fn host_by_ipv4(&self, address: Ipv4Addr) -> Option<HostId> {
        match self.host_table.as_ref().filter(|table| table.has_addresses() != Some(false)) {
            Some(table) => table.host_by_ipv4(address),
            None => u32::try_from(self.host_network.offset(address)?).ok().map(HostId),
        }
    }

    /// The networks of the machines themselves: those of a site's table need not be one block.
    pub fn host_networks(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        core::iter::once(self.host_network).chain(self.more_host_networks.iter().copied())
    }

    /// Whether an address lies in one of the machines' networks.
    pub fn is_host_network(&self, address: Ipv4Addr) -> bool {
        self.host_networks().any(|network| network.contains(address))
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
}

#[cfg(test)]
#[path = "laws_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "table_laws_tests.rs"]
mod table_tests;
