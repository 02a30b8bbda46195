//! What a guest's cable is like: its rate, its delay, its loss.
//!
//! Takes the words that an operator writes (`rate=10mbit delay=20ms loss=1%`) and the
//! time; gives for each frame when it arrives, or that it does not. Each direction is
//! shaped alike and on its own. Loss is drawn from a seed, so that an experiment
//! repeats: the n-th frame of a link is lost, or it is not.

use std::fmt;
use std::str::FromStr;

/// Most bytes that wait for a slow link; what comes then is dropped, as a router does.
const QUEUE_BYTES_MAX: u64 = 64 * 1024;
/// Most bytes that are under way on one direction of a link.
const HELD_BYTES_MAX: usize = 4 << 20;
/// Longest delay: a minute (the moon is 1.3 s away).
const DELAY_US_MAX: u64 = 60_000_000;
/// Highest rate: what is faster than this is not slowed down.
const RATE_BITS_S_MAX: u64 = 1_000_000_000_000;
/// All of a million.
const PPM: u64 = 1_000_000;

/// The properties of a link. All zero: an ideal cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Bits a second; 0 is unlimited.
    pub rate_bits_s: u64,
    /// Microseconds from one end to the other, once sent.
    pub delay_us: u64,
    /// Frames of a million that never arrive.
    pub loss_ppm: u64,
}

/// What becomes of a frame on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at once.
    Now,
    /// It arrives then (microseconds).
    At(u64),
    /// It is lost.
    Lost,
    /// Too much waits already.
    Full,
}

/// One direction of a link.
pub struct Shaper {
    link: Link,
    free_at_us: u64,
    held_bytes: usize,
    random: u64,
}

impl Shaper {
    /// A direction of `link`; `seed` decides which frames are lost.
    pub fn new(link: Link, seed: u64) -> Self {
        Shaper { link, free_at_us: 0, held_bytes: 0, random: seed }
    }

    /// What becomes of a frame of `bytes` that is sent now. What arrives later is to be given back by [`Self::done`].
    pub fn send(&mut self, now_us: u64, bytes: usize) -> Fate {
        let Link { rate_bits_s, delay_us, loss_ppm } = self.link;
        if loss_ppm > 0 && self.draw() % PPM < loss_ppm {
            return Fate::Lost;
        }
        if (rate_bits_s, delay_us) == (0, 0) {
            return Fate::Now;
        }
        if self.held_bytes + bytes > HELD_BYTES_MAX {
            return Fate::Full;
        }
        let mut sent_at = now_us;
        if rate_bits_s > 0 {
            let start = self.free_at_us.max(now_us);
            let waiting = (start - now_us).saturating_mul(rate_bits_s) / (8 * 1_000_000);
            if waiting > QUEUE_BYTES_MAX {
                return Fate::Full;
            }
            sent_at = start + (bytes as u64 * 8 * 1_000_000) / rate_bits_s;
            self.free_at_us = sent_at;
        }
        self.held_bytes += bytes;
        Fate::At(sent_at + delay_us)
    }

    /// A frame has arrived.
    pub fn done(&mut self, bytes: usize) {
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
    }

    /// SplitMix64: a step and a mix, good enough for coins.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl FromStr for Link {
    type Err = String;

    fn from_str(text: &str) -> Result<Link, String> {
        let mut link = Link::default();
        for word in text.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("rate", value)) => link.rate_bits_s = rate(value)?,
                Some(("delay", value)) => link.delay_us = delay(value)?,
                Some(("loss", value)) => link.loss_ppm = loss(value)?,
                _ if word == "ideal" => link = Link::default(),
                _ => return Err(format!("{word:?} is no property of a link: write rate=, delay=, loss= or ideal")),
            }
        }
        Ok(link)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Link::default() {
            return f.write_str("ideal");
        }
        let mut words = Vec::new();
        if self.rate_bits_s > 0 {
            words.push(format!("rate={}bit", self.rate_bits_s));
        }
        if self.delay_us > 0 {
            words.push(format!("delay={}us", self.delay_us));
        }
        if self.loss_ppm > 0 {
            words.push(format!("loss={}.{:04}%", self.loss_ppm / 10_000, self.loss_ppm % 10_000));
        }
        f.write_str(&words.join(" "))
    }
}

/// A number with a unit, in the smallest unit. Units are told apart whatever their case.
fn measure(text: &str, units: &[(&str, u64)], max: u64) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1;
    let value = number.parse::<f64>().ok()? * factor as f64;
    (value <= max as f64).then_some(value.round() as u64)
}

