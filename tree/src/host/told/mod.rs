//! What hosts tell upwards beside their reports: a few values from each part of the tree, when they change.
//!
//! * `unknowns`: machines that have no number;
//! * `twin_log`: machines that say they are one host.

mod twin_log;
mod unknowns;

use crate::id::LinkId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
pub(super) use twin_log::TwinLog;
pub(super) use unknowns::Unknowns;

/// How long changes are gathered before they are told.
const TELL_MS: u64 = 500;

/// What children told of their parts, and what the parent was told of all.
#[derive(Debug)]
pub struct Told<T> {
    below: BTreeMap<LinkId, Vec<T>>,
    told: Vec<T>,
    /// The parent that was told.
    told_to: Option<LinkId>,
    due_ms: Option<u64>,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Told { below: BTreeMap::new(), told: Vec::new(), told_to: None, due_ms: None }
    }
}

impl<T: Clone + PartialEq> Told<T> {
    /// When something is to be told.
    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Something changed that the parent is to know.
    pub fn changed(&mut self, now_ms: u64) {
        self.due_ms.get_or_insert(now_ms + TELL_MS);
    }

    /// A child tells of its part.
    pub fn hear(&mut self, link: LinkId, all: Vec<T>, now_ms: u64) {
        self.below.insert(link, all);
        self.changed(now_ms);
    }

    /// A link is gone, and with it whatever was told over it.
    pub fn forget(&mut self, link: LinkId, now_ms: u64) {
        if self.below.remove(&link).is_some() {
            self.changed(now_ms);
        }
    }

    /// What children told.
    pub fn below(&self) -> impl Iterator<Item = &T> {
        self.below.values().flatten()
    }

    #[cfg(test)]
    pub fn below_for_tests(&self, link: LinkId) -> &[T] {
        &self.below[&link]
    }

    /// What the parent is to be told now of all that there is, if anything.
    pub fn advance(
        &mut self,
        parent: Option<LinkId>,
        now_ms: u64,
        all: impl FnOnce(&Self) -> Vec<T>,
    ) -> Option<Vec<T>> {
        if self.told_to != parent {
            (self.told_to, self.told, self.due_ms) = (parent, Vec::new(), Some(now_ms));
        }
        self.due_ms.take_if(|at| *at <= now_ms)?;
        parent?;
        let all = all(self);
        if all == self.told {
            return None;
        }
        self.told.clone_from(&all);
        Some(all)
    }
}
