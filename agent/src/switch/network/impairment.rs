//! What one direction of a network's link does to frames: it loses, doubles, changes, holds and delays them.
//!
//! Takes the direction's properties and frames with the time; gives for each when it arrives, and how. In this order a
//! frame is lost or not, doubled, changed, has to wait for the line, and is delayed. Whatever is left to chance is
//! drawn from the seed, the direction and the frame's number there: an experiment repeats, and what is drawn for one
//! property does not depend on another. Frames keep their order, whatever the jitter, unless they are to overtake.

use crate::switch::shaper::{self, NS_PER_US, PPM, Pacer, ShapeResult, mix};
use std::collections::VecDeque;
use vmatic_plan::network::{Properties, Queue};

/// What is left to chance, each with draws of its own.
#[derive(Clone, Copy)]
enum Chance {
    Loss,
    BurstBegins,
    BurstEnds,
    Dup,
    Corrupt,
    Bit,
    Reorder,
    Jitter,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// When it arrives, if it does.
    pub result: ShapeResult,
    /// The same of its double, if it has one.
    pub double: Option<ShapeResult>,
    /// Which of its bits is changed.
    pub flipped_bit: Option<usize>,
}

/// One direction of a link that is not ideal.
pub struct Impairment {
    properties: Properties,
    seed: u64,
    /// The number of the next frame.
    frame: u64,
    /// Whether frames are being lost, one after another.
    in_burst: bool,
    pacer: Pacer,
    /// When those are sent that wait, where their number is bounded.
    waiting: VecDeque<u64>,
    last_due_ns: u64,
    queued_bytes: usize,
}

impl Impairment {
    /// One with these properties; none if they are those of an ideal cable. `seed` is the direction's own.
    pub fn new(properties: Properties, seed: u64) -> Option<Impairment> {
        // What the network's packets may be, and whether the link is up, is not for frames on it.
        let ideal = Properties { mtu: properties.mtu, down: properties.down, ..Properties::default() };
        (properties != ideal).then(|| Impairment {
            properties,
            seed,
            frame: 0,
            in_burst: false,
            pacer: Pacer::default(),
            waiting: VecDeque::new(),
            last_due_ns: 0,
            queued_bytes: 0,
        })
    }

    fn draw(&self, chance: Chance) -> u64 {
        mix(mix(self.seed ^ mix(self.frame)).wrapping_add(chance as u64))
    }

    fn happens(&self, chance: Chance, ppm: u64) -> bool {
        ppm > 0 && self.draw(chance) % PPM < ppm
    }

    /// Whether a frame is lost. In bursts by the model of Gilbert: as many as asked for in the mean, and as many one
    /// after another.
    fn loses(&mut self) -> bool {
        let (loss, burst) = (self.properties.link.loss_ppm, u64::from(self.properties.burst));
        if burst < 2 || loss == 0 || loss >= PPM {
            return self.happens(Chance::Loss, loss);
        }
        self.in_burst = match self.in_burst {
            true => !self.draw(Chance::BurstEnds).is_multiple_of(burst),
            false => self.draw(Chance::BurstBegins) % (burst * (PPM - loss)) < loss,
        };
        self.in_burst
    }

    /// What becomes of a frame of `bytes` that is sent now. What arrives later takes its
    /// [`queue_cost`](shaper::queue_cost) of this direction, which may have at most `room`, and is to be given back by
    /// [`Self::done`].
    pub fn send(&mut self, now_ns: u64, bytes: usize, room: usize) -> Effect {
        let mut effect = Effect { result: ShapeResult::Lost, double: None, flipped_bit: None };
        if !self.loses() {
            let doubled = self.happens(Chance::Dup, self.properties.dup_ppm);
            if self.happens(Chance::Corrupt, self.properties.corrupt_ppm) {
                effect.flipped_bit = Some(self.draw(Chance::Bit) as usize % (bytes * 8).max(1));
            }
            effect.result = self.pass(now_ns, bytes, room);
            effect.double = doubled.then(|| self.pass(now_ns, bytes, room));
        }
        self.frame += 1;
        effect
    }

