//! What the nodes of a network are called on the wire: an address each, a MAC a port, both ways by arithmetic.
//!
//! Links are unnumbered: a node has one address, on all of its ports. Addresses follow places
//! ([`Network::ordinal`]), so that neighbours are neighbours there too and routes can be put together; in a tree they
//! may follow its branches instead. They are of a block of their own, since a guest's first card has an address of its
//! host's network.

use super::graph::{Draft, LINK_NETWORK, LinkDraft, Network};
use super::kinds::{Numbering, Port0};
use super::shapes::Shape;
use super::shapes::tree::Tree;
use crate::address::mac::Mac;
use crate::address::net::Ipv4Net;
use crate::ids::{GuestId, HostId};
use crate::sets::Node;
use core::net::Ipv4Addr;

/// Most ports that MACs tell apart.
pub const MAC_PORTS: u32 = 64;
/// The first byte of a MAC is locally administered and unicast (IEEE 802-2014, 8.2); the port is above these bits.
const MAC_PREFIX: u8 = 2;
const PORT_SHIFT: u32 = 2;
/// The second byte of a MAC of what is no guest: the first of three that have a guest's host, which is below this times
/// 65,536.
const NO_GUEST: u8 = 0xff;
/// The block's own address and its broadcast address, which no node has.
const RESERVED: u64 = 2;

/// How many bits of an address a level of a tree takes, and how many levels there are: 0 is the node itself.
fn digits(tree: &Tree) -> (u32, u32) {
    (u32::BITS - tree.arity().leading_zeros(), tree.height())
}

impl Mac {
    /// The MAC of another port of the same node, below [`MAC_PORTS`].
    pub fn at_port(self, port: u32) -> Mac {
        let Mac([_, a, b, c, d, e]) = self;
        Mac([(port << PORT_SHIFT) as u8 | MAC_PREFIX, a, b, c, d, e])
    }
}

impl Draft {
    /// The tree by whose branches addresses are given.
    fn prefixes(&self) -> Option<&Tree> {
        match &self.links[..] {
            [LinkDraft::Shape { shape: Shape::Tree(tree), .. }] if self.numbering == Numbering::Prefix => Some(tree),
            _ => None,
        }
    }
}

impl Network {
    /// The block that nodes' addresses are of, where guests' first cards have addresses of `guests`; none if there are
    /// too many nodes.
    pub fn address_block(&self, guests: Ipv4Net) -> Option<Ipv4Net> {
        let links = self.draft().link_network.or_else(|| LINK_NETWORK.parse().ok());
        let free = (self.draft().port0 == Port0::None).then_some(guests);
        if let Some(tree) = self.draft().prefixes() {
            let (bits, levels) = digits(tree);
            return free.filter(|block| u64::from(bits * levels) <= u64::from(block.size().ilog2()));
        }
        let needed = u64::from(self.len()) + RESERVED;
        links.filter(|block| needed <= block.size()).or(free.filter(|block| needed <= block.size()))
    }

    /// A node's address.
    pub fn address(&self, guests: Ipv4Net, node: u32) -> Option<Ipv4Addr> {
        let block = self.address_block(guests).filter(|_| node < self.len())?;
        let Some(tree) = self.draft().prefixes() else {
            return block.nth(u64::from(self.ordinal(node)?) + 1);
        };
        let (bits, levels) = digits(tree);
        let (mut at, mut below) = (node, 0);
        let mut offset = 0u64;
        // From the node up: its last digit is behind those of all that is above it.
        while at > 0 {
            offset |= u64::from((at - 1) % tree.arity() + 1) << (bits * below);
            (at, below) = ((at - 1) / tree.arity(), below + 1);
        }
        block.nth(offset << (bits * (levels - below)))
    }

    /// The node that has an address.
    pub fn node_by_address(&self, guests: Ipv4Net, address: Ipv4Addr) -> Option<u32> {
        let offset = self.address_block(guests)?.offset(address)?;
        let Some(tree) = self.draft().prefixes() else {
            return self.by_ordinal(u32::try_from(offset.checked_sub(1)?).ok()?);
        };
        let (bits, levels) = digits(tree);
        let mut node = 0u64;
        let mut ended = false;
        for level in (0..levels).rev() {
            let digit = offset >> (bits * level) & ((1 << bits) - 1);
            if digit > u64::from(tree.arity()) || (ended && digit > 0) {
                return None;
            }
            ended |= digit == 0;
            node = if ended { node } else { node * u64::from(tree.arity()) + digit };
        }
        let above = offset >> (bits * levels);
        u32::try_from(node).ok().filter(|node| *node < self.len() && above == 0)
    }

    /// The block of a node and all that is below it in a tree whose addresses follow its branches; none of other
    /// networks' nodes.
    pub fn branch(&self, guests: Ipv4Net, node: u32) -> Option<Ipv4Net> {
        let (bits, levels) = digits(self.draft().prefixes()?);
        let offset = self.address_block(guests)?.offset(self.address(guests, node)?)?;
        // Its digits end where only zeros follow.
        let below = if offset == 0 { levels } else { offset.trailing_zeros() / bits };
        Some(Ipv4Net::from_bits(u32::from(self.address(guests, node)?), (u32::BITS - bits * below) as u8))
    }

    /// The MAC of a node's port; port 0 is a guest's first card. None where MACs do not tell its number.
    pub fn mac(&self, node: u32, port: u32) -> Option<Mac> {
        let site = self.site(node)?;
        if site.is_host() {
            // What takes no guest may have any number of ports: MACs have to differ on one link alone.
            let [a, b, c, d] = node.to_be_bytes();
            return Some(Mac([0, NO_GUEST, a, b, c, d]).at_port(port % MAC_PORTS));
        }
        let (h, g) = (site.host.0.to_be_bytes(), site.guest.0.to_be_bytes());
        let fits = port < MAC_PORTS && h[1] < NO_GUEST;
        fits.then(|| Mac([0, h[1], h[2], h[3], g[2], g[3]]).at_port(port))
    }

    /// The guest whose port a MAC is by the law, and the port.
    pub fn guest_port(&self, mac: Mac) -> Option<(u32, u32)> {
        let Mac([first, a, b, c, d, e]) = mac;
        if first & ((1 << PORT_SHIFT) - 1) != MAC_PREFIX || a == NO_GUEST {
            return None;
        }
        let host = HostId(u32::from_be_bytes([0, a, b, c]));
        let site = Node::guest(host, GuestId(u32::from_be_bytes([0, 0, d, e])));
        Some((self.node_at(site)?, u32::from(first >> PORT_SHIFT)))
    }
}
