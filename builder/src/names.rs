//! Names that are bytes, kept as text: a path, a file's name or a link's target, which Linux allows any bytes but NUL.
//!
//! [`encode`] takes bytes and gives text that [`decode`] turns back: what is valid UTF-8 stays, and each other byte
//! becomes one code point of a reserved range in the last private-use plane, U+10F780 to U+10F7FF. Names that hold such
//! a code point themselves have its bytes encoded one by one in the same way, so that no two names become one text.
//! Slashes, dots and all of ASCII stay what they are, so that paths are cut and joined as text everywhere between.
//!
//! [`show`] is for people: all that could drive a terminal, forge a line or look like something else is `\xNN`, a
//! backslash is `\\`. [`unshow`] takes that back.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// The code point of byte 0; only those of bytes from 0x80 on are used.
const FIRST: u32 = 0x10_f700;
/// What the UTF-8 form of every reserved code point begins with.
const LEAD: &[u8] = &[0xf4, 0x8f, 0x9e];

fn reserved(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn byte_of(c: char) -> Option<u8> {
    u32::from(c).checked_sub(FIRST).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 0x80)
}

/// Whether a text may hold a reserved code point: U+10F780 to U+10F7BF are F4 8F 9E xx, the rest F4 8F 9F xx.
fn may_hold_reserved(text: &[u8]) -> bool {
    text.contains(&LEAD[0]) && text.windows(3).any(|three| three[..2] == LEAD[..2] && three[2] | 1 == 0x9f)
}

/// A name as text.
pub fn encode(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !may_hold_reserved(name) => return Cow::Borrowed(text),
        _ => {}
    }
    let mut text = String::with_capacity(name.len() * 2);
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match byte_of(c) {
                Some(_) => text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(reserved)),
                None => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().copied().map(reserved));
    }
    Cow::Owned(text)
}

/// The bytes of a name that is kept as text.
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    if !may_hold_reserved(text.as_bytes()) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut name = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => name.push(byte),
            None => name.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    Cow::Owned(name)
}

/// A name of the disk as text.
pub fn from_os(name: impl AsRef<OsStr>) -> String {
    encode(name.as_ref().as_bytes()).into_owned()
}

/// The path on the disk of a name that is kept as text.
pub fn to_path(text: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(decode(text).into_owned()))
}

/// Sorts by the names' real bytes, so that order in an archive does not depend on how names are kept here.
pub fn sort_by_bytes<T>(items: &mut [T], name: impl Fn(&T) -> &str) {
    if items.iter().any(|item| may_hold_reserved(name(item).as_bytes())) {
        items.sort_by(|a, b| decode(name(a)).cmp(&decode(name(b))));
    }
}

/// A name as it is shown: no two look alike, none forges a line, and [`unshow`] takes it back.
pub fn show(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| (b'!'..=b'~').contains(&byte) && byte != b'\\' && byte != b'>';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let arrow = c == '>' && shown.ends_with(" -") && rest.as_str().starts_with(' ');
        // A combining mark would join what stands before it, and so looks like another letter.
        let seen = matches!(c, '\'' | '"') || c.escape_debug().len() == 1;
        match byte_of(c) {
            Some(byte) => shown.push_str(&format!("\\x{byte:02X}")),
            None if c == '\\' => shown.push_str("\\\\"),
            None if !seen || arrow || (c == ' ' && rest.as_str().is_empty()) => {
                shown.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\x{byte:02X}")));
            }
            None => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A name that was shown, as it is kept; None if [`show`] does not write so.
pub fn unshow(shown: &str) -> Option<String> {
    let mut name = Vec::with_capacity(shown.len());
    let mut rest = shown.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'\\' {
            name.push(*byte);
            continue;
        }
        let (kind, tail) = rest.split_first()?;
        rest = tail;
        match kind {
            b'\\' => name.push(b'\\'),
            b'x' => {
                let (digits, tail) = rest.split_first_chunk::<2>()?;
                rest = tail;
                let digit = |digit: u8| char::from(digit).to_digit(16);
                name.push((digit(digits[0])? << 4 | digit(digits[1])?) as u8);
            }
            _ => return None,
        }
    }
    Some(encode(&name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_stays_text_and_every_other_byte_is_one_reserved_code_point() {
        assert!(matches!(encode("caf\u{e9}/x".as_bytes()), Cow::Borrowed("café/x")));
        assert_eq!(encode(b"caf\xe9"), "caf\u{10f7e9}");
        assert_eq!(decode("caf\u{10f7e9}"), &b"caf\xe9"[..]);
        // A name that has such a code point itself.
        let odd = "a\u{10f7e9}";
        assert_ne!(encode(odd.as_bytes()), odd);
        assert_eq!(decode(&encode(odd.as_bytes())), odd.as_bytes());
        // Its neighbours outside the range are text.
        for c in ['\u{10f77f}', '\u{10f800}', '\u{10f6ff}'] {
            assert_eq!(encode(c.to_string().as_bytes()), c.to_string());
        }
    }

    #[test]
    fn what_is_shown_forges_nothing() {
        for (name, shown) in [
            (&b"plain-name_1.so"[..], "plain-name_1.so"),
            (b"caf\xe9", "caf\\xE9"),
            (b"caf\\xE9", "caf\\\\xE9"),
            (b"two\nlines", "two\\x0Alines"),
            (b"red\x1b[31m", "red\\x1B[31m"),
            (b"a -> b", "a -\\x3E b"),
            (b"a->b", "a->b"),
            (b"end ", "end\\x20"),
            ("no\u{a0}break".as_bytes(), "no\\xC2\\xA0break"),
            ("\u{202e}gpj".as_bytes(), "\\xE2\\x80\\xAEgpj"),
            ("e\u{301}".as_bytes(), "e\\xCC\\x81"),
            ("\u{e9}'\"".as_bytes(), "\u{e9}'\""),
        ] {
            assert_eq!(show(&encode(name)), shown, "{name:?}");
        }
        for wrong in ["\\", "\\x", "\\x4", "\\xzz", "\\n"] {
            assert_eq!(unshow(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn order_is_that_of_the_bytes() {
        let mut names: Vec<String> =
            [&b"\xff"[..], b"\xf0\x9f\x98\x80", b"\x80", b"z"].iter().map(|name| encode(name).into_owned()).collect();
        sort_by_bytes(&mut names, |name| name);
        let bytes: Vec<_> = names.iter().map(|name| decode(name).into_owned()).collect();
        assert_eq!(bytes, [&b"z"[..], b"\x80", b"\xf0\x9f\x98\x80", b"\xff"]);
    }

    proptest! {
        #[test]
        fn bytes_come_back_however_they_are_kept_or_shown(
            name in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(b"\xf4\x8f\x9e\x9f\xa9\\x ->".to_vec())],
                0..40,
            ),
        ) {
            let text = encode(&name);
            prop_assert_eq!(&decode(&text)[..], &name[..]);
            let shown = show(&text);
            prop_assert!(!shown.chars().any(char::is_control) && !shown.contains(" -> "));
            let back = unshow(&shown);
            prop_assert_eq!(back.as_deref(), Some(&*text));
        }
    }
}
