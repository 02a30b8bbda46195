//! Ways through a network: by law where there is one, else by a search from the destination.
//!
//! A law of next hops counts hops; since one shape has one kind of link, that is the quickest way, too. A search finds
//! the way of least delay, and of those the one of fewest hops; of several, the one over the lower port.

use super::graph::{End, Network};
use super::kinds::Routing;
use super::law::{LawEnd, Side, Wiring};
use super::shapes::Shape;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Most nodes of a part in which a router searches on demand.
pub const SEARCH_NODES_MAX: u32 = 100_000;
/// Most nodes of a network in which one way is searched for somebody who asks.
pub const WAY_NODES_MAX: u32 = 1 << 21;

/// Who finds the ways in a part of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Nobody has to: every node has one link at most.
    Direct,
    /// Nobody does: no node passes on what is not its own.
    Nobody,
    /// The law of next hops.
    Law,
    /// The host, by one search a destination, when it is first needed.
    Search,
    /// Rows that are made at build, since kernels need them.
    Stored,
    /// Daemons, by this protocol.
    Daemon(Routing),
    /// None: there is no law, and the part is too large to be searched.
    TooLarge,
}

/// Groups of nodes that links join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The groups, by their place in [`Nodes::groups`](super::Nodes::groups).
    pub groups: Vec<usize>,
    /// The laws, from 0.
    pub laws: Vec<usize>,
    /// How many nodes.
    pub nodes: u32,
    /// Who finds ways.
    pub rung: Rung,
}

/// One step of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// From this node.
    pub node: u32,
    /// Out of this port.
    pub port: u32,
    /// To this node.
    pub peer: u32,
    /// In at this port.
    pub peer_port: u32,
    /// Delay of the link in this direction, in microseconds.
    pub delay_us: u64,
    /// Delay of the link back, in microseconds.
    pub back_us: u64,
}

/// A way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Its steps.
    pub hops: Vec<Hop>,
    /// Whether a law found it; else a search did.
    pub by_law: bool,
}

/// Why there is no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// Nodes that pass on what is not theirs do not join the two.
    Apart,
    /// There is no law, and more nodes than are searched.
    TooLarge,
}

impl Network {
    /// The parts of the network.
    pub fn parts(&self) -> Vec<Part> {
        let groups = self.nodes().groups();
        let mut part_of: Vec<usize> = (0..groups.len()).collect();
        let touched: Vec<Vec<usize>> = self
            .laws
            .iter()
            .map(|law| {
                let has = |group: &super::nodes::Group| {
                    let run = super::nodes::NodeList::of_run(group.first, group.len);
                    law.a.common(&run).or_else(|| law.b.common(&run)).is_some()
                };
                (0..groups.len()).filter(|at| has(&groups[*at])).collect()
            })
            .collect();
        for touched in &touched {
            let Some(least) = touched.iter().map(|at| part_of[*at]).min() else { continue };
            let merged: Vec<usize> = touched.iter().map(|at| part_of[*at]).collect();
            part_of.iter_mut().filter(|part| merged.contains(part)).for_each(|part| *part = least);
        }
        let mut parts: Vec<Part> = Vec::new();
        for first in 0..groups.len() {
            let own: Vec<usize> = (0..groups.len()).filter(|at| part_of[*at] == first).collect();
            if own.is_empty() {
                continue;
            }
            let laws = (0..self.laws.len()).filter(|law| touched[*law].iter().any(|at| own.contains(at)));
            let nodes = own.iter().map(|at| groups[*at].len).sum();
            let mut part = Part { laws: laws.collect(), nodes, groups: own, rung: Rung::Direct };
            part.rung = self.rung(&part);
            parts.push(part);
        }
        parts
    }

    fn rung(&self, part: &Part) -> Rung {
        let groups = part.groups.iter().map(|at| &self.nodes().groups()[*at]);
        let nodes = groups.flat_map(|group| group.first..group.first + group.len);
        let (mut joined, mut passing, mut standing, mut guests) = (0u32, 0u32, 0u32, 0u32);
        for node in nodes.filter(|node| self.degree(*node) > 1) {
            joined += 1;
            match self.routing(node) {
                Routing::None => standing += 1,
                routing if routing.has_daemon() => return Rung::Daemon(routing),
                _ => {
                    passing += 1;
                    guests += u32::from(self.kind(node).is_guest());
                }
            }
        }
        let lawful = matches!(part.laws[..], [law] if self.shape(law).is_some_and(Shape::has_next));
        match (joined, passing) {
            (0, _) => Rung::Direct,
            (_, 0) => Rung::Nobody,
            _ if lawful && standing == 0 => Rung::Law,
            _ if part.nodes > SEARCH_NODES_MAX => Rung::TooLarge,
            _ if guests > 0 => Rung::Stored,
            _ => Rung::Search,
        }
    }

