//! One end of a link inside a shape.

/// One end of a link: a node, and which of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Far {
    /// The node's number.
    pub node: u32,
    /// The number of its end, from 0.
    pub end: u32,
}
