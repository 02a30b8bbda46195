//! Node paths: the text with which people name nodes.
//!
//! Takes `HOSTS/GUESTS` expressions against a plan: `17`, `17/3`, `1-1000/.`,
//! `./.`, `dn[4-11]/[1,3]`, `dn4-g2`, joined from left to right by `,` (and),
//! `!` (without), `&` (only those also in) and `^` (in one of both), as
//! ClusterShell's users know them. Gives a [`NodeSet`], or where the mistake is.

use crate::error::{PathError, PathErrorKind as Kind};
use crate::plan::Plan;
use crate::sets::{NodeSet, RangeSet};
use alloc::vec::Vec;

/// Most characters of an expression.
const EXPRESSION_MAX_BYTES: usize = 64 * 1024;

fn wrong<T>(at: usize, kind: Kind) -> Result<T, PathError> {
    Err(PathError { at, kind })
}

/// The nodes of `plan` that `expression` names. Naming a node that the plan does not have is an error.
pub fn parse_nodes(expression: &str, plan: &Plan) -> Result<NodeSet, PathError> {
    if expression.len() > EXPRESSION_MAX_BYTES {
        return wrong(EXPRESSION_MAX_BYTES, Kind::TooLong { bytes_max: EXPRESSION_MAX_BYTES });
    }
    let mut set = NodeSet::new();
    for (at, operator, term) in split_terms(expression) {
        let nodes = parse_term(at, term, plan)?;
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

fn parse_term(at: usize, term: &str, plan: &Plan) -> Result<NodeSet, PathError> {
    let trimmed = term.trim();
    let at = at + (term.len() - term.trim_start().len());
    if trimmed.is_empty() {
        return wrong(at, Kind::Missing);
    }
    let (hosts, guests) = match trimmed.split_once('/') {
        Some((hosts, guests)) => (hosts, Some((at + hosts.len() + 1, guests))),
        None => (trimmed, None),
    };
    if guests.is_none()
        && let Some(node) = plan.node_by_name(hosts)
    {
        return Ok(NodeSet::one(node));
    }
    // `dn[4-5]-g[1-4]`, as names of guests are printed folded.
    if guests.is_none()
        && hosts.ends_with(']')
        && let Some((names, _)) = hosts.rsplit_once("-g[")
    {
        let list_at = at + names.len() + 2;
        let members = guests_within(list_at, parse_numbers(list_at, &hosts[names.len() + 2..])?, plan)?;
        return Ok(NodeSet::product(&parse_hosts(at, names, plan)?, &members));
    }
    if guests.is_none()
        && let Some((names, guest)) = hosts.rsplit_once("]-g")
    {
        let guest_at = at + names.len() + 3;
        let members = guests_within(guest_at, parse_numbers(guest_at, guest)?, plan)?;
        return Ok(NodeSet::product(&parse_hosts(at, &hosts[..=names.len()], plan)?, &members));
    }
    let host_numbers = parse_hosts(at, hosts, plan)?;
    let members = match guests {
        None => RangeSet::span(0, 0),
        Some((_, ".")) => RangeSet::span(1, plan.guests_per_host),
        Some((at, text)) => guests_within(at, parse_numbers(at, text)?, plan)?,
    };
    Ok(NodeSet::product(&host_numbers, &members))
}

fn parse_hosts(at: usize, text: &str, plan: &Plan) -> Result<RangeSet, PathError> {
    match text.bytes().next() {
        _ if text == "." => Ok(plan.all_hosts()),
        None => wrong(at, Kind::NoHosts),
        Some(b'0'..=b'9' | b'[') => {
            let last = plan.host_count();
            within(at, parse_numbers(at, text)?, last, |hosts| Kind::NoSuchHost { last, hosts })
        }
        Some(_) => plan.hosts.numbers(text).map_err(|e| PathError { at: at + e.at, kind: Kind::Name(e.kind) }),
    }
}

/// Refuses numbers that the plan does not have: a typing error must not shrink silently to nothing.
fn within(at: usize, set: RangeSet, last: u32, why: impl Fn(RangeSet) -> Kind) -> Result<RangeSet, PathError> {
    let outside = set.difference(&RangeSet::span(1, last));
    if outside.is_empty() { Ok(set) } else { wrong(at, why(outside)) }
}

fn guests_within(at: usize, set: RangeSet, plan: &Plan) -> Result<RangeSet, PathError> {
    let last = plan.guests_per_host;
    within(at, set, last, |guests| Kind::NoSuchGuest { last, guests })
}

/// Numbers as people write them, `3`, `1-4` or `[1-4,7]`; `at` is where the text begins, for errors.
pub fn parse_numbers(at: usize, text: &str) -> Result<RangeSet, PathError> {
    let (mut start, list) = match text.strip_prefix('[') {
        None => (at, text),
        Some(rest) => match rest.strip_suffix(']') {
            Some(list) => (at + 1, list),
            None => return wrong(at, Kind::Unclosed),
        },
    };
    let mut ranges = Vec::new();
    for item in list.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let number = |text: &str| match text.parse::<u32>() {
            Ok(n) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            _ => wrong(start, Kind::NotANumber(item.into())),
        };
        let (a, b) = (number(first)?, number(last)?);
        if a > b {
            return wrong(start, Kind::Backwards { first: a, last: b });
        }
        ranges.push((a, b));
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
        ] {
            let e = parse_nodes(text, &plan()).unwrap_err();
            assert!(e.to_string().contains(part), "{text}: {e}");
            assert_eq!(e.at, at, "{text}");
        }
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
