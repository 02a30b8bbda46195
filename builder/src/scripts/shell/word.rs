//! A word of a shell script, before its expansions: text, variables, and what only a run could tell.

use std::collections::BTreeMap;

/// Most values of one variable that are looked at.
const VALUES_MAX: usize = 8;

/// How often variables may stand for variables.
const EXPANSIONS_MAX: usize = 4;

/// The variable that has the path of the script itself; no script can assign it.
pub const OWN_PATH: &str = "0";

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands there, quotes removed.
    Text(String),
    /// `$NAME`, or `${NAME:-DEFAULT}` with its default where that is text.
    Variable {
        /// The variable's name.
        name: String,
        /// What stands for it when it is not set.
        default: Option<String>,
    },
    /// The folder of the script itself, as `$(dirname "$0")` gives it.
    OwnFolder,
    /// Anything else.
    Unknown,
}

/// A word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Its parts, in order.
    pub pieces: Vec<Piece>,
    /// Whether any of it was quoted: then it is no keyword.
    pub quoted: bool,
}

/// By variable: the words that are assigned to it; None for one that only a run can tell.
pub type Variables = BTreeMap<String, Vec<Option<Word>>>;

/// By variable: what it may come to.
pub type Values = BTreeMap<String, Vec<Value>>;

/// What a word may come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The text.
    pub text: String,
    /// Whether it can be nothing else.
    pub sure: bool,
}

impl Word {
    /// A word of one text.
    pub fn text(text: &str) -> Word {
        Word { pieces: vec![Piece::Text(text.to_owned())], quoted: true }
    }

    /// A word that only a run can tell.
    pub fn unknown() -> Word {
        Word { pieces: vec![Piece::Unknown], quoted: true }
    }

    /// The text of a word without expansions.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text of a word without expansions and quotes, as keywords are written.
    pub fn bare(&self) -> Option<&str> {
        self.literal().filter(|_| !self.quoted)
    }

    /// `NAME=VALUE` taken apart, if this is one.
    pub fn assignment(&self) -> Option<(String, Word)> {
        let Some(Piece::Text(first)) = self.pieces.first() else { return None };
        let (name, rest) = first.split_once('=')?;
        let name = name.strip_suffix('+').unwrap_or(name);
        let name = name.split('[').next().unwrap_or(name);
        if !is_name(name) {
            return None;
        }
        let mut pieces = vec![Piece::Text(rest.to_owned())];
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        pieces.extend(self.pieces[1..].iter().cloned());
        Some((name.to_owned(), Word { pieces, quoted: true }))
    }

    /// All that this word may come to; nothing where a part is unknown.
    pub fn values(&self, known: &Values, own_folder: &str) -> Vec<Value> {
        if let Some(text) = self.literal() {
            return vec![Value { text: text.to_owned(), sure: true }];
        }
        let mut all = vec![Value { text: String::new(), sure: true }];
        for piece in &self.pieces {
            let parts = match piece {
                Piece::Text(text) => vec![Value { text: text.clone(), sure: true }],
                Piece::OwnFolder => vec![Value { text: own_folder.to_owned(), sure: true }],
                Piece::Variable { name, default } => of_variable(known.get(name), default.as_deref()),
                Piece::Unknown => Vec::new(),
            };
            all = all
                .iter()
                .flat_map(|start| parts.iter().map(|part| start.joined(part)))
                .filter(|value| value.text.len() <= EXPANDED_BYTES_MAX)
                .take(VALUES_MAX)
                .collect();
            if all.is_empty() {
                break;
            }
        }
        all
    }
}

/// What variables may come to, each with all values that it is given.
pub fn resolve(variables: &Variables, own_folder: &str) -> Values {
    let mut known = Values::new();
    for _ in 0..EXPANSIONS_MAX {
        let of = |words: &Vec<Option<Word>>| {
            let once = words.len() == 1;
            let values = words.iter().flatten().take(VALUES_MAX).flat_map(|word| word.values(&known, own_folder));
            let values = values.map(|value| Value { sure: value.sure && once, ..value });
            values.take(VALUES_MAX).collect::<Vec<_>>()
        };
        known = variables.iter().map(|(name, words)| (name.clone(), of(words))).collect();
    }
    known
}

/// Most bytes of a word whose variables were put in: as many as a path has.
const EXPANDED_BYTES_MAX: usize = 4096;

impl Value {
    fn joined(&self, more: &Value) -> Value {
        Value { text: format!("{}{}", self.text, more.text), sure: self.sure && more.sure }
    }
}

fn of_variable(assigned: Option<&Vec<Value>>, default: Option<&str>) -> Vec<Value> {
    let assigned =
        assigned.into_iter().flatten().map(|value| Value { sure: value.sure && default.is_none(), ..value.clone() });
    let default = default.map(|text| Value { text: text.to_owned(), sure: false });
    assigned.chain(default).take(VALUES_MAX).collect()
}

/// Whether a variable or function may have this name.
pub fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
