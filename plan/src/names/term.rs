//! One term of a pattern: texts around digit fields, ranked and unranked.

use super::field::{Field, fold};
use crate::sets::RangeSet;
use alloc::string::String;
use alloc::vec::Vec;

/// One term: texts around fields, `texts.len() == fields.len() + 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What stands before each field, and behind the last.
    pub texts: Vec<String>,
    /// The numbers.
    pub fields: Vec<Field>,
}

impl Term {
    /// How many names it makes. Saturates: the parser bounds it.
    pub fn len(&self) -> u64 {
        self.fields.iter().fold(1, |n, f| n.saturating_mul(f.len()))
    }

    /// The name of this index.
    pub fn nth(&self, mut index: u64) -> String {
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

    /// The index of a name.
    pub fn index(&self, name: &str) -> Option<u64> {
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

    /// Whether both make one name.
    pub fn meets(&self, other: &Term) -> bool {
        self.texts == other.texts && self.fields.iter().zip(&other.fields).all(|(a, b)| a.meets(b))
    }

    /// The name in which `n` is the number, if its last field is the only one that has several.
    pub fn numbered(&self, n: u32) -> Option<String> {
        let (last, others) = self.fields.split_last()?;
        if others.iter().any(|field| field.len() > 1) {
            return None;
        }
        let at = last.index(&last.written(n)?)?;
        Some(self.nth(at))
    }

    /// The pattern that makes its names, without steps; none if that has more bytes than `bytes_max`.
    pub fn text(&self, bytes_max: usize) -> Option<String> {
        let mut text = String::new();
        for (at, before) in self.texts.iter().enumerate() {
            text += before;
            if let Some(field) = self.fields.get(at) {
                text += &field.text(bytes_max.checked_sub(text.len())?)?;
            }
        }
        (text.len() <= bytes_max).then_some(text)
    }

    /// Patterns for those of its names whose numbers are `own`, folded over the last field; the first name is number
    /// `first`.
    pub fn fold(&self, own: &RangeSet, first: u32) -> Vec<String> {
        let tail = self.texts.last().map(String::as_str).unwrap_or_default();
        match self.fields.last() {
            Some(field) => fold(field, own, first, |index| self.nth(index), tail),
            None if own.is_empty() => Vec::new(),
            None => alloc::vec![self.nth(0)],
        }
    }
}

/// Splits a name into texts and the digit fields between them.
pub fn split_fields(name: &str) -> (Vec<&str>, Vec<&str>) {
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
