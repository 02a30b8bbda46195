//! What a maintainer script would run on a new system, read off its text: nothing is ever run.
//!
//! Takes a script and the arguments that dpkg gives it for a first installation; gives the commands on its way, with
//! their words as far as they are known. Conditions that the arguments decide are decided; of others both ways are
//! taken, and a variable that they set differently is not known afterwards. Functions are followed where they are
//! called. All of it is bounded: scripts come from anywhere.

use std::collections::HashMap;

use super::outcome::outcome;
use super::shell::{self, Part, Token, Word};

/// Most tokens that are looked at, also on the way over them, loops and calls counted as often as they are made.
const STEPS_MAX: usize = 500_000;
/// Most bytes of all values and words together, each counted with what it costs to keep.
const WORDS_BYTES_MAX: usize = 4 << 20;
const WORD_COST_BYTES: usize = 32;
/// Deepest calls of functions.
const CALLS_MAX: usize = 16;
/// Deepest nesting of conditions and loops.
const FRAMES_MAX: usize = 200;

/// A command on the way: its line, and its words, none where only the shell would know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Its line in the script, from 1.
    pub line: usize,
    /// The words, the first of which names the program.
    pub words: Vec<Option<String>>,
}

/// The commands of a script that is given these arguments, as `package`'s.
pub fn commands(script: &str, package: &str, arguments: &[&str]) -> Vec<Command> {
    let tokens = shell::tokens(script);
    let known = [("DPKG_ROOT", ""), ("DPKG_MAINTSCRIPT_PACKAGE", package), ("DPKG_MAINTSCRIPT_ARCH", "amd64")];
    let mut walker = Walker {
        tokens: &tokens,
        variables: known.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).into(),
        functions: HashMap::new(),
        steps: 0,
        bytes: 0,
        out: Vec::new(),
    };
    let arguments: Vec<_> = arguments.iter().map(|text| Some((*text).to_owned())).collect();
    walker.run(0, tokens.len(), &arguments, 0);
    walker.out
}

/// A condition or loop that is open.
enum Frame {
    /// `if`, and whether one of its ways was taken for certain.
    If { done: bool },
    /// `case`, with the word if it is known, and whether one of its ways was taken for certain.
    Case { word: Option<String>, done: bool },
    /// `for` with the values that are left and where its body begins; `while` without.
    Loop { name: String, values: Vec<Option<String>>, body: usize },
    /// `{`.
    Group,
}

/// How a command is joined to the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    Plain,
    And,
    Or,
}

struct Walker<'t> {
    tokens: &'t [(usize, Token)],
    variables: HashMap<String, Option<String>>,
    functions: HashMap<String, (usize, usize)>,
    steps: usize,
    bytes: usize,
    out: Vec<Command>,
}

/// Where one run over a part of the script is.
struct Run<'a> {
    at: usize,
    end: usize,
    arguments: &'a [Option<String>],
    depth: usize,
    /// The open frames, each with whether it is on the way, and whether that is certain.
    frames: Vec<(Frame, bool, bool)>,
    last: Option<bool>,
    join: Join,
    negate: bool,
}

impl Run<'_> {
    fn live(&self) -> bool {
        self.frames.iter().all(|(_, live, _)| *live)
    }

    fn certain(&self) -> bool {
        self.frames.iter().all(|(_, _, certain)| *certain)
    }

    /// The command that begins here is skipped: what came before decided it.
    fn skips(&self) -> bool {
        matches!((self.join, self.last), (Join::And, Some(false)) | (Join::Or, Some(true)))
    }

    fn conclude(&mut self, result: Option<bool>) {
        let result = if self.negate { result.map(|yes| !yes) } else { result };
        self.last = match (self.join, self.last) {
            (Join::Plain, _) => result,
            (Join::And, Some(true)) | (Join::Or, Some(false)) => result,
            (Join::And, _) => result.filter(|yes| !yes),
            (Join::Or, _) => result.filter(|yes| *yes),
        };
        self.negate = false;
    }
}

