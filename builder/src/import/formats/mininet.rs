//! What Mininet's commands `net` and `dump` print: links from `net`, kinds and addresses from `dump`.
//!
//! `h1 h1-eth0:s1-eth1` is a link, said at both ends; `<Host h1: h1-eth0:10.0.0.1 pid=7>` a node. Mininet does not
//! print prefixes: addresses get /8, its default.

use std::collections::HashSet;

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::Properties;
use crate::import::topology::{Address, Draft, Kind, Node, Topology};

/// Reads what was printed.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let mut draft = Draft::new();
    let lines =
        || text.lines().enumerate().map(|(at, line)| (at + 1, line.trim().trim_start_matches("mininet>").trim()));
    for (line, content) in lines() {
        if let Some(dump) = content.strip_prefix('<') {
            read_dump(&mut draft, dump, line)?;
        }
    }
    // All nodes first: a link's other end is a word of a line.
    let net = || lines().filter(|(_, content)| !content.starts_with('<') && content.contains(':'));
    for (line, content) in net() {
        let mut words = content.split_ascii_whitespace();
        let Some(name) = words.next().filter(|name| !name.contains(':')) else {
            return Err(ImportError::new(line, "this is no line of `net` or `dump`").help("remove it"));
        };
        if draft.find(name).is_none() {
            // Only what switches has a loopback among its links.
            let kind = if words.any(|word| word.starts_with("lo:")) { Kind::Switch } else { Kind::Guest };
            draft.node(name, Node { label: name.to_owned(), kind, ..Node::default() }, line)?;
        }
    }
    let mut seen = HashSet::new();
    for (line, content) in net() {
        let name = content.split_ascii_whitespace().next().unwrap_or("");
        for (own, other) in content.split_ascii_whitespace().skip(1).filter_map(|word| word.split_once(':')) {
            if own == "lo" || other.is_empty() || !seen.insert((own.min(other), own.max(other))) {
                continue;
            }
            let (a, b) = (draft.named(name, line)?, owner(&draft, other, line)?);
            draft.join(a, b, Properties::default(), line)?;
        }
    }
    Ok(draft.finish())
}

/// The node of an interface: its name up to one of its hyphens.
fn owner(draft: &Draft, interface: &str, line: usize) -> Result<usize> {
    let ends = interface.match_indices('-').map(|(at, _)| at);
    let found = ends.rev().find_map(|at| draft.find(&interface[..at]));
    found.ok_or_else(|| {
        ImportError::new(line, format!("no node has the interface {interface:?}"))
            .help("give the whole output of `net`")
    })
}

fn read_dump(draft: &mut Draft, text: &str, line: usize) -> Result<()> {
    let (Some((class, rest)), true) = (text.split_once(' '), text.contains(':')) else {
        return Err(ImportError::new(line, "this is no line of `dump`").help("remove it"));
    };
    let (name, interfaces) = rest.split_once(':').unwrap_or((rest, ""));
    let name = name.split('{').next().unwrap_or(name).trim();
    if class.contains("Controller") || class == "NOX" || class.starts_with("Ryu") {
        draft.leave_out("controller", line, "segments learn by themselves");
        return Ok(());
    }
    let kind = if class.contains("Switch") || class.contains("Bridge") { Kind::Switch } else { Kind::Guest };
    let node = draft.node(name, Node { label: name.to_owned(), kind, ..Node::default() }, line)?;
    let interfaces = interfaces.split_ascii_whitespace().next().unwrap_or("");
    for (_, address) in interfaces.split(',').filter_map(|one| one.split_once(':')) {
        if kind == Kind::Guest && address != "None" {
            draft.address(node, Address::new(address, "8"), address, line);
        }
    }
    Ok(())
}
