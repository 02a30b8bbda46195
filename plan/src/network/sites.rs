//! Where nodes are: the host of each, and which of its guests it is.
//!
//! Nodes that a shape joins are numbered anew, by place ([`Shape::vertex`]), so that neighbours share hosts; others
//! keep their order. Guests fill the hosts one after the other. A grid has a tile a host, if there are hosts enough.
//! What is no guest is spread over the hosts that have guests, in the same order.

use super::error::NetworkErrorKind as Kind;
use super::law::{Law, Wiring};
use super::nodes::Nodes;
use super::shapes::Shape;
use super::shapes::grid::Grid;
use crate::ids::{GuestId, HostId};
use crate::sets::Node;
use alloc::vec::Vec;

/// Neighbouring numbers that are placed together.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    /// The first number, and how many.
    first: u32,
    len: u32,
    /// The law whose shape lays them out.
    law: Option<usize>,
    /// The first vertex, and how many it takes; none, if these are no guests.
    vertices: Option<(u64, u64)>,
    /// The first vertex of these, or of what comes next.
    begins: u64,
    /// Edge of a tile; 0 where there are none.
    edge: u32,
    /// Whether each tile has a host of its own.
    apart: bool,
}

/// The places of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sites {
    blocks: Vec<Block>,
    guests: u32,
    /// Hosts that have guests of the network.
    used: u32,
}

/// The largest edge of a tile with at most so many nodes.
fn edge(grid: &Grid, guests: u32) -> u32 {
    let dimensions = grid.sizes().len() as u32;
    let fits = |edge: &u32| u64::from(*edge).checked_pow(dimensions).is_some_and(|nodes| nodes <= u64::from(guests));
    (1..=guests.max(1)).take_while(fits).last().unwrap_or(1)
}

/// What sites are computed from.
pub(super) struct Ground<'a> {
    /// The groups of names.
    pub nodes: &'a Nodes,
    /// The laws, of which shapes lay out their nodes.
    pub laws: &'a [Law],
    /// Whether a node takes a guest.
    pub is_guest: &'a dyn Fn(u32) -> bool,
    /// Whether all do, so that not each is asked.
    pub all_guests: bool,
}

impl Sites {
    /// The places of a network's nodes.
    ///
    /// # Errors
    /// There are more guests than hosts have.
    pub fn new(ground: &Ground, hosts: u32, guests: u32) -> Result<Sites, Kind> {
        let mut sites = Sites { blocks: apart(blocks(ground), ground), guests, used: 1 };
        let room = u64::from(hosts) * u64::from(guests);
        let mut next = 0u64;
        for block in &mut sites.blocks {
            if !(ground.all_guests || (block.first..block.first + block.len).any(ground.is_guest)) {
                block.begins = next;
                continue;
            }
            let mut taken = u64::from(block.len);
            if let Some(grid) = block.law.and_then(|law| shape(ground.laws, law)).and_then(Shape::tiled) {
                block.edge = edge(grid, guests);
                let aligned = next.next_multiple_of(u64::from(guests.max(1)));
                let each = grid.tiles(block.edge).count() * u64::from(guests);
                if aligned + each <= room {
                    (next, taken, block.apart) = (aligned, each, true);
                }
            }
            (block.vertices, block.begins) = (Some((next, taken)), next);
            next += taken;
        }
        if next > room {
            return Err(Kind::GuestsMissing { needed: next, guests: room });
        }
        sites.used = next.div_ceil(u64::from(guests.max(1))).max(1) as u32;
        Ok(sites)
    }

    fn block(&self, node: u32) -> Option<&Block> {
        self.blocks.get(self.blocks.partition_point(|block| block.first + block.len <= node))
    }

    fn at(&self, vertex: u64) -> Node {
        let guests = u64::from(self.guests.max(1));
        Node::guest(HostId((vertex / guests) as u32 + 1), GuestId((vertex % guests) as u32 + 1))
    }

    /// The host of a node, and the guest that it is; the host itself, if it is none.
    pub fn site(&self, laws: &[Law], node: u32, is_guest: bool) -> Option<Node> {
        let block = self.block(node)?;
        let at = node - block.first;
        let shape = block.law.and_then(|law| shape(laws, law));
        let inside = match shape.and_then(Shape::tiled).filter(|_| block.apart) {
            Some(grid) => {
                let (tile, inside) = grid.tiles(block.edge).split(at);
                u64::from(tile) * u64::from(self.guests) + u64::from(inside)
            }
            None => u64::from(shape.map_or(at, |shape| shape.vertex(at, block.edge))),
        };
        Some(match block.vertices {
            Some((base, _)) if is_guest => self.at(base + inside),
            Some((base, _)) => Node::host(self.at(base + inside).host),
            None => Node::host(HostId((inside * u64::from(self.used) / u64::from(block.len)) as u32 + 1)),
        })
    }

