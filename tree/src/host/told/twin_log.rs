//! What this host noticed of twins, for as long as it is so.

use crate::twins::{TWINS_MAX, Twins};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// How long two machines must have claimed one number before they are called two: the link of one that was switched
/// off and on, or went to another parent, may count as alive for the longest silence.
pub const TWINS_AFTER_MS: u64 = 15_000;
/// How long they are told of after they were seen last.
const KEPT_MS: u64 = 30_000;
/// Who is turned away calls again within this time; what comes later is another matter.
const GAP_MS: u64 = 10_000;

#[derive(Debug)]
struct Sighting {
    first_ms: u64,
    last_ms: u64,
    told: bool,
}

/// Twins, and when they were seen.
#[derive(Debug, Default)]
pub struct TwinLog {
    seen: BTreeMap<Twins, Sighting>,
}

impl TwinLog {
    /// They are there now, as it seems.
    pub fn note(&mut self, twins: Twins, now_ms: u64) {
        if let Some(seen) = self.seen.get_mut(&twins) {
            if now_ms.saturating_sub(seen.last_ms) > GAP_MS {
                seen.first_ms = now_ms;
            }
            seen.last_ms = now_ms;
        } else if self.seen.len() < TWINS_MAX {
            self.seen.insert(twins, Sighting { first_ms: now_ms, last_ms: now_ms, told: false });
        }
    }

    /// Forgets those that are no more; gives those that are certain now, and whether what is told has changed.
    pub fn advance(&mut self, now_ms: u64) -> (Vec<Twins>, bool) {
        let (mut new, before) = (Vec::new(), self.told().count());
        self.seen.retain(|_, seen| now_ms.saturating_sub(seen.last_ms) < KEPT_MS);
        let gone = self.told().count() != before;
        for (twins, seen) in self.seen.iter_mut().filter(|(_, seen)| !seen.told) {
            seen.told = seen.last_ms.saturating_sub(seen.first_ms) >= TWINS_AFTER_MS;
            if seen.told {
                new.push(*twins);
            }
        }
        let changed = gone || !new.is_empty();
        (new, changed)
    }

    /// Those that are certain.
    pub fn told(&self) -> impl Iterator<Item = Twins> {
        self.seen.iter().filter(|(_, seen)| seen.told).map(|(twins, _)| *twins)
    }
}
