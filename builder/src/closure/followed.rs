//! What the closure knows of scripts that it has followed.

use std::collections::{BTreeMap, BTreeSet};

use super::certainty::Certainty;

/// What is known of scripts.
#[derive(Default)]
pub struct Followed {
    /// By real path: how many scripts are above it.
    pub depth: BTreeMap<String, usize>,
    /// Real paths that were brought for a guarded need.
    pub likely: BTreeSet<String>,
    /// Modules, which are looked into with the script that loads them.
    pub modules: BTreeSet<String>,
}

impl Followed {
    /// How sure it is that this file is needed.
    pub fn certainty(&self, real: &str) -> Certainty {
        if self.likely.contains(real) { Certainty::Likely } else { Certainty::Certain }
    }
}
