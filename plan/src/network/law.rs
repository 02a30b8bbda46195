//! A link law: how the nodes of one or two lists are joined, and by what links.

use super::line::Each;
use super::nodes::NodeList;
use super::properties::Properties;
use super::shapes::internet::Relation;
use super::shapes::{Far, Shape};
use super::table::Table;

/// Which list of a law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The first, from which properties go there.
    A,
    /// The second; shapes and tables have none.
    B,
}

/// How the nodes are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wiring {
    Product(Each),
    Shape(Shape),
    Table(Table),
}

/// An end of a law's link: in which list, at which rank, and which of the ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LawEnd {
    pub side: Side,
    pub rank: u32,
    pub end: u32,
}

/// A link law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Law {
    pub wiring: Wiring,
    pub a: NodeList,
    pub b: NodeList,
    /// The port of each node's first end, if the line says, by side.
    pub ports: [Option<u32>; 2],
    pub there: Properties,
    pub back: Properties,
}

/// The first rank of the larger side that belongs to `rank` of the smaller.
fn block(rank: u32, small: u32, large: u32) -> u32 {
    (u64::from(rank) * u64::from(large)).div_ceil(u64::from(small)) as u32
}

impl Law {
    pub fn list(&self, side: Side) -> &NodeList {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// How many ends a node has.
    pub fn degree(&self, side: Side, rank: u32) -> u32 {
        let (own, other) = match side {
            Side::A => (self.a.len(), self.b.len()),
            Side::B => (self.b.len(), self.a.len()),
        };
        match &self.wiring {
            Wiring::Product(Each::Pair) => 1,
            Wiring::Product(Each::All) => other,
            Wiring::Product(Each::Share) if own >= other => 1,
            Wiring::Product(Each::Share) => block(rank + 1, own, other) - block(rank, own, other),
            Wiring::Shape(shape) => shape.degree(rank),
            Wiring::Table(table) => table.row(rank).len() as u32,
        }
    }

    /// Most ends that a node of a side may have.
    pub fn degree_max(&self, side: Side) -> u32 {
        match (&self.wiring, side) {
            (Wiring::Product(Each::Share), Side::A) => self.b.len().div_ceil(self.a.len().max(1)),
            (Wiring::Product(Each::Share), Side::B) => self.a.len().div_ceil(self.b.len().max(1)),
            _ => self.degree(side, 0),
        }
    }

    /// The other end.
    pub fn far(&self, LawEnd { side, rank, end }: LawEnd) -> Option<LawEnd> {
        let other = if side == Side::A { Side::B } else { Side::A };
        let (own, others) = (self.list(side).len(), self.list(other).len());
        let here = |Far { node, end }| LawEnd { side, rank: node, end };
        let there = |rank, end| LawEnd { side: other, rank, end };
        match &self.wiring {
            Wiring::Shape(shape) => shape.far(rank, end).map(here),
            Wiring::Table(table) => {
                let (node, end) = table.row(rank).get(end as usize)?.peer;
                Some(here(Far { node, end }))
            }
            Wiring::Product(_) if end >= self.degree(side, rank) => None,
            Wiring::Product(Each::Pair) => Some(there(rank, 0)),
            Wiring::Product(Each::All) => Some(there(end, rank)),
            Wiring::Product(Each::Share) if own < others => Some(there(block(rank, own, others) + end, 0)),
            Wiring::Product(Each::Share) => {
                let of = (u64::from(rank) * u64::from(others) / u64::from(own)) as u32;
                Some(there(of, rank - block(of, others, own)))
            }
        }
    }

    /// The properties of a link from one of its ends, and to it. The two ends of a link have them the other way round.
    pub fn properties(&self, end: LawEnd) -> (&Properties, &Properties) {
        let (there, back, first) = match &self.wiring {
            Wiring::Product(_) => (&self.there, &self.back, end.side == Side::A),
            Wiring::Shape(_) => (&self.there, &self.back, self.far(end).is_none_or(|far| end < far)),
            Wiring::Table(table) => match table.row(end.rank).get(end.end as usize) {
                Some(of) => match table.properties(of.link) {
                    Some((there, back)) => (there, back, of.first),
                    None => (&self.there, &self.back, of.first),
                },
                None => (&self.there, &self.back, true),
            },
        };
        if first { (there, back) } else { (back, there) }
    }

    /// What the other end is, where the law has relations.
    pub fn relation(&self, end: LawEnd) -> Relation {
        match &self.wiring {
            Wiring::Shape(shape) => shape.relation(end.rank, end.end),
            _ => Relation::None,
        }
    }

    /// How many links the law makes.
    pub fn links(&self) -> u64 {
        let (a, b) = (u64::from(self.a.len()), u64::from(self.b.len()));
        match &self.wiring {
            Wiring::Product(Each::Pair) => a,
            Wiring::Product(Each::All) => a * b,
            Wiring::Product(Each::Share) => a.max(b),
            Wiring::Shape(shape) => (0..shape.nodes()).map(|node| u64::from(shape.degree(node))).sum::<u64>() / 2,
            Wiring::Table(table) => table.links().into(),
        }
    }
}
