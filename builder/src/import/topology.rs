//! A topology as a file of another tool has it: nodes, links, and what of the file is not in them.
//!
//! A [`Draft`] takes nodes by the identifiers of their file and links between them, within limits; when it is finished,
//! every node has a name that is safe as a host's (see [`super::label`]). Links that join a node to itself are
//! left out, parallel ones stay.

use std::collections::HashMap;
use std::net::IpAddr;

use super::error::{ImportError, Result};
use super::label;
use super::properties::Properties;

/// Most nodes of a file.
pub const NODES_MAX: usize = 1_000_000;
/// Most links of a file, as a table of links takes them.
pub const LINKS_MAX: usize = 4_000_000;
/// Most addresses of a node, as a table of links takes them.
pub const ADDRESSES_MAX: usize = 256;
/// Highest port of a link's end, as link lines take it.
pub const PORT_MAX: u32 = 255;
/// Most places that are kept of one key that was left out; beyond them it is only counted.
const LEFT_OUT_LINES_MAX: usize = 8;
/// Most different keys that are told as left out.
const LEFT_OUT_KEYS_MAX: usize = 10_000;

/// What a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A guest.
    #[default]
    Guest,
    /// A router that the switch computes.
    Router,
    /// A segment.
    Switch,
    /// A host's own uplink.
    Cloud,
}

impl Kind {
    /// All, with their words in specs and tables.
    pub const WORDS: [(&str, Kind); 4] =
        [("guest", Kind::Guest), ("router", Kind::Router), ("switch", Kind::Switch), ("cloud", Kind::Cloud)];

    /// Its word.
    pub fn word(self) -> &'static str {
        Kind::WORDS.iter().find(|(_, kind)| *kind == self).map_or("guest", |(word, _)| word)
    }
}

/// A place on earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Degrees north.
    pub north: f64,
    /// Degrees east.
    pub east: f64,
}

impl Position {
    /// A place, if earth has it.
    pub fn new(north: f64, east: f64) -> Option<Position> {
        ((-90.0..=90.0).contains(&north) && (-180.0..=180.0).contains(&east)).then_some(Position { north, east })
    }
}

/// An address and the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Bits of the prefix.
    pub length: u8,
}

impl Address {
    /// Reads `10.0.0.1/24`.
    pub fn parse(text: &str) -> Option<Address> {
        let (ip, length) = text.split_once('/')?;
        Address::new(ip, length)
    }

    /// Takes both as text.
    pub fn new(ip: &str, length: &str) -> Option<Address> {
        let (ip, length) = (ip.parse::<IpAddr>().ok()?, length.parse().ok()?);
        let most = if ip.is_ipv4() { 32 } else { 128 };
        (length <= most).then_some(Address { ip, length })
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The name: a host's label. Empty until the draft is finished.
    pub name: String,
    /// The name in the file.
    pub label: String,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub at: Option<Position>,
    /// Its addresses, in the order of the file.
    pub addresses: Vec<Address>,
    /// The number of its autonomous system.
    pub number: Option<u32>,
    /// The routing that it does in its file (`ospf`, `bgp`), if that is said.
    pub routing: Option<&'static str>,
    /// The image, or the device, that it was in its file.
    pub image: Option<String>,
}

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The node, by its place among the nodes.
    pub node: usize,
    /// The port, 1 to [`PORT_MAX`], if the file says.
    pub port: Option<u32>,
}

/// A link.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// One end.
    pub a: End,
    /// The other.
    pub b: End,
    /// From the first to the second.
    pub there: Properties,
    /// From the second to the first.
    pub back: Properties,
}

/// What of a file is not in the topology: equal ones once, with their lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The key, or what it was.
    pub key: String,
    /// Why.
    pub reason: String,
    /// How often.
    pub count: usize,
    /// The first of its lines, from 1.
    pub lines: Vec<usize>,
}

/// A topology.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Its title in the file.
    pub title: Option<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The links.
    pub links: Vec<Link>,
    /// What is not in them.
    pub left_out: Vec<LeftOut>,
}

impl Topology {
    /// How many parts the network has that no link joins.
    pub fn components(&self) -> usize {
        let mut parent: Vec<usize> = (0..self.nodes.len()).collect();
        fn root(parent: &mut [usize], mut node: usize) -> usize {
            while parent[node] != node {
                parent[node] = parent[parent[node]];
                node = parent[node];
            }
            node
        }
        let mut count = self.nodes.len();
        for link in &self.links {
            let (a, b) = (root(&mut parent, link.a.node), root(&mut parent, link.b.node));
            if a != b {
                parent[a] = b;
                count -= 1;
            }
        }
        count
    }

    /// How many links each node has.
    pub fn degrees(&self) -> Vec<usize> {
        let mut degrees = vec![0; self.nodes.len()];
        for link in &self.links {
            degrees[link.a.node] += 1;
            degrees[link.b.node] += 1;
        }
        degrees
    }

    /// Keeps some nodes, and the links between them.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut next = 0;
        let numbers: Vec<usize> = keep
            .iter()
            .map(|kept| {
                let at = next;
                next += usize::from(*kept);
                at
            })
            .collect();
        let kept = |end: &End| keep.get(end.node).copied().unwrap_or(false);
        self.links.retain(|link| kept(&link.a) && kept(&link.b));
        for link in &mut self.links {
            link.a.node = numbers[link.a.node];
            link.b.node = numbers[link.b.node];
        }
        let mut at = 0;
        self.nodes.retain(|_| {
            at += 1;
            keep.get(at - 1).copied().unwrap_or(false)
        });
    }
}

