//! What passed a port and what did not, and why: numbers that the operator can read.

use std::fmt::Write;

/// Why a frame went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It could not be read.
    Malformed,
    /// Its sender said that it was somebody else.
    Spoofed,
    /// The plan has nobody there.
    NoSuchNode,
    /// It needs no answer: the switch computes what others announce.
    Ignored,
    /// It was for everyone, and its sender says too much to everyone.
    Flood,
    /// The port, the link's queue or the uplink was full, or its guest is not there.
    Full,
    /// The link's loss took it.
    Lost,
    /// The host has no route to its destination.
    NoRoute,
}

/// All reasons with their words, in the order of their numbers.
const WORDS: [(Why, &str); 8] = [
    (Why::Malformed, "malformed"),
    (Why::Spoofed, "spoofed"),
    (Why::NoSuchNode, "no_such_node"),
    (Why::Ignored, "ignored"),
    (Why::Flood, "flood"),
    (Why::Full, "full"),
    (Why::Lost, "lost"),
    (Why::NoRoute, "no_route"),
];

/// The counters of a port, as its guest sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames and bytes that the guest sent.
    pub sent: (u64, u64),
    /// Frames and bytes that it was given.
    pub received: (u64, u64),
    dropped: [u64; WORDS.len()],
}

impl Counts {
    /// One frame went nowhere.
    pub fn drop(&mut self, why: Why) {
        self.dropped[why as usize] += 1;
    }

    /// How many did, for this reason.
    #[cfg(test)]
    pub fn dropped(&self, why: Why) -> u64 {
        self.dropped[why as usize]
    }

    /// `key=value` words; reasons without a case are left out.
    pub fn words(&self) -> String {
        let ((sent, sent_bytes), (received, received_bytes)) = (self.sent, self.received);
        let mut text =
            format!("sent={sent} sent_bytes={sent_bytes} received={received} received_bytes={received_bytes}");
        for ((_, word), count) in WORDS.iter().zip(self.dropped).filter(|(_, count)| *count > 0) {
            let _ = write!(text, " {word}={count}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_word() {
        for (at, (why, word)) in WORDS.iter().enumerate() {
            assert_eq!(*why as usize, at);
            let mut counts = Counts::default();
            counts.drop(*why);
            assert_eq!(counts.words(), format!("sent=0 sent_bytes=0 received=0 received_bytes=0 {word}=1"));
        }
    }
}
