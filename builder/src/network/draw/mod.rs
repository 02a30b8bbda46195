//! Pictures of a network: each node up to 300, above that folded into groups of nodes or hosts.
//!
//! Takes a network and which of its nodes; gives a [`Picture`], which [`svg`] lays out ([`layout`]) and [`notation`]
//! writes for other programs. The same network gives the same bytes.

pub mod layout;
pub mod notation;
pub mod svg;

use std::collections::BTreeMap;

use vmatic_plan::network::{COUNTED_LINKS_MAX, End, Network, NodeKind, NodeList, words};

/// Most nodes that are drawn one by one.
pub const DRAWN_MAX: u32 = 300;

/// A node of a picture: one of the network's, or several folded.
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    /// What stands beside it.
    pub label: String,
    /// What it is; of several, what the first is.
    pub kind: NodeKind,
    /// How many nodes it stands for.
    pub nodes: u32,
    /// Links between these.
    pub inside: u64,
    /// Where it is on earth, in degrees north and east.
    pub place: Option<(f64, f64)>,
}

/// A line of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stroke {
    /// The dots that it joins.
    pub ends: (usize, usize),
    /// How many links it stands for.
    pub links: u64,
    /// Ports and properties of the only one.
    pub ports: Option<(u32, u32)>,
    /// See [`Stroke::ports`].
    pub words: String,
}

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// Nodes.
    pub dots: Vec<Dot>,
    /// Links.
    pub strokes: Vec<Stroke>,
    /// What the dots stand for, if it is more than a node each.
    pub folded: Option<&'static str>,
}

/// How nodes are folded.
enum Fold {
    /// Not at all: those drawn, in order.
    Each(Vec<u32>),
    /// By groups of names.
    Groups,
    /// By hosts, so many a dot.
    Hosts(u32),
}

impl Fold {
    fn of(network: &Network, only: Option<&NodeList>) -> Fold {
        let drawn = only.map_or(network.len(), NodeList::len);
        if drawn <= DRAWN_MAX {
            let mut each: Vec<u32> = only.map_or_else(|| (0..drawn).collect(), |only| only.iter().collect());
            each.sort_unstable();
            return Fold::Each(each);
        }
        let groups = network.nodes().groups().len();
        if groups > 1 && groups <= DRAWN_MAX as usize {
            Fold::Groups
        } else {
            Fold::Hosts(network.hosts_used().div_ceil(DRAWN_MAX))
        }
    }

    fn key(&self, network: &Network, node: u32) -> Option<u32> {
        match self {
            Fold::Each(each) => each.binary_search(&node).ok().map(|at| at as u32),
            Fold::Groups => {
                Some(network.nodes().groups().partition_point(|group| group.first + group.len <= node) as u32)
            }
            Fold::Hosts(each) => Some((network.site(node)?.host.0 - 1) / each),
        }
    }

    fn label(&self, network: &Network, key: u32, node: u32, host: &dyn Fn(u32) -> String) -> String {
        match self {
            Fold::Each(_) => network.name(node).unwrap_or_default(),
            Fold::Groups => network.nodes().group(node).map(|group| group.label()).unwrap_or_default(),
            Fold::Hosts(1) => host(key + 1),
            Fold::Hosts(each) => {
                let last = ((key + 1) * each).min(network.hosts_used());
                format!("{} ... {}", host(key * each + 1), host(last))
            }
        }
    }
}

/// The picture of a network, or of some of its nodes and the links among them. None, if it has too many links to go
/// through. `host` gives a host's name, `place` where a node is on earth.
pub fn picture(
    network: &Network,
    only: Option<&NodeList>,
    host: &dyn Fn(u32) -> String,
    place: &dyn Fn(&str) -> Option<(f64, f64)>,
) -> Option<Picture> {
    if network.links() > COUNTED_LINKS_MAX {
        return None;
    }
    let fold = Fold::of(network, only);
    let mut dots: BTreeMap<u32, Dot> = BTreeMap::new();
    let mut strokes: BTreeMap<(u32, u32, u64), Stroke> = BTreeMap::new();
    let drawn = |node: u32| only.is_none_or(|only| only.has(node));
    for node in (0..network.len()).filter(|node| drawn(*node)) {
        let Some(key) = fold.key(network, node) else { continue };
        let dot = dots.entry(key).or_insert_with(|| {
            let label = fold.label(network, key, node, host);
            let place = if matches!(fold, Fold::Each(_)) { place(&label) } else { None };
            Dot { label, kind: network.kind(node), nodes: 0, inside: 0, place }
        });
        dot.nodes += 1;
        for end in network.ends(node).filter(|end| end.first && drawn(end.peer)) {
            match fold.key(network, end.peer) {
                Some(peer) if peer == key => dot.inside += 1,
                Some(peer) => add(&mut strokes, &fold, key, peer, &end),
                None => {}
            }
        }
    }
    let order: Vec<u32> = dots.keys().copied().collect();
    let at = |key: usize| order.binary_search(&(key as u32)).unwrap_or(0);
    let mut strokes: Vec<Stroke> = strokes.into_values().collect();
    strokes.iter_mut().for_each(|stroke| stroke.ends = (at(stroke.ends.0), at(stroke.ends.1)));
    let folded = match fold {
        Fold::Each(_) => None,
        Fold::Groups => Some("a dot stands for all nodes of a pattern"),
        Fold::Hosts(_) => Some("a dot stands for the nodes of a host"),
    };
    Some(Picture { dots: dots.into_values().collect(), strokes, folded })
}

/// Adds a link; folded, all between two dots are one line.
fn add(strokes: &mut BTreeMap<(u32, u32, u64), Stroke>, fold: &Fold, key: u32, peer: u32, end: &End) {
    let single = matches!(fold, Fold::Each(_));
    let (a, b) = if single || key < peer { (key, peer) } else { (peer, key) };
    let number = if single { u64::from(end.port) << 32 | u64::from(end.peer_port) } else { 0 };
    let stroke = strokes.entry((a, b, number)).or_insert_with(|| Stroke {
        ends: (a as usize, b as usize),
        links: 0,
        ports: single.then_some((end.port, end.peer_port)),
        words: if single { words(end.there, end.back).join(" ") } else { String::new() },
    });
    stroke.links += 1;
}

impl Dot {
    /// The label, with how many nodes and links are folded into it.
    pub fn caption(&self) -> String {
        if self.nodes == 1 && self.inside == 0 {
            return self.label.clone();
        }
        let nodes = crate::ui::size::count(self.nodes.into(), "node");
        match self.inside {
            0 => format!("{} ({nodes})", self.label),
            inside => format!("{} ({nodes}, {} inside)", self.label, crate::ui::size::count(inside, "link")),
        }
    }
}

impl Stroke {
    /// What is written on the line: properties, or how many links it stands for.
    pub fn caption(&self) -> String {
        if self.links > 1 { format!("{} links", self.links) } else { self.words.clone() }
    }
}
