//! Mistakes of a spec: where, the line, a caret, what to write instead; all of them, in order.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind};

/// A spec file and its text.
#[derive(Clone, Debug)]
pub struct SpecText {
    /// The path, as it was given.
    pub path: PathBuf,
    /// The text of the file.
    pub text: String,
}

/// One mistake: where it is, what is wrong, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the text that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// The mistakes found so far in one file, and where its values stand, for those that are yet to be found.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    places: Vec<(String, String, Range<usize>)>,
}

/// Files with what is wrong in each.
pub type Files = Vec<(SpecText, Problems)>;

impl Problems {
    /// Notes a mistake.
    pub fn add(&mut self, span: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        self.list.push(Problem { span, message: message.into(), remedy: remedy.into() });
    }

    /// Notes where a value of a key stands, such as one of `host.binaries`.
    pub fn note_place(&mut self, key: String, value: &str, span: Range<usize>) {
        self.places.push((key, value.to_owned(), span));
    }

    /// Where a key has this value, or any; the first, if there are several.
    pub fn place(&self, key: &str, value: Option<&str>) -> Option<Range<usize>> {
        let fits = |(other, text, _): &&(String, String, Range<usize>)| {
            other == key && value.is_none_or(|value| value == text)
        };
        self.places.iter().find(fits).map(|(_, _, span)| span.clone())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All mistakes as text, in the order of the file.
    pub fn render(&self, source: &SpecText) -> String {
        let mut list: Vec<&Problem> = self.list.iter().collect();
        list.sort_by_key(|problem| (problem.span.start, problem.span.end));
        list.dedup();
        list.iter().map(|problem| render(source, problem)).collect()
    }
}

/// Notes a mistake where a key has this value. Where no file says it, because it is a default, the mistake is shown at
/// the key, or at the beginning of the last file.
pub fn note(
    files: &mut [(SpecText, Problems)],
    key: &str,
    value: &str,
    message: impl Into<String>,
    remedy: impl Into<String>,
) {
    // The last file that says it counts: it wins over those that it includes.
    let found = [Some(value), None].into_iter().find_map(|value| {
        files.iter().enumerate().rev().find_map(|(at, (_, problems))| Some((at, problems.place(key, value)?)))
    });
    let (at, span) = found.unwrap_or((files.len().saturating_sub(1), 0..0));
    if let Some((_, problems)) = files.get_mut(at) {
        problems.add(span, message, remedy);
    }
}

/// All mistakes of several files as one error with the exit code of a wrong spec.
pub fn error(spec: &Path, files: &[(SpecText, Problems)]) -> Error {
    let count: usize = files.iter().map(|(_, problems)| problems.len()).sum();
    let text: String = files.iter().map(|(source, problems)| problems.render(source)).collect();
    let mistakes = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
    Error::new(format!("cannot use {}", spec.display()))
        .because(format!("it has {mistakes}\n{}", text.trim_end()))
        .of_kind(Kind::Spec)
}

fn render(source: &SpecText, problem: &Problem) -> String {
    let at = problem.span.start.min(source.text.len());
    let before = source.text.get(..at).unwrap_or(&source.text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let number = before.matches('\n').count() + 1;
    let line = source.text[line_start..].lines().next().unwrap_or("");
    let column = before[line_start..].chars().count() + 1;
    let wrong = source.text.get(at..problem.span.end).unwrap_or("").lines().next().unwrap_or("");
    let carets = "^".repeat(wrong.chars().count().max(1));
    let gutter = " ".repeat(number.to_string().len());
    // Tabs before the caret stay tabs, so that it stands below its text.
    let indent: String = before[line_start..].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    format!(
        "{}:{number}:{column}: {}\n  {number} | {line}\n  {gutter} | {indent}{carets}\n  {gutter} = {}\n",
        source.path.display(),
        problem.message,
        problem.remedy
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_mistake() {
        let source = SpecText { path: "a.toml".into(), text: "x = 1\n\tküche = 2 # c\n".to_owned() };
        let mut problems = Problems::default();
        problems.add(16..17, "wrong number", "write 3");
        problems.add(7..13, "unknown key", "remove it");
        let text = problems.render(&source);
        let expected = "\
a.toml:2:2: unknown key
  2 | \tküche = 2 # c
    | \t^^^^^
    = remove it
a.toml:2:10: wrong number
  2 | \tküche = 2 # c
    | \t        ^
    = write 3
";
        assert_eq!(text, expected);
    }
}
