//! How late frames are: by how much they arrived later than their link had them due.
//!
//! Takes each frame's lateness; gives how many there were, the median, nearly all, the worst. It is what tells whether
//! a run is to be believed: a host that is too busy falsifies its links, and nothing else shows it.

use vmatic_tree::traffic::LatenessSummary;

/// Counts by powers of two of a microsecond: below 1, 2, 4, ... and the last for all beyond 16 s.
const CLASSES: usize = 26;
const NS_PER_US: u64 = 1_000;

/// Lateness of the frames of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    counts: [u32; CLASSES],
    worst_ns: u64,
}

impl Lateness {
    /// A frame was so late.
    pub fn add(&mut self, late_ns: u64) {
        let class = (u64::BITS - (late_ns / NS_PER_US).leading_zeros()) as usize;
        let count = &mut self.counts[class.min(CLASSES - 1)];
        *count = count.saturating_add(1);
        self.worst_ns = self.worst_ns.max(late_ns);
    }

    /// What is to be said of it.
    pub fn summary(&self) -> LatenessSummary {
        let frames = self.counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let worst_us = self.worst_ns.div_ceil(NS_PER_US);
        let part = |of_100: u64| {
            let wanted = (frames * of_100).div_ceil(100);
            let mut seen = 0;
            let class = self.counts.iter().position(|count| {
                seen += u64::from(*count);
                seen >= wanted
            });
            class.map_or(0, |class| 1 << class).min(worst_us)
        };
        LatenessSummary { frames, median_us: part(50), p99_us: part(99), worst_us }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_and_nearly_all_and_the_worst_are_told() {
        assert_eq!(Lateness::default().summary(), LatenessSummary::default());
        let mut lateness = Lateness::default();
        (0..90).for_each(|_| lateness.add(40_000));
        (0..9).for_each(|_| lateness.add(900_000));
        lateness.add(7_000_000);
        assert_eq!(lateness.summary(), LatenessSummary { frames: 100, median_us: 64, p99_us: 1024, worst_us: 7000 });
        lateness.add(u64::MAX);
        assert_eq!(lateness.summary().frames, 101);
        let mut exact = Lateness::default();
        exact.add(0);
        assert_eq!(exact.summary(), LatenessSummary { frames: 1, ..LatenessSummary::default() });
    }
}