/// A topology that is being read.
#[derive(Debug, Default)]
pub struct Draft {
    /// What there is of it; the names are not made yet.
    pub topology: Topology,
    ids: HashMap<String, usize>,
    left_out: HashMap<(String, String), usize>,
    /// What stands behind a name that several nodes have, node by node.
    identifiers: Vec<String>,
}

impl Draft {
    /// An empty one.
    pub fn new() -> Draft {
        Draft::default()
    }

    /// Adds a node. Its identifier is new in the file, or the error says where it stands again.
    pub fn node(&mut self, id: &str, node: Node, line: usize) -> Result<usize> {
        if self.ids.contains_key(id) {
            return Err(ImportError::new(line, format!("there are two nodes {id:?}")).help("rename one of them"));
        }
        self.push(id, node, line)
    }

    fn push(&mut self, id: &str, node: Node, line: usize) -> Result<usize> {
        let number = self.topology.nodes.len();
        if number >= NODES_MAX {
            let help = "keep a part of it";
            return Err(ImportError::new(line, format!("there are more than {NODES_MAX} nodes")).help(help));
        }
        self.ids.insert(id.to_owned(), number);
        self.identifiers.push(id.to_owned());
        self.topology.nodes.push(node);
        Ok(number)
    }

    /// The node of an identifier.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.ids.get(id).copied()
    }

    /// The node of an identifier that a link names; the error says that there is none.
    pub fn named(&self, id: &str, line: usize) -> Result<usize> {
        self.find(id).ok_or_else(|| {
            ImportError::new(line, format!("a link names {id:?}, and no node has that name"))
                .help("correct the name, or add the node")
        })
    }

    /// The node of an identifier, made where it is new.
    pub fn node_or_new(&mut self, id: &str, kind: Kind, line: usize) -> Result<usize> {
        match self.find(id) {
            Some(node) => Ok(node),
            None => self.push(id, Node { label: id.to_owned(), kind, ..Node::default() }, line),
        }
    }

    /// Adds a link; one that joins a node to itself is left out.
    pub fn link(&mut self, link: Link, line: usize) -> Result<()> {
        if link.a.node == link.b.node {
            self.leave_out("a link of a node to itself", line, "it carries nothing to anybody");
            return Ok(());
        }
        if self.topology.links.len() >= LINKS_MAX {
            let help = "keep a part of it";
            return Err(ImportError::new(line, format!("there are more than {LINKS_MAX} links")).help(help));
        }
        self.topology.links.push(link);
        Ok(())
    }

    /// Adds a link of two nodes, alike in both directions.
    pub fn join(&mut self, a: usize, b: usize, properties: Properties, line: usize) -> Result<()> {
        let end = |node| End { node, port: None };
        self.link(Link { a: end(a), b: end(b), there: properties, back: properties }, line)
    }

    /// Gives a node one more address; what is none is left out.
    pub fn address(&mut self, node: usize, address: Option<Address>, text: &str, line: usize) {
        let addresses = &mut self.topology.nodes[node].addresses;
        match address {
            Some(_) if addresses.len() >= ADDRESSES_MAX => {
                self.leave_out("address", line, "a node has at most 256");
            }
            Some(address) if addresses.contains(&address) => {}
            Some(address) => addresses.push(address),
            None => self.leave_out(&format!("address {text:?}"), line, "it is no address with a prefix"),
        }
    }

    /// Notes what is not in the topology.
    pub fn leave_out(&mut self, key: &str, line: usize, reason: &str) {
        let all = &mut self.topology.left_out;
        let kept = |text: &str| text.chars().take(200).collect::<String>();
        let at = match self.left_out.get(&(kept(key), kept(reason))) {
            Some(at) => *at,
            None if all.len() > LEFT_OUT_KEYS_MAX => LEFT_OUT_KEYS_MAX,
            None => {
                let (key, reason) = match all.len() == LEFT_OUT_KEYS_MAX {
                    true => ("other keys".to_owned(), "there are too many to name each".to_owned()),
                    false => (kept(key), kept(reason)),
                };
                self.left_out.insert((key.clone(), reason.clone()), all.len());
                all.push(LeftOut { key, reason, count: 0, lines: Vec::new() });
                all.len() - 1
            }
        };
        if let Some(left_out) = all.get_mut(at) {
            left_out.count += 1;
            if left_out.lines.len() < LEFT_OUT_LINES_MAX && left_out.lines.last() != Some(&line) {
                left_out.lines.push(line);
            }
        }
    }

    /// Makes the names, and drops ports that two links of a node have.
    pub fn finish(mut self) -> Topology {
        let labels: Vec<&str> = self.topology.nodes.iter().map(|node| node.label.as_str()).collect();
        let names = label::names(&labels, &self.identifiers);
        for (node, name) in self.topology.nodes.iter_mut().zip(names) {
            node.name = name;
        }
        self.drop_taken_ports();
        self.topology
    }

    fn drop_taken_ports(&mut self) {
        let mut taken: HashMap<(usize, u32), usize> = HashMap::new();
        for end in self.topology.links.iter().flat_map(|link| [link.a, link.b]) {
            if let Some(port) = end.port {
                *taken.entry((end.node, port)).or_default() += 1;
            }
        }
        let mut dropped = Vec::new();
        for link in &mut self.topology.links {
            for end in [&mut link.a, &mut link.b] {
                let twice = end.port.is_some_and(|port| taken.get(&(end.node, port)).is_some_and(|count| *count > 1));
                if twice || end.port.is_some_and(|port| port == 0 || port > PORT_MAX) {
                    dropped.push(end.node);
                    end.port = None;
                }
            }
        }
        for node in dropped {
            let key = format!("a port of {}", self.topology.nodes[node].name);
            self.leave_out(&key, 0, "two links have it, or it is above 255: ports count up over the links");
        }
    }
}