    /// One copy on the line.
    fn pass(&mut self, now_ns: u64, bytes: usize, room: usize) -> ShapeResult {
        let Properties { link, jitter_us, .. } = self.properties;
        let cost = shaper::queue_cost(bytes);
        if self.queued_bytes + cost > shaper::under_way_max(&link).min(room) || !self.has_place(now_ns) {
            return ShapeResult::Full;
        }
        let mut sent_at = now_ns;
        if link.rate_bits_s > 0 {
            sent_at = self.pacer.send(now_ns, bytes, link.rate_bits_s);
            if matches!(self.properties.queue, Queue::Packets(_)) {
                self.waiting.push_back(sent_at);
            }
        }
        let overtakes = self.happens(Chance::Reorder, self.properties.reorder_ppm);
        let mut due = sent_at;
        if !overtakes {
            due += link.delay_us * NS_PER_US;
            if jitter_us > 0 {
                let jitter_ns = jitter_us * NS_PER_US;
                let off = self.draw(Chance::Jitter) % (2 * jitter_ns + 1);
                due = (due + off).saturating_sub(jitter_ns).max(sent_at);
            }
            due = due.max(self.last_due_ns);
            self.last_due_ns = due;
        }
        if due <= now_ns {
            return ShapeResult::Now;
        }
        self.queued_bytes += cost;
        ShapeResult::At(due)
    }

    /// Whether one more frame may wait for the line.
    fn has_place(&mut self, now_ns: u64) -> bool {
        let link = self.properties.link;
        let waiting = || self.pacer.waiting_bytes(now_ns, link.rate_bits_s);
        match self.properties.queue {
            _ if link.rate_bits_s == 0 => true,
            Queue::Computed => waiting() <= u128::from(shaper::waiting_bytes_max(&link)),
            Queue::Bytes(bytes) => waiting() <= u128::from(bytes),
            Queue::TimeUs(us) => self.pacer.busy_ns(now_ns) <= u64::from(us) * NS_PER_US,
            Queue::Packets(packets) => {
                while self.waiting.front().is_some_and(|sent| *sent <= now_ns) {
                    self.waiting.pop_front();
                }
                // The first of them does not wait: it is being sent.
                self.waiting.len() <= packets as usize
            }
        }
    }

