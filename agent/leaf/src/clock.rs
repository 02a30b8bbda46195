//! The clock of a clone: what its host says that the time is, as often as it takes to know it well.
//!
//! The time that comes with a clone's identity is as old as the clone was slow to wake: seconds where many wake at
//! once. So it asks its host afterwards. The answer was right at some moment between question and answer; it is taken
//! for the middle of the two, and so is wrong by half of the time between them at most (Cristian, "Probabilistic clock
//! synchronization", 1989). The best of several answers counts.

/// A question that took no longer is good enough, in milliseconds.
const GOOD_ROUND_TRIP_MS: u64 = 50;
/// How long until it asks again, in milliseconds.
const RETRY_INTERVAL_MS: u64 = 1_000;
/// How often it asks at most.
const QUESTIONS_MAX: u32 = 20;

/// What a clone knows of the time so far. All times but the host's are its own, in milliseconds.
#[derive(Debug)]
pub struct ClockSync {
    asked_ms: Option<u64>,
    /// When to ask; none once it knows well enough.
    due_ms: Option<u64>,
    questions: u32,
    best_round_trip_ms: u64,
}

impl ClockSync {
    /// Nothing is known yet: the first question is due at once.
    pub fn new(now_ms: u64) -> ClockSync {
        ClockSync { asked_ms: None, due_ms: Some(now_ms), questions: 0, best_round_trip_ms: u64::MAX }
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
        self.questions += 1;
        self.asked_ms = Some(now_ms);
        // One whose answer is lost, with its link, is asked again.
        self.due_ms = (self.questions < QUESTIONS_MAX).then_some(now_ms + RETRY_INTERVAL_MS);
        true
    }

    /// Takes the host's answer, in nanoseconds since 1970; gives what to set the clock to, if that is better than what
    /// it is.
    pub fn answer(&mut self, unix_ns: u64, now_ms: u64) -> Option<u64> {
        let round_trip_ms = now_ms.saturating_sub(self.asked_ms.take()?);
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
        assert_eq!(clock.answer(5_000_000_000, 3_000), Some(6_000_000_000));
        assert!(clock.ask(3_000));
        assert_eq!(clock.answer(7_000_000_000, 6_000), None, "it took longer than the one before");
        assert!(clock.ask(6_000));
        assert_eq!(clock.answer(9_000_000_000, 6_020), Some(9_010_000_000));
        assert_eq!(clock.due_ms(), None);
        assert!(!clock.ask(100_000));
    }

    #[test]
    fn nobody_asks_for_ever_and_nobody_answers_unasked() {
        let mut clock = ClockSync::new(0);
        assert_eq!(clock.answer(1, 0), None);
        assert_eq!((0..100).filter(|second| clock.ask(second * 1_000)).count(), QUESTIONS_MAX as usize);
        assert_eq!(clock.due_ms(), None);
        assert!(clock.answer(u64::MAX, u64::MAX).is_some(), "the last one may still come");
        assert!(!ClockSync::known().ask(u64::MAX));
    }
}
