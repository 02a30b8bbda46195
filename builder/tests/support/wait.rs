//! Waiting for events. A test has one deadline, which is generous and the same for all of its waits: a slow machine
//! makes a test slow, and what does not happen fails with what there was instead.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often is looked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// When a test has failed, whatever it waits for.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(limit: Duration) -> Deadline {
        Deadline(Instant::now() + limit)
    }

    /// What is left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Looks until the event is there; `look` says what there is instead.
    pub fn until<T>(self, event: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        loop {
            match look() {
                Ok(found) => return found,
                Err(instead) if self.left().is_zero() => panic!("the test's time is over: no {event}; {instead}"),
                Err(_) => sleep(POLL_INTERVAL),
            }
        }
    }
}
