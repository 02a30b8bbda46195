//! Host names by formula: `dn[4-11,16-19]` is ranked and unranked, never listed.
//!
//! Takes patterns as ClusterShell and Slurm users write them: terms separated by commas, ranges in brackets, zero
//! padding kept (`n[001-100]`), steps (`n[0-8/2]`), several brackets a term (`r[1-4]n[1-8]`), also beside digits and
//! each other (`node1[0-5]`, `cn[1-2][0-3]`). Gives name -> number and number -> name.
//!
//! Inside, a name is an alternation of text and digit fields. What of one number is written side by side is put
//! together when it is read ([`field`]), so that a field is the whole number, `node1[0-5]` is the same value as
//! `node[10-15]`, and whether two terms can make the same name is decided field by field, without making the names.
//! No state: `pattern` reads, `term` ranks and unranks one term of it. Names that no pattern of a bearable length makes
//! are a list, which the host table has (`list`).

mod field;
mod list;
mod pattern;
mod term;

use crate::HOSTS_MAX;
use crate::Node;
use crate::error::{NameError, NameErrorKind as Kind};
use crate::host_table::HostTable;
use crate::ids::{GuestId, HostId};
use crate::sets::RangeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use field::DIGITS_MAX;
use pattern::PATTERN_MAX_BYTES;
use term::Term;

/// Most hosts for which it is said what was meant by numbers that no host has.
const MEANT_MAX: u64 = 4096;

fn wrong<T>(at: usize, kind: Kind) -> Result<T, NameError> {
    Err(NameError { at, kind })
}

/// What a plan's text has in the place of a pattern where the host table has the names; how many follows.
const LISTED: &str = "table:";

/// The names of a cluster's hosts, numbered from 1 in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostNames(Source);

/// Where names come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// A pattern makes them.
    Pattern { terms: Vec<Term>, text: String },
    /// The host table has them: so many, and the table, once it is at hand.
    Listed { count: u32, table: Option<HostTable> },
}

