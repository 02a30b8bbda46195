//! Host names by formula: `dn[4-11,16-19]` is ranked and unranked, never listed.
//!
//! Takes patterns as ClusterShell and Slurm users write them: terms separated by commas, ranges in brackets, zero
//! padding kept (`n[001-100]`), steps (`n[0-8/2]`), several brackets a term (`r[1-4]n[1-8]`), also beside digits and
//! each other (`node1[0-5]`, `cn[1-2][0-3]`). Gives name -> number and number -> name.
//!
//! Inside, a name is an alternation of text and digit fields. What of one number is written side by side is put
//! together when it is read ([`field`]), so that a field is the whole number, `node1[0-5]` is the same value as
//! `node[10-15]`, and whether two terms can make the same name is decided field by field, without making the names.
//! No state: `pattern` reads, `term` ranks and unranks one term of it.

mod field;
mod pattern;
mod term;

use crate::Node;
use crate::error::{NameError, NameErrorKind as Kind};
use crate::ids::{GuestId, HostId};
use crate::sets::RangeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use pattern::PATTERN_MAX_BYTES;
use term::Term;

/// Most hosts for which it is said what was meant by numbers that no host has.
const MEANT_MAX: u64 = 4096;

fn wrong<T>(at: usize, kind: Kind) -> Result<T, NameError> {
    Err(NameError { at, kind })
}

/// The names of a cluster's hosts, numbered from 1 in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames {
    terms: Vec<Term>,
    text: String,
}

impl HostNames {
    /// Reads a pattern such as `dn[4-11,16-19]`; refuses one that makes a name twice. Its text is what was written,
    /// but steps and numbers in parts are written out: two spellings of one set are one value, and make one cluster.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let pattern = pattern::parse(text)?;
        let Some(at) = pattern.folded_at else { return Ok(HostNames { terms: pattern.terms, text: text.into() }) };
        match written_out(&pattern.terms) {
            Some(text) => Ok(HostNames { terms: pattern::parse(&text)?.terms, text }),
            None => wrong(at, Kind::TooLongWrittenOut { bytes_max: PATTERN_MAX_BYTES }),
        }
    }

    /// Names `h1` to `hN`.
    pub fn count(hosts: u32) -> Result<Self, NameError> {
        match hosts {
            0 => wrong(0, Kind::NoHosts),
            1 => HostNames::parse("h1"),
            n => HostNames::parse(&format!("h[1-{n}]")),
        }
    }

    /// How many names there are.
    pub fn len(&self) -> u32 {
        self.terms.iter().map(Term::len).sum::<u64>() as u32
    }

    /// Never: a pattern makes at least one name.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The name of a host.
    pub fn name(&self, host: HostId) -> Option<String> {
        let mut index = u64::from(host.0.checked_sub(1)?);
        for term in &self.terms {
            if index < term.len() {
                return Some(term.nth(index));
            }
            index -= term.len();
        }
        None
    }

    /// The number of the host with this name.
    pub fn number(&self, name: &str) -> Option<HostId> {
        let mut before = 0;
        for term in &self.terms {
            if let Some(at) = term.index(name) {
                return Some(HostId((before + at) as u32 + 1));
            }
            before += term.len();
        }
        None
    }

    /// The numbers of the hosts that `pattern` names; the error tells the first name that is none of ours.
    pub fn numbers(&self, pattern: &str) -> Result<RangeSet, NameError> {
        let asked = pattern::parse(pattern)?.terms;
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for name in asked.iter().flat_map(|term| (0..term.len()).map(|index| term.nth(index))) {
            match self.number(&name) {
                Some(HostId(n)) => match ranges.last_mut() {
                    Some(last) if last.1 + 1 == n => last.1 = n,
                    _ => ranges.push((n, n)),
                },
                None => return wrong(0, Kind::Unknown { name, hosts: self.text.clone() }),
            }
        }
        Ok(RangeSet::from_ranges(ranges))
    }

    /// The names that people mean who write these numbers, folded: of `dn[4-11]`, `dn[4-5]` by 4-5. None unless each
    /// number stands in the name of one host.
    pub(crate) fn meant_by(&self, numbers: &RangeSet) -> Option<String> {
        if numbers.len() > MEANT_MAX {
            return None;
        }
        let host = |n: u32| {
            let mut names = self.terms.iter().filter_map(|term| term.numbered(n));
            let name = names.next().filter(|_| names.next().is_none())?;
            self.number(&name).map(|HostId(host)| (host, host))
        };
        let hosts: Option<Vec<(u32, u32)>> = numbers.iter().map(host).collect();
        hosts.map(|hosts| self.fold(&RangeSet::from_ranges(hosts)))
    }

    /// The names of `hosts`, folded: `dn[4-11,16]`.
    pub fn fold(&self, hosts: &RangeSet) -> String {
        self.fold_each(hosts).join(",")
    }

    /// The patterns that [`Self::fold`] puts commas between.
    pub(crate) fn fold_each(&self, hosts: &RangeSet) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        let mut first = 1u64;
        for term in &self.terms {
            let last = first + term.len() - 1;
            let own = hosts.intersection(&RangeSet::span(first as u32, last as u32));
            parts.extend(term.fold(&own, first as u32));
            first = last + 1;
        }
        parts
    }
}

impl fmt::Display for HostNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The pattern of these terms without steps and numbers in parts; none if it has more bytes than a pattern may have.
fn written_out(terms: &[Term]) -> Option<String> {
    let mut text = String::new();
    for term in terms {
        text += if text.is_empty() { "" } else { "," };
        text += &term.text(PATTERN_MAX_BYTES.checked_sub(text.len())?)?;
    }
    (text.len() <= PATTERN_MAX_BYTES).then_some(text)
}

/// The name of a guest: its host's, `-g`, its number.
pub(crate) fn guest_name(host: &str, guest: GuestId) -> String {
    format!("{host}-g{guest}")
}

/// The node that `name` names, host or guest.
pub(crate) fn find(names: &HostNames, name: &str) -> Option<Node> {
    if let Some(host) = names.number(name) {
        return Some(Node::host(host));
    }
    let (host, guest) = name.rsplit_once("-g")?;
    let canonical = !guest.starts_with('0') && guest.bytes().all(|b| b.is_ascii_digit());
    let guest = guest.parse().ok().filter(|_| canonical)?;
    Some(Node::guest(names.number(host)?, guest))
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
