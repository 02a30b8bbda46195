//! What a guest's cable is like: its rate, its delay, its loss.
//!
//! Takes the words that an operator writes (`rate=10mbit delay=20ms loss=1%`) and the
//! time; gives for each frame when it arrives, or that it does not. Each direction is
//! shaped alike and on its own. Loss is drawn from a seed, so that an experiment
//! repeats: the n-th frame of a link is lost, or it is not. Nothing of a frame's time is
//! rounded away: what is less than a nanosecond counts for the next.

use super::fairness::NS_PER_S;
pub use vmatic_plan::LinkProperties as Link;

pub const NS_PER_US: u64 = 1_000;
const US_PER_S: u64 = 1_000_000;

/// Bytes that wait for a slow link at least; what comes then is dropped, as a router does. A link that is long as well
/// holds what it sends in its delay: less, and one sender alone could not keep it busy.
const QUEUE_BYTES_MIN: u64 = 64 * 1024;
/// Memory that frames under way on one direction of a link may take at least; a link that is fast and long takes twice
/// what is under way on it (what waits, and what travels).
const UNDER_WAY_BYTES_MIN: usize = 4 << 20;
/// What a frame under way takes beside its bytes: its place in the queue, which doubles as it grows, and the
/// allocator's share.
const QUEUED_FRAME_BYTES: usize = 128;
/// The least frame, for how many of them may be under way on a link.
const FRAME_BYTES_MIN: u64 = 60;
/// All of a million.
pub const PPM: u64 = 1_000_000;
const BITS_PER_BYTE: u64 = 8;

/// What becomes of a frame on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeResult {
    /// It arrives at once.
    Now,
    /// It arrives then (nanoseconds).
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

/// A line of some rate: when it has sent what it was given.
#[derive(Default)]
pub struct Pacer {
    /// When the last frame is sent.
    free_at_ns: u64,
    /// What of a nanosecond that leaves out, in parts of the rate: without it a fast link would be faster than it is,
    /// the more so the shorter its frames.
    rest: u64,
}

impl Pacer {
    /// For how long what waits keeps the line busy.
    pub fn busy_ns(&self, now_ns: u64) -> u64 {
        self.free_at_ns.saturating_sub(now_ns)
    }

    /// How many bytes wait, at this rate.
    pub fn waiting_bytes(&self, now_ns: u64, rate_bits_s: u64) -> u128 {
        u128::from(self.busy_ns(now_ns)) * u128::from(rate_bits_s) / u128::from(BITS_PER_BYTE * NS_PER_S)
    }

    /// When a frame of `bytes` is sent that is given now; the rate is not 0.
    pub fn send(&mut self, now_ns: u64, bytes: usize, rate_bits_s: u64) -> u64 {
        if self.free_at_ns < now_ns {
            (self.free_at_ns, self.rest) = (now_ns, 0);
        }
        let parts = u128::from(bytes as u64 * BITS_PER_BYTE) * u128::from(NS_PER_S) + u128::from(self.rest);
        let (ns, rest) = (parts / u128::from(rate_bits_s), parts % u128::from(rate_bits_s));
        // A frame of 64 KiB at a bit a second takes less than a week; the rest is less than the rate.
        (self.free_at_ns, self.rest) = (self.free_at_ns + ns as u64, rest as u64);
        self.free_at_ns
    }
}

/// What a link sends in its delay.
pub fn product_bytes(link: &Link) -> u64 {
    let bits = u128::from(link.rate_bits_s) * u128::from(link.delay_us) / u128::from(US_PER_S);
    // At most 7.5 TB: 10^12 bits a second for a minute.
    (bits / u128::from(BITS_PER_BYTE)) as u64
}

/// Bytes that wait for a link unless somebody says how many.
pub fn waiting_bytes_max(link: &Link) -> u64 {
    QUEUE_BYTES_MIN.max(product_bytes(link))
}

/// Most memory of what is under way on one direction of a link.
pub fn under_way_max(link: &Link) -> usize {
    let each = queue_cost(FRAME_BYTES_MIN as usize) as u64;
    let least = product_bytes(link) / FRAME_BYTES_MIN * each * 2;
    UNDER_WAY_BYTES_MIN.max(usize::try_from(least).unwrap_or(usize::MAX))
}

/// One direction of a link.
pub struct Shaper {
    link: Link,
    pacer: Pacer,
    queued_bytes: usize,
    random: u64,
}

impl Shaper {
    /// A direction of `link`; `seed` decides which frames are lost.
    pub fn new(link: Link, seed: u64) -> Self {
        Shaper { link, pacer: Pacer::default(), queued_bytes: 0, random: seed }
    }

