//! Perl's tokens (perlop, "Quote and Quote-like Operators"; perlpod), well enough for what is loaded and started:
//! comments, POD and what follows `__END__` are left out, and a slash is told from a pattern by what stands before it.

use crate::scripts::token::{Cursor, Lexeme, Token, closing, in_name};

/// All tokens of a script.
pub fn tokens(text: &str) -> Vec<Lexeme> {
    let mut reader = Reader { cursor: Cursor::new(text), spots: Vec::new(), documents: Vec::new() };
    reader.run();
    reader.spots
}

/// The end of a here-document that was announced on this line, and whether the end may be indented.
struct HereDocument {
    end: String,
    indented: bool,
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    spots: Vec<Lexeme>,
    documents: Vec<HereDocument>,
}

/// Words after which a slash begins a pattern.
const BEFORE_PATTERNS: [&str; 14] =
    ["if", "unless", "and", "or", "not", "split", "grep", "map", "join", "return", "while", "until", "x", "push"];

impl Reader<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.cursor.peek() {
            if self.cursor.at_line_start()
                && byte == b'='
                && self.cursor.ahead(1).is_some_and(|b| b.is_ascii_alphabetic())
            {
                self.pod();
                continue;
            }
            match byte {
                b'\n' => {
                    self.cursor.next();
                    self.here_documents();
                }
                b' ' | b'\t' | b'\r' => drop(self.cursor.next()),
                b'#' => drop(self.cursor.rest_of_line()),
                b'"' | b'\'' | b'`' => {
                    self.cursor.next();
                    self.text(byte, byte, byte != b'\'', byte == b'`');
                }
                b'$' | b'@' | b'%' | b'&' => self.variable(byte),
                b'<' if self.cursor.starts(b"<<") && self.announces() => {}
                b'/' if self.pattern_may_begin() => {
                    self.cursor.next();
                    self.cursor.delimited(b'/', b'/');
                    self.cursor.take(|byte| byte.is_ascii_alphabetic());
                }
                // "Or else", `//` and `//=`: no pattern begins with its second half.
                b'/' if self.cursor.starts(b"//") => {
                    let line = self.cursor.line;
                    self.cursor.skip(2);
                    self.push(Token::Sign('/'), line);
                }
                b'0'..=b'9' => drop(self.cursor.take(|byte| in_name(byte) || byte == b'.')),
                _ if in_name(byte) => {
                    if self.word() {
                        return;
                    }
                }
                _ => {
                    let line = self.cursor.line;
                    self.cursor.next();
                    self.push(Token::Sign(byte as char), line);
                }
            }
        }
    }

    fn push(&mut self, token: Token, line: usize) {
        self.spots.push(Lexeme { token, line });
    }

    /// Documentation, up to `=cut`.
    fn pod(&mut self) {
        while self.cursor.peek().is_some() {
            let line = self.cursor.rest_of_line();
            self.cursor.next();
            if line.starts_with("=cut") {
                return;
            }
        }
    }

    /// A text that begins here, behind its first sign.
    fn text(&mut self, open: u8, close: u8, filled: bool, command: bool) {
        let line = self.cursor.line;
        let text = self.cursor.delimited(open, close);
        let plain = !filled || !text.contains(['$', '@']);
        self.push(Token::Text { text, plain, command }, line);
    }

    /// A variable, with its sigil.
    fn variable(&mut self, sigil: u8) {
        let (line, start) = (self.cursor.line, self.cursor.at);
        self.cursor.next();
        let named = self.cursor.peek().is_some_and(|byte| in_name(byte) || byte == b':');
        if named {
            self.cursor.take(|byte| in_name(byte) || byte == b':' || byte == b'\'');
            let name = self.cursor.since(start);
            return self.push(Token::Name(name), line);
        }
        if sigil == b'$' {
            match self.cursor.peek() {
                Some(b'{' | b'$' | b' ' | b'\n') | None => {}
                Some(b'#') => {
                    // $#array, $#{...}, $#$...
                    self.cursor.next();
                }
                // $', $", $/ and the like: no text begins.
                Some(_) => drop(self.cursor.next()),
            }
        }
        self.push(Token::Sign(sigil as char), line);
    }

    /// `<<END`, `<<"END"`, `<<~END`: whether it is one, which it then is taken as.
    fn announces(&mut self) -> bool {
        let indented = self.cursor.ahead(2) == Some(b'~');
        let at = if indented { 3 } else { 2 };
        let Some(byte) = self.cursor.ahead(at) else { return false };
        let quoted = matches!(byte, b'"' | b'\'' | b'`');
        if !(quoted || byte.is_ascii_alphabetic() || byte == b'_') {
            return false;
        }
        let line = self.cursor.line;
        self.cursor.skip(at);
        let end = if quoted {
            self.cursor.next();
            self.cursor.delimited(byte, byte)
        } else {
            self.cursor.take(in_name)
        };
        self.documents.push(HereDocument { end, indented });
        self.push(Token::Text { text: String::new(), plain: false, command: false }, line);
        true
    }

    fn here_documents(&mut self) {
        for document in std::mem::take(&mut self.documents) {
            while self.cursor.peek().is_some() {
                let line = self.cursor.rest_of_line();
                self.cursor.next();
                let found = if document.indented { line.trim_start() } else { &line };
                if found.trim_end_matches('\r') == document.end {
                    break;
                }
            }
        }
    }

    /// Whether an operand may stand here, so that a slash begins a pattern.
    fn pattern_may_begin(&self) -> bool {
        match self.spots.last().map(|spot| &spot.token) {
            None => true,
            Some(Token::Name(name)) => BEFORE_PATTERNS.contains(&name.as_str()),
            Some(Token::Text { .. } | Token::Line(_)) => false,
            Some(Token::Sign(sign)) => !matches!(sign, ')' | ']' | '}' | '$' | '@'),
        }
    }

    /// A word, which may be a quote's operator; whether the code ends with it.
    fn word(&mut self) -> bool {
        let (line, start) = (self.cursor.line, self.cursor.at);
        loop {
            self.cursor.take(in_name);
            if !self.cursor.starts(b"::") {
                break;
            }
            self.cursor.skip(2);
        }
        let name = self.cursor.since(start);
        if name == "__END__" || name == "__DATA__" {
            return true;
        }
        let after = self.spots.last();
        let member = after.is_some_and(|spot| spot.is('>')) && start >= 2 && self.spots.len() >= 2 && {
            self.spots[self.spots.len() - 2].is('-')
        };
        let key = after.is_some_and(|spot| spot.is('{')) && self.cursor.peek() == Some(b'}');
        let sub = after.and_then(Lexeme::name) == Some("sub");
        let operator = ["q", "qq", "qw", "qx", "qr", "m", "s", "tr", "y"].contains(&name.as_str());
        // -s FILE asks for a size.
        let test = name == "s" && after.is_some_and(|spot| spot.is('-'));
        if operator && !member && !key && !sub && !test && self.quote(&name) {
            return false;
        }
        self.push(Token::Name(name), line);
        false
    }

    /// What an operator of quotes takes; false where the word is none here.
    fn quote(&mut self, name: &str) -> bool {
        let (at, line) = (self.cursor.at, self.cursor.line);
        let blanks = self.cursor.take(|byte| byte.is_ascii_whitespace()).len();
        let open = self.cursor.peek();
        let arrow = self.cursor.starts(b"=>");
        let usable = open.is_some_and(|byte| byte.is_ascii_punctuation() && !b",;)$@".contains(&byte));
        // A comment may not begin right behind a blank; `=` is a sign of its own.
        let unlikely = arrow || open == Some(b'=') || blanks > 0 && open == Some(b'#');
        let Some(open) = open.filter(|_| usable && !unlikely) else {
            (self.cursor.at, self.cursor.line) = (at, line);
            return false;
        };
        self.cursor.next();
        let close = closing(open);
        match name {
            "q" | "qw" => self.text(open, close, false, false),
            "qq" => self.text(open, close, true, false),
            "qx" => self.text(open, close, open != b'\'', true),
            _ => {
                self.cursor.delimited(open, close);
                if matches!(name, "s" | "tr" | "y") {
                    if open != close {
                        self.cursor.take(|byte| byte.is_ascii_whitespace());
                        let second = self.cursor.next().unwrap_or(open);
                        self.cursor.delimited(second, closing(second));
                    } else {
                        self.cursor.delimited(open, close);
                    }
                }
                self.cursor.take(|byte| byte.is_ascii_alphabetic());
                // A value: what follows is an operator.
                self.push(Token::Text { text: String::new(), plain: false, command: false }, line);
            }
        }
        true
    }
}
