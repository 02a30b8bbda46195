//! When a command is too old to be obeyed: the time at which it was issued is signed with it, and how long it lives.
//!
//! A host judges by two sources. Its own clock, which may be wrong: a machine without a battery begins in the past. And
//! the commands that it has obeyed: time is at least what the newest of them says, and goes on since, by a count that
//! nobody sets. A command is fresh
//!
//! * if the host's clock agrees with it; or else
//! * if it is not older than what was obeyed before; or else,
//! * where nothing was obeyed since the host booted, unless its clock says that the command is old.
//!
//! So a host whose clock is behind, or was never set, obeys like any other: only its first command after a boot is
//! taken at its word. A console whose clock is ahead makes others' commands old on no host whose clock is right.

use crate::refusal::CommandError;
use crate::text::ShortText;
use alloc::format;

/// By how much the clocks of consoles and hosts may differ, in seconds: a day, for clocks that keep local time.
pub const SLACK_S: u64 = 24 * 3600;
/// A clock that is behind this (2026-01-01) was never set.
const NEVER_SET_S: u64 = 1_767_225_600;

/// A time, and when it was that, on the host's own count of milliseconds.
#[derive(Clone, Copy, Debug)]
struct At {
    unix_s: u64,
    at_ms: u64,
}

impl At {
    fn now(&self, now_ms: u64) -> u64 {
        self.unix_s.saturating_add(now_ms.saturating_sub(self.at_ms) / 1000)
    }
}

/// What a host knows of the time.
#[derive(Debug, Default)]
pub struct Freshness {
    clock: Option<At>,
    obeyed: Option<At>,
}

impl Freshness {
    /// The host's clock says this time, in seconds since 1970.
    pub fn set_clock(&mut self, unix_s: u64, now_ms: u64) {
        self.clock = (unix_s >= NEVER_SET_S).then_some(At { unix_s, at_ms: now_ms });
    }

    /// A command that was issued then is obeyed.
    pub fn obeyed(&mut self, issued_s: u64, now_ms: u64) {
        if self.obeyed.is_none_or(|obeyed| obeyed.now(now_ms) < issued_s) {
            self.obeyed = Some(At { unix_s: issued_s, at_ms: now_ms });
        }
    }

    /// The latest time that is not ahead, as far as this host knows; none if it knows nothing.
    pub fn latest_s(&self, now_ms: u64) -> Option<u64> {
        let now = self.clock.or(self.obeyed)?;
        Some(now.now(now_ms).saturating_add(SLACK_S))
    }

    /// By how many seconds this time is over, as far as this host knows; none if it is not, or nobody knows.
    pub fn over_by_s(&self, end_s: u64, now_ms: u64) -> Option<u64> {
        let now = self.clock.or(self.obeyed)?;
        now.now(now_ms).checked_sub(end_s).filter(|by_s| *by_s > 0)
    }

    /// Whether a command that was issued then, for so long, may be obeyed now.
    ///
    /// # Errors
    /// It is over; the text says by how much, and by whose clock.
    pub fn judge(&self, issued_s: u64, lifetime_ms: u32, now_ms: u64) -> Result<(), CommandError> {
        let ends = issued_s.saturating_add(u64::from(lifetime_ms).div_ceil(1000)).saturating_add(SLACK_S);
        let clock = self.clock.map(|clock| clock.now(now_ms));
        let obeyed = self.obeyed.map(|obeyed| obeyed.now(now_ms));
        if clock.is_some_and(|now| ends >= now && issued_s <= now.saturating_add(SLACK_S)) {
            return Ok(());
        }
        let (now, whose) = match (obeyed, clock) {
            (Some(obeyed), _) => (obeyed, "the commands before it"),
            (None, Some(clock)) => (clock, "the host's clock"),
            (None, None) => return Ok(()),
        };
        if ends >= now {
            return Ok(());
        }
        let hours = (now - issued_s) / 3600;
        let why = format!("expired: issued {hours} h ago by {whose}; set the clock that is wrong");
        Err(CommandError::Expired(ShortText::new(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = NEVER_SET_S + 1_000_000_000;
    const MONTH: u64 = 30 * SLACK_S;

    fn with_clock(unix_s: u64) -> Freshness {
        let mut fresh = Freshness::default();
        fresh.set_clock(unix_s, 0);
        fresh
    }

    #[test]
    fn a_command_lives_for_its_time_and_the_slack() {
        let fresh = with_clock(NOW);
        let ok = |issued_s| fresh.judge(issued_s, 60_000, 0).is_ok();
        assert!(ok(NOW) && ok(NOW - 60 - SLACK_S));
        assert!(!ok(NOW - 61 - SLACK_S) && !ok(NOW - MONTH) && !ok(0));
        assert!(fresh.judge(NOW, 60_000, 1000 * MONTH).is_err(), "time goes on");
    }

    #[test]
    fn a_host_without_a_right_clock_obeys_and_learns_the_time() {
        for mut fresh in [Freshness::default(), with_clock(1000), with_clock(NOW - 12 * MONTH)] {
            assert!(fresh.judge(NOW, 1000, 5).is_ok());
            fresh.obeyed(NOW, 5);
            assert!(fresh.judge(NOW - MONTH, 1000, 6).is_err(), "a recording");
            assert!(fresh.judge(NOW + MONTH, 1000, 1000 * MONTH).is_ok());
            assert!(fresh.judge(NOW, 1000, 1000 * MONTH).is_err(), "time goes on");
        }
    }

    #[test]
    fn what_was_obeyed_does_not_go_back() {
        let mut fresh = Freshness::default();
        fresh.obeyed(NOW, 0);
        fresh.obeyed(NOW - SLACK_S, 0);
        assert!(fresh.judge(NOW - SLACK_S - 10, 1000, 0).is_err());
    }

    #[test]
    fn a_console_from_the_future_locks_nobody_out_where_a_clock_is_right() {
        let mut fresh = with_clock(NOW);
        assert!(fresh.judge(NOW + 120 * MONTH, 1000, 0).is_ok());
        fresh.obeyed(NOW + 120 * MONTH, 0);
        assert!(fresh.judge(NOW, 1000, 0).is_ok());
        assert!(fresh.judge(NOW - MONTH, 1000, 0).is_err());
        // On one without a clock, whoever was first decides, until somebody sets its clock.
        let mut fresh = Freshness::default();
        fresh.obeyed(NOW + 120 * MONTH, 0);
        assert!(fresh.judge(NOW, 1000, 0).is_err());
        fresh.set_clock(NOW, 0);
        assert!(fresh.judge(NOW, 1000, 0).is_ok());
    }

    #[test]
    fn a_time_is_over_by_the_clock_and_else_by_what_was_obeyed() {
        let mut fresh = with_clock(NOW);
        assert_eq!([fresh.over_by_s(NOW, 999), fresh.over_by_s(NOW, 7_000)], [None, Some(7)]);
        fresh.obeyed(NOW + MONTH, 0);
        assert_eq!(fresh.over_by_s(NOW + 1, 0), None, "the clock is asked first");
        let mut unset = Freshness::default();
        assert_eq!(unset.over_by_s(0, 0), None, "it knows nothing");
        unset.obeyed(NOW, 0);
        assert_eq!(unset.over_by_s(NOW - 5, 0), Some(5));
    }
}
