//! Grids and tori of one to four dimensions; a line is a grid of one dimension, a ring a torus of one.
//!
//! Names count along the first dimension, then along the second. Places count tile by tile, so that a host has a block
//! and not a strip. The way goes along one dimension after the other.

use super::far::Far;
use alloc::vec::Vec;

/// Most dimensions.
pub const DIMENSIONS_MAX: usize = 4;

/// A grid, or a torus, whose opposite borders are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    sizes: Vec<u32>,
    wrap: bool,
}

impl Grid {
    /// A grid of these sizes, at least one. A torus has at least three nodes a dimension.
    pub fn new(sizes: Vec<u32>, wrap: bool) -> Grid {
        Grid { sizes, wrap }
    }

    /// The sizes of the dimensions.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Whether opposite borders are joined.
    pub fn is_torus(&self) -> bool {
        self.wrap
    }

    /// How many nodes; what does not fit is u64's most.
    pub fn nodes(&self) -> u64 {
        self.sizes.iter().fold(1, |all, size| all.saturating_mul(u64::from(*size)))
    }

    fn stride(&self, dimension: usize) -> u32 {
        self.sizes[..dimension].iter().product()
    }

    fn coordinate(&self, node: u32, dimension: usize) -> u32 {
        node / self.stride(dimension) % self.sizes[dimension]
    }

    /// The directions that a node has links in, in the order of its ends: down and up each dimension.
    fn directions(&self, node: u32) -> impl Iterator<Item = (usize, bool)> + '_ {
        (0..self.sizes.len()).flat_map(move |dimension| {
            let at = self.coordinate(node, dimension);
            let down = self.wrap || at > 0;
            let up = self.wrap || at + 1 < self.sizes[dimension];
            [down.then_some((dimension, false)), up.then_some((dimension, true))].into_iter().flatten()
        })
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        self.directions(node).count() as u32
    }

    /// The end of a node in a direction.
    fn end(&self, node: u32, direction: (usize, bool)) -> Option<u32> {
        self.directions(node).position(|other| other == direction).map(|at| at as u32)
    }

    /// The other end of a link.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        let (dimension, up) = self.directions(node).nth(end as usize)?;
        let (at, size, stride) = (self.coordinate(node, dimension), self.sizes[dimension], self.stride(dimension));
        let to = if up { (at + 1) % size } else { (at + size - 1) % size };
        let node = node - at * stride + to * stride;
        Some(Far { node, end: self.end(node, (dimension, !up))? })
    }

    /// The end that leads to `to`, which is another node: the shorter way round; where both are as long, a matter of
    /// where one stands, so that the load is shared.
    pub fn next(&self, from: u32, to: u32) -> Option<u32> {
        let mut differing = (0..self.sizes.len()).map(|d| (d, self.coordinate(from, d), self.coordinate(to, d)));
        let (dimension, from_at, to_at) = differing.find(|(_, a, b)| a != b)?;
        let size = self.sizes[dimension];
        let ahead = (to_at + size - from_at) % size;
        let up = match (self.wrap, (2 * ahead).cmp(&size)) {
            (false, _) => to_at > from_at,
            (true, core::cmp::Ordering::Equal) => from_at.is_multiple_of(2),
            (true, order) => order.is_lt(),
        };
        self.end(from, (dimension, up))
    }

    /// Places of tiles with this edge.
    pub fn tiles(&self, edge: u32) -> Tiles<'_> {
        Tiles { grid: self, edge: edge.max(1) }
    }
}

/// The nodes of a grid, tile by tile: tiles in the order of their corners, nodes inside a tile likewise.
pub struct Tiles<'a> {
    grid: &'a Grid,
    edge: u32,
}

impl Tiles<'_> {
    fn across(&self, dimension: usize) -> u32 {
        self.grid.sizes[dimension].div_ceil(self.edge)
    }

    /// How many tiles.
    pub fn count(&self) -> u64 {
        (0..self.grid.sizes.len()).map(|dimension| u64::from(self.across(dimension))).product()
    }

    /// The size of the tile with number `tile` of a dimension.
    fn extent(&self, dimension: usize, tile: u32) -> u32 {
        self.edge.min(self.grid.sizes[dimension] - tile * self.edge)
    }

    /// The tile of a node, and the node's number in it.
    pub fn split(&self, node: u32) -> (u32, u32) {
        let (mut tile, mut inside, mut tiles, mut nodes) = (0, 0, 1, 1);
        for dimension in 0..self.grid.sizes.len() {
            let at = self.grid.coordinate(node, dimension);
            let of = at / self.edge;
            tile += of * tiles;
            inside += at % self.edge * nodes;
            tiles *= self.across(dimension);
            nodes *= self.extent(dimension, of);
        }
        (tile, inside)
    }

    /// The node with a number in a tile.
    pub fn join(&self, mut tile: u32, mut inside: u32) -> Option<u32> {
        let mut node = 0;
        for dimension in 0..self.grid.sizes.len() {
            let of = tile % self.across(dimension);
            tile /= self.across(dimension);
            let extent = self.extent(dimension, of);
            node += (of * self.edge + inside % extent) * self.grid.stride(dimension);
            inside /= extent;
        }
        (tile == 0 && inside == 0).then_some(node)
    }

    /// How many nodes lie in tiles before this one.
    fn before(&self, mut tile: u32) -> u32 {
        let of: Vec<u32> = (0..self.grid.sizes.len())
            .map(|dimension| {
                let of = tile % self.across(dimension);
                tile /= self.across(dimension);
                of
            })
            .collect();
        let mut before = 0;
        let mut slab = 1;
        for dimension in (0..of.len()).rev() {
            before += of[dimension] * self.edge * self.grid.stride(dimension) * slab;
            slab *= self.extent(dimension, of[dimension]);
        }
        before
    }

    /// The node's place where tiles follow each other without a gap.
    pub fn vertex(&self, node: u32) -> u32 {
        let (tile, inside) = self.split(node);
        self.before(tile) + inside
    }

    /// The node at such a place, which is below the number of nodes.
    pub fn node(&self, vertex: u32) -> Option<u32> {
        let (mut left, mut tile, mut slab) = (vertex, 0, 1);
        for dimension in (0..self.grid.sizes.len()).rev() {
            let size = self.edge * self.grid.stride(dimension) * slab;
            let of = (left / size).min(self.across(dimension) - 1);
            left -= of * size;
            tile = tile * self.across(dimension) + of;
            slab *= self.extent(dimension, of);
        }
        self.join(tile, left)
    }
}
