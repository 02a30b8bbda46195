//! The grammar of the shell (POSIX.1-2017, Shell Command Language; bash(1)), as far as commands stand in it.
//!
//! Takes a script's text; gives its simple commands, assignments and functions, from substitutions and here-documents
//! too. What the grammar does not allow is passed over: a script may be broken where it never runs. Substitutions in
//! substitutions are read to a depth; every other nesting is a list, and each byte is read once.

use std::collections::BTreeSet;

use super::word::{Piece, Word};

/// How deep substitutions may lie in each other.
const DEPTH_MAX: usize = 40;

/// Within so many bytes an arithmetic expansion ends; what does not is a command in brackets.
const ARITHMETIC_BYTES_MAX: usize = 512;

/// A simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its words, redirections and assignments taken away.
    pub words: Vec<Word>,
    /// The line that it begins on.
    pub line: usize,
    /// Whether it runs only when something before it failed (`||`).
    pub guarded: bool,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct ShellText {
    /// Simple commands.
    pub calls: Vec<Call>,
    /// Assigned variables; None for what only a run can tell.
    pub assignments: Vec<(String, Option<Word>)>,
    /// Functions and aliases.
    pub functions: BTreeSet<String>,
}

/// Reads a script, whose first line is this one of the file.
pub fn parse(text: &str, line: usize) -> ShellText {
    let mut parser =
        Parser { text: text.as_bytes(), at: 0, line, depth: 0, documents: Vec::new(), out: ShellText::default() };
    parser.list(false, false);
    parser.out
}

/// A here-document that begins behind this line.
struct HereDocument {
    end: String,
    tabs: bool,
    literal: bool,
}

/// A reading under way.
pub(super) struct Parser<'t> {
    pub(super) text: &'t [u8],
    pub(super) at: usize,
    pub(super) line: usize,
    depth: usize,
    documents: Vec<HereDocument>,
    pub(super) out: ShellText,
}

/// What a list is inside of, from the outermost on.
struct Frame {
    kind: FrameKind,
    guarded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Brackets,
    Case,
    Other,
}

/// A list under way.
pub(super) struct List {
    frames: Vec<Frame>,
    pub(super) words: Vec<Word>,
    line: usize,
    outer: bool,
    after_or: bool,
}

impl List {
    fn guarded(&self) -> bool {
        self.after_or || self.frames.last().map_or(self.outer, |frame| frame.guarded)
    }

    pub(super) fn open(&mut self, kind: FrameKind) {
        let guarded = self.guarded();
        self.frames.push(Frame { kind, guarded });
        self.after_or = false;
    }

    pub(super) fn close(&mut self, kind: FrameKind) {
        if self.frames.last().is_some_and(|frame| frame.kind == kind) {
            self.frames.pop();
        }
    }

