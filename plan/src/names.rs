//! Host names by formula: `dn[4-11,16-19]` is ranked and unranked, never listed.
//!
//! Takes patterns as ClusterShell and Slurm users write them: terms separated
//! by commas, ranges in brackets, zero padding kept (`n[001-100]`), several
//! brackets a term (`r[1-4]n[1-8]`). Gives name -> number and number -> name.
//!
//! Inside, a name is an alternation of text and digit fields. A range always
//! fills a whole digit field (`n1[0-5]` is refused), so whether two terms can
//! make the same name is decided field by field, without making the names.

use crate::error::{NameError, NameErrorKind as Kind};
use crate::ids::{GuestId, HostId};
use crate::sets::RangeSet;
use crate::{HOSTS_MAX, Node};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Most characters of a host name (RFC 1123 label), less six for a guest's `-g65535`.
const NAME_MAX_BYTES: usize = 63 - 7;
/// Most characters of a pattern.
const PATTERN_MAX_BYTES: usize = 4096;
/// Most digits of a number in a pattern: nine fit u32 whatever they are.
const DIGITS_MAX: usize = 9;

/// Numbers `first..=last`, printed with at least `width` digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
    width: usize,
}

impl Range {
    fn len(&self) -> u64 {
        u64::from(self.last - self.first) + 1
    }

    /// The index of the number that is written `digits`.
    fn index(&self, digits: &str) -> Option<u64> {
        let n: u32 = if digits.len() <= DIGITS_MAX { digits.parse().ok()? } else { return None };
        let written = format!("{n:0width$}", width = self.width) == digits;
        (written && (self.first..=self.last).contains(&n)).then(|| u64::from(n - self.first))
    }

    /// Whether one written number belongs to both.
    fn meets(&self, other: &Range) -> bool {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        if first > last {
            return false;
        }
        // Different widths write the same text only for numbers with as many digits as the wider one.
        let wide = self.width.max(other.width);
        self.width == other.width || last.to_string().len() >= wide
    }
}

/// A digit field: ranges in the order written, which is the order of ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field(Vec<Range>);

impl Field {
    fn len(&self) -> u64 {
        self.0.iter().map(Range::len).sum()
    }

    fn nth(&self, mut index: u64) -> String {
        for range in &self.0 {
            if index < range.len() {
                return format!("{:0width$}", range.first + index as u32, width = range.width);
            }
            index -= range.len();
        }
        String::new()
    }

    fn index(&self, digits: &str) -> Option<u64> {
        let mut before = 0;
        for range in &self.0 {
            if let Some(at) = range.index(digits) {
                return Some(before + at);
            }
            before += range.len();
        }
        None
    }

    fn meets(&self, other: &Field) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.meets(b)))
    }
}

/// One term: texts around fields, `texts.len() == fields.len() + 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    texts: Vec<String>,
    fields: Vec<Field>,
}

impl Term {
    /// Saturates: the caller bounds it by [`HOSTS_MAX`].
    fn len(&self) -> u64 {
        self.fields.iter().fold(1, |n, f| n.saturating_mul(f.len()))
    }

    fn nth(&self, mut index: u64) -> String {
        let mut parts = Vec::with_capacity(self.fields.len());
        for field in self.fields.iter().rev() {
            parts.push(field.nth(index % field.len()));
            index /= field.len();
        }
        let mut name = String::new();
        for text in &self.texts {
            name.push_str(text);
            name.push_str(&parts.pop().unwrap_or_default());
        }
        name
    }

    fn index(&self, name: &str) -> Option<u64> {
        let (texts, digits) = split_fields(name);
        if texts != self.texts {
            return None;
        }
        let mut index = 0;
        for (field, digits) in self.fields.iter().zip(digits) {
            index = index * field.len() + field.index(digits)?;
        }
        Some(index)
    }

    fn meets(&self, other: &Term) -> bool {
        self.texts == other.texts && self.fields.iter().zip(&other.fields).all(|(a, b)| a.meets(b))
    }
}

