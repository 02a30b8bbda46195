//! The numbers of a name: a digit field, its ranges in the order written, and two such fields written side by side.

use crate::error::{NameError, NameErrorKind as Kind};
use crate::sets::RangeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most digits of a number in a pattern: nine fit u32 whatever they are.
pub const DIGITS_MAX: usize = 9;

/// Every `step`-th number of `first..=last`, printed with at least `width` digits. `last` is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: u32,
    last: u32,
    step: u32,
    width: usize,
}

/// How many digits a number has.
fn digits(n: u32) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// The least number of so many digits.
fn least_of(digits: usize) -> u32 {
    if digits <= 1 { 0 } else { 10u32.saturating_pow(digits as u32 - 1) }
}

impl Range {
    /// Numbers `first..=last`; the step is at least 1.
    pub fn new(first: u32, last: u32, step: u32, width: usize) -> Range {
        let last = first + (last - first) / step * step;
        // What is written alike is one value: a width that says nothing is 1, and one number has no step.
        let width = if digits(first) >= width { 1 } else { width };
        Range { first, last, step: if first == last { 1 } else { step }, width }
    }

    /// How many numbers it has.
    pub fn len(&self) -> u64 {
        u64::from((self.last - self.first) / self.step) + 1
    }

    fn nth(&self, index: u64) -> u32 {
        self.first + index as u32 * self.step
    }

    fn write(&self, n: u32) -> String {
        format!("{n:0width$}", width = self.width)
    }

    /// Most digits of a number that it prints.
    fn longest(&self) -> usize {
        self.width.max(digits(self.last))
    }

    /// The index of the number that is written `text`.
    fn index(&self, text: &str) -> Option<u64> {
        let n: u32 = if text.len() <= DIGITS_MAX { text.parse().ok()? } else { return None };
        let ours = (self.first..=self.last).contains(&n) && (n - self.first).is_multiple_of(self.step);
        (ours && self.write(n) == text).then(|| u64::from((n - self.first) / self.step))
    }

    /// Whether one written number belongs to both.
    pub fn meets(&self, other: &Range) -> bool {
        let mut first = self.first.max(other.first);
        if self.width != other.width {
            // Different widths write the same text only for numbers with as many digits as the wider one.
            first = first.max(least_of(self.width.max(other.width)));
        }
        let last = self.last.min(other.last);
        first <= last && common(self, other, first).is_some_and(|n| n <= u64::from(last))
    }

    /// The range in parts whose numbers are all printed with the same number of digits, which comes with each.
    fn by_digits(&self) -> impl Iterator<Item = (usize, Range)> + '_ {
        (self.width.max(digits(self.first))..=self.longest()).filter_map(|digits| {
            let least = least_of(digits).max(self.first);
            let least = if digits > self.width { least } else { self.first };
            let first = self.first + (least - self.first).div_ceil(self.step) * self.step;
            let last = self.last.min(least_of(digits + 1) - 1);
            (first <= last).then(|| (digits, Range::new(first, last, self.step, digits)))
        })
    }
}

/// The least number from `least` on that both have, but for where they end (Chinese remainder theorem).
fn common(a: &Range, b: &Range, least: u32) -> Option<u64> {
    let (first, step) = (i128::from(a.first), i128::from(a.step));
    let (other, other_step) = (i128::from(b.first), i128::from(b.step));
    // Euclid's algorithm, with the factor of `step` kept.
    let (mut gcd, mut rest, mut factor, mut next) = (step, other_step, 1i128, 0i128);
    while rest != 0 {
        let quotient = gcd / rest;
        (gcd, rest) = (rest, gcd - quotient * rest);
        (factor, next) = (next, factor - quotient * next);
    }
    let apart = other - first;
    if apart % gcd != 0 {
        return None;
    }
    let both = step / gcd * other_step;
    let n = (first + apart / gcd * factor % (other_step / gcd) * step).rem_euclid(both);
    let least = i128::from(least);
    u64::try_from(n + (least - n).max(0).div_euclid(both) * both)
        .ok()
        .map(|n| if i128::from(n) < least { n + both as u64 } else { n })
}

/// A digit field: ranges in the order written, which is the order of ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field(Vec<Range>);

impl Field {
    /// The one number that is written so; its digits are at most [`DIGITS_MAX`].
    pub fn literal(text: &str) -> Field {
        let n = text.parse().unwrap_or_default();
        Field(alloc::vec![Range::new(n, n, 1, text.len())])
    }

    /// How many ranges it has.
    pub fn ranges(&self) -> usize {
        self.0.len()
    }

    /// How many numbers it has.
    pub fn len(&self) -> u64 {
        self.0.iter().map(Range::len).sum()
    }

