//! What an import is told besides the file.

use std::collections::BTreeMap;

/// The choices of an import.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Leaves out nodes that a graph says are outside of its network.
    pub no_external: bool,
    /// Keeps so many nodes: those that stay when the node of the fewest links is taken out again and again.
    pub keep_core: Option<usize>,
    /// Files beside the one that is imported, by name: Kathará's `NODE.startup`.
    pub beside: BTreeMap<String, String>,
}
