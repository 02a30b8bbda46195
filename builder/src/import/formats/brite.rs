//! BRITE's topologies, and those of Inet: small generators of internets, small formats of lines.
//!
//! BRITE: `Nodes:` are `id x y in out AS type`, `Edges:` `id from to length delay bandwidth ASfrom ASto type`, delays
//! in milliseconds, bandwidths in megabits a second. Inet: how many nodes and links, then `id x y`, then `from to
//! weight`.

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::{Properties, whole};
use crate::import::topology::{Draft, Kind, Node, Topology};
use vmatic_plan::LinkProperties;
use vmatic_plan::link::{DELAY_US_MAX, RATE_BITS_S_MAX};

fn router(draft: &mut Draft, id: &str, line: usize) -> Result<()> {
    draft.node(id, Node { label: format!("n{id}"), kind: Kind::Router, ..Node::default() }, line).map(drop)
}

/// Reads BRITE's.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let mut draft = Draft::new();
    let mut part = "";
    for (at, content) in text.lines().enumerate() {
        let line = at + 1;
        let fields: Vec<&str> = content.split_ascii_whitespace().collect();
        match (fields.first().copied(), part) {
            (None, _) => {}
            (Some("Nodes:"), _) => part = "nodes",
            (Some("Edges:"), _) => part = "edges",
            (Some("Topology:"), _) => {}
            (Some(first), "") => draft.leave_out(first, line, "how the graph was made is not taken over"),
            (Some(id), "nodes") => {
                router(&mut draft, id, line)?;
                if fields.len() > 1 {
                    draft.leave_out("places and types of nodes", line, "a plane is no place on earth");
                }
            }
            (Some(_), _) => {
                let [_, from, to, rest @ ..] = &fields[..] else {
                    return Err(ImportError::new(line, "an edge needs id, from and to"));
                };
                let number = |at: usize| rest.get(at).and_then(|text| text.parse::<f64>().ok());
                let delay_us = number(1).and_then(|ms| whole(ms * 1e3, DELAY_US_MAX)).unwrap_or(0);
                let rate_bits_s = number(2).and_then(|mbit| whole(mbit * 1e6, RATE_BITS_S_MAX)).unwrap_or(0);
                let (a, b) = (draft.named(from, line)?, draft.named(to, line)?);
                let link = LinkProperties { rate_bits_s, delay_us, ..LinkProperties::default() };
                draft.join(a, b, Properties { link, ..Properties::default() }, line)?;
            }
        }
    }
    Ok(draft.finish())
}

/// Reads Inet's.
pub fn read_inet(text: &str, _: &Options) -> Result<Topology> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.split_ascii_whitespace()));
    let mut lines = lines.by_ref().filter(|(_, fields)| fields.clone().next().is_some());
    let first = lines.next().map(|(_, fields)| fields.map(|field| field.parse::<usize>().ok()).collect::<Vec<_>>());
    let Some([Some(nodes), Some(_)]) = first.as_deref() else {
        return Err(ImportError::new(1, "the first line is not NODES LINKS"));
    };
    let mut draft = Draft::new();
    for (at, (line, mut fields)) in lines.enumerate() {
        let Some(id) = fields.next() else { continue };
        if at < *nodes {
            router(&mut draft, id, line)?;
            continue;
        }
        let other = fields.next().ok_or_else(|| ImportError::new(line, "a link needs two nodes"))?;
        let (a, b) = (draft.named(id, line)?, draft.named(other, line)?);
        draft.join(a, b, Properties::default(), line)?;
        draft.leave_out("weights of links", line, "they are no property of links here");
    }
    Ok(draft.finish())
}