    /// What becomes of a frame of `bytes` that is sent now. What arrives later takes its [`queue_cost`] of this
    /// direction, which may have at most `room`, and is to be given back by [`Self::done`].
    pub fn send(&mut self, now_ns: u64, bytes: usize, room: usize) -> ShapeResult {
        let Link { rate_bits_s, delay_us, loss_ppm } = self.link;
        if loss_ppm > 0 && self.draw() % PPM < loss_ppm {
            return ShapeResult::Lost;
        }
        if (rate_bits_s, delay_us) == (0, 0) {
            return ShapeResult::Now;
        }
        let cost = queue_cost(bytes);
        if self.queued_bytes + cost > under_way_max(&self.link).min(room) {
            return ShapeResult::Full;
        }
        let mut sent_at = now_ns;
        if rate_bits_s > 0 {
            if self.pacer.waiting_bytes(now_ns, rate_bits_s) > u128::from(waiting_bytes_max(&self.link)) {
                return ShapeResult::Full;
            }
            sent_at = self.pacer.send(now_ns, bytes, rate_bits_s);
        }
        self.queued_bytes += cost;
        ShapeResult::At(sent_at + delay_us * NS_PER_US)
    }

    /// A frame has arrived, and gives back its cost.
    pub fn done(&mut self, cost: usize) {
        self.queued_bytes = self.queued_bytes.saturating_sub(cost);
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(STEP);
        mix(self.random)
    }
}

/// The step of SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mix of SplitMix64, good enough for coins.
pub fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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
            [ShapeResult::At(1_000_000), ShapeResult::At(2_000_000)]
        );
        assert_eq!(link.send(5_000_000, 1000, ROOM), ShapeResult::At(6_000_000));
        let queued = (0..200).filter(|_| link.send(5_000_000, 1000, ROOM) != ShapeResult::Full).count();
        assert_eq!(queued as u64, QUEUE_BYTES_MIN / 1000);
    }

    #[test]
    fn any_rate_is_kept_with_frames_of_any_length() {
        for (words, bits) in
            [("rate=1gbit", 1e9), ("rate=10gbit", 1e10), ("rate=3333333bit", 3_333_333.0), ("rate=400gbit", 4e11)]
        {
            for bytes in [60, 512, 1514] {
                let mut link = shaper(words);
                let (mut now, mut sent) = (0, 0u64);
                // As a sender does that waits for room.
                for _ in 0..100_000 {
                    match link.send(now, bytes, ROOM) {
                        ShapeResult::At(at) => (now, sent) = (at, sent + bytes as u64),
                        other => panic!("{other:?}"),
                    }
                    link.done(queue_cost(bytes));
                }
                let want = sent as f64 * 8.0 / bits * 1e9;
                assert!((now as f64) <= want + 1.0 && now as f64 >= want - 1.0, "{words} {bytes}: {now} for {want}");
                let mut busy = shaper(words);
                let last = (0..40).map(|_| busy.send(0, bytes, ROOM)).last();
                let ShapeResult::At(last) = last.unwrap() else { panic!("{last:?}") };
                let want = 40.0 * bytes as f64 * 8.0 / bits * 1e9;
                assert!((last as f64 - want).abs() <= 1.0, "{words} {bytes}: 40 took {last} for {want}");
            }
        }
    }

    #[test]
    fn a_long_fast_link_can_be_kept_busy() {
        let mut link = shaper("rate=1gbit delay=100ms");
        let mut bytes = 0u64;
        while let ShapeResult::At(_) = link.send(0, 1500, ROOM) {
            bytes += 1500;
        }
        // What travels and what waits: a tenth of a second each.
        assert!(bytes >= 12_500_000, "{bytes}");
        let mut small = shaper("rate=100mbit delay=50ms");
        let frames = (0..1_000_000).take_while(|_| small.send(0, 60, ROOM) != ShapeResult::Full).count();
        assert!(frames as u64 * 60 >= 625_000, "{frames} frames of 60 bytes");
    }

    #[test]
    fn a_delay_keeps_the_order_and_bounds_what_is_under_way() {
        let mut link = shaper("delay=20ms");
        let sent = [link.send(0, 60, ROOM), link.send(5, 60, ROOM)];
        assert_eq!(sent, [ShapeResult::At(20_000_000), ShapeResult::At(20_000_005)]);
        let mut taken = 2 * queue_cost(60);
        while link.send(6, 10_000, ROOM) != ShapeResult::Full {
            taken += queue_cost(10_000);
        }
        assert!(taken <= UNDER_WAY_BYTES_MIN && taken > UNDER_WAY_BYTES_MIN - queue_cost(10_000));
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