    /// Most digits of a number that it prints.
    pub fn longest(&self) -> usize {
        self.0.iter().map(Range::longest).max().unwrap_or_default()
    }

    /// The number of this index, as it is written.
    pub fn nth(&self, mut index: u64) -> String {
        for range in &self.0 {
            if index < range.len() {
                return range.write(range.nth(index));
            }
            index -= range.len();
        }
        String::new()
    }

    /// The index of the number that is written `text`.
    pub fn index(&self, text: &str) -> Option<u64> {
        let mut before = 0;
        for range in &self.0 {
            if let Some(at) = range.index(text) {
                return Some(before + at);
            }
            before += range.len();
        }
        None
    }

    /// The number that people mean by `n`: written with a width that the field has.
    pub fn written(&self, n: u32) -> Option<String> {
        self.0.iter().map(|range| range.write(n)).find(|text| self.index(text).is_some())
    }

    /// Whether one written number belongs to both.
    pub fn meets(&self, other: &Field) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.meets(b)))
    }

    /// Whether two neighbouring indices are neighbouring numbers of one range.
    pub fn joined(&self, a: u32, b: u32) -> bool {
        let mut before = 0;
        for range in &self.0 {
            let end = before + range.len() as u32;
            if a < end {
                return b < end && range.step == 1;
            }
            before = end;
        }
        false
    }

    /// What stands between brackets for it, or the number itself; nothing if that has more bytes than `bytes_max`.
    pub fn text(&self, bytes_max: usize) -> Option<String> {
        let mut text = String::new();
        for range in &self.0 {
            let mut item = |part: String| {
                text += if text.is_empty() { "" } else { "," };
                text += &part;
                (text.len() <= bytes_max).then_some(())
            };
            if range.step == 1 && range.first < range.last {
                item(format!("{}-{}", range.write(range.first), range.write(range.last)))?;
            } else {
                for index in 0..range.len() {
                    item(range.write(range.nth(index)))?;
                }
            }
        }
        Some(if self.len() == 1 { text } else { format!("[{text}]") })
    }

    /// Both written side by side: `1` and `0-5` are 10-15. The numbers are few enough to be gone through, and make
    /// at most `ranges_max` ranges; what was written begins at `at`.
    pub fn followed_by(&self, other: &Field, at: usize, ranges_max: usize) -> Result<Field, NameError> {
        let wrong = |kind| Err(NameError { at, kind });
        if self.longest() + other.longest() > DIGITS_MAX {
            return wrong(Kind::NumberTooLong { digits_max: DIGITS_MAX });
        }
        let parts: Vec<(usize, Range)> = other.0.iter().flat_map(Range::by_digits).collect();
        let mut ranges: Vec<Range> = Vec::new();
        for head in &self.0 {
            for n in (0..head.len()).map(|index| head.nth(index)) {
                let head_digits = head.width.max(digits(n));
                for &(digits, part) in &parts {
                    let high = n * 10u32.pow(digits as u32);
                    push(&mut ranges, Range::new(high + part.first, high + part.last, part.step, head_digits + digits));
                }
                if ranges.len() > ranges_max {
                    return wrong(Kind::TooManyRanges { max: ranges_max });
                }
            }
        }
        let twice = ranges.iter().enumerate().find(|(n, range)| ranges[..*n].iter().any(|other| other.meets(range)));
        match twice {
            Some((_, range)) => wrong(Kind::RangeRepeated(range.write(range.first))),
            None => Ok(Field(ranges)),
        }
    }
}

/// Appends a range, to the one before where both are one range in one spelling.
fn push(ranges: &mut Vec<Range>, next: Range) {
    if let Some(last) = ranges.last_mut() {
        // 00-09 goes on with 10-19, whose digits fill that width; with 100 it does not.
        let fills = next.width == last.width || digits(next.first) == last.width && digits(next.last) == last.width;
        if last.step == 1 && next.step == 1 && fills && last.last + 1 == next.first {
            last.last = next.last;
            return;
        }
    }
    ranges.push(next);
}

/// Reads what stands between brackets, such as `4-11,16`; `at` is where it begins.
pub fn parse_ranges(at: usize, text: &str) -> Result<(Field, bool), NameError> {
    let mut ranges: Vec<Range> = Vec::new();
    let mut start = at;
    let mut stepped = false;
    for item in text.split(',') {
        let range = parse_range(start, item)?;
        stepped |= item.contains('/');
        if ranges.iter().any(|r| r.meets(&range)) {
            return Err(NameError { at: start, kind: Kind::RangeRepeated(item.into()) });
        }
        ranges.push(range);
        start += item.len() + 1;
    }
    Ok((Field(ranges), stepped))
}

