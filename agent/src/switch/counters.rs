//! What passed a port and what did not, and why: counted while frames pass, and as words for who asks by hand.

use std::fmt::Write;
use vmatic_tree::traffic::Frames;
pub use vmatic_tree::traffic::{DropReason, PortCounters};

/// What can count frames.
pub trait Count {
    /// One frame went nowhere.
    fn drop(&mut self, why: DropReason);
}

impl Count for PortCounters {
    fn drop(&mut self, why: DropReason) {
        self.dropped[why as usize] += 1;
    }
}

/// One frame of so many bytes passed.
pub fn pass(frames: &mut Frames, bytes: usize) {
    frames.count += 1;
    frames.bytes += bytes as u64;
}

/// `key=value` words; reasons without a case are left out.
pub fn words(counters: &PortCounters) -> String {
    let PortCounters { sent, received, dropped } = counters;
    let mut text = format!(
        "sent={} sent_bytes={} received={} received_bytes={}",
        sent.count, sent.bytes, received.count, received.bytes
    );
    for (reason, count) in DropReason::ALL.iter().zip(dropped).filter(|(_, count)| **count > 0) {
        let _ = write!(text, " {}={count}", reason.word());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_place_and_word() {
        for (at, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            let mut counters = PortCounters::default();
            Count::drop(&mut counters, reason);
            pass(&mut counters.sent, 60);
            let want = format!("sent=1 sent_bytes=60 received=0 received_bytes=0 {}=1", reason.word());
            assert_eq!(words(&counters), want);
        }
    }
}
