//! A network as a graph: nodes by number, links by port, both ways by law.
//!
//! Takes a [`Draft`]; gives each node's ports and what is at their other ends. Ports count from 1 over the laws in
//! their order; what a line says of a port goes before, and the others count over what is left.

use super::error::{Item, NetworkError, NetworkErrorKind as Kind};
use super::kinds::{NodeKind, NodesDraft, Numbering, Port0, Routing};
use super::law::{Law, LawEnd, Side, Wiring};
use super::line::{Each, Line};
use super::nodes::{NodeList, Nodes, Source};
use super::ports::{Bundle, find, port_of, said};
use super::properties::Properties;
use super::shapes::Shape;
use super::shapes::internet::Relation;
use super::sites::{Ground, Sites};
use super::table::{Table, TableDraft};
use crate::Ipv4Net;
use crate::ids::HostId;
use crate::names::HostNames;
use crate::sets::Node;
use alloc::string::String;
use alloc::vec::Vec;

/// Most link laws.
pub const LINKS_MAX: usize = 64;
/// Most things that are said of nodes.
pub const RULES_MAX: usize = 256;
/// Addresses of links, unless stated: shared address space (RFC 6598), of which a /31 a link makes two million.
pub const LINK_NETWORK: &str = "100.64.0.0/10";

/// A link law as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkDraft {
    /// A link line.
    Line(Line),
    /// A shape over nodes.
    Shape {
        /// The shape.
        shape: Shape,
        /// Its nodes: as many as it has.
        nodes: HostNames,
        /// From the node with the lower number.
        there: Properties,
        /// To it.
        back: Properties,
    },
    /// A graph of a file.
    Table(TableDraft),
}

/// A network as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The link laws.
    pub links: Vec<LinkDraft>,
    /// What is said of nodes: what comes later counts.
    pub nodes: Vec<NodesDraft>,
    /// Who finds ways. Where nothing is said: the law, and for routers and segments alone.
    pub routing: Option<Routing>,
    /// How addresses are given.
    pub numbering: Numbering,
    /// Addresses of links.
    pub link_network: Option<Ipv4Net>,
    /// The largest packet, if it is said.
    pub mtu: Option<u16>,
    /// What guests' first cards are in.
    pub port0: Port0,
    /// What the loss and jitter of links are drawn by.
    pub seed: u64,
}

impl Default for Draft {
    fn default() -> Draft {
        Draft {
            links: Vec::new(),
            nodes: Vec::new(),
            routing: None,
            numbering: Numbering::Node,
            link_network: None,
            mtu: None,
            port0: Port0::Host,
            seed: 0,
        }
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    draft: Draft,
    pub(super) nodes: Nodes,
    pub(super) laws: Vec<Law>,
    rules: Vec<NodeList>,
    sites: Sites,
}

/// A port with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// Whose port.
    pub node: u32,
    /// Its number, from 1: the guest's card `ethPORT`.
    pub port: u32,
    /// The node at the other end.
    pub peer: u32,
    /// Its port.
    pub peer_port: u32,
    /// What frames meet that the node sends.
    pub there: &'a Properties,
    /// What frames meet that it gets.
    pub back: &'a Properties,
    /// What the peer is to the node.
    pub relation: Relation,
    /// The law that makes the link, from 0.
    pub law: usize,
    /// Whether this is the end that the link is counted by: one of the two is.
    pub first: bool,
}

fn wrong<T>(item: Item, kind: Kind) -> Result<T, NetworkError> {
    Err(NetworkError { item, kind })
}

