//! What the tokenizers of scripts give: names, texts, signs and lines, without comments and documentation.

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A word: a name, a keyword. In Perl and Ruby with its sigil, and `::` within.
    Name(String),
    /// A text between quotes.
    Text {
        /// What stands there, escapes of quotes removed.
        text: String,
        /// Whether it is what it says: nothing is put into it.
        plain: bool,
        /// Whether a shell gets it: backquotes and their kin.
        command: bool,
    },
    /// A single sign.
    Sign(char),
    /// A statement's first line, with the number of blanks in front.
    Line(usize),
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lexeme {
    /// The token.
    pub token: Token,
    /// Its line, counted from 1.
    pub line: usize,
}

impl Lexeme {
    /// The word, if it is one.
    pub fn name(&self) -> Option<&str> {
        match &self.token {
            Token::Name(name) => Some(name),
            _ => None,
        }
    }

    /// The text, if it is one that nothing is put into.
    pub fn text(&self) -> Option<&str> {
        match &self.token {
            Token::Text { text, plain: true, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether it is this sign.
    pub fn is(&self, sign: char) -> bool {
        self.token == Token::Sign(sign)
    }
}

/// The tokens from `at` on to the bracket that closes the one at `at`, without both.
pub fn inside(spots: &[Lexeme], at: usize) -> &[Lexeme] {
    /// Longest list of arguments that is looked at.
    const ARGUMENTS_MAX: usize = 200;
    let rest = spots.get(at + 1..).unwrap_or_default();
    let mut open = 1_usize;
    for (n, spot) in rest.iter().enumerate().take(ARGUMENTS_MAX) {
        match spot.token {
            Token::Sign('(' | '[' | '{') => open += 1,
            Token::Sign(')' | ']' | '}') => open -= 1,
            _ => {}
        }
        if open == 0 {
            return &rest[..n];
        }
    }
    &rest[..rest.len().min(ARGUMENTS_MAX)]
}

/// A text and a place in it.
pub struct Cursor<'t> {
    bytes: &'t [u8],
    /// The next byte.
    pub at: usize,
    /// The line that it is on.
    pub line: usize,
}

impl<'t> Cursor<'t> {
    /// At the start of a text.
    pub fn new(text: &'t str) -> Cursor<'t> {
        Cursor { bytes: text.as_bytes(), at: 0, line: 1 }
    }

    /// The next byte, which stays.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// A byte further on.
    pub fn ahead(&self, by: usize) -> Option<u8> {
        self.bytes.get(self.at + by).copied()
    }

    /// The byte before.
    pub fn behind(&self) -> Option<u8> {
        self.at.checked_sub(1).and_then(|at| self.bytes.get(at)).copied()
    }

    /// Takes the next byte.
    #[expect(clippy::should_implement_trait, reason = "a reader of bytes with its line, no iterator")]
    pub fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    /// Takes so many bytes.
    pub fn skip(&mut self, bytes: usize) {
        for _ in 0..bytes {
            self.next();
        }
    }

    /// Whether what is left begins like this.
    pub fn starts(&self, with: &[u8]) -> bool {
        self.bytes[self.at.min(self.bytes.len())..].starts_with(with)
    }

    /// Whether this is the first byte of a line.
    pub fn at_line_start(&self) -> bool {
        self.behind().is_none_or(|byte| byte == b'\n')
    }

    /// Takes bytes while they are wanted.
    pub fn take(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.next();
        }
        self.since(start)
    }

    /// What was taken from a place on.
    pub fn since(&self, start: usize) -> String {
        String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned()
    }

    /// Takes the rest of the line, its end excepted.
    pub fn rest_of_line(&mut self) -> String {
        self.take(|byte| byte != b'\n')
    }

    /// Blanks in front of the next byte; it stays behind them.
    pub fn blanks(&mut self) -> usize {
        self.take(|byte| matches!(byte, b' ' | b'\t' | b'\r' | 0x0c)).len()
    }

    /// Takes a text up to `close`, inner pairs of `open` and `close` included where they differ. Gives it without the
    /// backslashes before `close`.
    pub fn delimited(&mut self, open: u8, close: u8) -> String {
        let mut bytes = Vec::new();
        let mut depth = 1_usize;
        while let Some(byte) = self.next() {
            if byte == b'\\' {
                let Some(next) = self.next() else { break };
                if next != close && next != b'\\' {
                    bytes.push(b'\\');
                }
                bytes.push(next);
                continue;
            }
            depth += usize::from(byte == open && open != close);
            depth -= usize::from(byte == close);
            if depth == 0 {
                break;
            }
            bytes.push(byte);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Whether a name may have this byte.
pub fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The sign that ends what this one begins.
pub fn closing(open: u8) -> u8 {
    match open {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        other => other,
    }
}
