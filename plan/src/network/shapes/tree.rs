//! Trees: every node but the first has a parent, and at most `arity` children.
//!
//! Names count level by level, as people draw trees: the parent of node `i` (from 0) is `(i - 1) / arity`. Places count
//! in preorder, so that a subtree is a run of numbers and few links cross hosts. Both ways cost a step a level.

use super::far::Far;
use alloc::vec::Vec;

/// A tree whose last level is filled from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    nodes: u32,
    arity: u32,
    /// The number of the last level; the root's is 0.
    height: u32,
    /// Nodes of the last level.
    last: u64,
}

/// What hangs below the children of a node, but for the last level.
struct Below {
    /// Places of the last level below each child.
    width: u64,
    /// Nodes of each child's subtree above the last level.
    inner: u64,
    /// The position of the first child in its level, times `width`.
    first: u64,
}

impl Tree {
    /// A tree of at least one node; `arity` is at least 2.
    pub fn new(nodes: u32, arity: u32) -> Tree {
        let (mut height, mut above, mut level) = (0, 0, 1);
        while above + level < u64::from(nodes) {
            above += level;
            level *= u64::from(arity);
            height += 1;
        }
        Tree { nodes, arity, height, last: u64::from(nodes) - above }
    }

    /// How many nodes.
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Most children of a node.
    pub fn arity(&self) -> u32 {
        self.arity
    }

    /// Levels below the root.
    pub fn height(&self) -> u32 {
        self.height
    }

    fn first_child(&self, node: u32) -> u64 {
        u64::from(node) * u64::from(self.arity) + 1
    }

    fn parent(&self, node: u32) -> u32 {
        (node - 1) / self.arity
    }

    /// How many children a node has.
    pub fn children(&self, node: u32) -> u32 {
        u64::from(self.nodes).saturating_sub(self.first_child(node)).min(u64::from(self.arity)) as u32
    }

    /// How many links a node has: its parent's first, then its children's.
    pub fn degree(&self, node: u32) -> u32 {
        u32::from(node > 0) + self.children(node)
    }

    /// The other end of a link.
    pub fn far(&self, node: u32, end: u32) -> Option<Far> {
        let up = u32::from(node > 0);
        if end < up {
            let parent = self.parent(node);
            let among = u64::from(node) - self.first_child(parent);
            return Some(Far { node: parent, end: u32::from(parent > 0) + among as u32 });
        }
        (end - up < self.children(node)).then(|| Far { node: self.first_child(node) as u32 + end - up, end: 0 })
    }

    /// The end that leads to `to`, which is another node.
    pub fn next(&self, from: u32, to: u32) -> u32 {
        let (mut at, mut child) = (to, to);
        while at > from {
            child = at;
            at = self.parent(at);
        }
        if at == from { (u64::from(child) - self.first_child(from)) as u32 + u32::from(from > 0) } else { 0 }
    }

    fn below(&self, depth: u32, position: u64) -> Below {
        let width = u64::from(self.arity).pow(self.height - depth - 1);
        let inner = (width - 1) / u64::from(self.arity - 1);
        Below { width, inner, first: position * u64::from(self.arity) * width }
    }

    /// The node's place in preorder.
    pub fn vertex(&self, node: u32) -> u32 {
        let mut path = Vec::new();
        let mut at = node;
        while at > 0 {
            path.push(u64::from((at - 1) % self.arity));
            at = self.parent(at);
        }
        let (mut vertex, mut position) = (0, 0);
        for (depth, child) in path.into_iter().rev().enumerate() {
            let below = self.below(depth as u32, position);
            let filled = self.last.saturating_sub(below.first).min(child * below.width);
            vertex += 1 + child * below.inner + filled;
            position = position * u64::from(self.arity) + child;
        }
        vertex as u32
    }

    /// The node at a place in preorder, which is below the number of nodes.
    pub fn node(&self, vertex: u32) -> u32 {
        let (mut node, mut position, mut left) = (0u64, 0, u64::from(vertex));
        for depth in 0..self.height {
            if left == 0 {
                break;
            }
            left -= 1;
            let below = self.below(depth, position);
            let filled = self.last.saturating_sub(below.first);
            let (full, part) = (filled / below.width, filled % below.width);
            let large = below.inner + below.width;
            let child = if left < full * large {
                let child = left / large;
                left %= large;
                child
            } else {
                left -= full * large;
                if left < below.inner + part {
                    full
                } else {
                    left -= below.inner + part;
                    // Below the last level is nothing, and only what is filled has a place.
                    let inner = below.inner.max(1);
                    let child = full + 1 + left / inner;
                    left %= inner;
                    child
                }
            };
            node = node * u64::from(self.arity) + 1 + child;
            position = position * u64::from(self.arity) + child;
        }
        node as u32
    }
}
