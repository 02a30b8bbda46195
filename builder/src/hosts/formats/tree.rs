//! YAML as a tree with lines, and JSON, which is YAML: <https://yaml.org/spec/1.2.2/>.
//!
//! Takes a text; gives its first document. Depth is bounded, aliases are nothing: nobody follows them, so a short text
//! stays a small tree.

use saphyr_parser::{Event, Parser};

/// Deepest nesting.
const DEPTH_MAX: usize = 64;

/// A value, with the line where it begins.
#[derive(Debug, PartialEq)]
pub struct Tree {
    /// The line, from 1.
    pub line: usize,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, PartialEq)]
pub enum Value {
    /// A text or a number, as it is written; empty for what is none.
    Scalar(String),
    /// Several in order.
    List(Vec<Tree>),
    /// Several with keys, in the order written.
    Map(Vec<(Key, Tree)>),
}

/// A key, with its line.
#[derive(Debug, PartialEq)]
pub struct Key {
    /// The line, from 1.
    pub line: usize,
    /// What is written there.
    pub text: String,
}

/// Values that are being read.
enum Open {
    List(Vec<Tree>),
    Map(Vec<(Key, Tree)>, Option<Key>),
}

/// The tree of a text, or where it is none and why.
pub fn parse(text: &str) -> Result<Tree, (usize, String)> {
    let mut open: Vec<(usize, Open)> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| (e.marker().line(), e.info().to_owned()))?;
        let line = span.start.line();
        let done = match event {
            Event::Scalar(text, ..) => Tree { line, value: Value::Scalar(text.into_owned()) },
            Event::Alias(_) => Tree { line, value: Value::Scalar(String::new()) },
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                return Err((line, format!("it is nested more than {DEPTH_MAX} deep")));
            }
            Event::SequenceStart(..) => {
                open.push((line, Open::List(Vec::new())));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((line, Open::Map(Vec::new(), None)));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((line, Open::List(list))) => Tree { line, value: Value::List(list) },
                Some((line, Open::Map(map, _))) => Tree { line, value: Value::Map(map) },
                None => continue,
            },
            Event::DocumentEnd => break,
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(done),
            Some((_, Open::List(list))) => list.push(done),
            Some((_, Open::Map(map, key))) => match key.take() {
                Some(key) => map.push((key, done)),
                // A key that is no text is never one that is looked for.
                None => *key = Some(Key { line: done.line, text: done.into_text() }),
            },
        }
    }
    Err((1, "there is nothing in it".to_owned()))
}

impl Tree {
    fn into_text(self) -> String {
        match self.value {
            Value::Scalar(text) => text,
            Value::List(_) | Value::Map(_) => String::new(),
        }
    }

    /// Its text, if it is one that says something.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) if !text.is_empty() && text != "~" && text != "null" => Some(text),
            _ => None,
        }
    }

    /// Its pairs, if it has keys.
    pub fn pairs(&self) -> &[(Key, Tree)] {
        match &self.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// Its items, if it is a list.
    pub fn items(&self) -> &[Tree] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.pairs().iter().find(|(other, _)| other.text == key).map(|(_, value)| value)
    }

    /// The text of a key, with its line.
    pub fn get_text(&self, key: &str) -> Option<(usize, &str)> {
        self.get(key).and_then(|value| Some((value.line, value.text()?)))
    }
}
