//! The properties of a network's link: what a cable does to frames, each direction on its own.
//!
//! Takes the words of a link line (`rate=16mbit/1mbit delay=20ms jitter=1ms`); where the directions differ, a slash
//! stands between there and back. The words are those of `vmatic link set`, and some that only networks have.

use super::error::NetworkErrorKind as Kind;
use crate::link::{self, LinkProperties};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Least MTU of a link: IPv6 goes over no smaller one (RFC 8200, 5).
pub const MTU_MIN: u16 = 1280;
/// Most MTU of a link: what fits a jumbo frame.
pub const MTU_MAX: u16 = 9216;
/// Most frames, most bytes, and most microseconds of frames that a queue may hold.
pub const QUEUE_PACKETS_MAX: u64 = 1_000_000;
/// See [`QUEUE_PACKETS_MAX`].
pub const QUEUE_BYTES_MAX: u64 = 1 << 30;

/// Most frames that are lost one after another, in the mean.
pub const BURST_MAX: u16 = 1000;

/// How much waits before a link that is busy; what comes then is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Queue {
    /// As much as the link needs to be busy.
    #[default]
    Computed,
    /// So many frames.
    Packets(u32),
    /// So many bytes.
    Bytes(u32),
    /// What the link sends in so many microseconds.
    TimeUs(u32),
}

/// The properties of one direction of a link. All zero: an ideal cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Properties {
    /// Rate, delay and loss.
    pub link: LinkProperties,
    /// How many frames are lost one after another, in the mean, where any are; below 2 each is lost on its own.
    pub burst: u16,
    /// Most microseconds that a frame's delay differs from the link's; frames keep their order.
    pub jitter_us: u64,
    /// Frames of a million that arrive twice.
    pub dup_ppm: u64,
    /// Frames of a million that arrive with a bit changed.
    pub corrupt_ppm: u64,
    /// Frames of a million that overtake others.
    pub reorder_ppm: u64,
    /// What waits.
    pub queue: Queue,
    /// The largest packet in bytes; 0 is the network's.
    pub mtu: u16,
    /// Whether the link is down when the network starts.
    pub down: bool,
}

impl Properties {
    /// Whether each is within its limit: what was decoded may not be.
    pub fn is_valid(&self) -> bool {
        let shares = [self.dup_ppm, self.corrupt_ppm, self.reorder_ppm];
        let queue = match self.queue {
            Queue::Computed => true,
            Queue::Packets(packets) => u64::from(packets) <= QUEUE_PACKETS_MAX,
            Queue::Bytes(bytes) => u64::from(bytes) <= QUEUE_BYTES_MAX,
            Queue::TimeUs(us) => u64::from(us) <= link::DELAY_US_MAX,
        };
        self.link.is_valid()
            && queue
            && self.jitter_us <= link::DELAY_US_MAX
            && self.burst <= BURST_MAX
            && shares.iter().all(|share| *share <= link::LOSS_PPM_MAX)
            && (self.mtu == 0 || (MTU_MIN..=MTU_MAX).contains(&self.mtu))
    }
}

