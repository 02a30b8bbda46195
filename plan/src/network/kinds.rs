//! What the nodes of a network are, and who finds their ways.

use crate::names::HostNames;
use alloc::string::String;
use alloc::vec::Vec;

/// What a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKind {
    /// A guest that runs the guest image.
    #[default]
    Guest,
    /// A router that the switch computes; it takes no guest.
    Router,
    /// A segment; it takes no guest.
    Switch,
    /// The uplink of its host.
    Cloud,
    /// A guest of one of `[[guest.kinds]]`.
    Foreign(String),
}

impl NodeKind {
    /// The kinds that have a word of their own.
    pub const WORDS: [(&'static str, NodeKind); 4] = [
        ("guest", NodeKind::Guest),
        ("router", NodeKind::Router),
        ("switch", NodeKind::Switch),
        ("cloud", NodeKind::Cloud),
    ];

    /// The word for it.
    pub fn word(&self) -> &str {
        match self {
            NodeKind::Foreign(name) => name,
            known => NodeKind::WORDS.iter().find(|(_, kind)| kind == known).map_or("", |(word, _)| word),
        }
    }

    /// What a word means; what is no kind of ours is taken for the name of a kind of guests.
    pub fn of(word: &str) -> NodeKind {
        let known = NodeKind::WORDS.iter().find(|(name, _)| *name == word);
        known.map_or_else(|| NodeKind::Foreign(word.into()), |(_, kind)| kind.clone())
    }

    /// Whether it takes a guest of a host.
    pub fn is_guest(&self) -> bool {
        matches!(self, NodeKind::Guest | NodeKind::Foreign(_))
    }
}

/// Makes an enum whose values have words.
macro_rules! worded {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $value,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$value,)*];

            /// The word in a spec.
            pub fn word(self) -> &'static str {
                match self { $($name::$value => $word,)* }
            }

            /// What a word means.
            pub fn of(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}

worded! {
    /// Who finds the ways of a node that passes on what is not its own.
    Routing {
        /// The law, or a search where there is none.
        Computed = "computed",
        /// The kernel, by routes that were computed.
        Static = "static",
        /// A daemon, by OSPF.
        Ospf = "ospf",
        /// A daemon, by IS-IS.
        Isis = "isis",
        /// A daemon, by BGP.
        Bgp = "bgp",
        /// Nobody: it passes on nothing.
        None = "none",
    }
}

impl Routing {
    /// Whether a daemon does it.
    pub fn has_daemon(self) -> bool {
        matches!(self, Routing::Ospf | Routing::Isis | Routing::Bgp)
    }
}

worded! {
    /// Which daemon routes.
    Daemon {
        /// BIRD.
        Bird = "bird",
        /// FRRouting.
        Frr = "frr",
    }
}

worded! {
    /// How nodes and links get addresses.
    Numbering {
        /// One address a node, links without.
        Node = "node",
        /// Two addresses a link.
        Pairs = "pairs",
        /// By the place in a tree.
        Prefix = "prefix",
        /// Those of a file.
        File = "file",
    }
}

worded! {
    /// What a guest's first card is in.
    Port0 {
        /// The network of its host, as without `[network]`.
        Host = "host",
        /// Nothing: it has no such card.
        None = "none",
    }
}

/// The numbers of autonomous systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsNumber {
    /// Those of the file.
    File,
    /// This one for the first node, the next for the second.
    From(u32),
}

/// What is said of some nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesDraft {
    /// Which: patterns of names.
    pub names: Vec<HostNames>,
    /// What they are.
    pub kind: Option<NodeKind>,
    /// Who finds their ways.
    pub routing: Option<Routing>,
    /// Which daemon does.
    pub daemon: Option<Daemon>,
    /// Their numbers as autonomous systems.
    pub number: Option<AsNumber>,
    /// Their OSPF or IS-IS area.
    pub area: Option<u32>,
}
