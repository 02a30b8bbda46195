//! What a guest of a network is told: its address, its cards, the routes of its kernel, and whether it passes on.
//!
//! Takes the law; gives what the guest's agent applies. Routes are put together: a covering route where most of the
//! network lies, and those that differ from it. A guest with one link needs no search: all else lies behind its
//! neighbour. What a daemon finds is left to the daemon.

use super::graph::Network;
use super::kinds::{NodeKind, Routing};
use super::route::SEARCH_NODES_MAX;
use super::survey::ROUTES_MAX;
use crate::Ipv4Net;
use crate::address::mac::Mac;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::Ipv4Addr;

/// A guest's ports, as its agent sets them up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPorts {
    /// Its address, the same on each port.
    pub address: Ipv4Addr,
    /// Whether it passes on what is not its own.
    pub forwards: bool,
    /// Its cards, from port 1 on.
    pub cards: Vec<PortCard>,
    /// The routes of its kernel; what is reached straight goes before what is reached through it.
    pub routes: Vec<KernelRoute>,
}

/// The card of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortCard {
    /// Its address.
    pub mac: Mac,
    /// The largest packet.
    pub mtu: u16,
}

/// A route of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// What lies there.
    pub to: Ipv4Net,
    /// Through this neighbour; none, where it is a neighbour itself.
    pub via: Option<Ipv4Addr>,
    /// Out of this port.
    pub port: u32,
}

/// Why a guest of a network cannot be told what its ports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPorts {
    /// Its addresses do not fit their block.
    Addresses,
    /// It has more ports than MACs tell apart.
    Ports,
    /// Its kernel would get more routes than [`ROUTES_MAX`]: so many.
    Routes(usize),
}

impl core::fmt::Display for NoPorts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            NoPorts::Addresses => f.write_str("the network's addresses do not fit their block"),
            NoPorts::Ports => f.write_str("it has more ports than cards can have"),
            NoPorts::Routes(count) => write!(f, "it needs {count} routes, and a kernel gets at most {ROUTES_MAX}"),
        }
    }
}

impl core::error::Error for NoPorts {}

/// A neighbour and the port that leads to it.
type Hop = (u32, u32);

impl Network {
    /// What a host's template needs cards for: the highest port of its guests, 0 if none has any, and the largest
    /// packet of these ports.
    pub fn template_ports(&self, host: crate::HostId) -> (u32, u16) {
        let guests = self.residents(host).filter(|node| self.kind(*node).is_guest());
        let ends = guests.flat_map(|node| self.ends(node));
        let most = |(port, mtu): (u32, u16), end: super::graph::End| (port.max(end.port), mtu.max(end.there.mtu));
        match ends.fold((0, 0), most) {
            (0, _) => (0, 0),
            (port, mtu) => (port, mtu.max(self.mtu())),
        }
    }

    /// What a guest is told, where first cards have addresses of `guests`.
    ///
    /// # Errors
    /// It has more ports or routes than a guest can have.
    pub fn guest_ports(&self, guests: Ipv4Net, node: u32) -> Result<GuestPorts, NoPorts> {
        let address = self.address(guests, node).ok_or(NoPorts::Addresses)?;
        let block = self.address_block(guests).ok_or(NoPorts::Addresses)?;
        let mtu = self.mtu();
        let mut mtus: BTreeMap<u32, u16> = BTreeMap::new();
        for end in self.ends(node) {
            mtus.insert(end.port, if end.there.mtu == 0 { mtu } else { end.there.mtu });
        }
        // Where lines say ports, some between them may have no link.
        let last = mtus.last_key_value().map_or(0, |(port, _)| *port);
        let card = |port: u32| Some(PortCard { mac: self.mac(node, port)?, mtu: *mtus.get(&port).unwrap_or(&mtu) });
        let cards = (1..=last).map(card).collect::<Option<Vec<_>>>().ok_or(NoPorts::Ports)?;
        let routes = self.kernel_routes(guests, block, node)?;
        Ok(GuestPorts { address, forwards: self.routing(node) != Routing::None, cards, routes })
    }

    /// The nodes that a node's ports lead to, segments passed over: each with its port, the lowest of several.
    fn neighbours(&self, node: u32) -> BTreeMap<u32, u32> {
        let mut found = BTreeMap::new();
        for first in self.ends(node).filter(|end| !end.there.down) {
            let (mut open, mut seen) = (alloc::vec![first.peer], alloc::vec![first.peer]);
            while let Some(at) = open.pop() {
                if self.kind(at) != NodeKind::Switch {
                    if at != node {
                        let port = found.entry(at).or_insert(first.port);
                        *port = first.port.min(*port);
                    }
                    continue;
                }
                for end in self.ends(at).filter(|end| !end.there.down) {
                    if let Err(place) = seen.binary_search(&end.peer) {
                        seen.insert(place, end.peer);
                        open.push(end.peer);
                    }
                }
            }
        }
        found
    }