impl Walker<'_> {
    fn run(&mut self, at: usize, end: usize, arguments: &[Option<String>], depth: usize) {
        let (frames, last, join) = (Vec::new(), None, Join::Plain);
        let mut run = Run { at, end, arguments, depth, frames, last, join, negate: false };
        while run.at < run.end && self.steps < STEPS_MAX && self.bytes < WORDS_BYTES_MAX {
            self.steps += 1;
            match &self.tokens[run.at].1 {
                Token::Operator(operator) => {
                    run.at += 1;
                    self.operator(operator, &mut run);
                }
                Token::Word(word) => match word.plain() {
                    Some(keyword) if self.keyword(keyword, &mut run) => {}
                    _ => self.command(&mut run),
                },
            }
        }
    }

    fn operator(&mut self, operator: &str, run: &mut Run) {
        match operator {
            "&&" => run.join = Join::And,
            "||" => run.join = Join::Or,
            "|" => (run.last, run.join) = (None, Join::Plain),
            ";;" => self.pattern(run),
            _ => {
                run.join = Join::Plain;
                run.negate = false;
            }
        }
    }

    /// A word that means something to the shell, at the beginning of a command.
    fn keyword(&mut self, keyword: &str, run: &mut Run) -> bool {
        let begins = run.frames.len() < FRAMES_MAX;
        match keyword {
            "if" if begins => run.frames.push((Frame::If { done: false }, true, true)),
            "then" => {
                let last = run.last;
                if let Some((Frame::If { done }, live, certain)) = run.frames.last_mut() {
                    (*live, *certain) = (!*done && last != Some(false), last.is_some());
                    *done |= last == Some(true);
                }
            }
            "elif" | "else" => {
                if let Some((Frame::If { done }, live, _)) = run.frames.last_mut() {
                    *live = !*done;
                }
            }
            "fi" | "}" => drop(run.frames.pop()),
            "esac" => drop(run.frames.pop()),
            "while" | "until" if begins => {
                let (name, values, body) = (String::new(), Vec::new(), 0);
                run.frames.push((Frame::Loop { name, values, body }, true, false));
            }
            "do" => {}
            "done" => return self.end_of_loop(run),
            "{" if begins => run.frames.push((Frame::Group, true, true)),
            "!" => run.negate = true,
            "case" if begins => return self.begin_case(run),
            "for" if begins => return self.begin_loop(run),
            "function" => {}
            _ => return false,
        }
        run.at += 1;
        if keyword != "!" {
            (run.join, run.negate) = (Join::Plain, false);
        }
        true
    }

    fn begin_case(&mut self, run: &mut Run) -> bool {
        let Some((_, Token::Word(word))) = self.tokens.get(run.at + 1) else { return false };
        let word = self.value(word, run);
        run.frames.push((Frame::Case { word, done: false }, true, true));
        let before = run.at;
        run.at += 2;
        while run.at < run.end && !matches!(&self.tokens[run.at].1, Token::Word(word) if word.plain() == Some("in")) {
            run.at += 1;
        }
        run.at += 1;
        self.steps += run.at - before;
        self.pattern(run);
        true
    }

    /// The patterns of a way of `case`, up to their bracket.
    fn pattern(&mut self, run: &mut Run) {
        let mut patterns = Vec::new();
        let before = run.at;
        while let Some((_, token)) = self.tokens.get(run.at).filter(|_| run.at < run.end) {
            match token {
                Token::Word(word) if word.plain() == Some("esac") && patterns.is_empty() => return,
                Token::Word(word) => patterns.push(self.value(word, run)),
                Token::Operator(")") => {
                    run.at += 1;
                    break;
                }
                Token::Operator(_) => {}
            }
            run.at += 1;
        }
        self.steps += run.at - before;
        (run.join, run.negate) = (Join::Plain, false);
        let Some((Frame::Case { word, done }, live, certain)) = run.frames.last_mut() else { return };
        let fits = |pattern: &Option<String>| match (pattern.as_deref(), word.as_deref()) {
            (Some("*"), _) => Some(true),
            (Some(pattern), Some(word)) => Some(pattern == word),
            _ => None,
        };
        let fit = match patterns.iter().map(fits).max_by_key(|fit| match fit {
            Some(true) => 2,
            None => 1,
            Some(false) => 0,
        }) {
            Some(fit) => fit,
            None => Some(false),
        };
        (*live, *certain) = (!*done && fit != Some(false), fit.is_some() && word.is_some());
        *done |= fit == Some(true) && word.is_some();
    }

    fn begin_loop(&mut self, run: &mut Run) -> bool {
        let Some((_, Token::Word(word))) = self.tokens.get(run.at + 1) else { return false };
        let name = word.plain().unwrap_or_default().to_owned();
        let before = run.at;
        run.at += 2;
        let mut values = Vec::new();
        let mut listed = false;
        while let Some((_, token)) = self.tokens.get(run.at).filter(|_| run.at < run.end) {
            match token {
                Token::Word(word) if word.plain() == Some("do") => break,
                Token::Word(word) if !listed && word.plain() == Some("in") => listed = true,
                Token::Word(word) => self.expand(word, run, &mut values),
                Token::Operator(_) => {}
            }
            run.at += 1;
        }
        run.at += 1;
        self.steps += run.at - before;
        if values.is_empty() {
            values.push(None);
        }
        values.reverse();
        let first = values.pop().flatten();
        if run.live() {
            self.variables.insert(name.clone(), first);
        }
        run.frames.push((Frame::Loop { name, values, body: run.at }, true, true));
        (run.join, run.negate) = (Join::Plain, false);
        true
    }

    fn end_of_loop(&mut self, run: &mut Run) -> bool {
        run.at += 1;
        let live = run.live();
        let next = match run.frames.last_mut() {
            Some((Frame::Loop { name, values, body }, _, _)) if live => {
                values.pop().map(|value| (name.clone(), value, *body))
            }
            _ => None,
        };
        match next {
            Some((name, value, body)) => {
                self.variables.insert(name, value);
                run.at = body;
            }
            None => drop(run.frames.pop()),
        }
        (run.join, run.negate) = (Join::Plain, false);
        true
    }

    /// A command: its words up to an operator. Assignments, functions and tests are dealt with here.
    fn command(&mut self, run: &mut Run) {
        let line = self.tokens[run.at].0;
        let first = run.at;
        let tokens = self.tokens;
        let operator = |at: usize| matches!(tokens.get(at), Some((_, Token::Operator(_))) | None);
        while run.at < run.end && !operator(run.at) {
            run.at += 1;
        }
        self.steps += run.at - first;
        if self.defines(first, run) || !run.live() || run.skips() {
            return;
        }
        let mut words: Vec<Option<String>> = Vec::new();
        for (_, token) in &tokens[first..run.at] {
            let Token::Word(word) = token else { continue };
            match assignment(word) {
                Some((name, value)) if words.is_empty() => self.assign(name, &value, run),
                _ => self.expand(word, run, &mut words),
            }
        }
        let Some(program) = words.first() else { return run.conclude(Some(true)) };
        match program.as_deref() {
            Some("local" | "export" | "readonly") => {
                for (_, token) in &tokens[first + 1..run.at] {
                    let Token::Word(word) = token else { continue };
                    if let Some((name, value)) = assignment(word) {
                        self.assign(name, &value, run);
                    }
                }
                run.conclude(Some(true));
            }
            Some("shift") => {
                let count = words.get(1).and_then(|word| word.as_ref()?.parse().ok()).unwrap_or(1usize);
                run.arguments = run.arguments.get(count..).unwrap_or_default();
                run.conclude(Some(true));
            }
            Some("read" | "unset") => {
                for name in words.into_iter().skip(1).flatten() {
                    self.variables.insert(name, None);
                }
                run.conclude(None);
            }
            Some(name) if self.functions.contains_key(name) && run.depth < CALLS_MAX => {
                let (from, to) = self.functions[name];
                self.run(from, to, &words[1..], run.depth + 1);
                run.conclude(None);
            }
            _ => {
                let result = outcome(&words);
                self.out.push(Command { line, words });
                run.conclude(result);
            }
        }
    }

    /// Notes a function, `name() {`, and steps over it.
    fn defines(&mut self, first: usize, run: &mut Run) -> bool {
        let tokens = self.tokens;
        let is = |at: usize, operator: &str| matches!(tokens.get(at), Some((_, Token::Operator(o))) if *o == operator);
        if run.at != first + 1 || !is(run.at, "(") || !is(run.at + 1, ")") {
            return false;
        }
        let Some((_, Token::Word(name))) = tokens.get(first) else { return false };
        let mut at = run.at + 2;
        while is(at, "\n") {
            at += 1;
        }
        let mut depth = 0usize;
        let start = at + 1;
        while let Some((_, token)) = tokens.get(at).filter(|_| at < run.end) {
            if let Token::Word(word) = token {
                depth += usize::from(word.plain() == Some("{"));
                depth = depth.saturating_sub(usize::from(word.plain() == Some("}")));
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        if let Some(name) = name.plain() {
            self.functions.insert(name.to_owned(), (start, at.saturating_sub(1).max(start)));
        }
        self.steps += at - run.at;
        run.at = at;
        true
    }

    fn assign(&mut self, name: &str, value: &Word, run: &Run) {
        let value = self.value(value, run);
        let differs = self.variables.get(name).is_some_and(|before| *before != value);
        let value = if differs && !run.certain() { None } else { value };
        self.variables.insert(name.to_owned(), value);
    }

    /// The words that one word becomes.
    fn expand(&mut self, word: &Word, run: &Run, out: &mut Vec<Option<String>>) {
        if self.bytes > WORDS_BYTES_MAX {
            return;
        }
        // Quotes leave an empty text before what they hold.
        let parts: Vec<&Part> = word.parts.iter().filter(|part| **part != Part::Text(String::new())).collect();
        match parts[..] {
            [Part::Variable { name, .. }] if name == "@" || name == "*" => {
                let cost = |word: &Option<String>| WORD_COST_BYTES + word.as_ref().map_or(0, String::len);
                self.bytes += run.arguments.iter().map(cost).sum::<usize>();
                out.extend(run.arguments.iter().cloned());
            }
            [Part::Variable { .. }] if !word.quoted => match self.value(word, run) {
                Some(text) => {
                    self.bytes += text.len() * (WORD_COST_BYTES / 2);
                    out.extend(text.split_whitespace().map(|text| Some(text.to_owned())));
                }
                None => out.push(None),
            },
            _ => match self.value(word, run) {
                Some(text) if text.is_empty() && !word.quoted => {}
                value => out.push(value),
            },
        }
    }

    fn value(&mut self, word: &Word, run: &Run) -> Option<String> {
        let mut text = String::new();
        self.bytes += WORD_COST_BYTES;
        for part in &word.parts {
            match part {
                Part::Text(part) => text += part,
                Part::Temporary(line) => text += &format!("(temporary {line})"),
                Part::Unknown => return None,
                Part::Variable { name, fallback } => {
                    let value = match name.parse::<usize>() {
                        // The name of the script is not known; what was not given is empty.
                        Ok(0) => None,
                        Ok(number) => run.arguments.get(number - 1).cloned().unwrap_or_else(|| Some(String::new())),
                        Err(_) => self.variables.get(name).cloned().flatten(),
                    };
                    text += &match (value, fallback) {
                        (Some(value), Some(fallback)) if value.is_empty() => fallback.clone(),
                        (Some(value), _) => value,
                        (None, Some(fallback)) if !self.variables.contains_key(name) => fallback.clone(),
                        (None, _) => return None,
                    };
                }
            }
            // A variable that doubles itself in a loop must not fill the memory.
            if text.len() > shell::SCRIPT_BYTES_MAX {
                return None;
            }
        }
        self.bytes += text.len();
        Some(text)
    }
}

/// `name=value` at the beginning of a word.
fn assignment(word: &Word) -> Option<(&str, Word)> {
    let Some(Part::Text(text)) = word.parts.first() else { return None };
    let (name, rest) = text.split_once('=')?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(good) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut parts = vec![Part::Text(rest.to_owned())];
    parts.extend(word.parts[1..].iter().cloned());
    Some((name, Word { parts, quoted: true }))
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
