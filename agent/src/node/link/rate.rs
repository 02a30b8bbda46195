//! How fast messages of one link are taken.

use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Whoever says more waits, and so does what it sends.
pub struct MessageRate {
    /// When the next message would be due if they came evenly.
    due: Instant,
}

/// Messages of one link a second, for long, and how many at once. Far more than a link has to say whose node is well:
/// a session's outputs are pieces of 4 KiB, answers and reports are folded.
pub const MESSAGES_PER_S: u32 = 1_000;
pub const MESSAGES_AT_ONCE: u32 = 2_000;

impl MessageRate {
    /// Nothing has come yet.
    pub fn new() -> MessageRate {
        MessageRate { due: Instant::now() }
    }

    /// Waits until one more message may come.
    pub async fn wait(&mut self) {
        let interval = Duration::from_secs(1) / MESSAGES_PER_S;
        let (now, burst) = (Instant::now(), interval * MESSAGES_AT_ONCE);
        self.due = self.due.max(now) + interval;
        if self.due > now + burst {
            sleep_until(self.due - burst).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_link_that_says_too_much_is_heard_more_slowly() {
        let (start, mut rate) = (Instant::now(), MessageRate::new());
        for _ in 0..MESSAGES_AT_ONCE {
            rate.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "as many at once as may be");
        for _ in 0..MESSAGES_PER_S {
            rate.wait().await;
        }
        let second = start.elapsed().as_secs_f64();
        assert!((0.99..1.02).contains(&second), "{second}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = Instant::now();
        for _ in 0..MESSAGES_AT_ONCE {
            rate.wait().await;
        }
        assert_eq!(later.elapsed(), Duration::ZERO, "silence is saved up, to the same bound");
    }
}
