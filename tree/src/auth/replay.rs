//! Each command once: which sequence numbers of which sessions were seen.
//!
//! A window per session, as IPsec keeps one (RFC 4303, 3.4.3): numbers above
//! it are new, numbers below it are old, in between a bitmap tells. Sessions
//! begin with the time at which their console started, so that those which
//! are no longer remembered can be told from new ones. Sessions that began
//! later than it is now are kept apart: if they were among the others, each
//! of those would be the oldest, forgotten at once, and obeyed but once. A
//! node that has just booted remembers nothing; the freshness protocol that
//! covers this is not built yet.

use crate::id::OpId;
use alloc::vec::Vec;

/// Sessions remembered (about 100 kB), many, because consoles' clocks differ; the one that began first is
/// forgotten first.
const SESSIONS_MAX: usize = 3072;
/// The same of those that began in the future.
const AHEAD_MAX: usize = 1024;
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
    /// Sessions that began in the future when they were first seen.
    ahead: Vec<Session>,
    /// The oldest and the youngest of them that were forgotten: what is between the two and not remembered is old.
    ahead_forgotten: Option<([u8; 8], [u8; 8])>,
}

impl ReplayWindow {
    /// Notes the operation; false if it was noted before or is too old to tell. A session that began after
    /// `latest_s`, in seconds since 1970, began in the future; none does where it is not known what time it is.
    pub fn first_time(&mut self, op: OpId, latest_s: Option<u64>) -> bool {
        if let Some(session) = self.sessions.iter_mut().chain(&mut self.ahead).find(|s| s.id == op.session) {
            return session.note(op.sequence);
        }
        let is_old = |(first, last)| op.session >= first && op.session <= last;
        if op.session <= self.forgotten || self.ahead_forgotten.is_some_and(is_old) {
            return false;
        }
        let session = Session { id: op.session, highest: op.sequence, seen: 1 };
        if latest_s.is_some_and(|latest_s| op.began_s() > latest_s) {
            self.ahead.push(session);
            if let Some(old) = forget_oldest(&mut self.ahead, AHEAD_MAX) {
                let (first, last) = self.ahead_forgotten.unwrap_or((old, old));
                self.ahead_forgotten = Some((first.min(old), last.max(old)));
            }
            return true;
        }
        self.sessions.push(session);
        self.forgotten = forget_oldest(&mut self.sessions, SESSIONS_MAX).unwrap_or(self.forgotten);
        true
    }
}

/// Takes out the session that began first, if there are more than so many.
fn forget_oldest(sessions: &mut Vec<Session>, max: usize) -> Option<[u8; 8]> {
    let oldest = sessions.iter().enumerate().min_by_key(|(_, session)| session.id).map(|(at, _)| at)?;
    (sessions.len() > max).then(|| sessions.swap_remove(oldest).id)
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

    fn session(began_s: u32, n: u32) -> [u8; 8] {
        (u64::from(began_s) << 32 | u64::from(n)).to_be_bytes()
    }

    proptest! {
        #[test]
        fn nothing_is_obeyed_twice(ops in proptest::collection::vec((0u32..200, 0u64..4, 0u64..200), 0..600)) {
            let (mut seen, mut obeyed) = (ReplayWindow::default(), BTreeSet::new());
            for (began_s, sequence, latest_s) in ops {
                let op = OpId { session: session(began_s, 0), sequence };
                // A clock of no use: it jumps back and forth.
                if seen.first_time(op, (latest_s % 3 > 0).then_some(latest_s)) {
                    prop_assert!(obeyed.insert(op));
                }
            }
        }
    }

    #[test]
    fn a_forgotten_session_is_not_obeyed_again() {
        for (latest_s, max) in [(None, SESSIONS_MAX), (Some(1_000_000), SESSIONS_MAX), (Some(0), AHEAD_MAX)] {
            let mut seen = ReplayWindow::default();
            let sessions = max as u32 + 10;
            let op = |n| OpId { session: session(n, 0), sequence: 1 };
            assert!((1..=sessions).all(|n| seen.first_time(op(n), latest_s)));
            // Whatever the time is later.
            for later_s in [latest_s, None, Some(0), Some(u64::MAX)] {
                assert!((1..=sessions).all(|n| !seen.first_time(op(n), later_s)));
            }
            assert!(seen.first_time(op(sessions + 1), latest_s));
        }
    }

    #[test]
    fn sessions_from_a_clock_years_ahead_lock_out_nobody() {
        let (mut seen, now_s) = (ReplayWindow::default(), 1_800_000_000);
        let latest_s = Some(u64::from(now_s));
        let ahead = |n| OpId { session: session(now_s + 300_000_000, n), sequence: 1 };
        assert!((0..2 * SESSIONS_MAX as u32).all(|n| seen.first_time(ahead(n), latest_s)));
        let honest = |sequence| OpId { session: session(now_s, 7), sequence };
        assert!((1..100).all(|sequence| seen.first_time(honest(sequence), latest_s)));
        assert!((1..100).all(|sequence| !seen.first_time(honest(sequence), latest_s)));
    }

    #[test]
    fn rising_numbers_are_always_obeyed() {
        let mut seen = ReplayWindow::default();
        for sequence in [1, 2, 3, 100, 99, 101, 1000, u64::MAX] {
            assert!(seen.first_time(OpId { session: [1; 8], sequence }, None), "{sequence}");
        }
        assert!(!seen.first_time(OpId { session: [1; 8], sequence: 1001 }, None));
    }
}
