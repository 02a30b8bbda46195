//! A graph of a file as lines of a network's text: how many nodes and links, then these, a line each.
//!
//! ```text
//! table 3 2
//! core router
//! pc1
//! pc2
//! 0 1 rate=100mbit
//! 0:7 2:1 delay=5ms
//! ```
//!
//! Links name nodes by their place above, from 0, so that the text of 100,000 links is some megabytes.

use super::super::error::NetworkErrorKind as Kind;
use super::super::kinds::NodeKind;
use super::super::line::{self, port};
use super::super::properties;
use super::super::table::{TABLE_LINKS_MAX, TableDraft, TableLink};
use crate::HOSTS_MAX;
use crate::names::HostNames;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

/// Appends the lines of a table.
pub fn encode(table: &TableDraft, text: &mut String) {
    let _ = writeln!(text, "table {} {}", table.names.len(), table.links.len());
    for (at, name) in table.names.iter().enumerate() {
        let kind = table.kinds.get(at).and_then(Option::as_ref);
        let _ = writeln!(text, "{name}{}", kind.map_or_else(String::new, |kind| format!(" {}", kind.word())));
    }
    for link in &table.links {
        let side = |(node, port): (u32, Option<u32>)| match port {
            Some(port) => format!("{node}:{port}"),
            None => node.to_string(),
        };
        let words = properties::words(&link.there, &link.back);
        let _ = writeln!(text, "{}", [&[side(link.a), side(link.b)], &words[..]].concat().join(" "));
    }
}

/// Reads the lines of a table, behind its first, which has these sizes. Nothing is allocated by them.
///
/// # Errors
/// A line is missing, or says something that no table has.
pub fn decode<'a>(sizes: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<TableDraft, Kind> {
    let wrong = |line: &str| Kind::Text(line.to_string());
    let (names, links) = sizes.split_once(' ').ok_or_else(|| wrong(sizes))?;
    let number = |text: &str, max: u32| text.parse::<u32>().ok().filter(|count| *count <= max);
    let names = number(names, HOSTS_MAX).ok_or_else(|| wrong(sizes))?;
    let links = number(links, TABLE_LINKS_MAX).ok_or_else(|| wrong(sizes))?;
    let mut next = || lines.next().ok_or_else(|| Kind::Text("a table has fewer lines than it says".to_string()));
    let mut table = TableDraft::default();
    for _ in 0..names {
        let line = next()?;
        let (name, kind) = line.split_once(' ').map_or((line, None), |(name, kind)| (name, Some(kind)));
        let single = HostNames::parse(name).is_ok_and(|names| names.len() == 1 && names.to_string() == name);
        if !single || kind.is_some_and(|kind| kind.is_empty() || kind.contains(' ')) {
            return Err(wrong(line));
        }
        table.names.push(name.to_string());
        table.kinds.push(kind.map(NodeKind::of));
    }
    let mut sorted: Vec<&String> = table.names.iter().collect();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(wrong(twice[0]));
    }
    for _ in 0..links {
        let line = next()?;
        table.links.push(link(line, names).ok_or_else(|| wrong(line))?);
    }
    Ok(table)
}

fn link(line: &str, nodes: u32) -> Option<TableLink> {
    let mut words = line::words(line).map(|(_, word)| word);
    let mut side = || {
        let word = words.next()?;
        let (node, number) = word.split_once(':').map_or((word, None), |(node, number)| (node, Some(number)));
        let plain = node.bytes().all(|byte| byte.is_ascii_digit());
        let node = node.parse().ok().filter(|node| plain && *node < nodes)?;
        Some((node, number.map_or(Some(None), |number| port(number).map(Some))?))
    };
    let (a, b) = (side()?, side()?);
    let rest: Vec<&str> = words.collect();
    let (there, back) = line::properties(&rest.join(" ")).ok()?;
    (a.0 != b.0).then_some(TableLink { a, b, there, back })
}
