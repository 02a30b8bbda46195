//! Ways through a network: by law where there is one, else by a search from the destination.
//!
//! A law of next hops counts hops; since one shape has one kind of link, that is the quickest way, too. A search finds
//! the way of least delay, and of those the one of fewest hops; of several, the one over the lower port.

mod legs;

use super::graph::{End, Network};
use super::kinds::Routing;
use super::law::{LawEnd, Side, Wiring};
use super::shapes::Shape;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

pub use legs::Leg;

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

/// Whether a node's port carries what it sends, where the law says whether the link is down at first.
pub type Carries<'a> = &'a dyn Fn(u32, u32, bool) -> bool;
/// Delay in microseconds, and hops.
pub(super) type Cost = (u64, u32);
/// No way is known.
const FAR: Cost = (u64::MAX, u32::MAX);

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

    /// The laws with next hops that lead their nodes: none of these has another law's links, which could be shorter.
    pub fn leading(&self) -> Vec<usize> {
        let alone = |law: &usize| {
            let own = &self.laws[*law].a;
            self.laws
                .iter()
                .enumerate()
                .all(|(at, other)| at == *law || own.common(&other.a).or(own.common(&other.b)).is_none())
        };
        let laws = (0..self.laws.len()).filter(|law| self.shape(*law).is_some_and(Shape::has_next));
        laws.filter(alone).collect()
    }

    /// Whether a law's links may be a node's.
    pub(super) fn law_has(&self, law: usize, node: u32) -> bool {
        self.laws.get(law).is_some_and(|law| law.a.has(node))
    }

    /// The way from one node to another.
    ///
    /// # Errors
    /// There is none, or none that can be found.
    pub fn way(&self, from: u32, to: u32) -> Result<Way, NoWay> {
        if from == to {
            return Ok(Way { hops: Vec::new(), by_law: true });
        }
        let as_drawn: Carries = &|_, _, down| !down;
        let has_both = |law: &usize| [from, to].iter().all(|node| self.laws[*law].a.has(*node));
        let mut leading = self.leading().into_iter().filter(has_both);
        if let Some(ends) = leading.find_map(|law| self.by_law(law, (from, to), self.len(), as_drawn)) {
            return Ok(Way { hops: ends.iter().map(hop).collect(), by_law: true });
        }
        if self.len() > WAY_NODES_MAX {
            return Err(NoWay::TooLarge);
        }
        self.search(from, to).map(|hops| Way { hops, by_law: false }).ok_or(NoWay::Apart)
    }

    /// The links that a law leads over, as far as so many; none where a node on the way passes on nothing, or a link
    /// carries nothing.
    pub(super) fn by_law(
        &self,
        law: usize,
        (from, to): (u32, u32),
        hops_max: u32,
        carries: Carries,
    ) -> Option<Vec<End<'_>>> {
        let mut ends = Vec::new();
        let mut at = from;
        while at != to && ends.len() < hops_max as usize {
            if at != from && self.routing(at) == Routing::None {
                return None;
            }
            let end = self.link(at, self.next(law, at, to)?)?;
            at = carries(at, end.port, end.there.down).then_some(end.peer)?;
            ends.push(end);
        }
        Some(ends)
    }

    /// What it costs from each node to one: delay in microseconds, and hops. No farther than to `until`.
    pub(super) fn costs(&self, to: u32, until: Option<u32>, carries: Carries) -> Vec<Cost> {
        let mut costs: Vec<Cost> = alloc::vec![FAR; self.len() as usize];
        let Some(own) = costs.get_mut(to as usize) else { return costs };
        *own = (0, 0);
        let mut open = BinaryHeap::from([Reverse(((0, 0), to))]);
        while let Some(Reverse((cost, at))) = open.pop() {
            if Some(at) == until {
                break;
            }
            if cost > costs[at as usize] || (at != to && self.routing(at) == Routing::None) {
                continue;
            }
            for end in self.ends(at).filter(|end| end.peer != at && carries(end.peer, end.peer_port, end.back.down)) {
                let (delay, hops) = cost;
                let longer = (delay + end.back.link.delay_us, hops + 1);
                if longer < costs[end.peer as usize] {
                    costs[end.peer as usize] = longer;
                    open.push(Reverse((longer, end.peer)));
                }
            }
        }
        costs
    }

    /// The link over which a node's cost is what it is; of several, that of the lowest port.
    pub(super) fn cheapest(&self, costs: &[Cost], at: u32, to: u32, carries: Carries) -> Option<End<'_>> {
        let cost = *costs.get(at as usize)?;
        let leads = |end: &End| {
            let (delay, hops) = costs[end.peer as usize];
            let known = hops < u32::MAX && carries(at, end.port, end.there.down);
            let same = (delay.saturating_add(end.there.link.delay_us), hops.saturating_add(1)) == cost;
            known && same && (end.peer == to || self.routing(end.peer) != Routing::None)
        };
        self.ends(at).filter(leads).min_by_key(|end| end.port)
    }

    fn search(&self, from: u32, to: u32) -> Option<Vec<Hop>> {
        let as_drawn: Carries = &|_, _, down| !down;
        let costs = self.costs(to, Some(from), as_drawn);
        let mut hops = Vec::new();
        let mut at = from;
        while at != to {
            let end = self.cheapest(&costs, at, to, as_drawn)?;
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
