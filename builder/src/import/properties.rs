//! The properties of an imported link's direction, and the words of link lines for them.
//!
//! Where the directions differ, a slash stands between there and back: `rate=16mbit/1mbit`.

use vmatic_plan::link::{DELAY_US_MAX, LOSS_PPM_MAX, RATE_BITS_S_MAX};

/// Most packets, and most bytes, of a queue.
const QUEUE_PACKETS_MAX: u64 = 1_000_000;
const QUEUE_BYTES_MAX: u64 = 1 << 30;

/// What waits before a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// So many packets.
    Packets(u64),
    /// So many bytes.
    Bytes(u64),
    /// What the link sends in so many microseconds.
    TimeUs(u64),
}

/// One direction of a link; all zero is an ideal cable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Bits a second; 0 is unlimited.
    pub rate_bits_s: u64,
    /// Microseconds from end to end.
    pub delay_us: u64,
    /// Most microseconds that a delay differs.
    pub jitter_us: u64,
    /// Frames of a million that never arrive.
    pub loss_ppm: u64,
    /// Frames of a million that arrive twice.
    pub dup_ppm: u64,
    /// Frames of a million that arrive changed.
    pub corrupt_ppm: u64,
    /// What waits.
    pub queue: Option<Queue>,
}

/// A number with a unit in the smallest unit, rounded, if it is within its limit.
pub fn measure(text: &str, units: &[(&str, f64)], max: u64) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?.1;
    whole(number.parse::<f64>().ok()? * factor, max)
}

/// A number that is at least 0, rounded, if it is within its limit.
pub fn whole(value: f64, max: u64) -> Option<u64> {
    (0.0..=max as f64).contains(&value).then(|| value.round() as u64)
}

/// Rates by the units that tools write: iproute2's `mbit`, and Shadow's and others' `Mbps` and `Mbit`.
const RATES: [(&str, f64); 20] = [
    ("bit", 1.0),
    ("kbit", 1e3),
    ("mbit", 1e6),
    ("gbit", 1e9),
    ("tbit", 1e12),
    ("bps", 1.0),
    ("kbps", 1e3),
    ("mbps", 1e6),
    ("gbps", 1e9),
    ("tbps", 1e12),
    ("bit/s", 1.0),
    ("kbit/s", 1e3),
    ("mbit/s", 1e6),
    ("gbit/s", 1e9),
    ("k", 1e3),
    ("m", 1e6),
    ("g", 1e9),
    ("kb/s", 1e3),
    ("mb/s", 1e6),
    ("gb/s", 1e9),
];
/// Times.
const TIMES: [(&str, f64); 6] = [("ns", 1e-3), ("us", 1.0), ("ms", 1e3), ("s", 1e6), ("usec", 1.0), ("msec", 1e3)];

/// A rate in bits a second, with its unit.
pub fn rate(text: &str) -> Option<u64> {
    measure(text, &RATES, RATE_BITS_S_MAX).filter(|bits| *bits > 0)
}

/// A time in microseconds, with its unit.
pub fn time(text: &str) -> Option<u64> {
    measure(text, &TIMES, DELAY_US_MAX)
}

/// A time in microseconds; a number without a unit has this one.
pub fn time_or(text: &str, us: f64) -> Option<u64> {
    match text.trim().parse::<f64>() {
        Ok(number) => whole(number * us, DELAY_US_MAX),
        Err(_) => time(text),
    }
}

/// A share in a million, from a number in a hundred, with `%` or not.
pub fn percent(text: &str) -> Option<u64> {
    let number: f64 = text.trim().trim_end_matches('%').parse().ok()?;
    whole(number * 1e4, LOSS_PPM_MAX)
}

fn queue(text: &str) -> Option<Queue> {
    let packets = measure(text, &[("p", 1.0)], QUEUE_PACKETS_MAX).map(Queue::Packets);
    let bytes = || measure(text, &[("B", 1.0), ("kB", 1e3), ("MB", 1e6)], QUEUE_BYTES_MAX).map(Queue::Bytes);
    packets.or_else(bytes).or_else(|| time(text).map(Queue::TimeUs))
}

impl Properties {
    /// Sets what a word of link lines says, and tells whether it is one.
    fn set(&mut self, property: &str, text: &str) -> Option<()> {
        match property {
            // The highest rate slows nothing down.
            "rate" => self.rate_bits_s = rate(text)? % RATE_BITS_S_MAX,
            "delay" => self.delay_us = time(text)?,
            "jitter" => self.jitter_us = time(text)?,
            "loss" => self.loss_ppm = percent(text)?,
            "dup" => self.dup_ppm = percent(text)?,
            "corrupt" => self.corrupt_ppm = percent(text)?,
            "queue" => self.queue = Some(queue(text)?),
            _ => return None,
        }
        Some(())
    }
}

/// Sets what a word says, there and back; None where it says nothing of a link.
pub fn apply(word: &str, there: &mut Properties, back: &mut Properties) -> Option<()> {
    let (property, value) = word.split_once('=')?;
    let (one, other) = value.split_once('/').unwrap_or((value, value));
    there.set(property, one)?;
    back.set(property, other)
}

/// A number of the smallest unit in the largest that it is whole in.
fn in_units(value: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) = units.iter().find(|(_, factor)| value.is_multiple_of(*factor)).unwrap_or(&("", 1));
    format!("{}{name}", value / factor)
}

fn rate_word(value: u64) -> String {
    // A direction without a limit beside one with a limit has the highest rate that can be written.
    let value = if value == 0 { RATE_BITS_S_MAX } else { value };
    in_units(value, &[("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)])
}

fn time_word(value: u64) -> String {
    in_units(value, &[("s", 1_000_000), ("ms", 1_000), ("us", 1)])
}

fn share_word(value: u64) -> String {
    let text = format!("{}.{:04}", value / 10_000, value % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn queue_word(queue: Option<Queue>) -> String {
    match queue {
        Some(Queue::Packets(packets)) => format!("{packets}p"),
        Some(Queue::Bytes(bytes)) => in_units(bytes, &[("MB", 1_000_000), ("kB", 1_000), ("B", 1)]),
        Some(Queue::TimeUs(us)) => time_word(us),
        // netem's, and what most tools have that do not say.
        None => "1000p".to_owned(),
    }
}

/// The words for both directions; none for an ideal cable.
pub fn words(there: &Properties, back: &Properties) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |name: &str, values: [u64; 2], word: fn(u64) -> String| match values {
        [0, 0] => {}
        [one, other] if one == other => words.push(format!("{name}={}", word(one))),
        [one, other] => words.push(format!("{name}={}/{}", word(one), word(other))),
    };
    add("rate", [there.rate_bits_s, back.rate_bits_s], rate_word);
    add("delay", [there.delay_us, back.delay_us], time_word);
    add("jitter", [there.jitter_us, back.jitter_us], time_word);
    add("loss", [there.loss_ppm, back.loss_ppm], share_word);
    add("dup", [there.dup_ppm, back.dup_ppm], share_word);
    add("corrupt", [there.corrupt_ppm, back.corrupt_ppm], share_word);
    match (there.queue, back.queue) {
        (None, None) => {}
        (one, other) if one == other => words.push(format!("queue={}", queue_word(one))),
        (one, other) => words.push(format!("queue={}/{}", queue_word(one), queue_word(other))),
    }
    words
}
