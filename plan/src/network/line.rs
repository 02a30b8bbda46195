//! A link line: `core[1-2] dist[1-4] each=all rate=1gbit delay=1ms`.
//!
//! Takes the text of a spec; gives the two sides, how they are joined, and the properties. What is wrong comes with its
//! place in the text.

use super::error::{LineError, NetworkErrorKind as Kind};
use super::properties::{self, Properties};
use crate::names::HostNames;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Highest port that a link line may name: what a network's identifier has room for (8 bits of a VNI).
pub const PORT_MAX: u32 = 255;

/// One side of a link line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineSide {
    /// The nodes.
    pub nodes: HostNames,
    /// The port of each, if the line says.
    pub port: Option<u32>,
}

/// How the nodes of two sides are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// The first with the first, the second with the second.
    Pair,
    /// Everyone with everyone.
    All,
    /// Each of the smaller side with a block of the larger.
    Share,
}

impl Each {
    const TABLE: [(&'static str, Each); 3] = [("pair", Each::Pair), ("all", Each::All), ("share", Each::Share)];

    /// The word in a link line.
    pub fn word(self) -> &'static str {
        Each::TABLE.iter().find(|(_, each)| *each == self).map_or("", |(word, _)| word)
    }
}

/// A link line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The first side.
    pub a: LineSide,
    /// The second.
    pub b: LineSide,
    /// How they are joined, if the line says.
    pub each: Option<Each>,
    /// From the first to the second.
    pub there: Properties,
    /// From the second to the first.
    pub back: Properties,
}

/// The words of a text, with their places.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Where a word begins is where it lies in the text.
    text.split_ascii_whitespace().map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

fn wrong<T>(at: Range<usize>, kind: Kind) -> Result<T, LineError> {
    Err(LineError { at, kind })
}

/// Reads a port's number.
pub fn port(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| plain && (1..=PORT_MAX).contains(port))
}

fn side(at: usize, word: &str) -> Result<LineSide, LineError> {
    let (names, number) = match word.split_once(':') {
        None => (word, None),
        Some((names, text)) => {
            let from = at + names.len() + 1;
            let kind = || Kind::Port { text: text.into(), max: PORT_MAX };
            let number = port(text).ok_or_else(|| LineError { at: from..from + text.len(), kind: kind() })?;
            (names, Some(number))
        }
    };
    let nodes = HostNames::parse(names);
    let nodes = nodes.map_err(|e| LineError { at: at + e.at..at + names.len(), kind: Kind::Names(e.kind) })?;
    Ok(LineSide { nodes, port: number })
}

/// Reads the properties of a link alone, as the shapes of a spec have them.
///
/// # Errors
/// A word is no property, has no value that it can have, or stands twice.
pub fn properties(text: &str) -> Result<(Properties, Properties), LineError> {
    let line = rest(words(text), false)?;
    Ok((line.1, line.2))
}

type Rest = (Option<Each>, Properties, Properties);

fn rest<'a>(words: impl Iterator<Item = (usize, &'a str)>, may_join: bool) -> Result<Rest, LineError> {
    let (mut each, mut there, mut back) = (None, Properties::default(), Properties::default());
    let mut seen: Vec<&str> = Vec::new();
    for (at, word) in words {
        let place = at..at + word.len();
        let name = word.split('=').next().unwrap_or(word);
        if seen.contains(&name) {
            return wrong(place, Kind::Twice(name.into()));
        }
        seen.push(name);
        if let Some(value) = word.strip_prefix("each=").filter(|_| may_join) {
            let found = Each::TABLE.iter().find(|(name, _)| *name == value);
            let wanted = "each=pair, each=all or each=share";
            let kind = || Kind::PropertyValue { property: "each", text: value.into(), wanted };
            each = Some(found.ok_or_else(|| LineError { at: place.clone(), kind: kind() })?.1);
        } else if !properties::apply(word, &mut there, &mut back)
            .map_err(|kind| LineError { at: place.clone(), kind })?
        {
            return wrong(place, Kind::Property(word.into()));
        }
    }
    Ok((each, there, back))
}

impl Line {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong first, with its place.
    pub fn parse(text: &str) -> Result<Line, LineError> {
        let mut words = words(text);
        let (Some((a_at, a)), Some((b_at, b))) = (words.next(), words.next()) else {
            return wrong(0..text.len(), Kind::Sides);
        };
        if b.contains('=') {
            return wrong(b_at..b_at + b.len(), Kind::Sides);
        }
        let (a, b) = (side(a_at, a)?, side(b_at, b)?);
        let (each, there, back) = rest(words, true)?;
        Ok(Line { a, b, each, there, back })
    }
}

impl fmt::Display for LineSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nodes.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for Line {
    /// The line as [`Line::parse`] reads it; two spellings of one line are one text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.each.map(|each| format!("each={}", each.word()));
        let words: Vec<String> = each.into_iter().chain(properties::words(&self.there, &self.back)).collect();
        write!(f, "{} {}", self.a, self.b)?;
        words.iter().try_for_each(|word| write!(f, " {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn lines_are_read_and_written() {
        for (text, written) in [
            ("a b", "a b"),
            ("  c:1   d:255 delay=20000us  rate=10mbit ", "c:1 d:255 rate=10mbit delay=20ms"),
            ("core[1-2] dist[1-4] each=all down", "core[1-2] dist[1-4] each=all down"),
            ("a[1-3/2] b[1,2] each=share", "a[1,3] b[1,2] each=share"),
        ] {
            let line = Line::parse(text).unwrap();
            assert_eq!(line.to_string(), written);
            assert_eq!(Line::parse(written), Ok(line));
        }
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, wrong, said) in [
            ("", "", "two sides"),
            ("a", "a", "two sides"),
            ("a rate=1mbit", "rate=1mbit", "two sides"),
            ("a b c", "c", "no property"),
            ("a b[1-", "[1-", "unclosed"),
            ("a:0 b", "0", "ports are 1 to 255"),
            ("a:256 b", "256", "ports are 1 to 255"),
            ("a: b", "", "no port"),
            ("a:+1 b", "+1", "no port"),
            ("a b each=some", "each=some", "each cannot be \"some\""),
            ("a b rate=1", "rate=1", "rate"),
            ("a b rate=1mbit rate=2mbit", "rate=2mbit", "twice"),
        ] {
            let error = Line::parse(text).unwrap_err();
            assert_eq!(&text[error.at.clone()], wrong, "{text}: {error}");
            assert!(error.to_string().contains(said) && !error.kind.remedy().is_empty(), "{text}: {error}");
        }
        assert_eq!(properties("each=all").unwrap_err().at, 0..8, "shapes are joined already");
    }
}
