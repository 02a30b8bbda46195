//! Shell patterns: `*` is any text, `?` any character, `[a-fx]` one of a set; a `[` without its `]` is itself.
//!
//! Takes a pattern and a text; gives what each `*` stood for. The time it takes grows with the product of their
//! lengths, whatever they are: both may come from files that anyone made. The names of paths and the aliases of kernel
//! modules are matched here: paths by characters, so that no capture is half of one, and aliases by bytes.

use std::ops::RangeInclusive;

use memchr::{memchr, memmem};

/// Most symbols of a pattern, and of a text: more than any path or alias has. Longer ones do not match.
const SYMBOLS_MAX: usize = 4096;

/// What texts are made of: bytes or characters.
trait Symbol: Copy + Ord + From<u8> {}

impl Symbol for u8 {}
impl Symbol for char {}

/// One part of a pattern.
enum Token<S> {
    Star,
    One,
    Set(Vec<RangeInclusive<S>>),
    Symbol(S),
}

impl<S: Symbol> Token<S> {
    fn fits(&self, symbol: S) -> bool {
        match self {
            Token::Star => false,
            Token::One => true,
            Token::Set(ranges) => ranges.iter().any(|range| range.contains(&symbol)),
            Token::Symbol(own) => *own == symbol,
        }
    }
}

/// What each `*` of a path's pattern stood for, where nothing but a slash stands for a slash; none where the path does
/// not match. The first `*` takes as much as it can, then the second.
pub fn path_captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    if !may_fit(pattern.as_bytes(), path.as_bytes()) {
        return None;
    }
    let (pattern, path): (Vec<char>, Vec<char>) = (pattern.chars().collect(), path.chars().collect());
    let found = captures(&pattern, &path, Some('/'))?;
    Some(found.into_iter().map(|part| part.iter().collect()).collect())
}

/// Hundreds of patterns are held against each path: whether they begin alike, and the path has what stands between
/// the stars.
fn may_fit(pattern: &[u8], path: &[u8]) -> bool {
    let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[');
    let alike = pattern.iter().zip(path).take_while(|(own, byte)| own == byte && !special(own)).count();
    match pattern.get(alike) {
        None => return path.len() == alike,
        Some(byte) if !special(byte) => return false,
        Some(_) => {}
    }
    let (pattern, path) = (&pattern[alike..], &path[alike..]);
    // Between brackets a byte stands for others.
    memchr(b'[', pattern).is_some()
        || pattern.split(special).all(|part| part.len() < 2 || memmem::find(path, part).is_some())
}

/// Whether a text matches as a whole.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    captures(pattern, text, None).is_some()
}

fn captures<'t, S: Symbol>(pattern: &[S], text: &'t [S], separator: Option<S>) -> Option<Vec<&'t [S]>> {
    // Most texts differ before the first star.
    let special = |symbol: &S| b"*?[".iter().any(|byte| S::from(*byte) == *symbol);
    let plain = pattern.iter().position(special).unwrap_or(pattern.len());
    let (start, pattern) = pattern.split_at(plain);
    let text = text.strip_prefix(start)?;
    if pattern.len() > SYMBOLS_MAX || text.len() > SYMBOLS_MAX {
        return None;
    }
    let tokens = tokens(pattern);
    let within = |at: usize| text.get(at).copied().filter(|symbol| separator != Some(*symbol));
    // For each token and place, from the end: whether what is left of the pattern matches what is left of the text.
    let width = text.len() + 1;
    let mut rest_fits = vec![false; (tokens.len() + 1) * width];
    rest_fits[tokens.len() * width + text.len()] = true;
    for (nth, token) in tokens.iter().enumerate().rev() {
        for at in (0..width).rev() {
            rest_fits[nth * width + at] = match token {
                Token::Star => {
                    rest_fits[(nth + 1) * width + at] || within(at).is_some() && rest_fits[nth * width + at + 1]
                }
                Token::Symbol(own) => text.get(at) == Some(own) && rest_fits[(nth + 1) * width + at + 1],
                token => within(at).is_some_and(|symbol| token.fits(symbol)) && rest_fits[(nth + 1) * width + at + 1],
            };
        }
    }
    if !rest_fits[0] {
        return None;
    }
    let (mut found, mut at) = (Vec::new(), 0);
    for (nth, token) in tokens.iter().enumerate() {
        let mut end = at + 1;
        if matches!(token, Token::Star) {
            let most = (at..text.len()).find(|at| within(*at).is_none()).unwrap_or(text.len());
            end = (at..=most).rev().find(|end| rest_fits[(nth + 1) * width + end])?;
            found.push(&text[at..end]);
        }
        at = end;
    }
    Some(found)
}

