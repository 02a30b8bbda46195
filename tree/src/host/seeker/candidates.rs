//! Who is likely to be a parent, round after round.

use super::{CALLS_MAX, PROBES, Position, ROUNDS, Seeker};
use crate::host::event::Target;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use vmatic_plan::HostId;

impl Seeker {
    /// Whom to call in this round: at first those who are parents by the plan or by the operator's word and those who
    /// were above before, then more of those that stand in, and in the end anybody.
    pub(super) fn candidates(&mut self, place: &Position, now_ms: u64) -> Vec<Target> {
        let number = place.number.0;
        let home = || (0..self.given.min(4)).map(Target::Given).chain(place.planned().map(Target::Host));
        let before = || self.last_path.iter().rev().skip(1).map(|host| Target::Host(*host));
        let above = || place.ancestors().skip(1).map(Target::Host);
        let near = (0..2u32).filter_map(|back| number.checked_sub(1 + back).filter(|n| *n > 0));
        let near = near.map(|n| Target::Host(HostId(n)));
        // Where the root is gone, one of the next is root.
        let low = (1..=2).filter(|n| *n < number).map(|n| Target::Host(HostId(n)));
        let mut all: Vec<Target> = match self.round {
            // Who was told whom to join asks there first: the plan's addresses may be another network's.
            0 if self.given > 0 => home().filter(|target| matches!(target, Target::Given(_))).collect(),
            0 => home().chain(before().take(3)).collect(),
            1 => home().chain(before().take(2)).chain(above().take(2)).chain(low).collect(),
            2 => home().chain(above().take(4)).chain(near).collect(),
            _ => {
                let known: Vec<Target> = home().chain(before()).chain(above()).collect();
                self.anybody(known, place)
            }
        };
        let mut seen = BTreeSet::new();
        let settled = self.round >= ROUNDS;
        all.retain(|target| {
            let rests = settled && self.resting.get(target).is_some_and(|until| *until > now_ms);
            *target != Target::Host(place.number) && !rests && seen.insert(*target)
        });
        all.truncate(if settled { PROBES } else { CALLS_MAX });
        all
    }

    /// One of those who are likely, the next of all lower numbers, one near, one of all.
    fn anybody(&mut self, known: Vec<Target>, place: &Position) -> Vec<Target> {
        let number = place.number.0;
        if number <= 1 && self.given == 0 {
            return Vec::new();
        }
        let mut all = Vec::new();
        if !known.is_empty() {
            all.push(known[self.round as usize % known.len()]);
        }
        if number > 1 {
            self.lowest = self.lowest % (number - 1) + 1;
            let back = 1 << self.draw(8);
            let near = number.checked_sub(back).filter(|n| *n > 0 && self.round.is_multiple_of(2));
            all.extend([Some(self.lowest), near].into_iter().flatten().map(|n| Target::Host(HostId(n))));
        }
        let any = 1 + self.draw(place.plan.host_count());
        all.push(Target::Host(HostId(any)));
        all
    }
}
