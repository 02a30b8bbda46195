//! Lists of links as text, among them VMatic's own tables of links.
//!
//! `A B`, `A:PORT B:PORT`, then properties in the words of link lines; `A,B` and `A -- B` are read too, and columns
//! that are no properties (weights, numbers) left out. `node NAME [kind=] [at=] [address=]` says what a node is. `#`
//! begins a comment. Without any such line nodes are computed routers, since a list of edges alone is a graph.

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::{self, Properties};
use crate::import::topology::{Address, Draft, End, Kind, Link, Position, Topology};

/// Reads a list.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let content = |line: &str| line.split('#').next().unwrap_or_default().trim().replace([',', ';'], " ");
    let is_node = |line: &str| line.trim_start().starts_with("node ");
    let kind = if text.lines().any(is_node) { Kind::Guest } else { Kind::Router };
    let mut draft = Draft::new();
    for (at, line) in text.lines().enumerate() {
        match is_node(line) {
            // A place has a comma of its own.
            true => node(&mut draft, line.split('#').next().unwrap_or_default(), at + 1, kind)?,
            false => link(&mut draft, &content(line), at + 1, kind)?,
        }
    }
    if draft.topology.links.is_empty() && draft.topology.nodes.is_empty() {
        return Err(ImportError::new(0, "there is no link in it").help("write lines like \"a b delay=5ms\""));
    }
    Ok(draft.finish())
}

fn node(draft: &mut Draft, text: &str, line: usize, kind: Kind) -> Result<()> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let Some(name) = words.next() else { return Err(ImportError::new(line, "a node needs a name")) };
    let node = draft.node_or_new(name, kind, line)?;
    for word in words {
        let wrong = || ImportError::new(line, format!("{word:?} says nothing of a node"));
        match word.split_once('=') {
            Some(("kind", value)) => {
                let known = Kind::WORDS.iter().find(|(other, _)| *other == value);
                let known = known.ok_or_else(|| wrong().help("write kind=guest, router, switch or cloud"))?;
                draft.topology.nodes[node].kind = known.1;
            }
            Some(("at", value)) => {
                let place = value.split_once(',').and_then(|(n, e)| Position::new(n.parse().ok()?, e.parse().ok()?));
                let place = place.ok_or_else(|| wrong().help("write at=LATITUDE,LONGITUDE in degrees"))?;
                draft.topology.nodes[node].at = Some(place);
            }
            Some(("address", value)) => draft.address(node, Address::parse(value), value, line),
            _ => return Err(wrong().help("write kind=, at= or address=")),
        }
    }
    Ok(())
}

fn link(draft: &mut Draft, text: &str, line: usize, kind: Kind) -> Result<()> {
    let mut words = text.split_ascii_whitespace().filter(|word| !["-", "--", "->", "<->", "|"].contains(word));
    let Some(one) = words.next() else { return Ok(()) };
    let Some(other) = words.next() else {
        return Err(ImportError::new(line, "a link needs two nodes").help("write \"a b\""));
    };
    let mut end = |word: &str| {
        let split = word.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u32>().ok()?)));
        let (name, port) = split.map_or((word, None), |(name, port)| (name, Some(port)));
        Ok(End { node: draft.node_or_new(name, kind, line)?, port })
    };
    let (a, b) = (end(one)?, end(other)?);
    let (mut there, mut back) = (Properties::default(), Properties::default());
    let mut other_columns = false;
    for word in words {
        let known = properties::apply(word, &mut there, &mut back);
        if known.is_none() && word.contains('=') {
            let help = "write rate=, delay=, jitter=, loss=, dup=, corrupt= or queue=";
            return Err(ImportError::new(line, format!("{word:?} is no property of a link")).help(help));
        }
        other_columns |= known.is_none();
    }
    if other_columns {
        draft.leave_out("columns behind the two nodes", line, "they are no properties of a link");
    }
    draft.link(Link { a, b, there, back }, line)
}
