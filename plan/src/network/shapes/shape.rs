//! Any shape: what each kind computes, behind one face.

use super::far::Far;
use super::grid::Grid;
use super::internet::{Internet, Relation};
use super::random::{DeBruijn, Random, SmallWorld};
use super::tiers::{Clos, FatTree};
use super::tree::Tree;

/// A graph by law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Cables between the first and the second, the third and the fourth, ...
    Pairs(u32),
    /// A line: a grid of one dimension.
    Line(Grid),
    /// A ring: a torus of one dimension.
    Ring(Grid),
    /// The first node in the middle of so many.
    Star(u32),
    /// A link between any two.
    Mesh(u32),
    /// A tree.
    Tree(Tree),
    /// A grid.
    Grid(Grid),
    /// A torus.
    Torus(Grid),
    /// A hypercube of so many dimensions: nodes whose numbers differ in one bit.
    Hypercube(u32),
    /// A fat-tree.
    FatTree(FatTree),
    /// Leaves and spines.
    Clos(Clos),
    /// De Bruijn's graph.
    DeBruijn(DeBruijn),
    /// A ring with random links.
    SmallWorld(SmallWorld),
    /// A random graph with given degrees.
    Random(Random),
    /// Autonomous systems.
    Internet(Internet),
}

impl Shape {
    /// How many nodes it has.
    pub fn nodes(&self) -> u32 {
        match self {
            Shape::Pairs(nodes) | Shape::Star(nodes) | Shape::Mesh(nodes) => *nodes,
            Shape::Line(grid) | Shape::Ring(grid) | Shape::Grid(grid) | Shape::Torus(grid) => grid.nodes() as u32,
            Shape::Tree(tree) => tree.nodes(),
            Shape::Hypercube(dimensions) => 1 << dimensions,
            Shape::FatTree(tree) => tree.nodes(),
            Shape::Clos(clos) => clos.nodes() as u32,
            Shape::DeBruijn(graph) => graph.nodes,
            Shape::SmallWorld(graph) => graph.nodes,
            Shape::Random(graph) => graph.classes().iter().map(|class| class.nodes).sum(),
            Shape::Internet(graph) => graph.nodes() as u32,
        }
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        match self {
            Shape::Pairs(_) => 1,
            Shape::Line(grid) | Shape::Ring(grid) | Shape::Grid(grid) | Shape::Torus(grid) => grid.degree(node),
            Shape::Star(nodes) => {
                if node == 0 {
                    nodes - 1
                } else {
                    1
                }
            }
            Shape::Mesh(nodes) => nodes - 1,
            Shape::Tree(tree) => tree.degree(node),
            Shape::Hypercube(dimensions) => *dimensions,
            Shape::FatTree(tree) => tree.degree(node),
            Shape::Clos(clos) => clos.degree(node),
            Shape::DeBruijn(graph) => graph.degree(node),
            Shape::SmallWorld(graph) => graph.degree(node),
            Shape::Random(graph) => graph.degree(node),
            Shape::Internet(graph) => graph.degree(node),
        }
    }

    /// The other end of a node's link; none, if it has no such end.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        match self {
            Shape::Pairs(_) => (end == 0).then_some(Far { node: node ^ 1, end: 0 }),
            Shape::Line(grid) | Shape::Ring(grid) | Shape::Grid(grid) | Shape::Torus(grid) => grid.far(node, end),
            Shape::Star(nodes) if node == 0 => (end + 1 < *nodes).then_some(Far { node: end + 1, end: 0 }),
            Shape::Star(_) => (end == 0).then_some(Far { node: 0, end: node - 1 }),
            Shape::Mesh(nodes) => (end + 1 < *nodes).then(|| {
                let peer = if end < node { end } else { end + 1 };
                Far { node: peer, end: if node < peer { node } else { node - 1 } }
            }),
            Shape::Tree(tree) => tree.far(node, end),
            Shape::Hypercube(dimensions) => (end < *dimensions).then_some(Far { node: node ^ (1 << end), end }),
            Shape::FatTree(tree) => tree.far(node, end),
            Shape::Clos(clos) => clos.far(node, end),
            Shape::DeBruijn(graph) => graph.far(node, end),
            Shape::SmallWorld(graph) => graph.far(node, end),
            Shape::Random(graph) => graph.far(node, end),
            Shape::Internet(graph) => graph.far(node, end),
        }
    }

    /// What the other end of a link is to the node, where the law has relations.
    pub fn relation(&self, node: u32, end: u32) -> Relation {
        if let Shape::Internet(graph) = self { graph.relation(node, end) } else { Relation::None }
    }

    /// Whether it has a law of next hops.
    pub fn has_next(&self) -> bool {
        !matches!(self, Shape::DeBruijn(_) | Shape::SmallWorld(_) | Shape::Random(_) | Shape::Internet(_))
    }

    /// The end on a shortest way from one node to another; none where there is no law of next hops, no way, or no
    /// step to go.
    pub fn next(&self, from: u32, to: u32) -> Option<u32> {
        if from == to {
            return None;
        }
        match self {
            Shape::Pairs(_) => (from ^ 1 == to).then_some(0),
            Shape::Line(grid) | Shape::Ring(grid) | Shape::Grid(grid) | Shape::Torus(grid) => grid.next(from, to),
            Shape::Star(_) => Some(if from == 0 { to - 1 } else { 0 }),
            Shape::Mesh(_) => Some(if to < from { to } else { to - 1 }),
            Shape::Tree(tree) => Some(tree.next(from, to)),
            Shape::Hypercube(_) => Some((from ^ to).trailing_zeros()),
            Shape::FatTree(tree) => Some(tree.next(from, to)),
            Shape::Clos(clos) => Some(clos.next(from, to)),
            Shape::DeBruijn(_) | Shape::SmallWorld(_) | Shape::Random(_) | Shape::Internet(_) => None,
        }
    }

    /// The grid of a shape that is laid out in tiles.
    pub fn tiled(&self) -> Option<&Grid> {
        match self {
            Shape::Grid(grid) | Shape::Torus(grid) => Some(grid),
            _ => None,
        }
    }

    /// The place of a node; grids are laid out in tiles of this edge.
    pub fn vertex(&self, node: u32, edge: u32) -> u32 {
        match self {
            Shape::Grid(grid) | Shape::Torus(grid) => grid.tiles(edge).vertex(node),
            Shape::Tree(tree) => tree.vertex(node),
            Shape::FatTree(tree) => tree.vertex(node),
            Shape::Clos(clos) => clos.vertex(node),
            _ => node,
        }
    }

    /// The node at a place, which is below the number of nodes.
    pub fn node(&self, vertex: u32, edge: u32) -> u32 {
        match self {
            Shape::Grid(grid) | Shape::Torus(grid) => grid.tiles(edge).node(vertex).unwrap_or(vertex),
            Shape::Tree(tree) => tree.node(vertex),
            Shape::FatTree(tree) => tree.node(vertex),
            Shape::Clos(clos) => clos.node(vertex),
            _ => vertex,
        }
    }
}
