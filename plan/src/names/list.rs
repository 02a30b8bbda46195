//! Names in a list: the pattern that makes them in the same order, if one is short enough; and how they are folded.

use super::field::DIGITS_MAX;
use super::pattern::PATTERN_MAX_BYTES;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Names that differ in one number: what stands before it, the numbers as written, what stands behind.
struct Group {
    head: String,
    spans: Vec<(String, String)>,
    tail: String,
}

/// A name around its last number.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let begin = name[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    (end - begin <= DIGITS_MAX).then(|| (&name[..begin], &name[begin..end], &name[end..]))
}

/// Whether `next` is the number behind `last`, in the spelling of a range that begins with `first`.
fn follows(first: &str, last: &str, next: &str) -> bool {
    let padded = |text: &str| text.len() > 1 && text.starts_with('0');
    let widths = if padded(first) { next.len() == first.len() } else { !padded(next) };
    let value = |text: &str| text.parse::<u32>().unwrap_or_default();
    widths && value(last) + 1 == value(next)
}

/// Patterns that make these names, in their order: neighbours that differ in their last number are one.
pub fn fold(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut groups: Vec<Group> = Vec::new();
    for name in names {
        let Some((head, number, tail)) = split(&name) else {
            groups.push(Group { head: name, spans: Vec::new(), tail: String::new() });
            continue;
        };
        let span = (number.to_string(), number.to_string());
        match groups.last_mut().filter(|group| !group.spans.is_empty() && group.head == head && group.tail == tail) {
            Some(group) => match group.spans.last_mut() {
                Some((first, last)) if follows(first, last, number) => *last = number.to_string(),
                _ => group.spans.push(span),
            },
            None => groups.push(Group { head: head.into(), spans: alloc::vec![span], tail: tail.into() }),
        }
    }
    groups.iter().map(Group::text).collect()
}

impl Group {
    fn text(&self) -> String {
        let span = |(first, last): &(String, String)| match first == last {
            true => first.clone(),
            false => format!("{first}-{last}"),
        };
        let inner: Vec<String> = self.spans.iter().map(span).collect();
        let Group { head, tail, .. } = self;
        match &self.spans[..] {
            [] => head.clone(),
            [(first, last)] if first == last => format!("{head}{first}{tail}"),
            _ => format!("{head}[{}]{tail}", inner.join(",")),
        }
    }
}

/// The pattern that makes exactly these names in this order, if it is short enough.
pub fn pattern(names: impl Iterator<Item = String>) -> Option<String> {
    let text = fold(names).join(",");
    (text.len() <= PATTERN_MAX_BYTES).then_some(text)
}
