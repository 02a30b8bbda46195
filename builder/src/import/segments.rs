//! Segments that a file names at their members: VLANs, collision domains, networks of two or more.
//!
//! One of two members is a cable, one of more a switch; of one alone nothing is left but its note.

use std::collections::BTreeMap;

use super::error::Result;
use super::properties::Properties;
use super::topology::{Draft, End, Kind, Link, Node};

/// A member's end, and the line that says so.
type Member = (End, usize);

/// Segments, by name, in the order in which the file names them first.
#[derive(Debug, Default)]
pub struct Segments {
    numbers: BTreeMap<String, usize>,
    all: Vec<(String, Vec<Member>)>,
}

impl Segments {
    /// Joins an end to a segment.
    pub fn join(&mut self, name: &str, end: End, line: usize) {
        let next = self.all.len();
        let at = *self.numbers.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.all.push((name.to_owned(), Vec::new()));
        }
        self.all[at].1.push((end, line));
    }

    /// Makes the cables and switches.
    pub fn link(self, draft: &mut Draft) -> Result<()> {
        let join = |draft: &mut Draft, a: End, b: End, line| {
            let (there, back) = (Properties::default(), Properties::default());
            draft.link(Link { a, b, there, back }, line)
        };
        for (name, members) in self.all {
            match members[..] {
                [] => {}
                [(_, line)] => draft.leave_out(&format!("segment {name}"), line, "it has one member"),
                [(a, _), (b, line)] => join(draft, a, b, line)?,
                [(_, line), ..] => {
                    let node = Node { label: name.clone(), kind: Kind::Switch, ..Node::default() };
                    let switch = draft.node(&format!("segment {name}"), node, line)?;
                    for (end, line) in members {
                        join(draft, end, End { node: switch, port: None }, line)?;
                    }
                }
            }
        }
        Ok(())
    }
}
