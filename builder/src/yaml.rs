//! YAML as a tree with lines, and JSON, which is YAML: <https://yaml.org/spec/1.2.2/>.
//!
//! Takes a text, gives its first document. Depth is bounded. Where aliases are followed, size is as well: an alias is
//! its anchor's value, copied, so that a short text that names itself again and again reaches the bound instead of the
//! end of memory, and `<<` merges maps. Where nobody follows them, a short text stays a small tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

/// Deepest nesting.
const DEPTH_MAX: usize = 64;
/// Most values, those of aliases included.
const VALUES_MAX: usize = 1_000_000;

/// A value, with the line where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The line, from 1.
    pub line: usize,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text or a number, as it is written.
    Scalar(String),
    /// Several in order.
    List(Vec<Tree>),
    /// Several with keys, in the order written.
    Map(Vec<(Tree, Tree)>),
}

/// What becomes of aliases, and of `<<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliases {
    /// They are empty texts, and `<<` is a key as any other.
    Ignored,
    /// They are what they stand for.
    Followed,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The line, from 1; 0 where it is the whole text.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// Whether a part of the text could be read.
    pub too_large: bool,
}

impl YamlError {
    fn new(line: usize, message: impl Into<String>) -> YamlError {
        YamlError { line, message: message.into(), too_large: false }
    }
}

enum Open {
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>, Option<Tree>),
}

/// Reads a text.
///
/// # Errors
/// It is no YAML, is nested too deep, or is too large with what its aliases stand for.
pub fn parse(text: &str, aliases: Aliases) -> Result<Tree, YamlError> {
    let followed = aliases == Aliases::Followed;
    let mut open: Vec<(usize, usize, Open)> = Vec::new();
    let mut anchors: HashMap<usize, Tree> = HashMap::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| YamlError::new(e.marker().line(), e.info().to_owned()))?;
        let line = span.start.line();
        count += 1;
        let (anchor, done) = match event {
            Event::Scalar(text, _, anchor, _) => (anchor, Tree { line, value: Value::Scalar(text.into_owned()) }),
            Event::Alias(_) if !followed => (0, Tree { line, value: Value::Scalar(String::new()) }),
            Event::Alias(anchor) => {
                // What is not closed yet would hold itself.
                let tree = anchors
                    .get(&anchor)
                    .ok_or_else(|| YamlError::new(line, "an alias stands for nothing before it"))?;
                count += tree.size();
                if tree.deeper_than(DEPTH_MAX.saturating_sub(open.len())) {
                    return Err(YamlError::new(line, format!("it is nested more than {DEPTH_MAX} deep")));
                }
                if count > VALUES_MAX {
                    return Err(too_large(line));
                }
                (0, Tree { line, ..tree.clone() })
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_MAX => {
                return Err(YamlError::new(line, format!("it is nested more than {DEPTH_MAX} deep")));
            }
            Event::SequenceStart(anchor, _) => {
                open.push((line, anchor, Open::List(Vec::new())));
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push((line, anchor, Open::Map(Vec::new(), None)));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((line, anchor, Open::List(list))) => (anchor, Tree { line, value: Value::List(list) }),
                Some((line, anchor, Open::Map(map, _))) => {
                    let map = if followed { merged(map) } else { map };
                    (anchor, Tree { line, value: Value::Map(map) })
                }
                None => continue,
            },
            Event::DocumentEnd => break,
            _ => continue,
        };
        if followed && anchor != 0 {
            count += done.size();
        }
        if followed && count > VALUES_MAX {
            return Err(too_large(line));
        }
        if followed && anchor != 0 {
            anchors.insert(anchor, done.clone());
        }
        match open.last_mut() {
            None => return Ok(done),
            Some((_, _, Open::List(list))) => list.push(done),
            Some((_, _, Open::Map(map, key))) => match key.take() {
                Some(key) => map.push((key, done)),
                None => *key = Some(done),
            },
        }
    }
    Err(YamlError::new(0, "there is nothing in it"))
}

fn too_large(line: usize) -> YamlError {
    let message = format!("it has more than {VALUES_MAX} values, those of its aliases included");
    YamlError { too_large: true, ..YamlError::new(line, message) }
}

