//! What a closure knows of packages and rows while it looks for likely needs.

use std::collections::BTreeSet;

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
