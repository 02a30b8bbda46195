//! What can be wrong with a network: a type for each, its sentence, and what to write instead.

use super::vocabulary::{PROPERTIES, SHAPES};
use crate::error::NameErrorKind;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// What is wrong with the text of a link, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// What is wrong there.
    pub kind: NetworkErrorKind,
}

/// Which part of a network something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The network as a whole.
    Whole,
    /// A link law, from 0.
    Link(usize),
    /// What is said of some nodes, from 0.
    Nodes(usize),
}

/// What is wrong with a network, and with which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// The part.
    pub item: Item,
    /// What is wrong.
    pub kind: NetworkErrorKind,
}

/// What is wrong with a network or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkErrorKind {
    /// A pattern of names that is none.
    Names(NameErrorKind),
    /// A link that has not two sides.
    Sides,
    /// A word that is no property of a link.
    Property(String),
    /// A property without a value that it can have.
    PropertyValue {
        /// The property.
        property: &'static str,
        /// What was written.
        text: String,
        /// What could be.
        wanted: &'static str,
    },
    /// A property that stands twice.
    Twice(String),
    /// A port that is none.
    Port {
        /// What was written.
        text: String,
        /// The highest.
        max: u32,
    },
    /// Sides of different sizes, and nothing that says how they are joined.
    Each {
        /// Nodes of the first side.
        a: u32,
        /// Nodes of the second.
        b: u32,
    },
    /// A link from a node to itself.
    Loop(String),
    /// A node on both sides of a product.
    BothSides(String),
    /// A port of a node that two links say they have.
    PortTaken {
        /// The node.
        name: String,
        /// Its port.
        port: u32,
    },
    /// No shape.
    ShapeUnknown(String),
    /// A key that a shape has not.
    KeyUnknown {
        /// The shape.
        shape: String,
        /// The key.
        key: String,
        /// Those that it has.
        keys: &'static [&'static str],
    },
    /// A key that a shape needs.
    KeyMissing {
        /// The shape.
        shape: String,
        /// The key.
        key: &'static str,
    },
    /// A key without a value that it can have.
    KeyValue {
        /// The key.
        key: &'static str,
        /// What was written.
        text: String,
        /// What could be.
        wanted: String,
    },
    /// A shape that cannot have so many nodes.
    NodeCount {
        /// The shape.
        shape: String,
        /// How many it was given.
        nodes: u32,
        /// How many it could have.
        wanted: String,
    },
    /// More of something than there may be.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: u32,
    },
    /// Names that are partly those of another pattern, and too many to look at each.
    PartlyKnown(String),
    /// A node that no link has.
    NodeUnknown(String),
    /// Nodes that are guests, and more than the hosts have.
    GuestsMissing {
        /// How many numbers of guests the network takes.
        needed: u64,
        /// How many guests there are.
        guests: u64,
    },
    /// A text of a network that is none.
    Text(String),
    /// A text of a network that is another than the one that is named.
    Digest,
}

impl fmt::Display for NetworkErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(kind) => kind.fmt(f),
            Self::Sides => f.write_str("a link has two sides"),
            Self::Property(word) => write!(f, "{word:?} is no property of a link"),
            Self::PropertyValue { property, text, .. } => write!(f, "{property} cannot be {text:?}"),
            Self::Twice(word) => write!(f, "{word} stands twice"),
            Self::Port { text, max } => write!(f, "{text:?} is no port: ports are 1 to {max}"),
            Self::Each { a, b } => write!(f, "{a} and {b} nodes cannot be joined one by one"),
            Self::Loop(name) => write!(f, "this joins {name} to itself"),
            Self::BothSides(name) => write!(f, "{name} is on both sides"),
            Self::PortTaken { name, port } => write!(f, "port {port} of {name} has another link"),
            Self::ShapeUnknown(name) => write!(f, "there is no shape {name:?}"),
            Self::KeyUnknown { shape, key, .. } => write!(f, "the shape {shape} has no key {key:?}"),
            Self::KeyMissing { shape, key } => write!(f, "the shape {shape} needs {key}"),
            Self::KeyValue { key, text, .. } => write!(f, "{key} cannot be {text:?}"),
            Self::NodeCount { shape, nodes, wanted } => {
                write!(f, "the shape {shape} cannot have {nodes} nodes with these keys: it has {wanted}")
            }
            Self::TooMany { what, max } => write!(f, "the network has more than {max} {what}"),
            Self::PartlyKnown(pattern) => {
                write!(f, "{pattern} has some names of another pattern, and more than can be looked at one by one")
            }
            Self::NodeUnknown(name) => write!(f, "no link has a node {name}"),
            Self::GuestsMissing { needed, guests } => {
                write!(f, "the network's nodes take {needed} numbers of guests, and the hosts have {guests} guests")
            }
            Self::Text(why) => write!(f, "not the text of a network: {why}"),
            Self::Digest => f.write_str("it is another network than the plan names"),
        }
    }
}

impl NetworkErrorKind {
    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::Names(_) => "write names like \"core1\" or \"leaf[1-16]\"".into(),
            Self::Sides => "write two names, or patterns of names, such as \"a b\" or \"leaf[1-4] pc[1-40]\"".into(),
            Self::Property(_) => format!("write some of {}", PROPERTIES.join(", ")),
            Self::PropertyValue { wanted, .. } => format!("write {wanted}"),
            Self::Twice(_) => "write it once".into(),
            Self::Port { .. } => "write a port behind a name and a colon, such as \"a:1\"".into(),
            Self::Each { .. } => {
                "write each=all (everyone with everyone) or each=share (in blocks), or sides of one size".into()
            }
            Self::Loop(_) => "name two nodes".into(),
            Self::BothSides(_) => "write a shape, such as { shape = \"mesh\", nodes = \"x[1-4]\" }".into(),
            Self::PortTaken { .. } => "write another port, or none: ports count up over the links".into(),
            Self::ShapeUnknown(_) => {
                let names: Vec<&str> = SHAPES.iter().map(|(name, _)| *name).collect();
                format!("write one of {}", names.join(", "))
            }
            Self::KeyUnknown { keys: [], .. } => "remove it: the shape has no keys of its own".into(),
            Self::KeyUnknown { keys, .. } => format!("its keys are {}", keys.join(", ")),
            Self::KeyMissing { key, .. } => format!("add {key} = ..."),
            Self::KeyValue { wanted, .. } => format!("write {wanted}"),
            Self::NodeCount { .. } => "change nodes, or the keys of the shape".into(),
            Self::TooMany { .. } => "use patterns and shapes, or a file of links".into(),
            Self::PartlyKnown(_) => {
                "write the same pattern in every link, or patterns that have no name in common".into()
            }
            Self::NodeUnknown(_) => "correct the name, or give it a link".into(),
            Self::GuestsMissing { .. } => {
                "write more plan.guests or hosts, or make nodes routers or switches, which take no guest".into()
            }
            Self::Text(_) | Self::Digest => "build it anew".into(),
        }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            Item::Whole => self.kind.fmt(f),
            Item::Link(at) => write!(f, "link {}: {}", at + 1, self.kind),
            Item::Nodes(at) => write!(f, "nodes {}: {}", at + 1, self.kind),
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl core::error::Error for NetworkErrorKind {}
impl core::error::Error for NetworkError {}
impl core::error::Error for LineError {}