impl HostNames {
    /// Reads a pattern such as `dn[4-11,16-19]`; refuses one that makes a name twice. Its text is what was written,
    /// but steps and numbers in parts are written out: two spellings of one set are one value, and make one cluster.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let pattern = pattern::parse(text)?;
        let of = |terms, text| Ok(HostNames(Source::Pattern { terms, text }));
        let Some(at) = pattern.folded_at else { return of(pattern.terms, text.into()) };
        match written_out(&pattern.terms) {
            Some(text) => of(pattern::parse(&text)?.terms, text),
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

    /// These names, if a pattern of a bearable length makes them in this order: otherwise they are the table's
    /// ([`HostNames::listed`]).
    pub fn of_list(names: impl Iterator<Item = String>) -> Option<Self> {
        HostNames::parse(&list::pattern(names)?).ok()
    }

    /// Names that the host table has: so many, and found once the table is at hand.
    pub fn listed(count: u32, table: Option<HostTable>) -> Self {
        HostNames(Source::Listed { count, table })
    }

    /// Reads what a plan's text has: a pattern, or that the host table has the names.
    pub(crate) fn decode(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix(LISTED) {
            None => HostNames::parse(text),
            Some(count) if count.starts_with('+') => {
                wrong(LISTED.len(), Kind::NotANumber { text: count.into(), digits_max: DIGITS_MAX })
            }
            Some(count) => match count.parse() {
                Ok(0) => wrong(0, Kind::NoHosts),
                Ok(count) if count <= HOSTS_MAX => Ok(Self::listed(count, None)),
                Ok(_) => wrong(LISTED.len(), Kind::TooManyNames { max: HOSTS_MAX }),
                Err(_) => wrong(LISTED.len(), Kind::NotANumber { text: count.into(), digits_max: DIGITS_MAX }),
            },
        }
    }

    /// Whether the host table has the names.
    pub fn is_listed(&self) -> bool {
        matches!(self.0, Source::Listed { .. })
    }

    fn terms(&self) -> &[Term] {
        match &self.0 {
            Source::Pattern { terms, .. } => terms,
            Source::Listed { .. } => &[],
        }
    }

    /// The patterns that make it up, which commas stand between: each a value of its own.
    pub fn each_pattern(&self) -> Vec<HostNames> {
        let alone = |term: &Term| {
            let text = term.text(PATTERN_MAX_BYTES)?;
            Some(HostNames(Source::Pattern { terms: alloc::vec![term.clone()], text }))
        };
        self.terms().iter().filter_map(alone).collect()
    }

    /// Whether both make one name. Looks at patterns, not at each name.
    pub fn meets(&self, other: &HostNames) -> bool {
        self.terms().iter().any(|term| other.terms().iter().any(|theirs| term.meets(theirs)))
    }

    /// How many names there are.
    pub fn len(&self) -> u32 {
        match &self.0 {
            Source::Pattern { terms, .. } => terms.iter().map(Term::len).sum::<u64>() as u32,
            Source::Listed { count, .. } => *count,
        }
    }

    /// Never: a pattern makes at least one name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of a host; none where the host table has it and is not at hand.
    pub fn name(&self, host: HostId) -> Option<String> {
        let terms = match &self.0 {
            Source::Pattern { terms, .. } => terms,
            Source::Listed { table, .. } => return table.as_ref()?.name(host),
        };
        let mut index = u64::from(host.0.checked_sub(1)?);
        for term in terms {
            if index < term.len() {
                return Some(term.nth(index));
            }
            index -= term.len();
        }
        None
    }

    /// The number of the host with this name.
    pub fn number(&self, name: &str) -> Option<HostId> {
        let terms = match &self.0 {
            Source::Pattern { terms, .. } => terms,
            Source::Listed { table, .. } => return table.as_ref()?.host_by_name(name),
        };
        let mut before = 0;
        for term in terms {
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
                None => return wrong(0, Kind::Unknown { name, hosts: self.about() }),
            }
        }
        Ok(RangeSet::from_ranges(ranges))
    }

    /// The hosts, for a sentence.
    fn about(&self) -> String {
        match &self.0 {
            Source::Pattern { text, .. } => text.clone(),
            Source::Listed { count, table } if table.as_ref().is_some_and(HostTable::has_names) => {
                let ends = [1, *count].map(|host| self.name(HostId(host)).unwrap_or_default());
                format!("{} to {} of the host table", ends[0], ends[1])
            }
            Source::Listed { count, .. } => format!("1-{count}: their names are in the host table, which is not here"),
        }
    }

    /// The names that people mean who write these numbers, folded: of `dn[4-11]`, `dn[4-5]` by 4-5. None unless each
    /// number stands in the name of one host.
    pub(crate) fn meant_by(&self, numbers: &RangeSet) -> Option<String> {
        if numbers.len() > MEANT_MAX {
            return None;
        }
        let host = |n: u32| {
            let mut names = self.terms().iter().filter_map(|term| term.numbered(n));
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
        if self.is_listed() {
            return list::fold(hosts.iter().filter_map(|host| self.name(HostId(host))));
        }
        let mut parts: Vec<String> = Vec::new();
        let mut first = 1u64;
        for term in self.terms() {
            let last = first + term.len() - 1;
            let own = hosts.intersection(&RangeSet::span(first as u32, last as u32));
            parts.extend(term.fold(&own, first as u32));
            first = last + 1;
        }
        parts
    }
}

/// Names in a list, folded in their order.
pub fn fold_list(names: impl Iterator<Item = String>) -> String {
    list::fold(names).join(",")
}

impl fmt::Display for HostNames {
    /// As a plan's text has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Pattern { text, .. } => f.write_str(text),
            Source::Listed { count, .. } => write!(f, "{LISTED}{count}"),
        }
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
