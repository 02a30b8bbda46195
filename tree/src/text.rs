//! A short text that came from elsewhere: what a guest's console said, why a process could not be started.
//!
//! Bounded and free of control characters whoever made it: what is decoded is cut and cleaned as what is made here is.
//! So it fits a report, and shows as one line.

use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize};

/// Most bytes of a [`ShortText`].
pub const SHORT_TEXT_MAX_BYTES: usize = 160;

/// At most [`SHORT_TEXT_MAX_BYTES`] bytes without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ShortText(String);

impl ShortText {
    /// Cuts what is too long; control characters become spaces, and at the ends there are none. What is short and
    /// clean stays as it is, so that equal texts are equal wherever they have been.
    pub fn new(text: impl fmt::Display) -> Self {
        let mut short = String::new();
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        for c in text.to_string().chars().map(clean).skip_while(|c| c.is_whitespace()) {
            if short.len() + c.len_utf8() > SHORT_TEXT_MAX_BYTES {
                break;
            }
            short.push(c);
        }
        short.truncate(short.trim_end().len());
        ShortText(short)
    }

    /// The text, at most [`SHORT_TEXT_MAX_BYTES`] bytes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ShortText {
    fn from(text: &str) -> Self {
        ShortText::new(text)
    }
}

impl<'de> Deserialize<'de> for ShortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(ShortText::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_made_or_decoded_is_short_and_clean(text in "\\PC{0,300}|[\\x00-\\x7f]{0,300}") {
            let decoded = postcard::from_bytes(&postcard::to_allocvec(&text).unwrap()).unwrap();
            for short in [ShortText::new(&text), decoded] {
                prop_assert!(short.as_str().len() <= SHORT_TEXT_MAX_BYTES);
                prop_assert!(!short.as_str().chars().any(char::is_control));
                let bytes: Vec<u8> = postcard::to_allocvec(&short).unwrap();
                prop_assert_eq!(postcard::from_bytes::<ShortText>(&bytes).unwrap(), short);
            }
        }
    }

    #[test]
    fn it_is_cut_at_its_limit_and_not_before() {
        let text = |bytes: usize| ShortText::new("x".repeat(bytes)).as_str().len();
        assert_eq!(text(SHORT_TEXT_MAX_BYTES), SHORT_TEXT_MAX_BYTES);
        assert_eq!(text(SHORT_TEXT_MAX_BYTES + 1), SHORT_TEXT_MAX_BYTES);
        assert_eq!(ShortText::new("\x1ba\x1b[2J\nb\r\n").as_str(), "a [2J b");
    }
}
