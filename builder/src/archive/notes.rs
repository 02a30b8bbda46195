//! What is to be said of an image: the first sentences, and how many more there would be. An image of a megabyte can
//! have ten thousand odd records with names of four kilobytes each.

use std::ops::Deref;

/// Most sentences that are kept of one image.
pub const KEPT_MAX: usize = 1000;

/// Sentences, each with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    kept: Vec<String>,
    more: usize,
}

impl Notes {
    /// Adds a sentence, which is not even made where it would not be kept.
    pub fn push_with(&mut self, sentence: impl FnOnce() -> String) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(sentence());
        } else {
            self.more += 1;
        }
    }

    /// Adds a sentence that is kept whatever was said before: why nothing follows. An image has few.
    pub fn push_last(&mut self, sentence: String) {
        self.kept.push(sentence);
    }

    /// How many there would be beside those that are kept.
    pub fn more(&self) -> usize {
        self.more
    }
}

impl From<Vec<String>> for Notes {
    fn from(kept: Vec<String>) -> Notes {
        Notes { kept, more: 0 }
    }
}

impl Deref for Notes {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_kept_and_the_others_counted() {
        let mut notes = Notes::default();
        (0..KEPT_MAX).for_each(|at| notes.push_with(|| at.to_string()));
        assert_eq!((notes.len(), notes.more()), (KEPT_MAX, 0));
        notes.push_with(|| unreachable!("a sentence that is not kept is not made"));
        assert_eq!((notes.len(), notes.more()), (KEPT_MAX, 1));
        notes.push_last("the end".into());
        assert_eq!((notes.last().map(String::as_str), notes.more()), (Some("the end"), 1));
    }
}
