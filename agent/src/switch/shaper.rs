//! What a guest's cable is like: its rate, its delay, its loss.
//!
//! Takes the words that an operator writes (`rate=10mbit delay=20ms loss=1%`) and the
//! time; gives for each frame when it arrives, or that it does not. Each direction is
//! shaped alike and on its own. Loss is drawn from a seed, so that an experiment
//! repeats: the n-th frame of a link is lost, or it is not.

pub use vmatic_plan::LinkProperties as Link;

/// Most bytes that wait for a slow link; what comes then is dropped, as a router does.
const QUEUE_BYTES_MAX: u64 = 64 * 1024;
/// Most memory that frames under way on one direction of a link take.
const QUEUED_BYTES_MAX: usize = 4 << 20;
/// What a frame under way takes beside its bytes: its place in the queue, which doubles as it grows, and the
/// allocator's share.
const QUEUED_FRAME_BYTES: usize = 128;
/// All of a million.
const PPM: u64 = 1_000_000;

/// What becomes of a frame on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeResult {
    /// It arrives at once.
    Now,
    /// It arrives then (microseconds).
    At(u64),
    /// It is lost.
    Lost,
    /// Too much waits already.
    Full,
}

/// The memory that a frame of `bytes` takes while it is under way.
pub fn queue_cost(bytes: usize) -> usize {
    bytes + QUEUED_FRAME_BYTES
}

/// One direction of a link.
pub struct Shaper {
    link: Link,
    free_at_us: u64,
    queued_bytes: usize,
    random: u64,
}

impl Shaper {
    /// A direction of `link`; `seed` decides which frames are lost.
    pub fn new(link: Link, seed: u64) -> Self {
        Shaper { link, free_at_us: 0, queued_bytes: 0, random: seed }
    }

    /// What becomes of a frame of `bytes` that is sent now. What arrives later takes its [`queue_cost`] of this
    /// direction, which may have at most `room`, and is to be given back by [`Self::done`].
    pub fn send(&mut self, now_us: u64, bytes: usize, room: usize) -> ShapeResult {
        let Link { rate_bits_s, delay_us, loss_ppm } = self.link;
        if loss_ppm > 0 && self.draw() % PPM < loss_ppm {
            return ShapeResult::Lost;
        }
        if (rate_bits_s, delay_us) == (0, 0) {
            return ShapeResult::Now;
        }
        let cost = queue_cost(bytes);
        if self.queued_bytes + cost > QUEUED_BYTES_MAX.min(room) {
            return ShapeResult::Full;
        }
        let mut sent_at = now_us;
        if rate_bits_s > 0 {
            let start = self.free_at_us.max(now_us);
            let waiting = (start - now_us).saturating_mul(rate_bits_s) / (8 * 1_000_000);
            if waiting > QUEUE_BYTES_MAX {
                return ShapeResult::Full;
            }
            sent_at = start + (bytes as u64 * 8 * 1_000_000) / rate_bits_s;
            self.free_at_us = sent_at;
        }
        self.queued_bytes += cost;
        ShapeResult::At(sent_at + delay_us)
    }

    /// A frame has arrived, and gives back its cost.
    pub fn done(&mut self, cost: usize) {
        self.queued_bytes = self.queued_bytes.saturating_sub(cost);
    }

    /// SplitMix64: a step and a mix, good enough for coins.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// More than a link ever takes.
    const ROOM: usize = usize::MAX;

    fn shaper(words: &str) -> Shaper {
        Shaper::new(words.parse().unwrap(), 7)
    }

    #[test]
    fn a_rate_spaces_frames_and_bounds_the_queue() {
        let mut link = shaper("rate=8mbit");
        // A megabyte a second: a thousand bytes take a millisecond.
        assert_eq!(
            [link.send(0, 1000, ROOM), link.send(0, 1000, ROOM)],
            [ShapeResult::At(1000), ShapeResult::At(2000)]
        );
        assert_eq!(link.send(5000, 1000, ROOM), ShapeResult::At(6000));
        let queued = (0..200).filter(|_| link.send(5000, 1000, ROOM) != ShapeResult::Full).count();
        assert_eq!(queued as u64, QUEUE_BYTES_MAX / 1000);
    }

    #[test]
    fn a_delay_keeps_the_order_and_bounds_what_is_under_way() {
        let mut link = shaper("delay=20ms");
        let sent = [link.send(0, 60, ROOM), link.send(5, 60, ROOM)];
        assert_eq!(sent, [ShapeResult::At(20_000), ShapeResult::At(20_005)]);
        let mut taken = 2 * queue_cost(60);
        while link.send(6, 10_000, ROOM) != ShapeResult::Full {
            taken += queue_cost(10_000);
        }
        assert!(taken <= QUEUED_BYTES_MAX && taken > QUEUED_BYTES_MAX - queue_cost(10_000));
        link.done(queue_cost(10_000));
        assert_ne!(link.send(7, 10_000, ROOM), ShapeResult::Full);
    }

    #[test]
    fn a_link_keeps_to_its_room() {
        let under_way = |bytes, room| {
            let mut link = shaper("delay=20ms");
            (0..1_000_000).take_while(|_| link.send(0, bytes, room) != ShapeResult::Full).count()
        };
        assert_eq!(under_way(1000 - QUEUED_FRAME_BYTES, 10_000), 10);
        assert_eq!(under_way(1000 - QUEUED_FRAME_BYTES, 999), 0);
    }

    #[test]
    fn loss_is_as_frequent_as_asked_and_repeats() {
        let draw = |seed| {
            let mut link = Shaper::new("loss=1%".parse().unwrap(), seed);
            (0..100_000).map(|n| link.send(n, 60, ROOM) == ShapeResult::Lost).collect::<Vec<_>>()
        };
        let lost = draw(1).iter().filter(|lost| **lost).count();
        assert!((900..1100).contains(&lost), "{lost} of 100000");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(shaper("loss=100%").send(0, 1, ROOM), ShapeResult::Lost);
        assert_eq!(shaper("ideal").send(0, 1, ROOM), ShapeResult::Now);
    }

    proptest! {
        #[test]
        fn no_words_panic(text in "((rate|delay|loss)=[0-9.]{0,25}(bit|gbit|s|us|%|)? ?){0,3}", bytes in 0usize..10_000) {
            if let Ok(link) = text.parse::<Link>() {
                let mut shaper = Shaper::new(link, 0);
                let _ = (shaper.send(0, bytes, ROOM), shaper.send(u64::from(u32::MAX), bytes, ROOM));
            }
        }
    }
}
