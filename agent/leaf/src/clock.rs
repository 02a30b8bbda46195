//! The clock of a clone: what its host says that the time is, as often as it takes to know it well.
//!
//! The time that comes with a clone's identity is as old as the clone was slow to wake: seconds where many wake at
//! once. So it asks its host afterwards. The answer was right at some moment between question and answer; it is taken
//! for the middle of the two, and so is wrong by half of the time between them at most (Cristian, "Probabilistic clock
//! synchronization", 1989). The best of several answers counts.
//!
//! Answers come in the questions' order, and each belongs to the oldest that has none: taken for a later one's, it
//! would seem quick and be old. Where an answer was lost with its link, the next seem slower than they were, which is
//! safe.
//!
//! A guest that was held may have stood still with its clock. So its host says the time once more, unasked, when it
//! goes on: what it says was right when it was sent, so whoever is behind it is wrong, and asks anew.

use alloc::vec::Vec;

/// A question that took no longer is good enough, in milliseconds.
const GOOD_ROUND_TRIP_MS: u64 = 50;
/// Who is so far behind what its host said was held with its clock, in milliseconds.
const BEHIND_MS: u64 = 100;
/// How long until it asks again, in milliseconds.
const RETRY_INTERVAL_MS: u64 = 1_000;
/// How often it asks so, at most; then more rarely, as a host that is so busy for so long has other work.
const QUESTIONS_MAX: u32 = 20;
/// How long until it asks again after that, in milliseconds.
const LATER_INTERVAL_MS: u64 = 60_000;
/// Most questions without an answer: before more are asked, one has to come.
const PENDING_MAX: usize = 4;
/// How long until questions without an answer are taken for lost with their link, in milliseconds.
const LOST_AFTER_MS: u64 = 120_000;

/// What a clone knows of the time so far. All times but the host's are its own, in milliseconds.
#[derive(Debug)]
pub struct ClockSync {
    /// When each question was asked that has no answer yet, the oldest first.
    pending_ms: Vec<u64>,
    /// When to ask; none once it knows well enough.
    due_ms: Option<u64>,
    questions: u32,
    best_round_trip_ms: u64,
}

impl ClockSync {
    /// Nothing is known yet: the first question is due at once.
    pub fn new(now_ms: u64) -> ClockSync {
        ClockSync { pending_ms: Vec::new(), due_ms: Some(now_ms), questions: 0, best_round_trip_ms: u64::MAX }
    }

    /// Never asks: whoever boots by itself has the time from its machine.
    pub fn known() -> ClockSync {
        ClockSync { due_ms: None, ..ClockSync::new(0) }
    }

    /// When the next question is due, if there is one.
    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Whether to ask now; then it counts as asked.
    pub fn ask(&mut self, now_ms: u64) -> bool {
        if self.due_ms.is_none_or(|due| now_ms < due) {
            return false;
        }
        let interval = if self.questions < QUESTIONS_MAX { RETRY_INTERVAL_MS } else { LATER_INTERVAL_MS };
        self.due_ms = Some(now_ms.saturating_add(interval));
        if self.pending_ms.first().is_some_and(|asked| now_ms.saturating_sub(*asked) >= LOST_AFTER_MS) {
            self.pending_ms.clear();
        }
        if self.pending_ms.len() == PENDING_MAX {
            return false;
        }
        self.questions = self.questions.saturating_add(1);
        self.pending_ms.push(now_ms);
        true
    }

