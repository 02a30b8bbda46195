//! Shapes: graphs by law. Takes how many nodes and a few numbers; gives each node's links, and its place, by
//! arithmetic.
//!
//! A node has a number in its name's order, from 0; its links have numbers from 0, its *ends*. Every shape is its own
//! inverse: the other end of the other end is the end itself. The same nodes have a second number, the *vertex*, which
//! is for places: neighbours in numbers are neighbours in the graph where that can be, so that few links cross hosts.
//!
//! * `shape`: any of them; `keys`: by name and keys, as a spec has them; `far`: an end of a link.
//! * `tree`, `grid` (line, ring, grid, torus), `tiers` (fat-tree, Clos): with a law of next hops, too.
//! * `random` (de Bruijn, small world, any degrees), `internet` (autonomous systems), over `permute`: without.
//!
//! No state.

mod far;
pub mod grid;
pub mod internet;
mod keys;
pub mod permute;
pub mod random;
mod shape;
pub mod tiers;
pub mod tree;

pub use far::Far;
pub use keys::Keys;
pub use shape::Shape;

#[cfg(test)]
#[path = "shapes_tests.rs"]
mod tests;