/// Sets what one word says, there and back; nothing is set where the word is none of ours.
///
/// # Errors
/// The word is a property's, and its value is none that it can have.
pub fn apply(word: &str, there: &mut Properties, back: &mut Properties) -> Result<bool, Kind> {
    if word == "down" {
        (there.down, back.down) = (true, true);
        return Ok(true);
    }
    let Some((property, value)) = word.split_once('=') else { return Ok(false) };
    let (one, other) = value.split_once('/').unwrap_or((value, value));
    for (properties, text) in [(there, one), (back, other)] {
        if !set(property, text, properties)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn set(property: &str, text: &str, properties: &mut Properties) -> Result<bool, Kind> {
    const TIME: [(&str, u64); 3] = [("us", 1), ("ms", 1_000), ("s", 1_000_000)];
    let link = &mut properties.link;
    let ppm = |text: &str| link::measure(text, &[("%", link::LOSS_PPM_MAX / 100)], link::LOSS_PPM_MAX);
    let wrong = |property, wanted| Kind::PropertyValue { property, text: text.into(), wanted };
    let share = |property| ppm(text).ok_or_else(|| wrong(property, "a share like 1% or 0.05%"));
    match property {
        "rate" => {
            let units = [("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
            let rate = link::measure(text, &units, link::RATE_BITS_S_MAX).filter(|bits| *bits > 0);
            link.rate_bits_s =
                rate.ok_or_else(|| wrong("rate", "a rate like 64kbit, 10mbit or 1gbit, at most 1000gbit"))?;
        }
        "delay" | "jitter" => {
            let name = if property == "delay" { "delay" } else { "jitter" };
            let time = link::measure(text, &TIME, link::DELAY_US_MAX);
            let time = time.ok_or_else(|| wrong(name, "a time like 500us, 20ms or 1.5s, at most 60s"))?;
            *(if name == "delay" { &mut link.delay_us } else { &mut properties.jitter_us }) = time;
        }
        "loss" => link.loss_ppm = share("loss")?,
        "burst" => {
            let burst = text.parse().ok().filter(|burst| (1..=BURST_MAX).contains(burst));
            properties.burst = burst.ok_or_else(|| wrong("burst", "how many frames in a row, from 1 to 1000"))?;
        }
        "dup" => properties.dup_ppm = share("dup")?,
        "corrupt" => properties.corrupt_ppm = share("corrupt")?,
        "reorder" => properties.reorder_ppm = share("reorder")?,
        "queue" => {
            properties.queue =
                queue(text).ok_or_else(|| wrong("queue", "frames, bytes or a time: 100p, 64kB, 50ms"))?;
        }
        "mtu" => {
            let mtu = text.parse().ok().filter(|mtu| (MTU_MIN..=MTU_MAX).contains(mtu));
            properties.mtu = mtu.ok_or_else(|| wrong("mtu", "a number of bytes from 1280 to 9216"))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn queue(text: &str) -> Option<Queue> {
    let packets = link::measure(text, &[("p", 1)], QUEUE_PACKETS_MAX).map(|n| Queue::Packets(n as u32));
    let bytes = || link::measure(text, &[("B", 1), ("kB", 1_000), ("MB", 1_000_000)], QUEUE_BYTES_MAX);
    let time = || link::measure(text, &[("us", 1), ("ms", 1_000), ("s", 1_000_000)], link::DELAY_US_MAX);
    packets.or_else(|| Some(Queue::Bytes(bytes()? as u32))).or_else(|| Some(Queue::TimeUs(time()? as u32)))
}

/// The words for both directions, which `apply` reads; none for an ideal cable.
pub fn words(there: &Properties, back: &Properties) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |name: &str, [one, other]: [Option<String>; 2], zero: &str| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| zero.into());
        if one == other {
            words.extend(one.map(|value| format!("{name}={value}")));
        } else {
            words.push(format!("{name}={}/{}", text(&one), text(&other)));
        }
    };
    let both = |of: fn(&Properties) -> Option<String>| [of(there), of(back)];
    // A direction without a limit beside one with a limit has the highest rate that can be written.
    add("rate", both(|p| some(p.link.rate_bits_s, rate)), "1000gbit");
    add("delay", both(|p| some(p.link.delay_us, time)), "0us");
    add("jitter", both(|p| some(p.jitter_us, time)), "0us");
    add("loss", both(|p| some(p.link.loss_ppm, share)), "0%");
    add("burst", both(|p| some(p.burst.into(), |burst| format!("{burst}"))), "1");
    add("dup", both(|p| some(p.dup_ppm, share)), "0%");
    add("corrupt", both(|p| some(p.corrupt_ppm, share)), "0%");
    add("reorder", both(|p| some(p.reorder_ppm, share)), "0%");
    add("queue", both(|p| (p.queue != Queue::Computed).then(|| format!("{}", p.queue))), "0p");
    add("mtu", both(|p| some(p.mtu.into(), |mtu| format!("{mtu}"))), "1500");
    if there.down {
        words.push("down".into());
    }
    words
}

fn some(value: u64, text: fn(u64) -> String) -> Option<String> {
    (value > 0).then(|| text(value))
}

/// A number in the largest of these units that leaves nothing over.
fn unit(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().find(|(_, size)| value.is_multiple_of(*size));
    fitting.map_or_else(String::new, |(name, size)| format!("{}{name}", value / size))
}

fn rate(bits: u64) -> String {
    unit(bits, &[("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)])
}

/// A time as people write it: `20ms`.
pub fn time(us: u64) -> String {
    unit(us, &[("s", 1_000_000), ("ms", 1_000), ("us", 1)])
}

fn share(ppm: u64) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Queue::Computed => Ok(()),
            Queue::Packets(packets) => write!(f, "{packets}p"),
            Queue::Bytes(bytes) => f.write_str(&unit((*bytes).into(), &[("MB", 1_000_000), ("kB", 1_000), ("B", 1)])),
            Queue::TimeUs(us) => f.write_str(&time((*us).into())),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn read(text: &str) -> Result<(Properties, Properties), String> {
        let mut both = (Properties::default(), Properties::default());
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match apply(word, &mut both.0, &mut both.1) {
                Ok(true) => {}
                Ok(false) => return Err(word.into()),
                Err(kind) => return Err(std::format!("{kind}: {}", kind.remedy())),
            }
        }
        Ok(both)
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "",
            "rate=16mbit/1mbit delay=20ms jitter=1ms loss=0.5%",
            "loss=1% burst=8/1",
            "rate=1gbit dup=1% corrupt=0.0001% reorder=100% queue=50ms mtu=9000 down",
            "delay=1500us/2s queue=64kB/100p mtu=1500/1400",
            "queue=0p",
        ] {
            let (there, back) = read(text).unwrap();
            let written = words(&there, &back).join(" ");
            assert_eq!(written, text);
            assert_eq!(read(&written), Ok((there, back)));
        }
        let (there, back) = read("rate=1mbit/1000gbit loss=0%/1%").unwrap();
        assert_eq!((there.link.loss_ppm, back.link.loss_ppm), (0, 10_000));
    }

    #[test]
    fn what_a_property_cannot_be_is_refused() {
        for text in [
            "rate=0bit",
            "delay=61s",
            "jitter=x",
            "loss=101%",
            "queue=-1p",
            "queue=1",
            "mtu=1279",
            "mtu=9217",
            "burst=0",
            "burst=1001",
        ] {
            let (name, value) = text.split_once('=').unwrap();
            let said = read(text).unwrap_err();
            assert!(said.contains(value) && said.contains(name) && said.contains("write"), "{said}");
        }
        for text in ["speed=1", "up", "rate"] {
            assert_eq!(read(text), Err(text.into()));
        }
        assert!(read("mtu=1280 delay=60s loss=100%").is_ok());
    }
}
