//! A shape by its name and keys, as a spec has them (`tree`, `arity = 10`), and back as text.

use super::grid::{DIMENSIONS_MAX, Grid};
use super::internet::Internet;
use super::random::{CLASSES_MAX, Class, DeBruijn, MATCHINGS_MAX, Random, SmallWorld};
use super::shape::Shape;
use super::tiers::{Clos, FatTree};
use super::tree::Tree;
use crate::HOSTS_MAX;
use crate::network::error::NetworkErrorKind as Kind;
use crate::network::vocabulary::SHAPES;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Most providers of a system, most links of a node of a class, most dimensions of a hypercube.
const PROVIDERS_MAX: u32 = 64;
const DEGREE_MAX: u32 = 1 << 20;
const HYPERCUBE_MAX: u32 = 23;

/// Keys and their values, as written.
pub struct Keys<'a> {
    shape: &'a str,
    nodes: u32,
    pairs: &'a [(&'a str, &'a str)],
}

type Result<T> = core::result::Result<T, Kind>;

impl<'a> Keys<'a> {
    /// The keys of a shape over so many nodes, 1 or more.
    pub fn new(shape: &'a str, nodes: u32, pairs: &'a [(&'a str, &'a str)]) -> Keys<'a> {
        Keys { shape, nodes, pairs }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
    }

    /// A number from `least` to `most`; what it is if it is not written, or that it must be.
    fn number(&self, key: &'static str, least: u32, most: u32, default: Option<u32>) -> Result<u32> {
        let Some(text) = self.text(key) else {
            return default.ok_or_else(|| Kind::KeyMissing { shape: self.shape.into(), key });
        };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.value(key, text, format!("a number from {least} to {most}")))
    }

    fn value(&self, key: &'static str, text: &str, wanted: String) -> Kind {
        Kind::KeyValue { key, text: text.into(), wanted }
    }

    fn seed(&self) -> Result<u64> {
        let Some(text) = self.text("seed") else { return Ok(0) };
        text.parse().map_err(|_| self.value("seed", text, "a whole number that is not negative".into()))
    }

    fn count<T>(&self, wanted: String) -> Result<T> {
        Err(Kind::NodeCount { shape: self.shape.into(), nodes: self.nodes, wanted })
    }

    fn at_least(&self, least: u32) -> Result<()> {
        if self.nodes < least { self.count(format!("at least {least}")) } else { Ok(()) }
    }

    /// The shape.
    ///
    /// # Errors
    /// There is no such shape or key, or it does not fit the number of nodes.
    pub fn shape(&self) -> Result<Shape> {
        let Some((_, known)) = SHAPES.iter().find(|(name, _)| *name == self.shape) else {
            return Err(Kind::ShapeUnknown(self.shape.into()));
        };
        if let Some((key, _)) = self.pairs.iter().find(|(key, _)| !known.contains(key)) {
            return Err(Kind::KeyUnknown { shape: self.shape.into(), key: (*key).into(), keys: known });
        }
        let line = |wrap| Grid::new(alloc::vec![self.nodes], wrap);
        match self.shape {
            "pairs" if self.nodes.is_multiple_of(2) => Ok(Shape::Pairs(self.nodes)),
            "pairs" => self.count("an even number".into()),
            "line" => self.at_least(2).map(|()| Shape::Line(line(false))),
            "ring" => self.at_least(3).map(|()| Shape::Ring(line(true))),
            "star" => self.at_least(2).map(|()| Shape::Star(self.nodes)),
            "mesh" => self.at_least(2).map(|()| Shape::Mesh(self.nodes)),
            "tree" => Ok(Shape::Tree(Tree::new(self.nodes, self.number("arity", 2, HOSTS_MAX, None)?))),
            "grid" => self.grid(1, false).map(Shape::Grid),
            "torus" => self.grid(3, true).map(Shape::Torus),
            "hypercube" => self.hypercube(),
            "fat-tree" => self.fat_tree(),
            "clos" => self.clos(),
            "debruijn" => self.de_bruijn(),
            "small-world" => self.small_world(),
            "random" => self.random(),
            _ => self.internet(),
        }
    }

    fn grid(&self, least: u32, wrap: bool) -> Result<Grid> {
        let Some(text) = self.text("size") else {
            return Err(Kind::KeyMissing { shape: self.shape.into(), key: "size" });
        };
        let sizes: Option<Vec<u32>> = text.split('x').map(|size| size.parse().ok().filter(|n| *n >= least)).collect();
        let sizes = sizes.filter(|sizes| sizes.len() <= DIMENSIONS_MAX);
        let wanted = || format!("one to {DIMENSIONS_MAX} numbers from {least}, such as 8x{}", least.max(4));
        let grid = Grid::new(sizes.ok_or_else(|| self.value("size", text, wanted()))?, wrap);
        if grid.nodes() == u64::from(self.nodes) { Ok(grid) } else { self.count(format!("{}", grid.nodes())) }
    }

    fn hypercube(&self) -> Result<Shape> {
        let dimensions = self.nodes.trailing_zeros();
        if self.nodes.is_power_of_two() && (1..=HYPERCUBE_MAX).contains(&dimensions) {
            return Ok(Shape::Hypercube(dimensions));
        }
        self.count("a power of two".into())
    }

    fn fat_tree(&self) -> Result<Shape> {
        let sizes = (2..=FatTree::PORTS_MAX).step_by(2).map(FatTree::new);
        let (mut below, mut above) = (None, None);
        for tree in sizes {
            match tree.nodes().cmp(&self.nodes) {
                core::cmp::Ordering::Equal => return Ok(Shape::FatTree(tree)),
                core::cmp::Ordering::Less => below = Some(tree),
                core::cmp::Ordering::Greater => {
                    above = Some(tree);
                    break;
                }
            }
        }
        let said = |tree: FatTree| format!("{} (switches of {} ports)", tree.nodes(), tree.ports());
        let wanted: Vec<String> = [below, above].into_iter().flatten().map(said).collect();
        self.count(wanted.join(" or "))
    }

    fn clos(&self) -> Result<Shape> {
        let (spines, leaves) = (self.number("spines", 1, HOSTS_MAX, None)?, self.number("leaves", 1, HOSTS_MAX, None)?);
        let switches = u64::from(spines) + u64::from(leaves);
        match u64::from(self.nodes).checked_sub(switches) {
            Some(rest) if rest.is_multiple_of(u64::from(leaves)) => {
                Ok(Shape::Clos(Clos { spines, leaves, machines: (rest / u64::from(leaves)) as u32 }))
            }
            _ => self.count(format!("{switches}, and as many machines for each of {leaves} leaves")),
        }
    }

    fn de_bruijn(&self) -> Result<Shape> {
        let base = self.number("base", 2, HOSTS_MAX, Some(2))?;
        let mut nodes = u64::from(base);
        while nodes < u64::from(self.nodes) {
            nodes *= u64::from(base);
        }
        if nodes != u64::from(self.nodes) {
            return self.count(format!("a power of {base}"));
        }
        Ok(Shape::DeBruijn(DeBruijn { nodes: self.nodes, base }))
    }

    fn small_world(&self) -> Result<Shape> {
        let near = self.number("near", 1, HOSTS_MAX / 4, Some(1))?;
        let matchings = self.number("matchings", 0, MATCHINGS_MAX, Some(1))?;
        self.at_least(2 * near + 1)?;
        Ok(Shape::SmallWorld(SmallWorld { nodes: self.nodes, near, matchings, seed: self.seed()? }))
    }

    fn random(&self) -> Result<Shape> {
        let Some(text) = self.text("degrees") else {
            return Err(Kind::KeyMissing { shape: self.shape.into(), key: "degrees" });
        };
        let class = |word: &str| {
            let (degree, nodes) = word.split_once('*').unwrap_or((word, ""));
            let nodes = if nodes.is_empty() { self.nodes } else { nodes.parse().ok().filter(|n| *n <= HOSTS_MAX)? };
            Some(Class { nodes, degree: degree.parse().ok().filter(|degree| *degree <= DEGREE_MAX)? })
        };
        let classes: Option<Vec<Class>> = text.split(',').map(class).collect();
        let wanted = || format!("a degree, or at most {CLASSES_MAX} classes DEGREE*NODES, such as 2*600,4*300,16*9");
        let classes = classes.filter(|classes| classes.len() <= CLASSES_MAX);
        let classes = classes.ok_or_else(|| self.value("degrees", text, wanted()))?;
        let nodes: u64 = classes.iter().map(|class| u64::from(class.nodes)).sum();
        if nodes != u64::from(self.nodes) {
            return self.count(format!("{nodes}"));
        }
        if !Random::ends(&classes).is_multiple_of(2) {
            return Err(self.value("degrees", text, "degrees whose sum is even: a link has two ends".into()));
        }
        Ok(Shape::Random(Random::new(classes, self.seed()?)))
    }

    fn internet(&self) -> Result<Shape> {
        let tier1 = self.number("tier1", 1, HOSTS_MAX, None)?;
        let transit = self.number("transit", 0, HOSTS_MAX, Some(0))?;
        let providers = self.number("providers", 1, PROVIDERS_MAX, Some(1))?;
        let peers = self.number("peers", 0, HOSTS_MAX, Some(0))?;
        let Some(stubs) = u64::from(self.nodes).checked_sub(u64::from(tier1) + u64::from(transit)) else {
            return self.count(format!("at least {} (tier1 and transit)", u64::from(tier1) + u64::from(transit)));
        };
        if peers > 0 && transit < 2 {
            return Err(self.value("peers", self.text("peers").unwrap_or_default(), "0: transit has none".into()));
        }
        let (stubs, seed) = (stubs as u32, self.seed()?);
        Ok(Shape::Internet(Internet { tier1, transit, stubs, providers, peers, seed }))
    }
}

