//! What a closure knows of packages and rows while it looks for likely needs, and of scripts that it follows.

use std::collections::{BTreeMap, BTreeSet};

use crate::packages::ownership::Ownership;
use crate::rootfs::root::Rootfs;

/// What is known for the likely part of a closure.
pub struct Known<'a> {
    pub(super) ownership: Ownership<'a>,
    /// Folders that a row has decided about, each with a slash at its end.
    pub(super) decided: BTreeSet<String>,
    /// Files whose texts are read, or need not be.
    pub(super) read: BTreeSet<String>,
    /// The packages of programs.
    pub(super) programs: BTreeSet<String>,
}

impl<'a> Known<'a> {
    /// Of a root; nothing is known yet.
    pub(super) fn new(root: &'a dyn Rootfs) -> Known<'a> {
        Known {
            ownership: Ownership::of(root),
            decided: BTreeSet::new(),
            read: BTreeSet::new(),
            programs: BTreeSet::new(),
        }
    }
}

/// What is known of scripts.
#[derive(Default)]
pub struct Followed {
    /// By real path: how many scripts are above it.
    pub(super) depth: BTreeMap<String, usize>,
    /// Whether what a script does without stays out.
    pub(super) strict: bool,
    /// Modules, which are looked into with the script that loads them.
    pub(super) modules: BTreeSet<String>,
}
