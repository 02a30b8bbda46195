//! Random graphs whose links are computed, not drawn: de Bruijn's, small worlds, and any mixture of degrees.
//!
//! The ends of all links are numbered and permuted by a key; neighbours in the permuted order, `p` and `p XOR 1`, are
//! one link. So both ends compute each other, and nothing is kept. A random graph has few loops (a link from a node to
//! itself) and parallel links; they stay, and are counted where a network is checked.

use super::far::Far;
use super::permute::{Permutation, mix};
use alloc::vec::Vec;

/// Most random links of a node of a small world.
pub const MATCHINGS_MAX: u32 = 16;
/// Most classes of degrees.
pub const CLASSES_MAX: usize = 32;

/// De Bruijn's graph: node `x` of `base`^digits has a link to each `x * base + digit`, modulo the number of nodes;
/// without the loops, which the nodes of one digit would have. The ends of these links come first, those of links to it
/// behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeBruijn {
    /// The number of nodes, a power of `base`.
    pub nodes: u32,
    /// Links from each node, 2 to the number of nodes.
    pub base: u32,
}

impl DeBruijn {
    /// The digit of a node that has only one, which would have a loop.
    fn only_digit(&self, node: u32) -> Option<u32> {
        let digit = node % self.base;
        let ones = (self.nodes - 1) / (self.base - 1);
        (node == digit * ones).then_some(digit)
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        2 * (self.base - u32::from(self.only_digit(node).is_some()))
    }

    /// The other end of a link.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        let (own, high) = (self.only_digit(node), self.nodes / self.base);
        let out = self.base - u32::from(own.is_some());
        // Which of the links that a node without a loop has, and which of such a node's ends that is.
        let whole = |end: u32, skipped: Option<u32>| end + u32::from(skipped.is_some_and(|digit| end >= digit));
        let short = |digit: u32, skipped: Option<u32>| digit - u32::from(skipped.is_some_and(|own| digit > own));
        if end < out {
            let digit = whole(end, own);
            let peer = node % high * self.base + digit;
            let skipped = self.only_digit(peer);
            let peers_out = self.base - u32::from(skipped.is_some());
            return Some(Far { node: peer, end: peers_out + short(node / high, skipped) });
        }
        (end < 2 * out).then(|| {
            let digit = whole(end - out, own);
            let peer = node / self.base + digit * high;
            Far { node: peer, end: short(node % self.base, self.only_digit(peer)) }
        })
    }
}

/// A small world: a ring whose nodes have links to the `near` nearest on each side, and random ones (Watts and Strogatz
/// 1998; with perfect matchings, Bollobás and Chung 1988).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallWorld {
    /// How many nodes, more than twice `near`.
    pub nodes: u32,
    /// Neighbours on each side, at least 1.
    pub near: u32,
    /// Random links of each node, at most [`MATCHINGS_MAX`]; of an odd number of nodes, one has one less each time.
    pub matchings: u32,
    /// What they are drawn by.
    pub seed: u64,
}

impl SmallWorld {
    /// The random neighbour in a matching.
    fn partner(&self, node: u32, matching: u32) -> Option<u32> {
        let permutation = Permutation::new(u64::from(self.nodes), self.seed ^ mix(u64::from(matching)));
        let other = permutation.forward(u64::from(node)) ^ 1;
        (other < u64::from(self.nodes)).then(|| permutation.back(other) as u32)
    }

    /// The matchings that a node has a partner in, with the partners.
    fn partners(&self, node: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.matchings).filter_map(move |matching| Some((matching, self.partner(node, matching)?)))
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        let random = if self.nodes.is_multiple_of(2) { self.matchings } else { self.partners(node).count() as u32 };
        2 * self.near + random
    }

    /// The other end of a link: down and up each distance, then the random ones.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        let Some(random) = end.checked_sub(2 * self.near) else {
            let distance = end / 2 + 1;
            let step = if end.is_multiple_of(2) { self.nodes - distance } else { distance };
            let peer = (u64::from(node) + u64::from(step)) % u64::from(self.nodes);
            return Some(Far { node: peer as u32, end: end ^ 1 });
        };
        let (matching, peer) = self.partners(node).nth(random as usize)?;
        let before = self.partners(peer).take_while(|(other, _)| *other < matching).count() as u32;
        Some(Far { node: peer, end: 2 * self.near + before })
    }
}

/// A class of a random graph's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// How many nodes it has.
    pub nodes: u32,
    /// Links of each.
    pub degree: u32,
}

/// A random graph with given degrees (the configuration model: Bollobás 1980), class by class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    classes: Vec<Class>,
    ends: Permutation,
    seed: u64,
}

impl Random {
    /// A graph of these classes, at most [`CLASSES_MAX`]. The ends are an even number.
    pub fn new(classes: Vec<Class>, seed: u64) -> Random {
        let ends = Random::ends(&classes);
        Random { classes, ends: Permutation::new(ends, seed), seed }
    }

    /// How many ends of links classes have.
    pub fn ends(classes: &[Class]) -> u64 {
        classes.iter().map(|class| u64::from(class.nodes) * u64::from(class.degree)).sum()
    }

    /// Its classes.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// What it is drawn by.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The first end of a node, and how many it has.
    fn own(&self, node: u32) -> (u64, u32) {
        let (mut node, mut before) = (node, 0);
        for class in &self.classes {
            if node < class.nodes {
                return (before + u64::from(node) * u64::from(class.degree), class.degree);
            }
            node -= class.nodes;
            before += u64::from(class.nodes) * u64::from(class.degree);
        }
        (before, 0)
    }

    /// Whose end this is, and which of his.
    fn whose(&self, mut end: u64) -> Option<Far> {
        let mut before = 0;
        for class in &self.classes {
            let ends = u64::from(class.nodes) * u64::from(class.degree);
            if end < ends {
                let degree = u64::from(class.degree);
                return Some(Far { node: before + (end / degree) as u32, end: (end % degree) as u32 });
            }
            end -= ends;
            before += class.nodes;
        }
        None
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        self.own(node).1
    }

    /// The other end of a link.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        let (first, degree) = self.own(node);
        let other = self.ends.forward(first + u64::from(end)) ^ 1;
        if end < degree { self.whose(self.ends.back(other)) } else { None }
    }
}
