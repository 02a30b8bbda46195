//! Words and keywords of the shell: quotes, expansions and substitutions, `case` patterns, `for` lists.

use super::parse::{Call, FrameKind, List, Parser};
use super::word::{OWN_PATH, Piece, Word, is_name};

/// Most assignments in front of a command.
const ASSIGNMENTS_MAX: usize = 64;

/// Most bytes of a substitution that is looked at for `dirname "$0"`.
const OWN_FOLDER_BYTES_MAX: usize = 200;

/// Collects the pieces of a word.
#[derive(Default)]
struct Pieces {
    text: Vec<u8>,
    word: Word,
}

impl Pieces {
    fn piece(&mut self, piece: Piece) {
        self.flush();
        self.word.pieces.push(piece);
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
            match self.word.pieces.last_mut() {
                Some(Piece::Text(before)) => before.push_str(&text),
                _ => self.word.pieces.push(Piece::Text(text)),
            }
        }
    }

    fn word(mut self) -> Word {
        self.flush();
        self.word
    }
}

impl Parser<'_> {
    /// A word. At least one byte is read.
    pub(super) fn word(&mut self) -> Word {
        let mut pieces = Pieces::default();
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'<' | b'>' | b')' => break,
                b'(' if self.at == start => break,
                b'(' => match self.text[self.at - 1] {
                    b'=' => {
                        self.array(&mut pieces);
                        break;
                    }
                    // Extended patterns: @(a|b).
                    b'@' | b'?' | b'*' | b'+' | b'!' if self.at > start + 1 || self.text[start] != b'!' => {
                        self.at += 1;
                        self.nested(|parser| parser.pattern_bracket());
                        pieces.piece(Piece::Unknown);
                    }
                    _ => break,
                },
                _ => self.part(&mut pieces, None),
            }
        }
        if self.at == start {
            self.next();
        }
        pieces.word()
    }

    /// One sign of a word, or one expansion. `end` is the sign that the surrounding ends with.
    fn part(&mut self, pieces: &mut Pieces, end: Option<u8>) {
        let Some(byte) = self.next() else { return };
        match byte {
            b'\\' => match self.next() {
                Some(b'\n') | None => {}
                Some(byte) => {
                    pieces.word.quoted = true;
                    pieces.text.push(byte);
                }
            },
            b'\'' if end != Some(b'"') => {
                pieces.word.quoted = true;
                while let Some(byte) = self.next().filter(|byte| *byte != b'\'') {
                    pieces.text.push(byte);
                }
            }
            b'"' => {
                pieces.word.quoted = true;
                self.double_quoted(pieces);
            }
            b'$' => self.dollar(pieces),
            b'`' => {
                self.backtick();
                pieces.piece(Piece::Unknown);
            }
            _ => pieces.text.push(byte),
        }
    }

    /// What follows a double quote, up to the next.
    fn double_quoted(&mut self, pieces: &mut Pieces) {
        while let Some(byte) = self.next() {
            match byte {
                b'"' => return,
                b'\\' => match self.next() {
                    Some(b'\n') | None => {}
                    Some(byte @ (b'"' | b'\\' | b'$' | b'`')) => pieces.text.push(byte),
                    Some(byte) => pieces.text.extend([b'\\', byte]),
                },
                b'$' => self.dollar(pieces),
                b'`' => {
                    self.backtick();
                    pieces.piece(Piece::Unknown);
                }
                _ => pieces.text.push(byte),
            }
        }
    }

    /// One sign of a here-document.
    pub(super) fn document_part(&mut self) {
        let mut pieces = Pieces::default();
        match self.next() {
            Some(b'\\') => drop(self.next()),
            Some(b'$') => self.dollar(&mut pieces),
            Some(b'`') => self.backtick(),
            _ => {}
        }
    }

    /// What follows a dollar sign.
    fn dollar(&mut self, pieces: &mut Pieces) {
        match self.peek() {
            Some(b'(') => {
                if self.starts(b"((") && self.arithmetic(self.at) {
                    return pieces.piece(Piece::Unknown);
                }
                self.at += 1;
                let start = self.at;
                self.nested(|parser| parser.list(true, false));
                let inside = &self.text[start..self.at];
                pieces.piece(if is_own_folder(inside) { Piece::OwnFolder } else { Piece::Unknown });
            }
            Some(b'{') => {
                self.at += 1;
                self.nested(|parser| parser.braces(pieces));
            }
            Some(b'\'') => {
                self.at += 1;
                self.ansi_quoted(pieces);
            }
            Some(b'"') => {
                self.at += 1;
                pieces.word.quoted = true;
                self.double_quoted(pieces);
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let name = self.name();
                pieces.piece(Piece::Variable { name, default: None });
            }
            Some(b'0') => {
                self.at += 1;
                pieces.piece(Piece::Variable { name: OWN_PATH.to_owned(), default: None });
            }
            Some(byte) if byte.is_ascii_digit() || b"?$!#*@-".contains(&byte) => {
                self.at += 1;
                pieces.piece(Piece::Unknown);
            }
            _ => pieces.text.push(b'$'),
        }
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    /// `$'...'`: with escapes that nobody writes in the name of a command.
    fn ansi_quoted(&mut self, pieces: &mut Pieces) {
        let mut plain = true;
        pieces.word.quoted = true;
        while let Some(byte) = self.next() {
            match byte {
                b'\'' => break,
                b'\\' => {
                    plain = false;
                    self.next();
                }
                _ => pieces.text.push(byte),
            }
        }
        if !plain {
            pieces.piece(Piece::Unknown);
        }
    }

    /// What follows `${`, up to its brace.
    fn braces(&mut self, pieces: &mut Pieces) {
        let name = self.name();
        let own = name == "0" || name == "BASH_SOURCE";
        if self.starts(b"[") {
            while self.peek().is_some_and(|byte| byte != b']' && byte != b'\n') {
                self.at += 1;
            }
            self.at += usize::from(self.starts(b"]"));
        }
        let operator = [&b":-"[..], b":=", b"-", b"="].into_iter().find(|sign| self.starts(sign));
        let folder = own && (self.starts(b"%/*}") || self.starts(b"%%/*}"));
        self.at += operator.map_or(0, <[u8]>::len);
        let mut rest = Pieces::default();
        let simple = self.starts(b"}");
        loop {
            match self.peek() {
                None => break,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(_) => self.part(&mut rest, None),
            }
        }
        let rest = rest.word();
        pieces.piece(match operator {
            _ if folder => Piece::OwnFolder,
            Some(_) if is_name(&name) => {
                let default = rest.literal().filter(|text| !text.is_empty()).map(str::to_owned);
                Piece::Variable { name, default }
            }
            None if simple && (is_name(&name) || name == OWN_PATH) => Piece::Variable { name, default: None },
            _ => Piece::Unknown,
        });
    }

    /// The old way to write a substitution. A backslash inside takes its special signs for what they are.
    fn backtick(&mut self) {
        let line = self.line;
        let mut inner = Vec::new();
        while let Some(byte) = self.next().filter(|byte| *byte != b'`') {
            match byte {
                b'\\' if matches!(self.peek(), Some(b'`' | b'\\' | b'$')) => inner.extend(self.next()),
                _ => inner.push(byte),
            }
        }
        let inner = String::from_utf8_lossy(&inner).into_owned();
        self.parse_apart(&inner, line, |parser| parser.list(false, false));
    }

    /// `NAME=(a b c)`: the first word stands for the array.
    fn array(&mut self, pieces: &mut Pieces) {
        self.at += 1;
        let mut first = None;
        while let Some(byte) = self.peek() {
            match byte {
                b')' => {
                    self.at += 1;
                    break;
                }
                b' ' | b'\t' | b'\n' => drop(self.next()),
                b'#' => self.comment(),
                _ => {
                    let mut word = None;
                    self.nested(|parser| word = Some(parser.word()));
                    first = first.or(word);
                }
            }
        }
        for piece in first.unwrap_or_default().pieces {
            pieces.piece(piece);
        }
    }

    /// Up to the bracket that closes a pattern.
    fn pattern_bracket(&mut self) {
        let mut open = 1_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => {
                    open += 1;
                    self.at += 1;
                }
                b')' => {
                    open -= 1;
                    self.at += 1;
                    if open == 0 {
                        return;
                    }
                }
                _ => self.part(&mut Pieces::default(), None),
            }
        }
    }

    /// Passes over what means nothing, to the next word of a `case`.
    fn blank_lines(&mut self) {
        loop {
            self.blanks();
            match self.peek() {
                Some(b'\n') => drop(self.next()),
                Some(b'#') => self.comment(),
                _ => break,
            }
        }
    }

    /// The patterns of the next branch of a `case`, with their bracket; nothing at `esac`.
    pub(super) fn patterns(&mut self) {
        self.blank_lines();
        if self.starts(b"esac") && !self.text.get(self.at + 4).is_some_and(u8::is_ascii_alphanumeric) {
            return;
        }
        self.at += usize::from(self.starts(b"("));
        self.nested(Self::pattern_bracket);
    }

    /// Puts a word into the command under way, or does what a keyword says.
    pub(super) fn take(&mut self, list: &mut List, word: Word) {
        // No command has so many assignments in front; without the bound, words would be read again and again.
        let first = list.words.len() <= ASSIGNMENTS_MAX && list.words.iter().all(|word| word.assignment().is_some());
        let Some(bare) = word.bare().filter(|_| first).map(str::to_owned) else { return list.words.push(word) };
        match bare.as_str() {
            "if" | "while" | "until" | "{" => list.open(FrameKind::Other),
            "fi" | "done" | "}" => list.close(FrameKind::Other),
            "esac" => list.close(FrameKind::Case),
            "then" | "else" | "elif" | "do" | "!" | "time" | "coproc" => {}
            "for" | "select" => {
                list.open(FrameKind::Other);
                self.for_words();
            }
            "case" => {
                list.open(FrameKind::Case);
                self.case_word();
            }
            "function" => {
                self.blanks();
                let name = self.word();
                self.out.functions.extend(name.literal().map(str::to_owned));
                self.blanks();
                if self.starts(b"()") {
                    self.at += 2;
                }
            }
            "[[" => self.condition(),
            _ => list.words.push(word),
        }
    }

    /// `for NAME in WORDS`, up to the end of the words. What the name stands for, only a run can tell.
    fn for_words(&mut self) {
        self.blanks();
        if self.starts(b"((") && self.arithmetic(self.at) {
            return;
        }
        let name = self.word();
        self.blanks();
        while self.starts(b"\n") {
            self.next();
            self.blanks();
        }
        let mut values = Vec::new();
        if self.starts(b"in") && self.text.get(self.at + 2).is_none_or(|byte| b" \t\n;".contains(byte)) {
            self.at += 2;
            loop {
                self.blanks();
                match self.peek() {
                    None | Some(b'\n' | b';' | b'&' | b'|' | b')' | b'(' | b'<' | b'>') => break,
                    Some(_) => values.push(Some(self.word())),
                }
            }
        }
        // With one more that is unknown, none is sure.
        values.push(None);
        let Some(name) = name.literal() else { return };
        self.out.assignments.extend(values.into_iter().map(|value| (name.to_owned(), value)));
    }

    /// `case WORD in`, up to the first branch's commands.
    fn case_word(&mut self) {
        self.blanks();
        self.word();
        self.blank_lines();
        if self.starts(b"in") {
            self.at += 2;
            self.patterns();
        }
    }

    /// What stands between `[[` and `]]`: the words of a test.
    fn condition(&mut self) {
        let mut words = vec![Word::text("[")];
        let line = self.line;
        loop {
            self.blanks();
            match self.peek() {
                None => return,
                Some(b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')') => drop(self.next()),
                Some(_) => {
                    let word = self.word();
                    if word.bare() == Some("]]") {
                        return self.out.calls.push(Call { words, line, guarded: true });
                    }
                    words.push(word);
                }
            }
        }
    }
}

/// Whether a substitution gives the folder of the script itself.
fn is_own_folder(inside: &[u8]) -> bool {
    if inside.len() > OWN_FOLDER_BYTES_MAX {
        return false;
    }
    let text = String::from_utf8_lossy(inside);
    let own = text.contains("$0") || text.contains("BASH_SOURCE") || text.contains("${0");
    own && text.contains("dirname") && !text.contains("..")
}
