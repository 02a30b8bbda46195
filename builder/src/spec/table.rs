//! A TOML table that is read key by key with positions: a wrong type or value is noted and reading goes on;
//! at the end, keys that nobody asked for are mistakes with a "did you mean".

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnose::Problems;
use crate::ui::suggest;

/// Keys that have another name now.
const RENAMED: [(&str, &str); 5] = [
    ("template", "base"),
    ("common", "legacy_devices"),
    ("saved", "snapshot"),
    ("overlay_mib", "disk_writes_mib"),
    ("leaf", "guest_agent"),
];

/// A value with its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value that stands there.
    pub value: T,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

/// A string, or a table, in a list of both.
pub enum StringOrTable<'t, 'i> {
    /// A string.
    String(Located<String>),
    /// A table.
    Table(Located<Table<'t, 'i>>),
}

/// A table being read.
pub struct Table<'t, 'i> {
    table: &'t DeTable<'i>,
    name: String,
    asked: RefCell<Vec<&'static str>>,
    problems: &'t RefCell<Problems>,
}

impl<'t, 'i> Table<'t, 'i> {
    /// Begins to read a table; `name` is empty for the whole file.
    pub fn new(table: &'t DeTable<'i>, name: &str, problems: &'t RefCell<Problems>) -> Table<'t, 'i> {
        Table { table, name: name.to_owned(), asked: RefCell::default(), problems }
    }

    fn value(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Where a key stands.
    pub fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Whether a key is there, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes where a value stands, and gives both.
    fn located<T: Clone>(&self, key: &str, value: T, text: &str, span: Range<usize>) -> Located<T> {
        self.problems.borrow_mut().note_place(self.full(key), text, span.clone());
        Located { value, span }
    }

    fn wrong(&self, span: Range<usize>, message: String, remedy: impl Into<String>) {
        self.problems.borrow_mut().add(span, message, remedy);
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn mistyped(&self, key: &str, value: &Spanned<DeValue>, wanted: &str, example: &str) {
        let found = value.get_ref().type_str();
        let message = format!("{} is {wanted}, and this is of type {found}", self.full(key));
        self.wrong(value.span(), message, format!("write {example}"));
    }

    /// A string, if the key is there and is one.
    pub fn string(&self, key: &'static str, example: &str) -> Option<Located<String>> {
        let value = self.value(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(self.located(key, text.to_owned(), text, value.span())),
            None => {
                self.mistyped(key, value, "a string", &format!("{key} = {example:?}"));
                None
            }
        }
    }

    /// A whole number within limits.
    pub fn number(&self, key: &'static str, limits: RangeInclusive<i64>) -> Option<Located<i64>> {
        let value = self.value(key)?;
        let (low, high) = (limits.start(), limits.end());
        let number =
            value.get_ref().as_integer().map(|n| i64::from_str_radix(n.as_str(), n.radix()).unwrap_or(i64::MAX));
        match number {
            Some(number) if limits.contains(&number) => {
                Some(self.located(key, number, &number.to_string(), value.span()))
            }
            Some(_) => {
                let message = format!("{} must lie between {low} and {high}", self.full(key));
                self.wrong(value.span(), message, format!("write a number from {low} to {high}"));
                None
            }
            None => {
                self.mistyped(key, value, "a whole number", &format!("a number from {low} to {high}"));
                None
            }
        }
    }

    /// Yes or no; no, if it is not there.
    pub fn flag(&self, key: &'static str) -> bool {
        let Some(value) = self.value(key) else { return false };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.mistyped(key, value, "true or false", &format!("{key} = true"));
        }
        flag.unwrap_or(false)
    }

    /// A string, or a number given as one.
    pub fn string_or_number(&self, key: &'static str, example: &str) -> Option<Located<String>> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.to_string()),
            _ => None,
        };
        if text.is_none() {
            self.mistyped(key, value, "a string or a number", example);
        }
        text.map(|text| self.located(key, text.clone(), &text, value.span()))
    }

    /// A list of strings.
    pub fn strings(&self, key: &'static str, example: &str) -> Option<Vec<Located<String>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.mistyped(key, value, "a list of strings", &format!("{key} = [{example:?}]"));
            return None;
        };
        let mut list = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => list.push(self.located(key, text.to_owned(), text, item.span())),
                None => self.mistyped(key, item, "a list of strings", &format!("{key} = [{example:?}]")),
            }
        }
        Some(list)
    }

    /// A string, or a list of strings.
    pub fn string_or_strings(&self, key: &'static str, example: &str) -> Option<Vec<Located<String>>> {
        if self.table.get(key).is_some_and(|value| value.get_ref().as_str().is_some()) {
            return self.string(key, example).map(|text| vec![text]);
        }
        self.strings(key, example)
    }

    /// A table inside, with its place, if the value is one: what else it may be is asked for next.
    pub fn table_there(&self, key: &'static str) -> Option<(Table<'t, 'i>, Range<usize>)> {
        let value = self.table.get(key)?;
        let table = value.get_ref().as_table()?;
        self.asked.borrow_mut().push(key);
        Some((Table::new(table, &self.full(key), self.problems), value.span()))
    }

    /// A table inside.
    pub fn table(&self, key: &'static str) -> Option<Table<'t, 'i>> {
        let value = self.value(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Table::new(table, &self.full(key), self.problems)),
            None => {
                self.mistyped(key, value, "a table", &format!("[{}]", self.full(key)));
                None
            }
        }
    }

    /// A list of tables, each with its place.
    pub fn tables(&self, key: &'static str, example: &str) -> Option<Vec<Located<Table<'t, 'i>>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.mistyped(key, value, "a list of tables", example);
            return None;
        };
        let mut list = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => {
                    list.push(Located { value: Table::new(table, &self.full(key), self.problems), span: item.span() });
                }
                None => self.mistyped(key, item, "a list of tables", example),
            }
        }
        Some(list)
    }

    /// A list of strings and tables.
    pub fn strings_or_tables(&self, key: &'static str, example: &str) -> Option<Vec<StringOrTable<'t, 'i>>> {
        let value = self.value(key)?;
        const WANTED: &str = "a list of strings and tables";
        let Some(array) = value.get_ref().as_array() else {
            self.mistyped(key, value, WANTED, example);
            return None;
        };
        let mut list = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::String(text) => {
                    list.push(StringOrTable::String(self.located(key, text.to_string(), text, item.span())));
                }
                DeValue::Table(table) => {
                    let value = Table::new(table, &self.full(key), self.problems);
                    list.push(StringOrTable::Table(Located { value, span: item.span() }));
                }
                _ => self.mistyped(key, item, WANTED, example),
            }
        }
        Some(list)
    }

    /// Notes the keys that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let word: &str = key.get_ref();
            if asked.contains(&word) {
                continue;
            }
            let renamed = RENAMED.iter().find(|(old, new)| *old == word && asked.contains(new));
            if let Some((_, new)) = renamed {
                self.wrong(key.span(), format!("the key {word:?} is {new:?} now"), format!("write {new}"));
                continue;
            }
            let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            // A key with its unit: `memory_mib` for `memory`.
            let unit = |key: &&str| key.strip_prefix(word).is_some_and(|rest| rest.starts_with('_'));
            let near = suggest::nearest(word, asked.iter().copied());
            let remedy = match near.or_else(|| asked.iter().copied().find(unit)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("the keys here are {}", asked.join(", ")),
            };
            self.wrong(key.span(), format!("unknown key {word:?}{place}"), remedy);
        }
    }
}
