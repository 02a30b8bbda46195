//! Node paths: the text with which people name nodes.
//!
//! Takes `HOSTS/GUESTS` expressions against a plan: `17`, `17/3`, `1-1000/.`,
//! `./.`, `dn[4-11]/[1,3]`, `dn4-g2`, joined from left to right by `,` (and),
//! `!` (without), `&` (only those also in) and `^` (in one of both), as
//! ClusterShell's users know them; in brackets also with steps, `[1-9/2]`. Gives a [`NodeSet`], or where the mistake
//! is.

use crate::error::{PathError, PathErrorKind as Kind};
use crate::plan::Plan;
use crate::sets::{NodeSet, RangeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most characters of an expression.
const EXPRESSION_MAX_BYTES: usize = 64 * 1024;
/// Most numbers that the steps of one expression may name: each is a range of its own.
const STEPPED_MAX: usize = 16 * 1024;
/// Longest text of guests that is said again with what was meant for their hosts.
const MEANT_MAX_BYTES: usize = 64;

fn wrong<T>(at: usize, kind: Kind) -> Result<T, PathError> {
    Err(PathError { at, kind })
}

/// The nodes of `plan` that `expression` names. Naming a node that the plan does not have is an error.
pub fn parse_nodes(expression: &str, plan: &Plan) -> Result<NodeSet, PathError> {
    if expression.len() > EXPRESSION_MAX_BYTES {
        return wrong(EXPRESSION_MAX_BYTES, Kind::TooLong { bytes_max: EXPRESSION_MAX_BYTES });
    }
    let mut set = NodeSet::new();
    let mut reader = Reader { plan, stepped_left: STEPPED_MAX };
    for (at, operator, term) in split_terms(expression) {
        let nodes = reader.term(at, term)?;
        set = match operator {
            '!' => set.difference(&nodes),
            '&' => set.intersection(&nodes),
            '^' => set.union(&nodes).difference(&set.intersection(&nodes)),
            _ => set.union(&nodes),
        };
    }
    Ok(set)
}

/// The terms with the operator before each (a comma before the first) and their offsets.
fn split_terms(text: &str) -> Vec<(usize, char, &str)> {
    let (mut parts, mut depth, mut start, mut operator) = (Vec::new(), 0i32, 0, ',');
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' | '!' | '&' | '^' if depth <= 0 => {
                parts.push((start, operator, &text[start..i]));
                (start, operator) = (i + 1, c);
            }
            _ => {}
        }
    }
    parts.push((start, operator, &text[start..]));
    parts
}

/// Reads terms against a plan.
struct Reader<'a> {
    plan: &'a Plan,
    /// How many numbers steps may name yet.
    stepped_left: usize,
}

impl Reader<'_> {
    fn term(&mut self, at: usize, term: &str) -> Result<NodeSet, PathError> {
        let trimmed = term.trim();
        let at = at + (term.len() - term.trim_start().len());
        if trimmed.is_empty() {
            return wrong(at, Kind::Missing);
        }
        let Some(slash) = outer_slash(trimmed) else { return self.term_without_slash(at, trimmed) };
        let (hosts, guests) = (&trimmed[..slash], &trimmed[slash + 1..]);
        let host_numbers = self.hosts(at, hosts, Some(guests))?;
        let members = match guests {
            "." => RangeSet::span(1, self.plan.guests_per_host),
            _ => self.guests(at + slash + 1, guests)?,
        };
        Ok(NodeSet::product(&host_numbers, &members))
    }

    /// Hosts, or names of guests.
    fn term_without_slash(&mut self, at: usize, text: &str) -> Result<NodeSet, PathError> {
        if let Some(node) = self.plan.node_by_name(text) {
            return Ok(NodeSet::one(node));
        }
        // `dn[4-5]-g[1-4]`, as names of guests are printed folded.
        let guests_at = match text.rsplit_once("-g[") {
            Some((names, _)) if text.ends_with(']') => Some((names.len(), names.len() + 2)),
            _ => text.rsplit_once("]-g").map(|(names, _)| (names.len() + 1, names.len() + 3)),
        };
        if let Some((end, guests_at)) = guests_at {
            let members = self.guests(at + guests_at, &text[guests_at..])?;
            return Ok(NodeSet::product(&self.hosts(at, &text[..end], None)?, &members));
        }
        Ok(NodeSet::product(&self.hosts(at, text, None)?, &RangeSet::span(0, 0)))
    }

    fn hosts(&mut self, at: usize, text: &str, guests: Option<&str>) -> Result<RangeSet, PathError> {
        let plan = self.plan;
        match text.bytes().next() {
            _ if text == "." => Ok(plan.all_hosts()),
            None => wrong(at, Kind::NoHosts),
            Some(b'0'..=b'9' | b'[') => {
                let (last, named) = (plan.host_count(), numbers(at, text, &mut self.stepped_left)?);
                within(at, &named, last, |hosts| {
                    let short = guests.is_none_or(|guests| guests.len() <= MEANT_MAX_BYTES);
                    let meant = plan.hosts.meant_by(&named).filter(|_| short);
                    let meant = meant.map(|hosts| hosts + &guests.map_or_else(String::new, |text| format!("/{text}")));
                    Kind::NoSuchHost { last, hosts, meant }
                })
            }
            Some(_) => plan.hosts.numbers(text).map_err(|e| PathError { at: at + e.at, kind: Kind::Name(e.kind) }),
        }
    }

    fn guests(&mut self, at: usize, text: &str) -> Result<RangeSet, PathError> {
        let last = self.plan.guests_per_host;
        let guests = numbers(at, text, &mut self.stepped_left)?;
        within(at, &guests, last, |guests| Kind::NoSuchGuest { last, guests })
    }
}

