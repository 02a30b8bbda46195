//! A keyed permutation of the numbers below `n`, and its inverse, without a table.
//!
//! A Feistel network of four rounds over the next even number of bits; what falls outside is permuted again until it
//! falls inside (cycle walking: Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002), four times on average
//! at most. It mixes, it hides nothing: whoever knows the seed knows the permutation.

/// How often the halves are mixed.
const ROUNDS: u64 = 4;

/// A permutation of `0..n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    key: u64,
    half_bits: u32,
}

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014): each bit of what comes in changes half of what goes out.
pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Permutation {
    /// The permutation of `0..n` for a key; `n` is at most 2^62.
    pub fn new(n: u64, key: u64) -> Permutation {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        Permutation { n, key: mix(key), half_bits: bits.div_ceil(2).max(1) }
    }

    fn round(&self, half: u64, round: u64) -> u64 {
        mix(self.key ^ mix(half ^ (round << 56))) & self.mask()
    }

    fn mask(&self) -> u64 {
        (1 << self.half_bits) - 1
    }

    /// Where `x` goes; `x` itself, if it is not below `n`.
    pub fn forward(&self, x: u64) -> u64 {
        self.walk(x, |(left, right), round| (right, left ^ self.round(right, round)))
    }

    /// Where `x` comes from.
    pub fn back(&self, x: u64) -> u64 {
        self.walk(x, |(left, right), round| (right ^ self.round(left, ROUNDS - 1 - round), left))
    }

    fn walk(&self, mut x: u64, step: impl Fn((u64, u64), u64) -> (u64, u64)) -> u64 {
        if x >= self.n {
            return x;
        }
        loop {
            let halves = (x >> self.half_bits, x & self.mask());
            let (left, right) = (0..ROUNDS).fold(halves, &step);
            x = (left << self.half_bits) | right;
            if x < self.n {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_number_has_one_place_and_comes_back() {
        for n in (1..70).chain([255, 256, 257, 1000, 58_524]) {
            let permutation = Permutation::new(n, 7);
            let mut seen = vec![false; n as usize];
            for x in 0..n {
                let y = permutation.forward(x);
                assert!(y < n && !core::mem::replace(&mut seen[y as usize], true), "{n}: {x} -> {y}");
                assert_eq!(permutation.back(y), x, "{n}");
            }
        }
    }

    #[test]
    fn keys_differ() {
        let (a, b) = (Permutation::new(1000, 1), Permutation::new(1000, 2));
        let same = (0..1000).filter(|x| a.forward(*x) == b.forward(*x)).count();
        assert!(same < 20, "{same} of 1000 go to the same place");
    }
}
