//! Sets: of numbers as ranges ([`RangeSet`]), and of nodes as products of such sets ([`NodeSet`]). Values, no state;
//! equal sets are equal values, and cost what their ranges cost, not their members.

mod nodes;
mod numbers;

pub use nodes::{Node, NodeSet};
pub use numbers::RangeSet;
