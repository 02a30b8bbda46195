//! JavaScript's tokens (ECMA-262, 12 Lexical Grammar), well enough for what is loaded: comments are left out, and a
//! slash is told from a pattern by what stands before it. Templates may hold code, which holds templates: a stack.

use crate::scripts::token::{Cursor, Lexeme, Token, in_name};

/// Deepest templates in templates.
const TEMPLATES_MAX: usize = 1000;

/// All tokens of a script.
pub fn tokens(text: &str) -> Vec<Lexeme> {
    let mut reader = Reader { cursor: Cursor::new(text), spots: Vec::new(), templates: Vec::new() };
    if reader.cursor.starts(b"#!") {
        reader.cursor.rest_of_line();
    }
    while let Some(byte) = reader.cursor.peek() {
        reader.token(byte);
    }
    reader.spots
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    spots: Vec<Lexeme>,
    /// For each template under way: how many braces are open in its code.
    templates: Vec<usize>,
}

/// Words after which a slash begins a pattern.
const BEFORE_PATTERNS: [&str; 10] = ["return", "typeof", "case", "in", "of", "delete", "void", "do", "else", "yield"];

impl Reader<'_> {
    fn push(&mut self, token: Token) {
        let line = self.cursor.line;
        self.spots.push(Lexeme { token, line });
    }

    fn token(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => drop(self.cursor.next()),
            b'/' if self.cursor.starts(b"//") => drop(self.cursor.rest_of_line()),
            b'/' if self.cursor.starts(b"/*") => {
                self.cursor.skip(2);
                while self.cursor.peek().is_some() && !self.cursor.starts(b"*/") {
                    self.cursor.next();
                }
                self.cursor.skip(2);
            }
            b'/' if self.pattern_may_begin() => self.pattern(),
            b'"' | b'\'' => {
                self.cursor.next();
                self.string(byte);
            }
            b'`' => {
                self.cursor.next();
                self.template();
            }
            b'}' if self.templates.last() == Some(&0) => {
                self.cursor.next();
                self.templates.pop();
                self.template();
            }
            b'0'..=b'9' => drop(self.cursor.take(|byte| in_name(byte) || byte == b'.')),
            _ if in_name(byte) || byte == b'$' || byte == b'#' => {
                self.cursor.next();
                let start = self.cursor.at - 1;
                self.cursor.take(|byte| in_name(byte) || byte == b'$');
                let name = self.cursor.since(start);
                self.push(Token::Name(name));
            }
            _ => {
                self.cursor.next();
                if let Some(open) = self.templates.last_mut() {
                    *open += usize::from(byte == b'{');
                    *open -= usize::from(byte == b'}');
                }
                self.push(Token::Sign(byte as char));
            }
        }
    }

    fn pattern_may_begin(&self) -> bool {
        match self.spots.last().map(|spot| &spot.token) {
            None => true,
            Some(Token::Name(name)) => BEFORE_PATTERNS.contains(&name.as_str()),
            Some(Token::Text { .. } | Token::Line(_)) => false,
            Some(Token::Sign(sign)) => !matches!(sign, ')' | ']' | '}'),
        }
    }

    /// A pattern, which ends with its line at the latest.
    fn pattern(&mut self) {
        self.cursor.next();
        let mut set = false;
        while let Some(byte) = self.cursor.peek().filter(|byte| *byte != b'\n') {
            self.cursor.next();
            match byte {
                b'\\' => drop(self.cursor.next()),
                b'[' => set = true,
                b']' => set = false,
                b'/' if !set => break,
                _ => {}
            }
        }
        self.cursor.take(|byte| byte.is_ascii_alphabetic());
        self.push(Token::Text { text: String::new(), plain: false, command: false });
    }

    fn string(&mut self, quote: u8) {
        let mut bytes = Vec::new();
        while let Some(byte) = self.cursor.peek().filter(|byte| *byte != b'\n') {
            self.cursor.next();
            match byte {
                b'\\' => bytes.extend(self.cursor.next().filter(|byte| *byte != b'\n')),
                _ if byte == quote => break,
                _ => bytes.push(byte),
            }
        }
        self.push(Token::Text { text: String::from_utf8_lossy(&bytes).into_owned(), plain: true, command: false });
    }

    /// A template, or what is left of it behind code: up to its end, or to the next code.
    fn template(&mut self) {
        let start = self.cursor.at;
        let whole = start > 0 && self.cursor.behind() == Some(b'`');
        loop {
            match self.cursor.next() {
                None => return,
                Some(b'\\') => drop(self.cursor.next()),
                Some(b'`') => break,
                Some(b'$') if self.cursor.peek() == Some(b'{') => {
                    self.cursor.next();
                    if self.templates.len() < TEMPLATES_MAX {
                        self.templates.push(0);
                    }
                    return self.push(Token::Text { text: String::new(), plain: false, command: false });
                }
                Some(_) => {}
            }
        }
        let text = self.cursor.since(start);
        let text = text.strip_suffix('`').unwrap_or(&text).to_owned();
        self.push(Token::Text { text, plain: whole, command: false });
    }
}