    /// Takes what the host says, in nanoseconds since 1970, where the clock says `own_ns`; gives what to set it to, if
    /// that is better.
    pub fn told(&mut self, unix_ns: u64, own_ns: u64, now_ms: u64) -> Option<u64> {
        if self.pending_ms.is_empty() {
            if unix_ns.saturating_sub(own_ns) / 1_000_000 >= BEHIND_MS {
                *self = ClockSync::new(now_ms);
            }
            return None;
        }
        let round_trip_ms = now_ms.saturating_sub(self.pending_ms.remove(0));
        if round_trip_ms <= GOOD_ROUND_TRIP_MS {
            self.due_ms = None;
        }
        if round_trip_ms >= self.best_round_trip_ms {
            return None;
        }
        self.best_round_trip_ms = round_trip_ms;
        Some(unix_ns.saturating_add(round_trip_ms.saturating_mul(500_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_taken_for_the_middle_and_asked_for_again_until_one_is_quick() {
        let mut clock = ClockSync::new(1_000);
        assert!(clock.ask(1_000) && !clock.ask(1_000));
        assert_eq!(clock.told(5_000_000_000, 0, 3_000), Some(6_000_000_000));
        assert!(clock.ask(3_000));
        assert_eq!(clock.told(7_000_000_000, 0, 6_000), None, "it took longer than the one before");
        assert!(clock.ask(6_000));
        assert_eq!(clock.told(9_000_000_000, 0, 6_020), Some(9_010_000_000));
        assert_eq!(clock.due_ms(), None);
        assert!(!clock.ask(100_000));
    }

    #[test]
    fn a_busy_host_is_asked_more_rarely_and_nobody_answers_unasked() {
        let mut clock = ClockSync::new(0);
        assert_eq!(clock.told(1, 1, 0), None);
        let mut asked = 0;
        for second in 0..400 {
            if clock.ask(second * 1_000) {
                asked += 1;
                let _ = clock.told(1, 1, second * 1_000 + 900);
            }
        }
        assert_eq!(asked, QUESTIONS_MAX as usize + (400 - QUESTIONS_MAX as usize).div_ceil(60));
        // Nobody answers: no more are asked than can be told apart, until they are given up.
        let mut clock = ClockSync::new(0);
        assert_eq!((0..120).filter(|second| clock.ask(second * 1_000)).count(), PENDING_MAX);
        assert!(clock.ask(120_000));
        assert!(clock.told(u64::MAX, 0, 500_000).is_some());
        assert!(!ClockSync::known().ask(u64::MAX));
    }

    #[test]
    fn only_who_is_behind_what_the_host_says_unasked_asks_anew() {
        let second = 1_000_000_000;
        for mut clock in [ClockSync::known(), ClockSync::new(0)] {
            if clock.ask(0) {
                assert!(clock.told(second, 0, 10).is_some());
            }
            // What it says may have been long on its way.
            assert_eq!(clock.told(70 * second, 72 * second, 100), None);
            assert_eq!(clock.told(70 * second, 70 * second - 50_000_000, 100), None);
            assert!(!clock.ask(1_000));
            assert_eq!(clock.told(70 * second, 10 * second, 2_000), None);
            assert!(clock.ask(2_000), "it was held for a minute");
            assert_eq!(clock.told(71 * second, 11 * second, 2_020), Some(71 * second + 10_000_000));
            assert!(!clock.ask(100_000));
        }
    }

    /// The way takes seconds, and more at one time than at another: whatever is asked meanwhile, the clock is wrong by
    /// half of what a question took, at most.
    #[test]
    fn an_answer_is_taken_for_the_question_that_it_is_for() {
        // The host's time is the clone's and 1,000 s. There and back, in milliseconds, question by question.
        let ways = [(100, 2_400), (2_400, 100), (40, 2_000), (900, 3_000), (5_000, 20), (10, 300)];
        for lost in [None, Some(0), Some(2)] {
            let (mut clock, mut events, mut error_ms) = (ClockSync::new(0), alloc::vec::Vec::new(), u64::MAX);
            let (mut at_host, mut at_clone, mut asked) = (0u64, 0u64, 0usize);
            for now_ms in 0..60_000u64 {
                if clock.ask(now_ms) {
                    let (there, back) = ways[asked % ways.len()];
                    // In order, as on a stream.
                    at_host = at_host.max(now_ms + there);
                    at_clone = at_clone.max(at_host + back);
                    if lost != Some(asked) {
                        events.push((at_clone, at_host));
                    }
                    asked += 1;
                }
                while events.first().is_some_and(|(arrives, _)| *arrives <= now_ms) {
                    let (_, told_ms) = events.remove(0);
                    if let Some(unix_ns) = clock.told((told_ms + 1_000_000) * 1_000_000, 0, now_ms) {
                        error_ms = (unix_ns / 1_000_000).abs_diff(now_ms + 1_000_000);
                        assert!(error_ms <= clock.best_round_trip_ms / 2 + 1, "wrong by {error_ms} ms");
                    }
                }
            }
            assert!(error_ms <= 2_000, "{error_ms} ms, {lost:?}");
        }
    }
}
