//! The chunks that a host keeps, in RAM, within a budget: what was used longest ago makes room.
//!
//! Owns them and what is counted of them. Chunks of parcels that somebody waits for stay.

use crate::parcel::Hash;
use crate::reply::Stored;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What is kept at most if nobody says otherwise.
const BUDGET_BYTES: u64 = 64 << 20;

/// One chunk, and when it was used last, by the count of uses.
#[derive(Debug)]
struct Kept {
    bytes: Arc<Vec<u8>>,
    used: u64,
}

/// The chunks of a host.
#[derive(Debug)]
pub(super) struct Store {
    chunks: BTreeMap<Hash, Kept>,
    /// The same, in the order of their last use.
    order: BTreeMap<u64, Hash>,
    uses: u64,
    counted: Stored,
}

impl Default for Store {
    fn default() -> Self {
        let counted = Stored { budget_bytes: BUDGET_BYTES, ..Stored::default() };
        Store { chunks: BTreeMap::new(), order: BTreeMap::new(), uses: 0, counted }
    }
}

impl Store {
    /// Most bytes that are kept from now on.
    pub fn set_budget(&mut self, bytes: u64) {
        self.counted.budget_bytes = bytes;
    }

    /// What is kept, and what has passed.
    pub fn stored(&self) -> Stored {
        Stored { chunks: self.chunks.len() as u64, ..self.counted }
    }

    /// Whether this chunk is here.
    pub fn has(&self, hash: &Hash) -> bool {
        self.chunks.contains_key(hash)
    }

    /// A chunk, which counts as a use.
    pub fn get(&mut self, hash: &Hash) -> Option<Arc<Vec<u8>>> {
        let kept = self.chunks.get_mut(hash)?;
        self.order.remove(&kept.used);
        self.uses += 1;
        kept.used = self.uses;
        self.order.insert(kept.used, *hash);
        Some(kept.bytes.clone())
    }

    /// So much of a chunk was given to somebody.
    pub fn gave(&mut self, bytes: usize) {
        self.counted.given_bytes += bytes as u64;
    }

    /// Keeps a chunk whose hash was checked; false if there is no room beside those that are `needed`.
    pub fn insert(&mut self, hash: Hash, bytes: Arc<Vec<u8>>, needed: impl Fn() -> BTreeSet<Hash>) -> bool {
        let length = bytes.len() as u64;
        self.counted.fetched_bytes += length;
        if self.has(&hash) {
            return true;
        }
        if self.counted.used_bytes + length > self.counted.budget_bytes {
            self.make_room(length, &needed());
        }
        if self.counted.used_bytes + length > self.counted.budget_bytes {
            return false;
        }
        self.uses += 1;
        self.counted.used_bytes += length;
        self.order.insert(self.uses, hash);
        self.chunks.insert(hash, Kept { bytes, used: self.uses });
        true
    }

    /// Drops what was used longest ago, a sixteenth of all at least: whose turn it is, is not asked for each chunk.
    fn make_room(&mut self, length: u64, needed: &BTreeSet<Hash>) {
        let goal = self.counted.budget_bytes.saturating_sub(length.max(self.counted.budget_bytes / 16));
        let old: Vec<(u64, Hash)> = self.order.iter().map(|(used, hash)| (*used, *hash)).collect();
        for (used, hash) in old {
            if self.counted.used_bytes <= goal {
                return;
            }
            if needed.contains(&hash) {
                continue;
            }
            if let Some(gone) = self.chunks.remove(&hash) {
                self.counted.used_bytes -= gone.bytes.len() as u64;
            }
            self.order.remove(&used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn filled(budget: u64, chunks: u8) -> Store {
        let mut store = Store::default();
        store.set_budget(budget);
        for n in 0..chunks {
            assert!(store.insert([n; 32], Arc::new(vec![n; 10]), BTreeSet::new));
        }
        store
    }

    #[test]
    fn what_was_used_longest_ago_makes_room_and_what_is_needed_stays() {
        let mut store = filled(30, 3);
        assert_eq!((store.stored().used_bytes, store.stored().chunks), (30, 3));
        store.get(&[0; 32]).unwrap();
        assert!(store.insert([3; 32], Arc::new(vec![3; 10]), BTreeSet::new));
        assert!(store.has(&[0; 32]) && !store.has(&[1; 32]) && store.has(&[2; 32]));
        let needed = || BTreeSet::from([[0; 32], [2; 32], [3; 32]]);
        assert!(!store.insert([4; 32], Arc::new(vec![4; 1]), needed), "all that is kept is needed");
        assert_eq!((store.stored().used_bytes, store.stored().chunks), (30, 3));
    }

    #[test]
    fn the_budget_holds_at_and_past_its_limit() {
        let mut store = filled(30, 3);
        assert!(store.insert([9; 32], Arc::new(vec![9; 30]), BTreeSet::new));
        assert!(!store.insert([8; 32], Arc::new(vec![8; 31]), BTreeSet::new));
        assert!(store.stored().used_bytes <= 30);
        assert!(store.insert([7; 32], Arc::new(vec![7; 30]), BTreeSet::new));
        assert!(store.insert([7; 32], Arc::new(vec![7; 30]), BTreeSet::new), "it is there already");
        assert_eq!(store.stored().chunks, 1);
    }
}
