//! Each command once: which sequence numbers of which sessions were seen.
//!
//! A window per session, as IPsec keeps one (RFC 4303, 3.4.3): numbers above
//! it are new, numbers below it are old, in between a bitmap tells. Sessions
//! begin with the time at which their console started, so that those which
//! are no longer remembered can be told from new ones. A node that has just
//! booted remembers nothing; the freshness protocol that covers this is not
//! built yet.

use crate::id::OpId;
use alloc::vec::Vec;

/// Sessions remembered (about 100 kB), many, because consoles' clocks differ; the one that began first is
/// forgotten first.
const SESSIONS_MAX: usize = 4096;
/// Width of a session's window.
const WINDOW: u64 = 64;

#[derive(Debug)]
struct Session {
    id: [u8; 8],
    highest: u64,
    /// Bit n: `highest - n` was seen.
    seen: u64,
}

/// The commands that were obeyed.
#[derive(Debug, Default)]
pub struct ReplayWindow {
    sessions: Vec<Session>,
    /// The youngest session that was forgotten: what is not younger and not remembered is old.
    forgotten: [u8; 8],
}

impl ReplayWindow {
    /// Notes the operation; false if it was noted before or is too old to tell.
    pub fn first_time(&mut self, op: OpId) -> bool {
        let at = self.sessions.iter().position(|s| s.id == op.session);
        if let Some(at) = at {
            return self.sessions[at].note(op.sequence);
        }
        if op.session <= self.forgotten {
            return false;
        }
        self.sessions.push(Session { id: op.session, highest: op.sequence, seen: 1 });
        if self.sessions.len() > SESSIONS_MAX {
            let oldest = self.sessions.iter().enumerate().min_by_key(|(_, s)| s.id).map(|(at, _)| at);
            self.forgotten = oldest.map_or(self.forgotten, |at| self.sessions.swap_remove(at).id);
        }
        true
    }
}

impl Session {
    fn note(&mut self, sequence: u64) -> bool {
        if let Some(ahead) = sequence.checked_sub(self.highest).filter(|n| *n > 0) {
            self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
            self.highest = sequence;
            return true;
        }
        let behind = self.highest - sequence;
        let bit = if behind < WINDOW { 1 << behind } else { return false };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_obeyed_twice(ops in proptest::collection::vec((0u8..200, 0u64..4), 0..600)) {
            let (mut seen, mut obeyed) = (ReplayWindow::default(), BTreeSet::new());
            for (s, sequence) in ops {
                let op = OpId { session: [s; 8], sequence };
                if seen.first_time(op) {
                    prop_assert!(obeyed.insert(op));
                }
            }
        }
    }

    #[test]
    fn a_forgotten_session_is_not_obeyed_again() {
        let mut seen = ReplayWindow::default();
        let op = |n: u64| OpId { session: n.to_be_bytes(), sequence: 1 };
        let sessions = SESSIONS_MAX as u64 + 10;
        assert!((1..=sessions).all(|n| seen.first_time(op(n))));
        assert!((1..=sessions).all(|n| !seen.first_time(op(n))));
        assert!(seen.first_time(op(sessions + 1)));
    }

    #[test]
    fn rising_numbers_are_always_obeyed() {
        let mut seen = ReplayWindow::default();
        for sequence in [1, 2, 3, 100, 99, 101, 1000, u64::MAX] {
            assert!(seen.first_time(OpId { session: [1; 8], sequence }), "{sequence}");
        }
        assert!(!seen.first_time(OpId { session: [1; 8], sequence: 1001 }));
    }
}