/// Splits a name into texts and the digit fields between them.
fn split_fields(name: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut texts, mut digits) = (Vec::new(), Vec::new());
    let mut rest = name;
    loop {
        let at = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        texts.push(&rest[..at]);
        rest = &rest[at..];
        if rest.is_empty() {
            return (texts, digits);
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        digits.push(&rest[..end]);
        rest = &rest[end..];
    }
}

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
    /// Reads a pattern such as `dn[4-11,16-19]`; refuses one that makes a name twice.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > PATTERN_MAX_BYTES {
            return wrong(PATTERN_MAX_BYTES, Kind::PatternTooLong { bytes_max: PATTERN_MAX_BYTES });
        }
        let mut terms: Vec<Term> = Vec::new();
        let mut count = 0u64;
        for (at, part) in split_terms(text) {
            let term = parse_term(at, part)?;
            if let Some(other) = terms.iter().find(|t| t.meets(&term)) {
                let name = (0..term.len()).take(1 << 16).map(|i| term.nth(i)).find(|n| other.index(n).is_some());
                return wrong(at, Kind::Repeated { term: part.into(), name });
            }
            count = count.saturating_add(term.len());
            if count > u64::from(HOSTS_MAX) {
                return wrong(at, Kind::TooManyNames { max: HOSTS_MAX });
            }
            terms.push(term);
        }
        Ok(HostNames { terms, text: text.into() })
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
        let asked = HostNames::parse(pattern)?;
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for i in 1..=asked.len() {
            let name = asked.name(HostId(i)).unwrap_or_default();
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
            fold_term(term, &own, first as u32, &mut parts);
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

/// Folds over the last field; what stands before it is written out.
fn fold_term(term: &Term, own: &RangeSet, first: u32, parts: &mut Vec<String>) {
    let Some(field) = term.fields.last() else {
        if !own.is_empty() {
            parts.push(term.nth(0));
        }
        return;
    };
    let width = field.len() as u32;
    let mut at = own.iter().map(|n| n - first).peekable();
    while let Some(index) = at.next() {
        let block = index / width;
        let mut spans = alloc::vec![(index, index)];
        while let Some(next) = at.next_if(|n| n / width == block) {
            match spans.last_mut() {
                Some(span) if span.1 + 1 == next && joined(field, span.1 % width, next % width) => span.1 = next,
                _ => spans.push((next, next)),
            }
        }
        parts.push(write_spans(term, field, width, &spans));
    }
}

/// Whether two neighbouring indices of a field are neighbouring numbers of one range.
fn joined(field: &Field, a: u32, b: u32) -> bool {
    let mut before = 0;
    for range in &field.0 {
        let end = before + range.len() as u32;
        if a < end {
            return b < end;
        }
        before = end;
    }
    false
}

fn write_spans(term: &Term, field: &Field, width: u32, spans: &[(u32, u32)]) -> String {
    let tail = term.texts.last().map(String::as_str).unwrap_or_default();
    let whole = term.nth(u64::from(spans[0].0));
    let number = |index: u32| field.nth(u64::from(index % width));
    let head_len = whole.len() - tail.len() - number(spans[0].0).len();
    let folded: Vec<String> =
        spans.iter().map(|&(a, b)| if a == b { number(a) } else { format!("{}-{}", number(a), number(b)) }).collect();
    match spans {
        [(a, b)] if a == b => whole,
        _ => format!("{}[{}]{tail}", &whole[..head_len], folded.join(",")),
    }
}

/// Splits at commas outside brackets; gives each part with its offset.
fn split_terms(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth <= 0 => {
                parts.push((start, &text[start..i]));
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push((start, &text[start..]));
    parts
}

fn parse_term(at: usize, part: &str) -> Result<Term, NameError> {
    if part.is_empty() {
        return wrong(at, Kind::Missing);
    }
    let mut term = Term { texts: alloc::vec![String::new()], fields: Vec::new() };
    let mut rest = part;
    while !rest.is_empty() {
        let here = at + part.len() - rest.len();
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = inner.find(']') else { return wrong(here, Kind::Unclosed) };
            let touches = term.texts.last().is_some_and(|t| t.is_empty()) && !term.fields.is_empty();
            let after = inner[end + 1..].chars().next();
            if touches || after.is_some_and(|c| c.is_ascii_digit() || c == '[') {
                return wrong(here, Kind::PartialNumber);
            }
            term.fields.push(parse_ranges(here + 1, &inner[..end])?);
            term.texts.push(String::new());
            rest = &inner[end + 1..];
        } else {
            let end = rest.find('[').unwrap_or(rest.len());
            parse_literal(here, &rest[..end], &mut term)?;
            rest = &rest[end..];
        }
    }
    check_term(at, &term)?;
    Ok(term)
}

/// Adds literal text, its digits as fields of one number.
fn parse_literal(at: usize, literal: &str, term: &mut Term) -> Result<(), NameError> {
    if let Some((i, c)) = literal.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '-')) {
        return wrong(at + i, Kind::Character(c));
    }
    let (texts, digits) = split_fields(literal);
    for (i, text) in texts.iter().enumerate() {
        if let Some(last) = term.texts.last_mut() {
            last.push_str(text);
        }
        if let Some(number) = digits.get(i) {
            if number.len() > DIGITS_MAX {
                return wrong(at, Kind::NumberTooLong { digits_max: DIGITS_MAX });
            }
            let n: u32 = number.parse().unwrap_or_default();
            term.fields.push(Field(alloc::vec![Range { first: n, last: n, width: number.len() }]));
            term.texts.push(String::new());
        }
    }
    Ok(())
}

