//! Both directions of a session. Oracle: whatever is said, what is under way stays within its windows, and what breaks
//! the protocol counts for nothing.

use super::input::Input;
use crate::session::{Flow, INPUT_WINDOW_BYTES, OUTPUT_WINDOW_BYTES, PIECE_MAX_BYTES, SessionInput, SessionOutput};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

pub fn seeds() -> Vec<Vec<u8>> {
    vec![vec![0, 10, 0, 0, 1, 5, 0, 10, 3, 200, 0, 0, 2, 0, 5, 1], [[1, 0, 16, 0], [0, 0, 16, 16]].concat().repeat(8)]
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut flow = Flow::default();
    // What was counted, as the windows see it.
    let (mut said, mut shown, mut fed, mut taken) = (0u64, 0u64, 0u64, 0u64);
    while !input.is_empty() {
        let (kind, bytes, moved) = (input.byte(), usize::from(input.half()) % (PIECE_MAX_BYTES + 2), input.byte());
        // Mostly what is possible; sometimes anything.
        let step = |done: u64, limit: u64| match kind & 0x80 {
            0 => (done + u64::from(moved) * 16).min(limit),
            _ => u64::from(moved) << (kind & 0x3f),
        };
        let before = flow.clone();
        let result = if kind & 1 == 0 {
            let feed = SessionInput { bytes: vec![0; bytes], shown: step(shown, said), ..SessionInput::default() };
            let result = flow.feed(&feed);
            if result.is_ok() {
                (fed, shown) = (fed + bytes as u64, feed.shown);
            }
            result
        } else {
            let output = SessionOutput { bytes: vec![0; bytes], taken: step(taken, fed) };
            let result = flow.say(&output);
            if result.is_ok() {
                (said, taken) = (said + bytes as u64, output.taken);
            }
            result
        };
        if let Err(error) = result {
            assert!(!error.to_string().is_empty());
            assert_eq!(flow, before, "{error}");
        }
        assert_eq!((flow.unseen(), flow.untaken()), (said - shown, fed - taken));
        assert!(flow.unseen() <= OUTPUT_WINDOW_BYTES as u64 && flow.untaken() <= INPUT_WINDOW_BYTES as u64);
    }
}