/// A map with what its `<<` bring, which its own keys go before.
fn merged(map: Vec<(Tree, Tree)>) -> Vec<(Tree, Tree)> {
    let (merges, mut own): (Vec<_>, Vec<_>) = map.into_iter().partition(|(key, _)| key.text() == Some("<<"));
    for (_, value) in merges {
        let maps = match value.value {
            Value::List(list) => list,
            _ => vec![value],
        };
        for (key, value) in maps.into_iter().flat_map(Tree::into_pairs) {
            if own.iter().all(|(other, _)| other.value != key.value) {
                own.push((key, value));
            }
        }
    }
    own
}

impl Tree {
    fn size(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(list) => 1 + list.iter().map(Tree::size).sum::<usize>(),
            Value::Map(map) => 1 + map.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>(),
        }
    }

    fn deeper_than(&self, depth: usize) -> bool {
        match (&self.value, depth) {
            (Value::Scalar(_), _) => false,
            (_, 0) => true,
            (Value::List(list), _) => list.iter().any(|tree| tree.deeper_than(depth - 1)),
            (Value::Map(map), _) => {
                map.iter().any(|(key, value)| key.deeper_than(depth - 1) || value.deeper_than(depth - 1))
            }
        }
    }

    fn into_pairs(self) -> Vec<(Tree, Tree)> {
        match self.value {
            Value::Map(map) => map,
            _ => Vec::new(),
        }
    }

    /// What is written there, if it is a text; nothing for what is none.
    pub fn written(&self) -> &str {
        match &self.value {
            Value::Scalar(text) => text,
            Value::List(_) | Value::Map(_) => "",
        }
    }

    /// Its text, if it is one that says something.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) if !text.is_empty() && text != "~" && text != "null" => Some(text),
            _ => None,
        }
    }

    /// Its number; `24.` is one.
    pub fn number(&self) -> Option<f64> {
        self.text()?.parse().ok()
    }

    /// Its pairs with their keys' lines, if it has keys.
    pub fn entries(&self) -> &[(Tree, Tree)] {
        match &self.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// Its pairs, if it has keys.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &Tree)> {
        self.entries().iter().map(|(key, value)| (key.text().unwrap_or(""), value))
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
        self.pairs().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// The text of a key.
    pub fn get_text(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// The text of a key, with its line.
    pub fn get_placed(&self, key: &str) -> Option<(usize, &str)> {
        self.get(key).and_then(|value| Some((value.line, value.text()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_and_merges_are_what_they_stand_for() {
        let tree = parse("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\nc: *x\n", Aliases::Followed).unwrap();
        let b = tree.get("b").unwrap();
        assert_eq!((b.get_text("k"), b.get_text("l")), (Some("1"), Some("3")));
        assert_eq!(tree.get("c").unwrap().get_text("l"), Some("2"));
        assert_eq!(tree.get("c").unwrap().line, 3);
    }

    #[test]
    fn what_grows_without_bound_is_an_error() {
        let mut text = "a0: &a0 [x, x]\n".to_owned();
        for n in 1..40 {
            text += &format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1);
        }
        assert!(parse(&text, Aliases::Followed).unwrap_err().message.contains("aliases included"));
        assert!(parse(&"[".repeat(65), Aliases::Followed).unwrap_err().message.contains("deep"));
        assert!(parse(&format!("{}{}", "[".repeat(64), "]".repeat(64)), Aliases::Followed).is_ok());
        assert!(parse("a: &a [*a]", Aliases::Followed).is_err());
    }

    #[test]
    fn aliases_that_nobody_follows_are_nothing() {
        let tree = parse("a: &x {k: 1}\nb: {<<: *x, l: 3}\nc: *x\n", Aliases::Ignored).unwrap();
        let b = tree.get("b").unwrap();
        assert_eq!((b.get_text("k"), b.get("<<").unwrap().written(), b.get_text("l")), (None, "", Some("3")));
        assert_eq!((tree.get_placed("c"), tree.get("c").unwrap().line), (None, 3));
        assert!(parse(&"[".repeat(65), Aliases::Ignored).unwrap_err().message.contains("deep"));
    }
}