fn rate(text: &str) -> Result<u64, String> {
    let units = [("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
    let value = measure(text, &units, RATE_BITS_S_MAX).filter(|bits| *bits > 0);
    value.ok_or_else(|| format!("rate={text}: write a rate like 64kbit, 10mbit or 1gbit, at most 1000gbit"))
}

fn delay(text: &str) -> Result<u64, String> {
    let value = measure(text, &[("us", 1), ("ms", 1_000), ("s", 1_000_000)], DELAY_US_MAX);
    value.ok_or_else(|| format!("delay={text}: write a delay like 500us, 20ms or 1.5s, at most 60s"))
}

fn loss(text: &str) -> Result<u64, String> {
    let value = measure(text, &[("%", PPM / 100)], PPM);
    value.ok_or_else(|| format!("loss={text}: write a loss like 1% or 0.05%"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shaper(words: &str) -> Shaper {
        Shaper::new(words.parse().unwrap(), 7)
    }

    #[test]
    fn words_are_read_and_written() {
        let link: Link = "rate=10Mbit delay=1.5ms loss=0.25%".parse().unwrap();
        assert_eq!(link, Link { rate_bits_s: 10_000_000, delay_us: 1_500, loss_ppm: 2_500 });
        assert_eq!(link.to_string(), "rate=10000000bit delay=1500us loss=0.2500%");
        assert_eq!("rate=1mbit ideal".parse(), Ok(Link::default()));
        for (good, bad) in [("delay=60s", "delay=61s"), ("loss=100%", "loss=101%"), ("rate=1000gbit", "rate=1001gbit")]
        {
            assert!(good.parse::<Link>().is_ok(), "{good}");
            let e = bad.parse::<Link>().unwrap_err();
            assert!(e.contains(bad) && e.contains("write"), "{e}");
        }
        for bad in ["rate=0bit", "rate=10", "speed=1", "delay=-1ms", "loss=.%", "rate"] {
            assert!(bad.parse::<Link>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_spaces_frames_and_bounds_the_queue() {
        let mut link = shaper("rate=8mbit");
        // A megabyte a second: a thousand bytes take a millisecond.
        assert_eq!([link.send(0, 1000), link.send(0, 1000)], [Fate::At(1000), Fate::At(2000)]);
        assert_eq!(link.send(5000, 1000), Fate::At(6000));
        let queued = (0..200).filter(|_| link.send(5000, 1000) != Fate::Full).count();
        assert_eq!(queued as u64, QUEUE_BYTES_MAX / 1000);
    }

    #[test]
    fn a_delay_keeps_the_order_and_bounds_what_is_under_way() {
        let mut link = shaper("delay=20ms");
        assert_eq!([link.send(0, 60), link.send(5, 60)], [Fate::At(20_000), Fate::At(20_005)]);
        let mut sent = 120;
        while link.send(6, 10_000) != Fate::Full {
            sent += 10_000;
        }
        assert!(sent <= HELD_BYTES_MAX && sent > HELD_BYTES_MAX - 10_000);
        link.done(10_000);
        assert_ne!(link.send(7, 10_000), Fate::Full);
    }

    #[test]
    fn loss_is_as_frequent_as_asked_and_repeats() {
        let draw = |seed| {
            let mut link = Shaper::new("loss=1%".parse().unwrap(), seed);
            (0..100_000).map(|n| link.send(n, 60) == Fate::Lost).collect::<Vec<_>>()
        };
        let lost = draw(1).iter().filter(|lost| **lost).count();
        assert!((900..1100).contains(&lost), "{lost} of 100000");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(shaper("loss=100%").send(0, 1), Fate::Lost);
        assert_eq!(shaper("ideal").send(0, 1), Fate::Now);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rate in 0..RATE_BITS_S_MAX, delay in 0..DELAY_US_MAX, loss in 0..PPM) {
            let link = Link { rate_bits_s: rate, delay_us: delay, loss_ppm: loss };
            prop_assert_eq!(link.to_string().parse(), Ok(link));
        }

        #[test]
        fn no_words_panic(text in "((rate|delay|loss)=[0-9.]{0,25}(bit|gbit|s|us|%|)? ?){0,3}", bytes in 0usize..10_000) {
            if let Ok(link) = text.parse::<Link>() {
                let mut shaper = Shaper::new(link, 0);
                let _ = (shaper.send(0, bytes), shaper.send(u64::from(u32::MAX), bytes));
            }
        }
    }
}