impl Network {
    /// The network of a draft, on hosts with so many guests each.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn new(draft: Draft, hosts: u32, guests_per_host: u32) -> Result<Network, NetworkError> {
        for (what, len, max) in
            [("links", draft.links.len(), LINKS_MAX), ("[[network.nodes]]", draft.nodes.len(), RULES_MAX)]
        {
            if len > max {
                return wrong(Item::Whole, Kind::TooMany { what, max: max as u32 });
            }
        }
        let sources: Vec<Source> = draft.links.iter().flat_map(sources).collect();
        let nodes = Nodes::new(&sources).map_err(|kind| NetworkError { item: Item::Whole, kind })?;
        let mut laws: Vec<Law> = Vec::new();
        for (at, link) in draft.links.iter().enumerate() {
            let law = law(link, &nodes).and_then(|law| check(law, &nodes));
            laws.push(law.map_err(|kind| NetworkError { item: Item::Link(at), kind })?);
            check_ports(&laws, &nodes).map_err(|kind| NetworkError { item: Item::Link(at), kind })?;
        }
        let mut rules = Vec::new();
        for (at, rule) in draft.nodes.iter().enumerate() {
            rules.push(nodes.list_all(&rule.names).map_err(|kind| NetworkError { item: Item::Nodes(at), kind })?);
        }
        let mut network = Network { draft, nodes, laws, rules, sites: Sites::default() };
        network.check_tables()?;
        network.sites =
            network.find_sites(hosts, guests_per_host).map_err(|kind| NetworkError { item: Item::Whole, kind })?;
        Ok(network)
    }

    fn find_sites(&self, hosts: u32, guests_per_host: u32) -> Result<Sites, Kind> {
        let tables = self.laws.iter().any(|law| matches!(law.wiring, Wiring::Table(_)));
        let ground = Ground {
            nodes: &self.nodes,
            laws: &self.laws,
            is_guest: &|node| self.kind(node).is_guest(),
            all_guests: !tables && self.draft.nodes.iter().all(|rule| rule.kind.is_none()),
        };
        Sites::new(&ground, hosts, guests_per_host)
    }

    /// Whether no port that a table has is another link's.
    fn check_tables(&self) -> Result<(), NetworkError> {
        for (at, law) in self.laws.iter().enumerate().filter(|(_, law)| matches!(law.wiring, Wiring::Table(_))) {
            for node in law.a.iter() {
                let said = said(&self.bundles(node));
                let taken = said.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0);
                if let Some(port) = taken.map(|pair| pair[1].0) {
                    let name = self.name(node).unwrap_or_default();
                    return wrong(Item::Link(at), Kind::PortTaken { name, port });
                }
            }
        }
        Ok(())
    }

    /// The host of a node, and the guest that it is; the host itself, if it is none.
    pub fn site(&self, node: u32) -> Option<Node> {
        self.sites.site(&self.laws, node, self.kind(node).is_guest())
    }

    /// The node that a guest of a host is.
    pub fn node_at(&self, site: Node) -> Option<u32> {
        self.sites.node(&self.laws, site).filter(|node| self.kind(*node).is_guest())
    }

    /// A node's number by place, from 0: neighbours have neighbouring ones.
    pub fn ordinal(&self, node: u32) -> Option<u32> {
        self.sites.ordinal(&self.laws, node)
    }

    /// The node that has this number by place.
    pub fn by_ordinal(&self, ordinal: u32) -> Option<u32> {
        self.sites.by_ordinal(&self.laws, ordinal)
    }

    /// The nodes that are on a host: its guests, and what its switch computes.
    pub fn residents(&self, host: HostId) -> impl Iterator<Item = u32> {
        self.sites.residents(&self.laws, host)
    }

    /// How many hosts have guests of the network.
    pub fn hosts_used(&self) -> u32 {
        self.sites.used()
    }

    /// What it was made of.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// How many nodes.
    pub fn len(&self) -> u32 {
        self.nodes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The groups of names, and which node has which.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The node with this name.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.nodes.number(name)
    }

    /// A node's name.
    pub fn name(&self, node: u32) -> Option<String> {
        self.nodes.name(node)
    }

    /// How many links a law makes.
    pub fn links_of(&self, law: usize) -> u64 {
        self.laws.get(law).map_or(0, Law::links)
    }

    /// How many links there are.
    pub fn links(&self) -> u64 {
        self.laws.iter().map(Law::links).sum()
    }

    /// What is said of a node, the last first.
    pub fn rules_of(&self, node: u32) -> impl Iterator<Item = &NodesDraft> {
        let of = self.draft.nodes.iter().zip(&self.rules).rev();
        of.filter(move |(_, list)| list.has(node)).map(|(rule, _)| rule)
    }

    /// What a node is.
    pub fn kind(&self, node: u32) -> NodeKind {
        if let Some(kind) = self.rules_of(node).find_map(|rule| rule.kind.clone()) {
            return kind;
        }
        let mut tables = self.laws.iter().filter_map(|law| match &law.wiring {
            Wiring::Table(table) => table.kind(law.a.rank(node)?),
            _ => None,
        });
        tables.next().cloned().unwrap_or_default()
    }

    /// Who finds the ways of a node; nobody, if it passes on nothing.
    pub fn routing(&self, node: u32) -> Routing {
        let kind = self.kind(node);
        let said = self.rules_of(node).find_map(|rule| rule.routing).or(self.draft.routing);
        match kind {
            NodeKind::Cloud => Routing::None,
            NodeKind::Switch => Routing::Computed,
            NodeKind::Router => said.unwrap_or(Routing::Computed),
            NodeKind::Guest | NodeKind::Foreign(_) => said.unwrap_or(Routing::None),
        }
    }

    fn bundles(&self, node: u32) -> Vec<Bundle> {
        let mut bundles = Vec::new();
        for (at, law) in self.laws.iter().enumerate() {
            for side in [Side::A, Side::B] {
                let Some(rank) = law.list(side).rank(node) else { continue };
                if let Wiring::Table(table) = &law.wiring
                    && table.row(rank).iter().any(|end| end.port.is_some())
                {
                    let ends = table.row(rank).iter().zip(0..);
                    bundles.extend(ends.map(|(of, end)| Bundle { law: at, side, rank, ends: (end, 1), port: of.port }));
                    continue;
                }
                let port = law.ports[usize::from(side == Side::B)];
                bundles.push(Bundle { law: at, side, rank, ends: (0, law.degree(side, rank)), port });
            }
        }
        bundles
    }

    /// How many links a node has.
    pub fn degree(&self, node: u32) -> u32 {
        self.bundles(node).iter().map(|bundle| bundle.ends.1).sum()
    }

    /// What is at the other end of a node's port; none, if it has no such port.
    pub fn link(&self, node: u32, port: u32) -> Option<End<'_>> {
        let bundles = self.bundles(node);
        let (bundle, end) = find(&bundles, port)?;
        self.end(node, port, bundle, end)
    }

    fn end(&self, node: u32, port: u32, bundle: &Bundle, end: u32) -> Option<End<'_>> {
        let law = self.laws.get(bundle.law)?;
        let near = LawEnd { side: bundle.side, rank: bundle.rank, end };
        let far = law.far(near)?;
        let peer = law.list(far.side).nth(far.rank)?;
        let peer_port = port_of(&self.bundles(peer), bundle.law, far)?;
        let ((there, back), relation) = (law.properties(near), law.relation(near));
        Some(End { node, port, peer, peer_port, there, back, relation, law: bundle.law, first: near < far })
    }

    /// All links of a node, in the order of the laws.
    pub fn ends(&self, node: u32) -> impl Iterator<Item = End<'_>> {
        let bundles = self.bundles(node);
        let all: u32 = bundles.iter().map(|bundle| bundle.ends.1).sum();
        let (mut at, mut passed) = (0, 0);
        (0..all).filter_map(move |number| {
            while number - passed >= bundles.get(at)?.ends.1 {
                passed += bundles[at].ends.1;
                at += 1;
            }
            let bundle = &bundles[at];
            let end = bundle.ends.0 + number - passed;
            let near = LawEnd { side: bundle.side, rank: bundle.rank, end };
            self.end(node, port_of(&bundles, bundle.law, near)?, bundle, end)
        })
    }

    /// The port of a node's end in a law.
    pub(super) fn port(&self, node: u32, law: usize, end: LawEnd) -> Option<u32> {
        port_of(&self.bundles(node), law, end)
    }
}

