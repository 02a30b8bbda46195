//! The parser of patterns, from `dn[4-11,16-19],login` to terms.
//!
//! Digits and brackets that stand side by side are one number: they are put together as they are read. What that may
//! cost is bounded by how many names a cluster may have, and by [`RANGES_MAX`].

use super::field::{DIGITS_MAX, Field, parse_ranges};
use super::term::{Term, split_fields};
use crate::HOSTS_MAX;
use crate::error::{NameError, NameErrorKind as Kind};
use alloc::string::String;
use alloc::vec::Vec;

/// Most characters of a host name (RFC 1123 label), less seven for a guest's `-g65535`.
const NAME_MAX_BYTES: usize = 63 - 7;
/// Most characters of a pattern, also of one whose steps are written out.
pub const PATTERN_MAX_BYTES: usize = 4096;
/// Most ranges of a pattern whose numbers are written in parts.
const RANGES_MAX: usize = 4096;

/// A pattern that was read.
pub struct Pattern {
    /// Its terms, in order.
    pub terms: Vec<Term>,
    /// Where it first has a step, or a number in parts: what has another spelling without.
    pub folded_at: Option<usize>,
}

fn wrong<T>(at: usize, kind: Kind) -> Result<T, NameError> {
    Err(NameError { at, kind })
}

/// Reads a pattern; refuses one that makes a name twice.
pub fn parse(text: &str) -> Result<Pattern, NameError> {
    if text.len() > PATTERN_MAX_BYTES {
        return wrong(PATTERN_MAX_BYTES, Kind::PatternTooLong { bytes_max: PATTERN_MAX_BYTES });
    }
    let mut pattern = Pattern { terms: Vec::new(), folded_at: None };
    let (mut count, mut ranges_left) = (0u64, RANGES_MAX);
    for (at, part) in split_terms(text) {
        let (term, folded_at) = parse_term(at, part, ranges_left)?;
        if let Some(other) = pattern.terms.iter().find(|t| t.meets(&term)) {
            let name = (0..term.len()).take(1 << 16).map(|i| term.nth(i)).find(|n| other.index(n).is_some());
            return wrong(at, Kind::Repeated { term: part.into(), name });
        }
        count = count.saturating_add(term.len());
        if count > u64::from(HOSTS_MAX) {
            return wrong(at, Kind::TooManyNames { max: HOSTS_MAX });
        }
        ranges_left = ranges_left.saturating_sub(term.fields.iter().map(Field::ranges).sum());
        pattern.folded_at = pattern.folded_at.or(folded_at);
        pattern.terms.push(term);
    }
    Ok(pattern)
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

/// A term being read.
struct Draft {
    term: Term,
    folded_at: Option<usize>,
    ranges_left: usize,
}

impl Draft {
    /// Adds a number, or what comes next of one: behind a field with no text between, it is the same number's.
    fn number(&mut self, at: usize, field: Field) -> Result<(), NameError> {
        let term = &mut self.term;
        let beside = term.texts.last().is_some_and(String::is_empty);
        match term.fields.last_mut().filter(|_| beside) {
            Some(last) => {
                // Before the numbers are gone through.
                if last.len().saturating_mul(field.len()) > u64::from(HOSTS_MAX) {
                    return wrong(at, Kind::TooManyNames { max: HOSTS_MAX });
                }
                *last = last.followed_by(&field, at, self.ranges_left)?;
                self.folded_at.get_or_insert(at);
            }
            None => {
                term.fields.push(field);
                term.texts.push(String::new());
            }
        }
        if term.len() > u64::from(HOSTS_MAX) { wrong(at, Kind::TooManyNames { max: HOSTS_MAX }) } else { Ok(()) }
    }

    /// Adds literal text, its digits as fields of one number.
    fn literal(&mut self, at: usize, literal: &str) -> Result<(), NameError> {
        if let Some((i, c)) = literal.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '-')) {
            return wrong(at + i, Kind::Character(c));
        }
        let (texts, digits) = split_fields(literal);
        for (i, text) in texts.iter().enumerate() {
            if let Some(last) = self.term.texts.last_mut() {
                last.push_str(text);
            }
            if let Some(number) = digits.get(i) {
                if number.len() > DIGITS_MAX {
                    return wrong(at, Kind::NumberTooLong { digits_max: DIGITS_MAX });
                }
                self.number(at, Field::literal(number))?;
            }
        }
        Ok(())
    }
}

fn parse_term(at: usize, part: &str, ranges_left: usize) -> Result<(Term, Option<usize>), NameError> {
    if part.is_empty() {
        return wrong(at, Kind::Missing);
    }
    let term = Term { texts: alloc::vec![String::new()], fields: Vec::new() };
    let mut draft = Draft { term, folded_at: None, ranges_left };
    let mut rest = part;
    while !rest.is_empty() {
        let here = at + part.len() - rest.len();
        if let Some(inner) = rest.strip_prefix('[') {
            let Some(end) = inner.find(']') else { return wrong(here, Kind::Unclosed) };
            let (field, stepped) = parse_ranges(here + 1, &inner[..end])?;
            if stepped {
                draft.folded_at.get_or_insert(here);
            }
            draft.number(here, field)?;
            rest = &inner[end + 1..];
        } else {
            let end = rest.find('[').unwrap_or(rest.len());
            draft.literal(here, &rest[..end])?;
            rest = &rest[end..];
        }
    }
    check_term(at, &draft.term)?;
    Ok((draft.term, draft.folded_at))
}

fn check_term(at: usize, term: &Term) -> Result<(), NameError> {
    let longest =
        term.texts.iter().map(String::len).sum::<usize>() + term.fields.iter().map(Field::longest).sum::<usize>();
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