fn tokens<S: Symbol>(mut pattern: &[S]) -> Vec<Token<S>> {
    let [star, one, open, close] = b"*?[]".map(S::from);
    let mut tokens = Vec::new();
    while let Some((first, rest)) = pattern.split_first() {
        pattern = rest;
        let end = rest.iter().position(|symbol| *first == open && *symbol == close);
        tokens.push(match end {
            Some(end) => {
                pattern = &rest[end + 1..];
                Token::Set(ranges(&rest[..end]))
            }
            None if *first == star => Token::Star,
            None if *first == one => Token::One,
            None => Token::Symbol(*first),
        });
    }
    tokens
}

/// The ranges of a set, as `a-fx`.
fn ranges<S: Symbol>(mut set: &[S]) -> Vec<RangeInclusive<S>> {
    let mut ranges = Vec::new();
    while let Some((first, rest)) = set.split_first() {
        let (last, rest) = match rest {
            [dash, last, rest @ ..] if *dash == S::from(b'-') => (last, rest),
            rest => (first, rest),
        };
        ranges.push(*first..=*last);
        set = rest;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_match_within_a_component_and_say_what_they_stood_for() {
        for (pattern, text, expected) in [
            ("*.conf", "a.conf", Some(vec!["a"])),
            ("*.conf", "conf", None),
            ("a*b*c", "a-b-c", Some(vec!["-", "-"])),
            ("a*b*c", "a-b-b-c", Some(vec!["-b-", "-"])),
            ("a*b*c", "ac", None),
            ("a?*", "aéü", Some(vec!["ü"])),
            ("*[à-é]", "xé", Some(vec!["x"])),
            ("*[Ã]*", "é", None),
            ("x", "x", Some(vec![])),
            ("x", "xx", None),
            ("", "", Some(vec![])),
            ("ab*ba", "aba", None),
            ("/usr/bin/python3.*", "/usr/bin/python3.11", Some(vec!["11"])),
            ("/usr/*/x", "/usr/a/b/x", None),
            ("/usr/*/x", "/usr//x", Some(vec![""])),
            ("?.so", "a.so", Some(vec![])),
            ("a?b", "a/b", None),
            ("a[.-0]b", "a/b", None),
            ("a[.-0]b", "a.b", Some(vec![])),
            ("/usr/bin/[", "/usr/bin/[", Some(vec![])),
            ("****x", "yx", Some(vec!["y", "", "", ""])),
        ] {
            let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect());
            assert_eq!(path_captures(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn without_a_separator_a_star_takes_all_and_sets_have_ranges() {
        assert!(matches(b"a*z", b"a/b/z") && matches(b"[0-3x]", b"x") && matches(b"[0-3x]", b"2"));
        assert!(!matches(b"[0-3x]", b"4") && !matches(b"[]", b"a") && matches(b"[a-]", b"-"));
        let long = |length: usize| matches(b"*", &vec![b'a'; length]);
        assert!(long(SYMBOLS_MAX) && !long(SYMBOLS_MAX + 1));
    }

    /// The same by trying every way, for short texts.
    fn simple(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), next) => {
                simple(rest, text) || next.is_some_and(|(byte, text)| *byte != b'/' && simple(pattern, text))
            }
            (Some((want, rest)), Some((have, text))) => {
                (want == have || (*want == b'?' && *have != b'/')) && simple(rest, text)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_match_is_what_trying_every_way_finds(pattern in "[ab*?/]{0,8}", text in "[ab/]{0,10}") {
            let found = path_captures(&pattern, &text);
            prop_assert_eq!(found.is_some(), simple(pattern.as_bytes(), text.as_bytes()));
            if let Some(found) = found.filter(|_| !pattern.contains('?')) {
                let mut parts = found.iter();
                let filled: String = pattern
                    .chars()
                    .map(|c| if c == '*' { parts.next().cloned().unwrap_or_default() } else { c.to_string() })
                    .collect();
                prop_assert_eq!(filled, text);
            }
        }

        #[test]
        fn any_pattern_ends(pattern in "[a*?/\\[\\]-]{0,40}", text in "[a/]{0,60}") {
            let _ = path_captures(&pattern, &text);
            let around = format!("*{text}*");
            prop_assert!(matches(around.as_bytes(), text.as_bytes()));
        }
    }
}
