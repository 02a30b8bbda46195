//! The properties of a link's direction as other tools write them: more units, and blanks before them, than link lines
//! have. Those are the plan's, and so are the words that are written.

use vmatic_plan::link::{DELAY_US_MAX, LOSS_PPM_MAX, RATE_BITS_S_MAX};
pub use vmatic_plan::network::{Properties, Queue, words};
use vmatic_plan::network::{QUEUE_BYTES_MAX, QUEUE_PACKETS_MAX};

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
    // Each limit fits.
    let packets = measure(text, &[("p", 1.0)], QUEUE_PACKETS_MAX).map(|packets| Queue::Packets(packets as u32));
    let bytes = || measure(text, &[("B", 1.0), ("kB", 1e3), ("MB", 1e6)], QUEUE_BYTES_MAX);
    packets.or_else(|| Some(Queue::Bytes(bytes()? as u32))).or_else(|| Some(Queue::TimeUs(time(text)? as u32)))
}

/// Sets what a word of link lines says, and tells whether it is one.
fn set(properties: &mut Properties, property: &str, text: &str) -> Option<()> {
    match property {
        // The highest rate slows nothing down.
        "rate" => properties.link.rate_bits_s = rate(text)? % RATE_BITS_S_MAX,
        "delay" => properties.link.delay_us = time(text)?,
        "jitter" => properties.jitter_us = time(text)?,
        "loss" => properties.link.loss_ppm = percent(text)?,
        "dup" => properties.dup_ppm = percent(text)?,
        "corrupt" => properties.corrupt_ppm = percent(text)?,
        "queue" => properties.queue = queue(text)?,
        _ => return None,
    }
    Some(())
}

/// Sets what a word says, there and back; None where it says nothing of a link.
pub fn apply(word: &str, there: &mut Properties, back: &mut Properties) -> Option<()> {
    let (property, value) = word.split_once('=')?;
    let (one, other) = value.split_once('/').unwrap_or((value, value));
    set(there, property, one)?;
    set(back, property, other)
}