    fn in_case(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.kind == FrameKind::Case)
    }
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(super) fn starts(&self, with: &[u8]) -> bool {
        self.text[self.at.min(self.text.len())..].starts_with(with)
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    /// Blanks and continued lines.
    pub(super) fn blanks(&mut self) {
        loop {
            if self.starts(b"\\\n") {
                self.next();
                self.next();
            } else if matches!(self.peek(), Some(b' ' | b'\t' | b'\r')) {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    pub(super) fn comment(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    /// Reads commands, up to the bracket that closes a substitution where it is inside one.
    pub(super) fn list(&mut self, inside: bool, outer: bool) {
        let mut list = List { frames: Vec::new(), words: Vec::new(), line: self.line, outer, after_or: false };
        loop {
            self.blanks();
            let Some(byte) = self.peek() else { break };
            match byte {
                b'\n' => {
                    self.finish(&mut list, false);
                    self.next();
                    self.here_documents();
                }
                b'#' => self.comment(),
                b';' => self.semicolon(&mut list),
                b'&' | b'|' => self.operator(&mut list, byte),
                b'(' => self.bracket(&mut list),
                b')' => {
                    self.at += 1;
                    self.finish(&mut list, false);
                    if inside && !list.frames.iter().any(|frame| frame.kind == FrameKind::Brackets) {
                        return;
                    }
                    list.close(FrameKind::Brackets);
                }
                b'<' | b'>' => self.redirection(&mut list),
                _ => {
                    if list.words.is_empty() {
                        list.line = self.line;
                    }
                    let word = self.word();
                    self.take(&mut list, word);
                }
            }
        }
        self.finish(&mut list, false);
    }

    /// Ends a simple command.
    fn finish(&mut self, list: &mut List, or: bool) {
        let words = std::mem::take(&mut list.words);
        let assigned = words.iter().take_while(|word| word.assignment().is_some()).count();
        for word in &words[..assigned] {
            self.out.assignments.extend(word.assignment().map(|(name, value)| (name, Some(value))));
        }
        if words.len() > assigned {
            let (line, guarded) = (list.line, list.guarded());
            self.out.calls.push(Call { words: words[assigned..].to_vec(), line, guarded });
        }
        list.after_or = or;
    }

    fn semicolon(&mut self, list: &mut List) {
        self.finish(list, false);
        self.at += 1;
        let double = self.starts(b";") || self.starts(b"&");
        while matches!(self.peek(), Some(b';' | b'&')) {
            self.at += 1;
        }
        if double && list.in_case() {
            self.patterns();
        }
    }

    fn operator(&mut self, list: &mut List, byte: u8) {
        if byte == b'&' && (self.starts(b"&>")) {
            self.at += 1;
            return self.redirection(list);
        }
        let or = self.starts(b"||");
        // A pipe goes on with what its first command is guarded by.
        let goes_on = !or && byte == b'|' && list.after_or;
        let double = or || self.starts(b"&&") || self.starts(b"|&");
        self.finish(list, or || goes_on);
        self.at += if double { 2 } else { 1 };
    }

    fn bracket(&mut self, list: &mut List) {
        let name = match list.words.as_slice() {
            [word] => word.bare().map(str::to_owned),
            _ => None,
        };
        if list.words.is_empty() && self.starts(b"((") && self.arithmetic(self.at) {
            return;
        }
        self.at += 1;
        match name {
            // A function: NAME ( ).
            Some(name) => {
                self.blanks();
                if self.peek() == Some(b')') {
                    self.at += 1;
                    self.out.functions.insert(name);
                    list.words.clear();
                } else {
                    self.finish(list, false);
                    list.open(FrameKind::Brackets);
                }
            }
            None => {
                self.finish(list, false);
                list.open(FrameKind::Brackets);
            }
        }
    }

    /// Passes over `((...))` that begins here, if it is one.
    pub(super) fn arithmetic(&mut self, from: usize) -> bool {
        let end = self.text.len().min(from + ARITHMETIC_BYTES_MAX);
        let mut open = 0_usize;
        for at in from..end {
            match self.text[at] {
                b'(' => open += 1,
                b')' => open -= 1,
                _ => continue,
            }
            if open == 1 && at > from {
                // Both brackets close at once, or it is a command.
                if self.text.get(at + 1) != Some(&b')') {
                    return false;
                }
                self.line += self.text[self.at..at].iter().filter(|byte| **byte == b'\n').count();
                self.at = at + 2;
                return true;
            }
        }
        false
    }

    /// `<FILE`, `2>&1`, `<<END`, `<(COMMANDS)`.
    fn redirection(&mut self, list: &mut List) {
        // A number in front belongs to it.
        if self.at > 0 && self.text[self.at - 1].is_ascii_digit() {
            let number = |word: &Word| word.bare().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            if list.words.last().is_some_and(number) {
                list.words.pop();
            }
        }
        if self.starts(b"<(") || self.starts(b">(") {
            self.at += 2;
            let guarded = list.guarded();
            self.nested(|parser| parser.list(true, guarded));
            list.words.push(Word::unknown());
            return;
        }
        let here = self.starts(b"<<") && !self.starts(b"<<<");
        let tabs = here && self.starts(b"<<-");
        while matches!(self.peek(), Some(b'<' | b'>' | b'&' | b'|')) {
            self.at += 1;
        }
        self.at += usize::from(tabs);
        self.blanks();
        if matches!(self.peek(), None | Some(b'\n' | b';' | b')' | b'(')) {
            return;
        }
        let word = self.word();
        if here {
            let end = word.pieces.iter().filter_map(|piece| match piece {
                Piece::Text(text) => Some(text.clone()),
                Piece::Variable { name, .. } => Some(format!("${name}")),
                _ => None,
            });
            self.documents.push(HereDocument { end: end.collect(), tabs, literal: word.quoted });
        }
    }

    /// The here-documents that were announced on the line before.
    fn here_documents(&mut self) {
        for document in std::mem::take(&mut self.documents) {
            let start = self.at;
            let mut end = self.text.len();
            while self.at < self.text.len() {
                let line_start = self.at;
                self.comment();
                let line = &self.text[line_start..self.at];
                let tabs = if document.tabs { line.iter().take_while(|byte| **byte == b'\t').count() } else { 0 };
                let found = line[tabs..] == *document.end.as_bytes();
                self.next();
                if found {
                    end = line_start;
                    break;
                }
            }
            if !document.literal {
                self.substitutions(start, end);
            }
        }
    }

    /// The command substitutions in a piece of text that is none of commands.
    fn substitutions(&mut self, start: usize, end: usize) {
        let body = String::from_utf8_lossy(&self.text[start..end]).into_owned();
        let line = self.line.saturating_sub(body.matches('\n').count());
        self.parse_apart(&body, line, |parser| {
            while parser.at < parser.text.len() {
                parser.document_part();
            }
        });
    }

    /// Reads another text as part of this one.
    pub(super) fn parse_apart(&mut self, text: &str, line: usize, read: impl FnOnce(&mut Parser)) {
        if self.depth >= DEPTH_MAX {
            return;
        }
        let out = std::mem::take(&mut self.out);
        let mut inner =
            Parser { text: text.as_bytes(), at: 0, line, depth: self.depth + 1, documents: Vec::new(), out };
        read(&mut inner);
        self.out = inner.out;
    }

    /// One level deeper; below the last nothing is read any more.
    pub(super) fn nested(&mut self, read: impl FnOnce(&mut Self)) {
        if self.depth >= DEPTH_MAX {
            self.at = self.text.len();
            return;
        }
        self.depth += 1;
        read(self);
        self.depth -= 1;
    }
}