    fn kernel_routes(&self, guests: Ipv4Net, block: Ipv4Net, node: u32) -> Result<Vec<KernelRoute>, NoPorts> {
        let neighbours = self.neighbours(node);
        if neighbours.len() > ROUTES_MAX as usize {
            return Err(NoPorts::Routes(neighbours.len()));
        }
        let address = |node: u32| self.address(guests, node);
        let single = |node: u32| address(node).map(|address| Ipv4Net::from_bits(u32::from(address), 32));
        let straight = neighbours.iter().filter_map(|(peer, port)| Some((single(*peer)?, *port)));
        let mut routes: Vec<KernelRoute> = straight.map(|(to, port)| KernelRoute { to, via: None, port }).collect();
        let passes = |peer: &u32| self.routing(*peer) != Routing::None && self.kind(*peer) != NodeKind::Cloud;
        let routers: Vec<Hop> =
            neighbours.iter().filter(|(peer, _)| passes(peer)).map(|(peer, port)| (*peer, *port)).collect();
        let route = |to: Ipv4Net, (peer, port): Hop| Some(KernelRoute { to, via: Some(address(peer)?), port });
        if self.routing(node).has_daemon() || routers.is_empty() {
            return Ok(routes);
        }
        if let [only] = routers[..] {
            routes.extend(route(block, only));
            return Ok(routes);
        }
        if let Some(own) = self.branch(guests, node) {
            // In such a tree a child has its branch, and all else lies above.
            let ways = routers.iter().filter_map(|hop| {
                let branch = self.branch(guests, hop.0)?;
                let is_child = own.contains(branch.base().into());
                route(if is_child { branch } else { block }, *hop)
            });
            routes.extend(ways);
            return Ok(routes);
        }
        if self.degree(node) < 2 {
            // Of several routers of a segment, the first.
            routes.extend(routers.first().and_then(|first| route(block, *first)));
            return Ok(routes);
        }
        let hops = self.first_hops(node);
        let mut ways: Vec<(u32, Hop)> = Vec::new();
        for (to, hop) in hops {
            // A neighbour has its own route, which goes before.
            ways.extend(address(to).map(|address| (u32::from(address), hop)));
        }
        ways.sort_unstable();
        let mut merged = Vec::new();
        cover(&ways, block, &mut merged);
        if routes.len() + merged.len() > ROUTES_MAX as usize {
            return Err(NoPorts::Routes(routes.len() + merged.len()));
        }
        routes.extend(merged.into_iter().filter_map(|(to, hop)| route(to, hop)));
        Ok(routes)
    }

    /// The first neighbour and port on the way from a node to each other: by law, else by one search.
    fn first_hops(&self, node: u32) -> Vec<(u32, Hop)> {
        let leading = self.leading();
        let by_law = leading.iter().any(|law| self.law_has(*law, node));
        if by_law {
            let as_drawn = &|_: u32, _: u32, down: bool| !down;
            let others = (0..self.len()).filter(|other| *other != node);
            let leg = |to: u32| Some((to, self.leg_by_law(&leading, node, to, as_drawn)?));
            return others.filter_map(leg).map(|(to, leg)| (to, (leg.next, leg.port))).collect();
        }
        if self.len() > SEARCH_NODES_MAX { Vec::new() } else { self.search_from(node) }
    }

    /// One search from a node: least delay, then fewest hops, then the lowest port.
    fn search_from(&self, node: u32) -> Vec<(u32, Hop)> {
        /// Delay in microseconds, hops, the first port, and the first node that is no segment, once it is passed.
        type Reached = (u64, u32, u32, Option<u32>);
        let mut best: Vec<Option<Reached>> = alloc::vec![None; self.len() as usize];
        let mut open: BinaryHeap<Reverse<(Reached, u32)>> = BinaryHeap::new();
        let relax = |best: &mut Vec<Option<Reached>>, open: &mut BinaryHeap<_>, reached: Reached, peer: u32| {
            let next = reached.3.or((self.kind(peer) != NodeKind::Switch).then_some(peer));
            let reached = (reached.0, reached.1, reached.2, next);
            if let Some(place) = best.get_mut(peer as usize)
                && peer != node
                && place.is_none_or(|known| reached < known)
            {
                *place = Some(reached);
                open.push(Reverse((reached, peer)));
            }
        };
        for end in self.ends(node).filter(|end| !end.there.down) {
            relax(&mut best, &mut open, (end.there.link.delay_us, 1, end.port, None), end.peer);
        }
        while let Some(Reverse((reached, at))) = open.pop() {
            if best[at as usize] != Some(reached) || self.routing(at) == Routing::None {
                continue;
            }
            for end in self.ends(at).filter(|end| !end.there.down) {
                let delay = reached.0.saturating_add(end.there.link.delay_us);
                relax(&mut best, &mut open, (delay, reached.1 + 1, reached.2, reached.3), end.peer);
            }
        }
        let hops = best.into_iter().zip(0..).filter_map(|(reached, to)| {
            let (_, _, port, next) = reached?;
            Some((to, (next?, port)))
        });
        hops.filter(|(to, _)| self.kind(*to) != NodeKind::Switch).collect()
    }
}

/// Routes of a block for these ways, in order of addresses: one for the whole block, over the hop that most ways have,
/// and for each part that differs its own. Addresses that nobody has may go anywhere.
fn cover(ways: &[(u32, Hop)], block: Ipv4Net, routes: &mut Vec<(Ipv4Net, Hop)>) {
    let mut counts: BTreeMap<Hop, usize> = BTreeMap::new();
    ways.iter().for_each(|(_, hop)| *counts.entry(*hop).or_default() += 1);
    let Some((most, _)) = counts.into_iter().max_by_key(|(hop, count)| (*count, Reverse(*hop))) else { return };
    routes.push((block, most));
    split(ways, (block.base(), block.prefix()), most, routes);
}

fn split(ways: &[(u32, Hop)], (base, prefix): (u32, u8), above: Hop, routes: &mut Vec<(Ipv4Net, Hop)>) {
    let Some((_, first)) = ways.first() else { return };
    if ways.iter().all(|(_, hop)| hop == first) {
        if *first != above {
            routes.push((Ipv4Net::from_bits(base, prefix), *first));
        }
        return;
    }
    if prefix >= 32 {
        return;
    }
    // At most 32 deep: a bit each.
    let half = base | 1 << (31 - prefix);
    let (low, high) = ways.split_at(ways.partition_point(|(address, _)| *address < half));
    split(low, (base, prefix + 1), above, routes);
    split(high, (half, prefix + 1), above, routes);
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
