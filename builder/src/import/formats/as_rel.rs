//! The relations of autonomous systems as CAIDA publishes them: `1|2|-1`, 1 is the provider of 2; 0 peers; 2 siblings.
//!
//! A line is a link of two computed routers; the relation itself is left out, since computed routes know no policy.

use std::collections::HashSet;

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::Properties;
use crate::import::topology::{Draft, Kind, Topology};

/// Reads a file.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let mut draft = Draft::new();
    let mut seen = HashSet::new();
    for (at, content) in text.lines().enumerate() {
        let line = at + 1;
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let mut fields = content.split('|').map(str::trim);
        let mut number = || fields.next()?.parse::<u32>().ok();
        let (Some(one), Some(other)) = (number(), number()) else {
            return Err(ImportError::new(line, "this is no AS|AS|RELATION").help("remove the line"));
        };
        let relation = match fields.next() {
            Some("-1") => "relation -1 (provider)",
            Some("0") => "relation 0 (peer)",
            Some("1" | "2") => "relation 2 (sibling)",
            _ => return Err(ImportError::new(line, "its relation is none of -1, 0 and 2").help("remove the line")),
        };
        if !seen.insert((one.min(other), one.max(other))) {
            draft.leave_out("a pair that stands there again", line, "two systems have one link here");
            continue;
        }
        draft.leave_out(relation, line, "computed routes know no policy: every link carries everything");
        let [a, b] = [one, other].map(|number| {
            let node = draft.node_or_new(&format!("as{number}"), Kind::Router, line)?;
            draft.topology.nodes[node].number = Some(number);
            Ok(node)
        });
        draft.join(a?, b?, Properties::default(), line)?;
    }
    Ok(draft.finish())
}
