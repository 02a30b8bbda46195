//! Shapes of names: a quick look that tells most words from a few thousand names.
//!
//! A name's shape is its length, first, middle and last byte, folded to a bit of a small table. A word whose shape is
//! not there is none of the names; one whose shape is there may be.

/// Bits of the table: a thousand names fill a sixteenth of it.
const BITS: usize = 1 << 14;
const WORDS: usize = BITS / u64::BITS as usize;

/// The shapes of some names.
#[derive(Clone, Debug)]
pub struct Shapes(Box<[u64; WORDS]>);

impl Default for Shapes {
    fn default() -> Shapes {
        Shapes(Box::new([0; WORDS]))
    }
}

impl Shapes {
    /// Adds a name.
    pub fn add(&mut self, name: &[u8]) {
        let bit = bit(name);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Adds all of others.
    pub fn merge(&mut self, others: &Shapes) {
        self.0.iter_mut().zip(others.0.iter()).for_each(|(own, other)| *own |= other);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }

    /// Whether a word may be one of the names.
    pub fn may_have(&self, word: &[u8]) -> bool {
        let bit = bit(word);
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }
}

impl<N: AsRef<[u8]>> FromIterator<N> for Shapes {
    fn from_iter<I: IntoIterator<Item = N>>(names: I) -> Shapes {
        let mut shapes = Shapes::default();
        names.into_iter().for_each(|name| shapes.add(name.as_ref()));
        shapes
    }
}

fn bit(word: &[u8]) -> usize {
    // 2^32 divided by the golden ratio spreads close keys over the table.
    const SPREAD: u32 = 0x9E37_79B1;
    let byte = |at: usize| u32::from(word.get(at).copied().unwrap_or_default());
    let length = word.len();
    let key = length as u32 ^ byte(0) << 8 ^ byte(length / 2) << 16 ^ byte(length.saturating_sub(1)) << 24;
    (key.wrapping_mul(SPREAD) >> (u32::BITS - BITS.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn most_words_are_told_from_the_names() {
        let shapes: Shapes = ["gzip", "gpg-agent", "tar"].iter().collect();
        assert!(!shapes.is_empty() && Shapes::default().is_empty());
        assert!(shapes.may_have(b"gzip") && !shapes.may_have(b"gzap") && !shapes.may_have(b""));
        let others = (0..10_000).filter(|n| shapes.may_have(format!("word{n}").as_bytes()));
        assert!(others.count() < 100);
        let mut all: Shapes = ["sed"].iter().collect();
        all.merge(&shapes);
        assert!(["sed", "tar", "gzip"].iter().all(|name| all.may_have(name.as_bytes())));
    }

    proptest! {
        #[test]
        fn every_name_is_known(names in proptest::collection::vec("[a-z/]{0,300}", 0..20)) {
            let shapes: Shapes = names.iter().collect();
            prop_assert!(names.iter().all(|name| shapes.may_have(name.as_bytes())));
        }
    }
}
