//! The properties of a guest's network link: its rate, its delay, its loss.
//!
//! Takes the words that an operator writes (`rate=10mbit delay=20ms loss=1%`), on the command line of `vmatic link` and
//! in the host image's file of links; gives them back in the smallest units. The console checks them before it sends
//! them, the switch keeps to them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Longest delay of a link, in microseconds: a minute (the moon is 1.3 s away).
pub const DELAY_US_MAX: u64 = 60_000_000;
/// Highest rate of a link, in bits a second: what is faster than this is not slowed down.
pub const RATE_BITS_S_MAX: u64 = 1_000_000_000_000;
/// All of a million: the loss of a link that delivers nothing.
pub const LOSS_PPM_MAX: u64 = 1_000_000;

/// The properties of a link, each direction's own. All zero: an ideal cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkProperties {
    /// Bits a second, at most [`RATE_BITS_S_MAX`]; 0 is unlimited.
    pub rate_bits_s: u64,
    /// Microseconds from one end to the other, once sent; at most [`DELAY_US_MAX`].
    pub delay_us: u64,
    /// Frames of a million that never arrive, at most [`LOSS_PPM_MAX`].
    pub loss_ppm: u64,
}

impl LinkProperties {
    /// Whether each is within its limit: what was decoded may not be.
    pub fn is_valid(&self) -> bool {
        self.rate_bits_s <= RATE_BITS_S_MAX && self.delay_us <= DELAY_US_MAX && self.loss_ppm <= LOSS_PPM_MAX
    }
}

/// What is wrong with the words for a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// A link has no such property.
    NoProperty(String),
    /// No rate, or one beyond [`RATE_BITS_S_MAX`].
    Rate(String),
    /// No delay, or one beyond [`DELAY_US_MAX`].
    Delay(String),
    /// No loss, or more than all.
    Loss(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::NoProperty(word) => {
                write!(f, "{word:?} is no property of a link: write rate=, delay=, loss= or ideal")
            }
            LinkError::Rate(text) => {
                write!(f, "rate={text}: write a rate like 64kbit, 10mbit or 1gbit, at most 1000gbit")
            }
            LinkError::Delay(text) => write!(f, "delay={text}: write a delay like 500us, 20ms or 1.5s, at most 60s"),
            LinkError::Loss(text) => write!(f, "loss={text}: write a loss like 1% or 0.05%"),
        }
    }
}

impl core::error::Error for LinkError {}

impl FromStr for LinkProperties {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<LinkProperties, LinkError> {
        let mut link = LinkProperties::default();
        for word in text.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("rate", value)) => link.rate_bits_s = rate(value)?,
                Some(("delay", value)) => link.delay_us = delay(value)?,
                Some(("loss", value)) => link.loss_ppm = loss(value)?,
                _ if word == "ideal" => link = LinkProperties::default(),
                _ => return Err(LinkError::NoProperty(word.into())),
            }
        }
        Ok(link)
    }
}

impl fmt::Display for LinkProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == LinkProperties::default() {
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
pub(crate) fn measure(text: &str, units: &[(&str, u64)], max: u64) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1;
    let value = number.parse::<f64>().ok()? * factor as f64;
    // Never negative: a minus is no digit.
    (value <= max as f64).then_some((value + 0.5) as u64)
}

fn rate(text: &str) -> Result<u64, LinkError> {
    let units = [("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
    let value = measure(text, &units, RATE_BITS_S_MAX).filter(|bits| *bits > 0);
    value.ok_or_else(|| LinkError::Rate(text.into()))
}

fn delay(text: &str) -> Result<u64, LinkError> {
    let value = measure(text, &[("us", 1), ("ms", 1_000), ("s", 1_000_000)], DELAY_US_MAX);
    value.ok_or_else(|| LinkError::Delay(text.into()))
}

fn loss(text: &str) -> Result<u64, LinkError> {
    let value = measure(text, &[("%", LOSS_PPM_MAX / 100)], LOSS_PPM_MAX);
    value.ok_or_else(|| LinkError::Loss(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn words_are_read_and_written() {
        let link: LinkProperties = "rate=10Mbit delay=1.5ms loss=0.25%".parse().unwrap();
        assert_eq!(link, LinkProperties { rate_bits_s: 10_000_000, delay_us: 1_500, loss_ppm: 2_500 });
        assert_eq!(link.to_string(), "rate=10000000bit delay=1500us loss=0.2500%");
        assert_eq!("rate=1mbit ideal".parse(), Ok(LinkProperties::default()));
        for (good, bad) in [("delay=60s", "delay=61s"), ("loss=100%", "loss=101%"), ("rate=1000gbit", "rate=1001gbit")]
        {
            assert!(good.parse::<LinkProperties>().is_ok_and(|link| link.is_valid()), "{good}");
            let e = bad.parse::<LinkProperties>().unwrap_err().to_string();
            assert!(e.contains(bad) && e.contains("write"), "{e}");
        }
        for bad in ["rate=0bit", "rate=10", "speed=1", "delay=-1ms", "loss=.%", "rate"] {
            assert!(bad.parse::<LinkProperties>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rate in 0..RATE_BITS_S_MAX, delay in 0..DELAY_US_MAX, loss in 0..LOSS_PPM_MAX) {
            let link = LinkProperties { rate_bits_s: rate, delay_us: delay, loss_ppm: loss };
            prop_assert!(link.is_valid());
            prop_assert_eq!(link.to_string().parse(), Ok(link));
        }

        #[test]
        fn no_words_panic(text in "((rate|delay|loss)=[0-9.]{0,25}(bit|gbit|s|us|%|)? ?){0,3}") {
            if let Ok(link) = text.parse::<LinkProperties>() {
                prop_assert!(link.is_valid());
            }
        }
    }
}
