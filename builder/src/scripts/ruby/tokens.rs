//! Ruby's tokens, well enough for what is loaded and started: comments, `=begin` blocks, here-documents and what
//! follows `__END__` are left out, and a slash is told from a pattern by what stands before it.

use crate::scripts::token::{Cursor, Lexeme, Token, closing, in_name};

/// All tokens of a script. Each line begins with a `Line`.
pub fn tokens(text: &str) -> Vec<Lexeme> {
    let mut reader = Reader { cursor: Cursor::new(text), spots: Vec::new(), documents: Vec::new() };
    reader.run();
    reader.spots
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    spots: Vec<Lexeme>,
    documents: Vec<String>,
}

/// Words after which an operand stands.
const BEFORE_OPERANDS: [&str; 18] = [
    "if", "unless", "and", "or", "not", "when", "while", "until", "return", "puts", "elsif", "then", "do", "in", "p",
    "print", "split", "match",
];

impl Reader<'_> {
    fn run(&mut self) {
        let mut fresh = true;
        while let Some(byte) = self.cursor.peek() {
            if self.cursor.at_line_start() {
                if self.cursor.starts(b"=begin") {
                    self.block_comment();
                    continue;
                }
                if self.cursor.starts(b"__END__\n") || self.cursor.starts(b"__END__\r") {
                    return;
                }
            }
            if byte == b'\n' {
                self.cursor.next();
                self.here_documents();
                fresh = true;
                continue;
            }
            if matches!(byte, b' ' | b'\t' | b'\r') {
                self.cursor.next();
                continue;
            }
            if byte == b'#' {
                self.cursor.rest_of_line();
                continue;
            }
            if std::mem::take(&mut fresh) {
                self.push(Token::Line(0));
            }
            self.token(byte);
        }
    }

    fn push(&mut self, token: Token) {
        let line = self.cursor.line;
        self.spots.push(Lexeme { token, line });
    }

    fn block_comment(&mut self) {
        while self.cursor.peek().is_some() {
            let line = self.cursor.rest_of_line();
            self.cursor.next();
            if line.starts_with("=end") {
                return;
            }
        }
    }

    fn token(&mut self, byte: u8) {
        match byte {
            b'"' | b'`' => {
                self.cursor.next();
                self.filled(byte, byte, byte == b'`');
            }
            b'\'' => {
                self.cursor.next();
                self.bare(b'\'', b'\'');
            }
            b'%' if self.operand() && self.percent() => {}
            b'/' if self.operand() => {
                self.cursor.next();
                self.skip_filled(b'/', b'/');
                self.push(Token::Text { text: String::new(), plain: false, command: false });
            }
            b'<' if self.cursor.starts(b"<<") && self.announces() => {}
            b'?' if self.operand() && self.cursor.ahead(1).is_some_and(|byte| b"\"'`/#%".contains(&byte)) => {
                self.cursor.skip(2);
            }
            b'$' => {
                self.cursor.next();
                let name = self.cursor.take(in_name);
                if name.is_empty() {
                    self.cursor.next();
                }
                self.push(Token::Name(format!("${name}")));
            }
            b'0'..=b'9' => drop(self.cursor.take(in_name)),
            _ if in_name(byte) => {
                let mut name = self.cursor.take(in_name);
                if matches!(self.cursor.peek(), Some(b'?' | b'!')) && self.cursor.ahead(1) != Some(b'=') {
                    name.extend(self.cursor.next().map(char::from));
                }
                self.push(Token::Name(name));
            }
            _ => {
                self.cursor.next();
                self.push(Token::Sign(byte as char));
            }
        }
    }

    /// Whether an operand may stand here: then a slash begins a pattern and a percent sign a text.
    fn operand(&self) -> bool {
        match self.spots.last().map(|spot| &spot.token) {
            None | Some(Token::Line(_)) => true,
            Some(Token::Name(name)) => {
                let spaced = matches!(self.cursor.behind(), Some(b' ' | b'\t'));
                let tight = !matches!(self.cursor.ahead(1), Some(b' ' | b'=' | b'\t' | b'\n'));
                BEFORE_OPERANDS.contains(&name.as_str()) || spaced && tight
            }
            Some(Token::Text { .. }) => false,
            Some(Token::Sign(sign)) => !matches!(sign, ')' | ']' | '}'),
        }
    }

    /// A text in which nothing is put.
    fn bare(&mut self, open: u8, close: u8) {
        let text = self.cursor.delimited(open, close);
        self.push(Token::Text { text, plain: true, command: false });
    }

    /// A text that `#{...}` may be put into.
    fn filled(&mut self, open: u8, close: u8, command: bool) {
        let start = self.cursor.at;
        let plain = !self.skip_filled(open, close);
        let text = self.cursor.since(start);
        let text = text.strip_suffix(close as char).unwrap_or(&text).replace('\\', "");
        self.push(Token::Text { text, plain, command });
    }

    /// Passes over such a text; whether something is put into it.
    fn skip_filled(&mut self, open: u8, close: u8) -> bool {
        let mut filled = false;
        let mut depth = 1_usize;
        while let Some(byte) = self.cursor.next() {
            match byte {
                b'\\' => drop(self.cursor.next()),
                b'#' if self.cursor.peek() == Some(b'{') => {
                    filled = true;
                    self.interpolation();
                }
                _ if byte == close => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ if byte == open => depth += 1,
                _ => {}
            }
        }
        filled
    }

    /// `{...}` in a text, the texts within it passed over.
    fn interpolation(&mut self) {
        let mut depth = 0_usize;
        let mut quote = None;
        while let Some(byte) = self.cursor.next() {
            match byte {
                b'\\' => drop(self.cursor.next()),
                b'"' | b'\'' | b'`' => match quote {
                    None => quote = Some(byte),
                    Some(open) if open == byte => quote = None,
                    Some(_) => {}
                },
                b'{' if quote.is_none() => depth += 1,
                b'}' if quote.is_none() => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                b'\n' if quote.is_some() => quote = None,
                _ => {}
            }
        }
    }

    /// `%w[...]` and its kin: whether it is one.
    fn percent(&mut self) -> bool {
        let letter = self.cursor.ahead(1).filter(|byte| b"wWiIqQxrs".contains(byte));
        let at = if letter.is_some() { 2 } else { 1 };
        let Some(open) = self.cursor.ahead(at).filter(|byte| b"([{<|!/^-".contains(byte)) else { return false };
        self.cursor.skip(at + 1);
        let close = closing(open);
        match letter {
            Some(b'q' | b'w' | b'i') => self.bare(open, close),
            Some(b'r') => {
                self.skip_filled(open, close);
                self.push(Token::Text { text: String::new(), plain: false, command: false });
            }
            _ => self.filled(open, close, letter == Some(b'x')),
        }
        true
    }

    /// `<<~END`: whether it is one.
    fn announces(&mut self) -> bool {
        let sign = usize::from(matches!(self.cursor.ahead(2), Some(b'~' | b'-')));
        let Some(byte) = self.cursor.ahead(2 + sign) else { return false };
        let quoted = matches!(byte, b'"' | b'\'' | b'`') && sign == 1;
        if !quoted && !byte.is_ascii_uppercase() || sign == 0 && !self.operand() {
            return false;
        }
        self.cursor.skip(2 + sign);
        let end = if quoted {
            self.cursor.next();
            self.cursor.delimited(byte, byte)
        } else {
            self.cursor.take(in_name)
        };
        self.documents.push(end);
        self.push(Token::Text { text: String::new(), plain: false, command: false });
        true
    }

    fn here_documents(&mut self) {
        for end in std::mem::take(&mut self.documents) {
            while self.cursor.peek().is_some() {
                let line = self.cursor.rest_of_line();
                self.cursor.next();
                if line.trim() == end {
                    break;
                }
            }
        }
    }
}