fn parse_range(at: usize, item: &str) -> Result<Range, NameError> {
    let wrong = |kind| Err(NameError { at, kind });
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    for number in [first, last] {
        if !is_number(number) {
            return wrong(Kind::NotANumber { text: number.into(), digits_max: DIGITS_MAX });
        }
    }
    let step = match step {
        None => 1,
        Some(step) if is_number(step) && range.contains('-') => step.parse().unwrap_or(0),
        Some(_) => 0,
    };
    if step == 0 {
        return wrong(Kind::Step(item.into()));
    }
    let width = if first.starts_with('0') && first.len() > 1 { first.len() } else { 1 };
    if (last.starts_with('0') && last.len() > 1 || width > 1) && first.len() != last.len() {
        return wrong(Kind::Padding(format!("{first}-{last}")));
    }
    let (a, b) = (first.parse().unwrap_or(0), last.parse().unwrap_or(0));
    if a > b {
        return wrong(Kind::Backwards { first: first.into(), last: last.into() });
    }
    Ok(Range::new(a, b, step, width))
}

fn is_number(text: &str) -> bool {
    (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Folds over this field, the last of a term: what stands before it in `name` is written out.
pub fn fold(field: &Field, own: &RangeSet, first: u32, name: impl Fn(u64) -> String, tail: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let width = field.len() as u32;
    let mut at = own.iter().map(|n| n - first).peekable();
    while let Some(index) = at.next() {
        let block = index / width;
        let mut spans = alloc::vec![(index, index)];
        while let Some(next) = at.next_if(|n| n / width == block) {
            match spans.last_mut() {
                Some(span) if span.1 + 1 == next && field.joined(span.1 % width, next % width) => span.1 = next,
                _ => spans.push((next, next)),
            }
        }
        let whole = name(u64::from(spans[0].0));
        let number = |index: u32| field.nth(u64::from(index % width));
        let head_len = whole.len() - tail.len() - number(spans[0].0).len();
        let span = |&(a, b): &(u32, u32)| if a == b { number(a) } else { format!("{}-{}", number(a), number(b)) };
        parts.push(match &spans[..] {
            [(a, b)] if a == b => whole,
            _ => {
                let folded: Vec<String> = spans.iter().map(span).collect();
                format!("{}[{}]{tail}", &whole[..head_len], folded.join(","))
            }
        });
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn texts(field: &Field) -> Vec<String> {
        (0..field.len()).map(|index| field.nth(index)).collect()
    }

    fn any_range() -> impl Strategy<Value = Range> {
        (0u32..40, 0u32..90, 1u32..9, 1usize..4).prop_map(|(first, more, step, width)| {
            // As the parser has it: a width above 1 is that of both ends.
            let last = first + more;
            let width = if digits(last) > width { 1 } else { width };
            Range::new(first, last, step, width)
        })
    }

    proptest! {
        #[test]
        fn ranges_meet_where_they_write_the_same(a in any_range(), b in any_range()) {
            let set = |range: Range| texts(&Field(alloc::vec![range])).into_iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(a.meets(&b), !set(a).is_disjoint(&set(b)), "{:?} {:?}", a, b);
        }

        #[test]
        fn fields_side_by_side_are_every_pair(a in any_range(), b in any_range()) {
            let (a, b) = (Field(alloc::vec![a]), Field(alloc::vec![b]));
            let pairs: Vec<String> = texts(&a).iter().flat_map(|a| texts(&b).into_iter().map(move |b| format!("{a}{b}"))).collect();
            let unique = pairs.iter().collect::<BTreeSet<_>>().len() == pairs.len();
            match a.followed_by(&b, 0, 4096) {
                Ok(field) => {
                    prop_assert_eq!(texts(&field), pairs);
                    let text = field.text(1 << 20).unwrap();
                    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
                        let (back, stepped) = parse_ranges(0, inner).unwrap();
                        prop_assert!(!stepped);
                        prop_assert_eq!(texts(&back), texts(&field));
                    }
                }
                Err(error) => prop_assert!(!unique && matches!(error.kind, Kind::RangeRepeated(_)), "{error:?}"),
            }
        }
    }

    #[test]
    fn a_step_ends_at_its_last_number() {
        let (field, stepped) = parse_ranges(0, "0-9/3,11-12/5").unwrap();
        assert!(stepped);
        assert_eq!(texts(&field), ["0", "3", "6", "9", "11"]);
        assert_eq!(field.text(20).as_deref(), Some("[0,3,6,9,11]"));
        assert_eq!(field.text(8), None, "it is not written beyond what it may have");
    }
}
