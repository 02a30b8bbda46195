//! A set of numbers as sorted, disjoint, closed ranges.
//!
//! Takes numbers and ranges; gives the usual set operations at a cost that
//! grows with the number of ranges, never with the number of members, and the
//! folded text `1-3,7` that people read. Node sets are built on it.

use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A set of `u32`, kept as sorted closed ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u32)>", into = "Vec<(u32, u32)>")]
pub struct RangeSet {
    ranges: Vec<(u32, u32)>,
}

impl RangeSet {
    /// The set of no numbers.
    pub const fn new() -> Self {
        RangeSet { ranges: Vec::new() }
    }

    /// The numbers `first..=last`; empty where `first > last`.
    pub fn span(first: u32, last: u32) -> Self {
        let mut set = RangeSet::new();
        if first <= last {
            set.ranges.push((first, last));
        }
        set
    }

    /// The one number `n`.
    pub fn one(n: u32) -> Self {
        RangeSet::span(n, n)
    }

    /// The union of ranges given in any order, overlapping or not.
    pub fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.retain(|(a, b)| a <= b);
        ranges.sort_unstable();
        let mut out: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (a, b) in ranges {
            match out.last_mut() {
                Some(last) if u64::from(a) <= u64::from(last.1) + 1 => last.1 = last.1.max(b),
                _ => out.push((a, b)),
            }
        }
        RangeSet { ranges: out }
    }

    /// The ranges, sorted, closed, with a gap between any two.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// How many numbers the set holds.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(a, b)| u64::from(b - a) + 1).sum()
    }

    /// Whether it holds no number.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether it holds `n`.
    pub fn contains(&self, n: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, last)| last < n);
        self.ranges.get(at).is_some_and(|&(first, _)| first <= n)
    }

    /// Every number, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().flat_map(|&(a, b)| a..=b)
    }

    /// The numbers that are in either set, or in both.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.ranges.clone();
        all.extend_from_slice(&other.ranges);
        RangeSet::from_ranges(all)
    }

    /// The numbers that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut i, mut j) = (0, 0);
        let mut out = Vec::new();
        while let (Some(&(a, b)), Some(&(c, d))) = (self.ranges.get(i), other.ranges.get(j)) {
            let (first, last) = (a.max(c), b.min(d));
            if first <= last {
                out.push((first, last));
            }
            if b < d {
                i += 1;
            } else {
                j += 1;
            }
        }
        RangeSet { ranges: out }
    }

    /// Numbers of `self` that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        let mut j = 0;
        for &(a, b) in &self.ranges {
            let mut from = u64::from(a);
            while other.ranges.get(j).is_some_and(|&(_, d)| u64::from(d) < from) {
                j += 1;
            }
            let mut k = j;
            while let Some(&(c, d)) = other.ranges.get(k) {
                if c > b {
                    break;
                }
                if u64::from(c) > from {
                    out.push((from as u32, c - 1));
                }
                from = u64::from(d) + 1;
                k += 1;
            }
            if from <= u64::from(b) {
                out.push((from as u32, b));
            }
        }
        RangeSet { ranges: out }
    }

    /// Adds a number, unless it is in the set.
    pub fn insert(&mut self, n: u32) {
        if !self.contains(n) {
            *self = self.union(&RangeSet::span(n, n));
        }
    }
}

impl From<RangeSet> for Vec<(u32, u32)> {
    fn from(set: RangeSet) -> Self {
        set.ranges
    }
}

impl TryFrom<Vec<(u32, u32)>> for RangeSet {
    type Error = &'static str;

    /// Accepts only the canonical form: what comes over a wire is not trusted to be sorted.
    fn try_from(ranges: Vec<(u32, u32)>) -> Result<Self, Self::Error> {
        let ordered = ranges.iter().all(|(a, b)| a <= b);
        let apart = ranges.windows(2).all(|w| u64::from(w[0].1) + 1 < u64::from(w[1].0));
        if ordered && apart {
            Ok(RangeSet { ranges })
        } else {
            Err("a range set must be sorted, with a gap between its ranges")
        }
    }
}

impl fmt::Display for RangeSet {
    /// `1-3,7`; nothing for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &(a, b)) in self.ranges.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if a == b {
                write!(f, "{a}")?;
            } else {
                write!(f, "{a}-{b}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn model(set: &RangeSet) -> BTreeSet<u32> {
        set.iter().collect()
    }

    fn any_set() -> impl Strategy<Value = RangeSet> {
        proptest::collection::vec((0u32..200, 0u32..12), 0..12)
            .prop_map(|v| RangeSet::from_ranges(v.into_iter().map(|(a, n)| (a, a + n)).collect()))
    }

    proptest! {
        #[test]
        fn operations_agree_with_a_set_of_numbers(a in any_set(), b in any_set()) {
            prop_assert_eq!(model(&a.union(&b)), &model(&a) | &model(&b));
            prop_assert_eq!(model(&a.intersection(&b)), &model(&a) & &model(&b));
            prop_assert_eq!(model(&a.difference(&b)), &model(&a) - &model(&b));
            prop_assert_eq!(a.len() as usize, model(&a).len());
            for n in 0..220 {
                prop_assert_eq!(a.contains(n), model(&a).contains(&n));
            }
            let raw: Vec<(u32, u32)> = a.union(&b).into();
            prop_assert!(RangeSet::try_from(raw).is_ok());
        }
    }

    #[test]
    fn the_edges_of_u32_hold() {
        let all = RangeSet::span(0, u32::MAX);
        assert_eq!(all.len(), 1 << 32);
        assert!(all.difference(&all).is_empty());
        let tail = all.difference(&RangeSet::span(0, u32::MAX - 1));
        assert_eq!(tail.ranges(), &[(u32::MAX, u32::MAX)]);
        assert_eq!(tail.union(&RangeSet::span(0, 0)).len(), 2);
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for bad in [alloc::vec![(3, 1)], alloc::vec![(1, 2), (3, 4)], alloc::vec![(5, 6), (1, 2)]] {
            assert!(RangeSet::try_from(bad).is_err());
        }
    }

    #[test]
    fn folds() {
        assert_eq!(RangeSet::from_ranges(alloc::vec![(7, 7), (1, 2), (3, 3)]).to_string(), "1-3,7");
    }
}