    /// The shape of a law, if it has one.
    pub fn shape(&self, law: usize) -> Option<&Shape> {
        match &self.laws.get(law)?.wiring {
            Wiring::Shape(shape) => Some(shape),
            _ => None,
        }
    }

    /// The port of `from` that a law says leads to `to`.
    fn next(&self, law: usize, from: u32, to: u32) -> Option<u32> {
        let of = self.laws.get(law)?;
        let (rank, to) = (of.a.rank(from)?, of.a.rank(to)?);
        let end = self.shape(law)?.next(rank, to)?;
        self.port(from, law, LawEnd { side: Side::A, rank, end })
    }

    /// The way from one node to another.
    ///
    /// # Errors
    /// There is none, or none that can be found.
    pub fn way(&self, from: u32, to: u32) -> Result<Way, NoWay> {
        if from == to {
            return Ok(Way { hops: Vec::new(), by_law: true });
        }
        let laws = (0..self.laws.len()).filter(|law| [from, to].iter().all(|node| self.laws[*law].a.has(*node)));
        let lawful = laws.filter(|law| self.shape(*law).is_some_and(Shape::has_next));
        // Another law could be shorter: it counts only where it is alone.
        let alone = |law: &usize| {
            self.laws.iter().enumerate().all(|(at, other)| {
                at == *law || self.laws[*law].a.common(&other.a).or(self.laws[*law].a.common(&other.b)).is_none()
            })
        };
        if let Some(hops) = lawful.filter(alone).find_map(|law| self.by_law(law, from, to)) {
            return Ok(Way { hops, by_law: true });
        }
        if self.len() > WAY_NODES_MAX {
            return Err(NoWay::TooLarge);
        }
        self.search(from, to).map(|hops| Way { hops, by_law: false }).ok_or(NoWay::Apart)
    }

    fn by_law(&self, law: usize, from: u32, to: u32) -> Option<Vec<Hop>> {
        let mut hops = Vec::new();
        let mut at = from;
        while at != to && hops.len() < self.len() as usize {
            if at != from && self.routing(at) == Routing::None {
                return None;
            }
            let end = self.link(at, self.next(law, at, to)?).filter(|end| !end.there.down)?;
            hops.push(hop(&end));
            at = end.peer;
        }
        Some(hops)
    }

    fn search(&self, from: u32, to: u32) -> Option<Vec<Hop>> {
        let nodes = self.len() as usize;
        let mut costs: Vec<(u64, u32)> = alloc::vec![(u64::MAX, u32::MAX); nodes];
        let mut open = BinaryHeap::from([Reverse(((0, 0), to))]);
        *costs.get_mut(to as usize)? = (0, 0);
        while let Some(Reverse((cost, at))) = open.pop() {
            if at == from {
                break;
            }
            if cost > costs[at as usize] || (at != to && self.routing(at) == Routing::None) {
                continue;
            }
            for end in self.ends(at).filter(|end| !end.back.down && end.peer != at) {
                let (delay, hops) = cost;
                let longer = (delay + end.back.link.delay_us, hops + 1);
                if longer < costs[end.peer as usize] {
                    costs[end.peer as usize] = longer;
                    open.push(Reverse((longer, end.peer)));
                }
            }
        }
        let mut hops = Vec::new();
        let mut at = from;
        while at != to {
            let cost = costs[at as usize];
            let leads = |end: &End| {
                let (delay, hops) = costs[end.peer as usize];
                let passes = end.peer == to || self.routing(end.peer) != Routing::None;
                let known = hops < u32::MAX && passes && !end.there.down;
                known && (delay.saturating_add(end.there.link.delay_us), hops.saturating_add(1)) == cost
            };
            let end = self.ends(at).filter(leads).min_by_key(|end| end.port)?;
            hops.push(hop(&end));
            at = end.peer;
        }
        Some(hops)
    }
}

fn hop(end: &End) -> Hop {
    Hop {
        node: end.node,
        port: end.port,
        peer: end.peer,
        peer_port: end.peer_port,
        delay_us: end.there.link.delay_us,
        back_us: end.back.link.delay_us,
    }
}