fn sources(link: &LinkDraft) -> Vec<Source<'_>> {
    match link {
        LinkDraft::Line(line) => alloc::vec![Source::Pattern(&line.a.nodes), Source::Pattern(&line.b.nodes)],
        LinkDraft::Shape { nodes, .. } => alloc::vec![Source::Pattern(nodes)],
        LinkDraft::Table(table) => alloc::vec![Source::Listed(&table.names)],
    }
}

fn law(link: &LinkDraft, nodes: &Nodes) -> Result<Law, Kind> {
    let none = NodeList::default();
    let ideal = Properties::default();
    Ok(match link {
        LinkDraft::Line(line) => {
            let (a, b) = (nodes.list(&line.a.nodes)?, nodes.list(&line.b.nodes)?);
            let each = line.each.unwrap_or(match (a.len(), b.len()) {
                (1, many) if many > 1 => Each::All,
                (many, 1) if many > 1 => Each::All,
                _ => Each::Pair,
            });
            let ports = [line.a.port, line.b.port];
            Law { wiring: Wiring::Product(each), a, b, ports, there: line.there, back: line.back }
        }
        LinkDraft::Shape { shape, nodes: names, there, back } => {
            let (a, ports) = (nodes.list(names)?, [None, None]);
            Law { wiring: Wiring::Shape(shape.clone()), a, b: none, ports, there: *there, back: *back }
        }
        LinkDraft::Table(table) => {
            let (a, ports) = (nodes.listed(&table.names), [None, None]);
            Law { wiring: Wiring::Table(Table::new(table)), a, b: none, ports, there: ideal, back: ideal }
        }
    })
}

