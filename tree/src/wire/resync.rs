//! How the two ends of a guest's stream find each other again when the host's end is another process now.
//!
//! The stream of a guest outlives its host's node: whoever comes next finds the rest of a frame on its way, and so does
//! the guest. So the new node sends a mark, which is the number that the guest's agent drew when it began (the `boot`
//! of its hello): nobody else knows it, so it is in nothing that an operator or a program sends. Whatever the agent was
//! reading, with the mark it begins anew; it answers with the mark's complement, behind which comes a hello. What the
//! node reads before that was meant for another.

/// Bytes of a mark.
pub const MARK_BYTES: usize = 16;

/// A mark in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark([u8; MARK_BYTES]);

impl Mark {
    /// By which a guest's agent knows that its host's end is another: the number that it drew.
    pub fn of_host(boot: [u8; MARK_BYTES]) -> Mark {
        Mark(boot)
    }

    /// By which the agent answers.
    pub fn of_guest(boot: [u8; MARK_BYTES]) -> Mark {
        Mark(boot.map(|byte| !byte))
    }

    /// As it travels.
    pub fn bytes(self) -> [u8; MARK_BYTES] {
        self.0
    }
}

/// Looks for a mark in a stream, in whatever pieces it comes.
#[derive(Clone, Debug)]
pub struct MarkSearch {
    mark: u128,
    /// The last bytes.
    seen: u128,
    /// How many of them there are, at most as many as a mark has.
    count: usize,
}

impl MarkSearch {
    /// From a stream's beginning.
    pub fn new(mark: Mark) -> MarkSearch {
        MarkSearch { mark: u128::from_be_bytes(mark.0), seen: 0, count: 0 }
    }

    /// Takes the next bytes; gives where the last mark that ends among them ends.
    pub fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut end = None;
        for (at, byte) in bytes.iter().enumerate() {
            self.seen = self.seen << 8 | u128::from(*byte);
            self.count = (self.count + 1).min(MARK_BYTES);
            if self.seen == self.mark && self.count == MARK_BYTES {
                end = Some(at + 1);
            }
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_mark_of_zeros_is_not_seen_where_nothing_was_said() {
        let mut search = MarkSearch::new(Mark::of_host([0; MARK_BYTES]));
        assert_eq!(search.push(&[0; MARK_BYTES - 1]), None);
        assert_eq!(search.push(&[0, 0]), Some(2), "the last of two");
        assert_ne!(Mark::of_host([7; MARK_BYTES]), Mark::of_guest([7; MARK_BYTES]));
    }

    proptest! {
        #[test]
        fn a_mark_is_found_wherever_the_stream_is_cut(
            boot in any::<[u8; MARK_BYTES]>(), before in proptest::collection::vec(any::<u8>(), 0..60),
            after in proptest::collection::vec(any::<u8>(), 0..9), cuts in proptest::collection::vec(1usize..20, 1..9)
        ) {
            let mark = Mark::of_guest(boot).bytes();
            let stream = [&before[..], &mark, &after].concat();
            let mut search = MarkSearch::new(Mark::of_guest(boot));
            let (mut at, mut found, mut cuts) = (0, Vec::new(), cuts.iter().cycle());
            while at < stream.len() {
                let end = (at + cuts.next().unwrap()).min(stream.len());
                found.extend(search.push(&stream[at..end]).map(|in_piece| at + in_piece));
                at = end;
            }
            let want: Vec<usize> = (MARK_BYTES..=stream.len()).filter(|end| stream[..*end].ends_with(&mark)).collect();
            prop_assert_eq!(found.last(), want.last());
            prop_assert!(found.iter().all(|end| want.contains(end)));
        }
    }
}