/// Where the slash is that stands between hosts and guests: one in brackets is a step's.
fn outer_slash(text: &str) -> Option<usize> {
    let mut depth = 0i32;
    text.bytes().position(|byte| {
        depth += i32::from(byte == b'[') - i32::from(byte == b']');
        byte == b'/' && depth <= 0
    })
}

/// Refuses numbers that the plan does not have: a typing error must not shrink silently to nothing.
fn within(at: usize, set: &RangeSet, last: u32, why: impl Fn(RangeSet) -> Kind) -> Result<RangeSet, PathError> {
    let outside = set.difference(&RangeSet::span(1, last));
    if outside.is_empty() { Ok(set.clone()) } else { wrong(at, why(outside)) }
}

/// Numbers as people write them, `3`, `1-4`, `1-9/2` or `[1-4,7]`; `at` is where the text begins, for errors.
pub fn parse_numbers(at: usize, text: &str) -> Result<RangeSet, PathError> {
    numbers(at, text, &mut STEPPED_MAX.clone())
}

fn numbers(at: usize, text: &str, stepped_left: &mut usize) -> Result<RangeSet, PathError> {
    let (mut start, list) = match text.strip_prefix('[') {
        None => (at, text),
        Some(rest) => match rest.strip_suffix(']') {
            Some(list) => (at + 1, list),
            None => return wrong(at, Kind::Unclosed),
        },
    };
    let mut ranges = Vec::new();
    for item in list.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| match text.parse::<u32>() {
            Ok(n) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            _ => wrong(start, Kind::NotANumber(item.into())),
        };
        let (a, b) = (number(first)?, number(last)?);
        if a > b {
            return wrong(start, Kind::Backwards { first: a, last: b });
        }
        match step.map(number).transpose()? {
            None => ranges.push((a, b)),
            Some(step) if step == 0 || !range.contains('-') => return wrong(start, Kind::Step(item.into())),
            Some(1) => ranges.push((a, b)),
            Some(step) => {
                let count = ((b - a) / step) as usize + 1;
                let Some(left) = stepped_left.checked_sub(count) else {
                    return wrong(start, Kind::StepTooWide { max: STEPPED_MAX });
                };
                *stepped_left = left;
                ranges.extend((a..=b).step_by(step as usize).map(|n| (n, n)));
            }
        }
        start += item.len() + 1;
    }
    Ok(RangeSet::from_ranges(ranges))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GuestId, HostId, HostNames, Node};
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn plan() -> Plan {
        Plan { guests_per_host: 9, fanout: 4, ..Plan::new("t", HostNames::parse("dn[4-11,16-19]").unwrap()) }
    }

    #[test]
    fn what_people_write() {
        for (text, folded) in [
            ("7", "7"),
            ("7/3", "7/3"),
            ("1-10/.", "1-10/1-9"),
            ("./.", "1-12/1-9"),
            (".", "1-12"),
            (".,./.", "1-12,1-12/1-9"),
            ("dn[4-11,16-19]", "1-12"),
            ("dn16/[1,3-4]", "9/[1,3-4]"),
            ("dn4-g2,dn5", "2,1/2"),
            ("dn[4-5]-g[1-3,9]", "1-2/[1-3,9]"),
            ("dn[4-5]-g7,dn16-g[1-2]", "1-2/7,9/1-2"),
            ("./.!3-12/.", "1-2/1-9"),
            (".!1-11", "12"),
            ("1-4&3-6", "3-4"),
            ("1-4^3-6", "1-2,5-6"),
            ("[1,3]/2, 5", "5,[1,3]/2"),
            ("1!1", ""),
            // Steps, and digits beside a range, as ClusterShell's users write them.
            ("dn[4-11/2]", "1,3,5,7"),
            ("dn1[0-1,6-9]", "7-12"),
            ("dn[4-11/3]/[1-9/4]", "[1,4,7]/[1,5,9]"),
            ("[1-12/5]", "1,6,11"),
            ("[1-12/5]/3", "[1,6,11]/3"),
            ("2/1-9/4", "2/[1,5,9]"),
            ("1-4/2", "1-4/2"),
            ("dn[4-5]-g[1-9/3]", "1-2/[1,4,7]"),
            ("[2-5/1]", "2-5"),
        ] {
            assert_eq!(parse_nodes(text, &plan()).unwrap().to_string(), folded, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_where_they_are() {
        for (text, at, part) in [
            ("13", 0, "hosts 1-12, not host 13"),
            ("1/10", 2, "guests 1-9, not guest 10"),
            ("1,,2", 2, "missing"),
            ("", 0, "missing"),
            ("/3", 0, "hosts are missing"),
            ("dn12", 0, "no host is called dn12"),
            ("4-1", 0, "runs backwards"),
            ("1/[2", 2, "unclosed"),
            ("1/0", 2, "not guest 0"),
            ("1-x", 0, "not a number"),
            ("1,[3-9/0]", 3, "a step is a number from 1 behind a range"),
            ("[3/2]", 1, "a step is a number from 1 behind a range"),
            ("[1-9/x]", 1, "not a number"),
            ("[0-4294967295/2]", 1, "at most 16384 numbers"),
            ("[1-32767/2]", 0, "not host 13,15,17,19,21,23,25,27 and 16370 more"),
            ("[1-32769/2]", 1, "at most 16384 numbers"),
            ("1/[1-9/2],dn4/[0-32760/2]", 15, "at most 16384 numbers"),
            ("dn[4-11/0]", 3, "a step is a number from 1"),
        ] {
            let e = parse_nodes(text, &plan()).unwrap_err();
            assert!(e.to_string().contains(part), "{text}: {e}");
            assert_eq!(e.at, at, "{text}");
        }
    }

    #[test]
    fn numbers_of_names_are_said_to_be_names() {
        let plan =
            Plan { guests_per_host: 9, ..Plan::new("t", HostNames::parse("dn[4-6],gw[04-05],r[1-2]n7").unwrap()) };
        for (text, meant) in [("16/1", None), ("12", None), ("4-9", None), ("1-9999999/2", None), ("[4,12]/2", None)] {
            let error = parse_nodes(text, &plan).unwrap_err().to_string();
            assert_eq!(error.split("did you mean ").nth(1), meant, "{text}: {error}");
        }
        let plan = Plan { hosts: HostNames::parse("dn[4-6]").unwrap(), ..plan };
        for (text, meant) in [("4/1", "dn4/1"), ("4-6/.", "dn[4-6]/."), ("[4,6]", "dn[4,6]"), ("5", "dn5")] {
            let error = parse_nodes(text, &plan).unwrap_err().to_string();
            assert!(error.ends_with(&format!("numbers count from 1, did you mean {meant}?")), "{text}: {error}");
        }
        // 3 is host 3, and no host is called 3.
        assert_eq!(parse_nodes("3/1", &plan).unwrap().to_string(), "3/1");
    }

    #[test]
    fn a_plan_without_guests_says_so() {
        let e = parse_nodes("1/3", &Plan { guests_per_host: 0, ..plan() }).unwrap_err();
        assert_eq!(e.to_string(), "the plan has no guests, and so not guest 3");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(nodes in proptest::collection::vec((1u32..13, 0u32..10), 1..40)) {
            let mut set = NodeSet::new();
            for (host, guest) in nodes {
                set.insert(Node::guest(HostId(host), GuestId(guest)));
            }
            prop_assert_eq!(&parse_nodes(&set.to_string(), &plan()).unwrap(), &set);
            prop_assert_eq!(parse_nodes(&plan().fold_names(&set), &plan()).unwrap(), set);
        }

        #[test]
        fn no_text_panics(text in "[dng0-9./,!&^\\[\\] -]{0,30}") {
            let _ = parse_nodes(&text, &plan());
        }
    }
}