impl Shape {
    /// The shape's name.
    pub fn name(&self) -> &'static str {
        let at = match self {
            Shape::Pairs(_) => 0,
            Shape::Line(_) => 1,
            Shape::Ring(_) => 2,
            Shape::Star(_) => 3,
            Shape::Mesh(_) => 4,
            Shape::Tree(_) => 5,
            Shape::Grid(_) => 6,
            Shape::Torus(_) => 7,
            Shape::Hypercube(_) => 8,
            Shape::FatTree(_) => 9,
            Shape::Clos(_) => 10,
            Shape::DeBruijn(_) => 11,
            Shape::SmallWorld(_) => 12,
            Shape::Random(_) => 13,
            Shape::Internet(_) => 14,
        };
        SHAPES[at].0
    }

    /// Its keys and their values, as [`Keys`] reads them; what a key has by default, too.
    pub fn keys(&self) -> Vec<(&'static str, String)> {
        let list = |sizes: &[u32]| sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        match self {
            Shape::Tree(tree) => alloc::vec![("arity", tree.arity().to_string())],
            Shape::Grid(grid) | Shape::Torus(grid) => alloc::vec![("size", list(grid.sizes()))],
            Shape::Clos(clos) => {
                alloc::vec![("spines", clos.spines.to_string()), ("leaves", clos.leaves.to_string())]
            }
            Shape::DeBruijn(graph) => alloc::vec![("base", graph.base.to_string())],
            Shape::SmallWorld(graph) => alloc::vec![
                ("near", graph.near.to_string()),
                ("matchings", graph.matchings.to_string()),
                ("seed", graph.seed.to_string()),
            ],
            Shape::Random(graph) => {
                let classes = graph.classes().iter().map(|class| format!("{}*{}", class.degree, class.nodes));
                let degrees = classes.collect::<Vec<_>>().join(",");
                alloc::vec![("degrees", degrees), ("seed", graph.seed().to_string())]
            }
            Shape::Internet(graph) => alloc::vec![
                ("tier1", graph.tier1.to_string()),
                ("transit", graph.transit.to_string()),
                ("providers", graph.providers.to_string()),
                ("peers", graph.peers.to_string()),
                ("seed", graph.seed.to_string()),
            ],
            _ => Vec::new(),
        }
    }
}