fn check_term(at: usize, term: &Term) -> Result<(), NameError> {
    let longest = term.texts.iter().map(String::len).sum::<usize>()
        + term
            .fields
            .iter()
            .flat_map(|f| f.0.iter().map(|r| r.width.max(r.last.to_string().len())).max())
            .sum::<usize>();
    let name = term.nth(0);
    if longest > NAME_MAX_BYTES {
        return wrong(at, Kind::NameTooLong { bytes_max: NAME_MAX_BYTES });
    }
    // A name of digits would read like a number in a node path.
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.ends_with('-') {
        return wrong(at, Kind::Ends);
    }
    let texts = &term.texts;
    if texts.len() >= 2 && texts[texts.len() - 1].is_empty() && texts[texts.len() - 2].ends_with("-g") {
        return wrong(at, Kind::LikeGuest(name));
    }
    Ok(())
}

fn parse_ranges(at: usize, text: &str) -> Result<Field, NameError> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut start = at;
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let range = parse_range(start, first, last)?;
        if ranges.iter().any(|r| r.meets(&range)) {
            return wrong(start, Kind::RangeRepeated(item.into()));
        }
        ranges.push(range);
        start += item.len() + 1;
    }
    Ok(Field(ranges))
}

fn parse_range(at: usize, first: &str, last: &str) -> Result<Range, NameError> {
    for number in [first, last] {
        if number.is_empty() || number.len() > DIGITS_MAX || !number.bytes().all(|b| b.is_ascii_digit()) {
            return wrong(at, Kind::NotANumber { text: number.into(), digits_max: DIGITS_MAX });
        }
    }
    let width = if first.starts_with('0') && first.len() > 1 { first.len() } else { 1 };
    if (last.starts_with('0') && last.len() > 1 || width > 1) && first.len() != last.len() {
        return wrong(at, Kind::Padding(format!("{first}-{last}")));
    }
    let (a, b) = (first.parse().unwrap_or(0), last.parse().unwrap_or(0));
    if a > b {
        return wrong(at, Kind::Backwards { first: first.into(), last: last.into() });
    }
    Ok(Range { first: a, last: b, width })
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
