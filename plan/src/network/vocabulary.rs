//! The words of a network: properties of links, shapes and their keys. Who reads them and who says what could be
//! written have them from here.

/// The words that may stand behind the sides of a link line.
pub const PROPERTIES: [&str; 12] = [
    "rate=", "delay=", "jitter=", "loss=", "burst=", "dup=", "corrupt=", "reorder=", "queue=", "mtu=", "down", "each=",
];

/// The names of all shapes, with the keys that each takes.
pub const SHAPES: [(&str, &[&str]); 15] = [
    ("pairs", &[]),
    ("line", &[]),
    ("ring", &[]),
    ("star", &[]),
    ("mesh", &[]),
    ("tree", &["arity"]),
    ("grid", &["size"]),
    ("torus", &["size"]),
    ("hypercube", &[]),
    ("fat-tree", &[]),
    ("clos", &["spines", "leaves"]),
    ("debruijn", &["base"]),
    ("small-world", &["near", "matchings", "seed"]),
    ("random", &["degrees", "seed"]),
    ("as", &["tier1", "transit", "providers", "peers", "seed"]),
];
