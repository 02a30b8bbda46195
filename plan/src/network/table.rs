//! A graph from a file: the names of its nodes, and its links one by one. What no law makes, a table has.
//!
//! Takes links in the order of the file; gives each node's links as a row, so that both ends find each other at once.

use super::kinds::NodeKind;
use super::properties::Properties;
use alloc::string::String;
use alloc::vec::Vec;

/// Most links of a table.
pub const TABLE_LINKS_MAX: u32 = 4_000_000;

/// A link of a table, its nodes by their numbers in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLink {
    /// The first node, and the port that the file says it has.
    pub a: (u32, Option<u32>),
    /// The second, likewise.
    pub b: (u32, Option<u32>),
    /// From the first to the second.
    pub there: Properties,
    /// From the second to the first.
    pub back: Properties,
}

/// A table as a file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableDraft {
    /// The nodes' names.
    pub names: Vec<String>,
    /// What each node is, if the file says.
    pub kinds: Vec<Option<NodeKind>>,
    /// The links: none joins a node to itself.
    pub links: Vec<TableLink>,
}

/// One end of a link in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableEnd {
    /// The link's number.
    pub link: u32,
    /// Whether this is the first side.
    pub first: bool,
    /// The peer's number in the table, and its end.
    pub peer: (u32, u32),
    /// The port, where the table has ports.
    pub port: Option<u32>,
}

/// A table whose rows are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Where the row of each node begins, and where the last ends.
    starts: Vec<u32>,
    ends: Vec<TableEnd>,
    links: Vec<(Properties, Properties)>,
    kinds: Vec<Option<NodeKind>>,
}

impl Table {
    /// The rows of a table.
    pub fn new(draft: &TableDraft) -> Table {
        let sides = |link: &TableLink| [link.a, link.b];
        let mut starts = alloc::vec![0u32; draft.names.len() + 1];
        for (node, _) in draft.links.iter().flat_map(sides) {
            starts[node as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut filled = starts.clone();
        let empty = TableEnd { link: 0, first: false, peer: (0, 0), port: None };
        let mut ends = alloc::vec![empty; draft.links.len() * 2];
        for (number, link) in draft.links.iter().enumerate() {
            let [(a, a_port), (b, b_port)] = sides(link);
            let at = [a, b].map(|node| {
                filled[node as usize] += 1;
                filled[node as usize] - 1
            });
            let end = |side: usize, node: u32| (node, at[side] - starts[node as usize]);
            let number = number as u32;
            ends[at[0] as usize] = TableEnd { link: number, first: true, peer: end(1, b), port: a_port };
            ends[at[1] as usize] = TableEnd { link: number, first: false, peer: end(0, a), port: b_port };
        }
        let mut table = Table { starts, ends, links: Vec::new(), kinds: draft.kinds.clone() };
        table.links = draft.links.iter().map(|link| (link.there, link.back)).collect();
        table.fill_ports();
        table
    }

    /// Where some ends of a table have ports, the others get the lowest that their node has left.
    fn fill_ports(&mut self) {
        if self.ends.iter().all(|end| end.port.is_none()) {
            return;
        }
        for node in 0..self.starts.len() - 1 {
            let row = self.starts[node] as usize..self.starts[node + 1] as usize;
            let row = &mut self.ends[row];
            let mut taken: Vec<u32> = row.iter().filter_map(|end| end.port).collect();
            taken.sort_unstable();
            let mut next = 1;
            for end in row.iter_mut().filter(|end| end.port.is_none()) {
                while taken.binary_search(&next).is_ok() {
                    next += 1;
                }
                end.port = Some(next);
                next += 1;
            }
        }
    }

    /// The links of a node.
    pub fn row(&self, node: u32) -> &[TableEnd] {
        let at = |node: u32| self.starts.get(node as usize).map_or(0, |start| *start as usize);
        self.ends.get(at(node)..at(node + 1)).unwrap_or_default()
    }

    /// How many links.
    pub fn links(&self) -> u32 {
        self.links.len() as u32
    }

    /// A link's properties, there and back.
    pub fn properties(&self, link: u32) -> Option<&(Properties, Properties)> {
        self.links.get(link as usize)
    }

    /// What a node is, if the table says.
    pub fn kind(&self, node: u32) -> Option<&NodeKind> {
        self.kinds.get(node as usize)?.as_ref()
    }
}