    /// A frame has arrived, and gives back its cost.
    pub fn done(&mut self, cost: usize) {
        self.queued_bytes = self.queued_bytes.saturating_sub(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmatic_plan::network;

    const ROOM: usize = usize::MAX;
    const MS: u64 = 1_000_000;

    fn impairment(words: &str, seed: u64) -> Impairment {
        let (there, _) = network::properties(words).unwrap();
        Impairment::new(there, seed).unwrap()
    }

    /// What becomes of frames of 100 bytes, one each microsecond; each gives its memory back.
    fn effects(words: &str, seed: u64, count: u64) -> Vec<Effect> {
        let mut link = impairment(words, seed);
        let send = |n: u64| {
            let effect = link.send(n * 1_000, 100, ROOM);
            link.done(2 * shaper::queue_cost(100));
            effect
        };
        (0..count).map(send).collect()
    }

    #[test]
    fn an_ideal_link_has_none() {
        for words in ["", "mtu=9000", "down"] {
            assert!(Impairment::new(network::properties(words).unwrap().0, 1).is_none(), "{words}");
        }
    }

    #[test]
    fn what_is_left_to_chance_is_as_frequent_as_asked_and_repeats() {
        let share =
            |words: &str, hit: fn(&Effect) -> bool| effects(words, 7, 100_000).iter().filter(|e| hit(e)).count();
        let lost: fn(&Effect) -> bool = |effect| effect.result == ShapeResult::Lost;
        for (words, near, hit) in [
            ("loss=1%", 100, lost),
            // A hundred bursts of ten: fewer chances, so farther off.
            ("loss=1% burst=10", 400, lost),
            ("dup=1%", 100, |effect| effect.double == Some(ShapeResult::Now)),
            ("corrupt=1%", 100, |effect| effect.flipped_bit.is_some_and(|bit| bit < 800)),
            ("delay=1ms reorder=1%", 100, |effect| effect.result == ShapeResult::Now),
        ] {
            let count = share(words, hit);
            assert!(count.abs_diff(1000) < near, "{words}: {count} of 100000");
            assert_eq!(effects(words, 7, 1000), effects(words, 7, 1000));
            assert_ne!(effects(words, 7, 1000), effects(words, 8, 1000), "{words}");
        }
        let lost_at = |words| {
            let all = effects(words, 7, 10_000);
            all.iter().map(|effect| effect.result == ShapeResult::Lost).collect::<Vec<_>>()
        };
        assert_eq!(lost_at("loss=1%"), lost_at("loss=1% dup=50% corrupt=3% jitter=1ms"), "draws are each one's own");
        assert!(effects("loss=100% burst=4", 1, 9).iter().all(lost));
    }

    #[test]
    fn bursts_are_as_long_as_asked() {
        let lost: Vec<bool> =
            effects("loss=2% burst=20", 3, 500_000).iter().map(|e| e.result == ShapeResult::Lost).collect();
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let all = lost.iter().filter(|lost| **lost).count();
        let mean = all as f64 / bursts as f64;
        assert!((17.0..23.0).contains(&mean), "{all} in {bursts}");
    }

    #[test]
    fn jitter_keeps_the_order_and_the_mean_and_reordering_does_not() {
        fn at(effect: Effect) -> u64 {
            let ShapeResult::At(at) = effect.result else { panic!("{effect:?}") };
            at
        }
        let delays = due_of("delay=20ms jitter=4ms");
        assert!(delays.iter().all(|delay| (16 * MS..=24 * MS).contains(delay)));
        let mean = delays.iter().sum::<u64>() / 1000;
        assert!((19_500_000..20_500_000).contains(&mean), "{mean}");
        assert!(delays.iter().any(|delay| *delay < 17 * MS) && delays.iter().any(|delay| *delay > 23 * MS));
        let mut link = impairment("delay=20ms jitter=20ms", 5);
        let close: Vec<u64> = (0..1000).map(|n| at(link.send(n * 1_000, 100, ROOM))).collect();
        assert!(close.is_sorted());
        let mut link = impairment("delay=20ms reorder=10%", 5);
        let times = (0..1000).map(|n| (n, link.send(n * 1_000, 100, ROOM).result));
        let overtaking = times.filter(|(_, result)| *result == ShapeResult::Now).count();
        assert!((60..140).contains(&overtaking), "{overtaking}");
    }

    /// By how much frames are delayed that are far enough apart that none waits for the one before.
    fn due_of(words: &str) -> Vec<u64> {
        let mut link = impairment(words, 5);
        let mut delay = |n: u64| match link.send(n * 50 * MS, 100, ROOM).result {
            ShapeResult::At(at) => at - n * 50 * MS,
            other => panic!("{other:?}"),
        };
        (0..1000).map(&mut delay).collect()
    }

    #[test]
    fn a_queue_holds_what_it_says_in_packets_bytes_or_time() {
        // A megabyte a second: a thousand bytes take a millisecond.
        for (words, held) in [
            ("rate=8mbit queue=10p", 11),
            ("rate=8mbit queue=0p", 1),
            ("rate=8mbit queue=10kB", 11),
            ("rate=8mbit queue=50ms", 51),
            ("rate=8mbit", 66),
            ("rate=8mbit delay=100ms", 101),
        ] {
            let mut link = impairment(words, 1);
            let count = (0..1000).take_while(|_| link.send(0, 1000, ROOM).result != ShapeResult::Full).count();
            assert_eq!(count, held, "{words}");
            // One is sent: there is a place again, and no more.
            let again = [0, 0].map(|_| link.send(MS, 1000, ROOM).result != ShapeResult::Full);
            assert_eq!(again, [true, false], "{words}");
        }
    }

    #[test]
    fn a_double_takes_the_line_as_well() {
        let mut link = impairment("rate=8mbit dup=100%", 1);
        let both = Effect { result: ShapeResult::At(MS), double: Some(ShapeResult::At(2 * MS)), flipped_bit: None };
        assert_eq!(link.send(0, 1000, ROOM), both);
        link.done(shaper::queue_cost(1000));
        let mut small = impairment("delay=1ms", 1);
        let cost = shaper::queue_cost(100);
        let room =
            (0..9).map(|_| small.send(0, 100, 3 * cost).result != ShapeResult::Full).filter(|held| *held).count();
        assert_eq!(room, 3, "no more than the room");
    }

    proptest! {
        #[test]
        fn no_properties_panic(
            words in "((rate|delay|jitter|loss|burst|dup|corrupt|reorder|queue)=[0-9]{1,3}(bit|s|us|%|p|kB|) ?){0,5}",
            frames in prop::collection::vec((any::<u32>(), 0usize..10_000), 0..40),
        ) {
            let properties = network::properties(&words).unwrap_or_default().0;
            if let Some(mut link) = Impairment::new(properties, 3) {
                let mut now = 0u64;
                for (later, bytes) in frames {
                    now += u64::from(later);
                    let Effect { result, flipped_bit, .. } = link.send(now, bytes, ROOM);
                    prop_assert!(flipped_bit.is_none_or(|bit| bit < (bytes * 8).max(1)));
                    if let ShapeResult::At(due) = result {
                        prop_assert!(due > now);
                    }
                }
            }
        }
    }
}