fn check(law: Law, nodes: &Nodes) -> Result<Law, Kind> {
    let name = |number| nodes.name(number).unwrap_or_default();
    let Wiring::Product(each) = &law.wiring else { return Ok(law) };
    let (a, b) = (law.a.len(), law.b.len());
    match each {
        Each::Pair if a != b => return Err(Kind::Each { a, b }),
        Each::Pair => {
            if let Some(number) = law.a.at_one_rank(&law.b) {
                return Err(Kind::Loop(name(number)));
            }
        }
        Each::All | Each::Share => {
            if let Some(number) = law.a.common(&law.b) {
                return Err(if a == 1 && b == 1 { Kind::Loop(name(number)) } else { Kind::BothSides(name(number)) });
            }
        }
    }
    Ok(law)
}

/// Whether the last law takes no port that it or another says it has.
fn check_ports(laws: &[Law], nodes: &Nodes) -> Result<(), Kind> {
    let Some(last) = laws.last() else { return Ok(()) };
    let sides = |law: &'_ Law| [Side::A, Side::B].map(|side| (side, law.ports[usize::from(side == Side::B)]));
    for (side, port) in sides(last) {
        let Some(port) = port else { continue };
        let taken = port..port + last.degree_max(side);
        for (at, other) in laws.iter().enumerate() {
            for (other_side, other_port) in sides(other) {
                let Some(other_port) = other_port.filter(|_| at + 1 < laws.len() || side < other_side) else {
                    continue;
                };
                let theirs = other_port..other_port + other.degree_max(other_side);
                let meet = taken.start.max(theirs.start);
                if meet >= taken.end.min(theirs.end) {
                    continue;
                }
                if let Some(number) = last.list(side).common(other.list(other_side)) {
                    return Err(Kind::PortTaken { name: nodes.name(number).unwrap_or_default(), port: meet });
                }
            }
        }
    }
    Ok(())
}
