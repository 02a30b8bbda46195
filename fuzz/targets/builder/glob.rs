//! Patterns. Oracle: a plain matcher that tries all, where that is quick; captures put back give the text.

use super::texts;
use crate::glob::{matches, path_captures};

/// Most bytes of a text that is matched by trying.
const TRIED_MAX: usize = 12;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&["pci:v*d*\npci:v00008086d1", "*/lib*.so\nusr/lib/libz.so", "a?[0-9b-d]*\nax5zz", "[!a]*\nbcd", "***\nx"])
}

pub fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (pattern, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let found = matches(pattern, text);
    let simple = !pattern.contains(&b'[') && pattern.len() <= TRIED_MAX && text.len() <= TRIED_MAX;
    if simple && !pattern.contains(&b'\\') {
        assert_eq!(found, tried(pattern, text), "{} against {}", pattern.escape_ascii(), text.escape_ascii());
    }
    let (Ok(pattern), Ok(text)) = (std::str::from_utf8(pattern), std::str::from_utf8(text)) else { return };
    let Some(captures) = path_captures(pattern, text) else { return };
    assert!(captures.iter().all(|part| text.contains(part) && !part.contains('/')), "{captures:?} of {text:?}");
    if pattern.bytes().all(|byte| !b"?[\\".contains(&byte)) {
        let mut put_back = String::new();
        let mut captures = captures.iter();
        for (at, piece) in pattern.split('*').enumerate() {
            if at > 0 {
                put_back += captures.next().expect("each star stands for something");
            }
            put_back += piece;
        }
        assert_eq!(put_back, text, "{pattern:?}");
    }
}

fn tried(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| tried(rest, &text[at..])),
        ([b'?', rest @ ..], [_, more @ ..]) => tried(rest, more),
        ([own, rest @ ..], [byte, more @ ..]) => own == byte && tried(rest, more),
        _ => false,
    }
}
