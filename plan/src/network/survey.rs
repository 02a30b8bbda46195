//! What a network is made of, counted: what `vmatic check` tells.

use super::graph::Network;
use super::kinds::{NodeKind, Numbering};
use super::route::{Part, Rung};
use super::shapes::Shape;
use crate::ids::HostId;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Most links that are counted one by one.
pub const COUNTED_LINKS_MAX: u64 = 50_000_000;
/// Largest packet of a card, unless stated; and what of it a cable between hosts takes (VXLAN over IPv4, RFC 7348).
pub const MTU: u16 = 1500;
/// See [`MTU`].
pub const VXLAN_BYTES: u16 = 50;
/// Most routes that a guest's kernel is given.
pub const ROUTES_MAX: u32 = 2000;

/// Nodes of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfKind {
    /// The kind.
    pub kind: NodeKind,
    /// How many.
    pub nodes: u32,
    /// Their ports, in all.
    pub ports: u64,
    /// Most ports of one.
    pub ports_max: u32,
}

/// Cables between hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossing {
    /// How many.
    pub cables: u64,
    /// Most of one host, and which.
    pub most: (u32, HostId),
    /// Links from a node to itself, which random graphs have.
    pub loops: u64,
}

/// The counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Kinds of nodes.
    pub kinds: Vec<OfKind>,
    /// Links.
    pub links: u64,
    /// Cables between hosts; none, where there are too many links to count.
    pub crossing: Option<Crossing>,
    /// The largest packet.
    pub mtu: u16,
    /// Most routes of a guest's kernel, and whose; none, where kernels have none of ours.
    pub routes: Option<(u32, u32)>,
    /// Parts, with who finds ways in each.
    pub parts: Vec<Part>,
}

impl Network {
    /// Counts the network. Takes a time that grows with its links.
    pub fn survey(&self) -> Survey {
        let mut kinds: Vec<OfKind> = Vec::new();
        let (parts, links) = (self.parts(), self.links());
        let mut routes: Option<(u32, u32)> = None;
        for node in 0..self.len() {
            let (kind, ports) = (self.kind(node), self.degree(node));
            if kind.is_guest()
                && let Some(own) = self.routes_of(node, ports, &parts)
                && routes.is_none_or(|(most, _)| most < own)
            {
                routes = Some((own, node));
            }
            match kinds.iter_mut().find(|of| of.kind == kind) {
                Some(of) => {
                    of.nodes += 1;
                    of.ports += u64::from(ports);
                    of.ports_max = of.ports_max.max(ports);
                }
                None => kinds.push(OfKind { kind, nodes: 1, ports: ports.into(), ports_max: ports }),
            }
        }
        kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
        let crossing = (links <= COUNTED_LINKS_MAX).then(|| self.crossing());
        Survey { kinds, links, crossing, mtu: self.mtu(), routes, parts }
    }

    /// The largest packet of links that have no other: one for all of the network, since daemons want both ends of a
    /// link to agree (RFC 2328, 10.6). Where cables go between hosts it leaves room for what carries them.
    pub fn mtu(&self) -> u16 {
        let crosses = |node: u32| {
            let host = |node| self.site(node).map(|site| site.host);
            self.ends(node).any(|end| host(end.peer) != host(node))
        };
        let counted = || self.links() > COUNTED_LINKS_MAX || (0..self.len()).any(crosses);
        let any = || self.hosts_used() > 1 && counted();
        self.draft().mtu.unwrap_or_else(|| if any() { MTU - VXLAN_BYTES } else { MTU })
    }

    fn crossing(&self) -> Crossing {
        let mut crossing = Crossing::default();
        let mut of_host: Vec<u32> = alloc::vec![0; self.hosts_used() as usize + 1];
        for node in 0..self.len() {
            let Some(own) = self.site(node) else { continue };
            for end in self.ends(node).filter(|end| end.first) {
                let Some(peer) = self.site(end.peer) else { continue };
                crossing.loops += u64::from(end.peer == node);
                if peer.host == own.host {
                    continue;
                }
                crossing.cables += 1;
                for host in [own.host, peer.host] {
                    if let Some(count) = of_host.get_mut(host.0 as usize) {
                        *count += 1;
                    }
                }
            }
        }
        let most = of_host.iter().zip(0..).max_by_key(|(count, host)| (**count, Reverse(*host)));
        crossing.most = most.map_or((0, HostId(0)), |(count, host)| (*count, HostId(host)));
        crossing
    }

    /// How many routes a guest's kernel gets; none, if a daemon gives it its own.
    fn routes_of(&self, node: u32, ports: u32, parts: &[Part]) -> Option<u32> {
        if ports < 2 {
            return Some(ports);
        }
        let has = |part: &&Part| {
            part.groups.iter().any(|at| {
                let group = &self.nodes().groups()[*at];
                (group.first..group.first + group.len).contains(&node)
            })
        };
        let part = parts.iter().find(has)?;
        match part.rung {
            Rung::Daemon(_) if self.routing(node).has_daemon() => None,
            Rung::Law if self.draft().numbering == Numbering::Prefix => match self.shape(*part.laws.first()?) {
                // One a child, one for the rest.
                Some(Shape::Tree(_)) => Some(ports),
                _ => Some(part.nodes - 1),
            },
            Rung::Direct | Rung::Nobody => Some(ports),
            _ => Some(part.nodes - 1),
        }
    }
}