    /// The node whose place a guest of a host is, be it a guest or not.
    pub fn node(&self, laws: &[Law], site: Node) -> Option<u32> {
        if site.host.0 == 0 || site.is_host() || site.guest.0 > self.guests {
            return None;
        }
        let guests = u64::from(self.guests);
        let vertex = u64::from(site.host.0 - 1) * guests + u64::from(site.guest.0 - 1);
        // The last that begins there or before: what takes no vertices is followed by one that begins at the same.
        let after = self.blocks.partition_point(|block| block.begins <= vertex);
        let block = self.blocks[..after].iter().rev().find(|block| block.vertices.is_some())?;
        let (base, taken) = block.vertices?;
        let at = vertex.checked_sub(base).filter(|at| *at < taken)?;
        let shape = block.law.and_then(|law| shape(laws, law));
        let node = match shape.and_then(Shape::tiled).filter(|_| block.apart) {
            Some(grid) => grid.tiles(block.edge).join((at / guests) as u32, (at % guests) as u32)?,
            None => shape.map_or(at as u32, |shape| shape.node(at as u32, block.edge)),
        };
        Some(block.first + node)
    }

    /// A node's number by place, from 0: neighbours have neighbouring ones.
    pub fn ordinal(&self, laws: &[Law], node: u32) -> Option<u32> {
        let block = self.block(node)?;
        let shape = block.law.and_then(|law| shape(laws, law));
        let at = node - block.first;
        Some(block.first + shape.map_or(at, |shape| shape.vertex(at, block.edge)))
    }

    /// The node that has this number by place.
    pub fn by_ordinal(&self, laws: &[Law], ordinal: u32) -> Option<u32> {
        let block = self.block(ordinal)?;
        let shape = block.law.and_then(|law| shape(laws, law));
        let at = ordinal - block.first;
        Some(block.first + shape.map_or(at, |shape| shape.node(at, block.edge)))
    }

    /// The nodes that are placed on a host, its guests' places whoever has them: what it costs is what they are.
    pub fn residents<'a>(&'a self, laws: &'a [Law], host: HostId) -> impl Iterator<Item = u32> + 'a {
        let at_places = (1..=self.guests).filter_map(move |guest| self.node(laws, Node::guest(host, GuestId(guest))));
        let spread = self.blocks.iter().filter(|block| block.vertices.is_none()).flat_map(move |block| {
            // The inverse of what `site` does with these: the places whose share of all hosts is this one.
            let (len, used) = (u64::from(block.len), u64::from(self.used));
            let begin = |host: u64| (host * len).div_ceil(used).min(len) as u32;
            let ours = begin(u64::from(host.0.max(1) - 1))..begin(u64::from(host.0));
            let shape = block.law.and_then(|law| shape(laws, law));
            ours.map(move |at| block.first + shape.map_or(at, |shape| shape.node(at, block.edge)))
        });
        at_places.chain(spread)
    }

    /// How many hosts have guests of the network.
    pub fn used(&self) -> u32 {
        self.used
    }
}

fn shape(laws: &[Law], law: usize) -> Option<&Shape> {
    match &laws.get(law)?.wiring {
        Wiring::Shape(shape) => Some(shape),
        _ => None,
    }
}

/// The nodes of each shape that are neighbouring numbers, and what is between by groups.
fn blocks(ground: &Ground) -> Vec<Block> {
    let block = |first, len, law| Block { first, len, law, vertices: None, begins: 0, edge: 0, apart: false };
    let mut blocks: Vec<Block> = Vec::new();
    for (at, law) in ground.laws.iter().enumerate() {
        let run = law.a.run().filter(|_| matches!(law.wiring, Wiring::Shape(_)));
        let Some((first, len)) = run else { continue };
        if blocks.iter().all(|other| first + len <= other.first || other.first + other.len <= first) {
            blocks.push(block(first, len, Some(at)));
        }
    }
    blocks.sort_by_key(|block| block.first);
    let mut all: Vec<Block> = Vec::new();
    let mut next = 0;
    let ends = blocks.iter().map(|block| (block.first, Some(block.clone()))).chain([(ground.nodes.len(), None)]);
    for (until, shaped) in ends.collect::<Vec<_>>() {
        for group in ground.nodes.groups() {
            let (first, last) = (group.first.max(next), (group.first + group.len).min(until));
            if first < last {
                all.push(block(first, last - first, None));
            }
        }
        next = shaped.as_ref().map_or(until, |block| block.first + block.len);
        all.extend(shaped);
    }
    all
}

/// Blocks without a shape in runs of guests and of others: only guests take numbers of guests. A shape's nodes stay
/// together, and those that are no guests leave their numbers free.
fn apart(blocks: Vec<Block>, ground: &Ground) -> Vec<Block> {
    if ground.all_guests {
        return blocks;
    }
    let mut all: Vec<Block> = Vec::new();
    for block in blocks {
        if block.law.is_some() {
            all.push(block);
            continue;
        }
        let (mut first, end) = (block.first, block.first + block.len);
        while first < end {
            let guest = (ground.is_guest)(first);
            let last = (first..end).find(|node| (ground.is_guest)(*node) != guest).unwrap_or(end);
            all.push(Block { first, len: last - first, ..block.clone() });
            first = last;
        }
    }
    all
}
