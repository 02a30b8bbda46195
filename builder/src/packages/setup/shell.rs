//! The words of a shell script: what the shell reads, before it runs anything.
//!
//! Takes a script's text; gives its tokens, each with its line. A word is made of parts: text, variables, and what only
//! a running shell would know. It is a splitter for maintainer scripts, not a shell: what it does not understand is a
//! word that is not known, and comes out as such.

/// Most bytes of a script that are read.
pub const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// One piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These characters.
    Text(String),
    /// The value of a variable, or another text where it is not set.
    Variable {
        /// Its name, or the number of a parameter.
        name: String,
        /// The text of `${name:-text}`.
        fallback: Option<String>,
    },
    /// The name of a temporary file, told apart by its line.
    Temporary(usize),
    /// What only the shell would know: a command's output, a file name pattern.
    Unknown,
}

/// A word: its parts, and whether any of it stands between quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The pieces, in order.
    pub parts: Vec<Part>,
    /// Whether quotes keep it one word.
    pub quoted: bool,
}

impl Word {
    /// The word where it is plain text without quotes: a word that may mean something to the shell.
    pub fn plain(&self) -> Option<&str> {
        match (&self.parts[..], self.quoted) {
            ([Part::Text(text)], false) => Some(text),
            _ => None,
        }
    }

    fn push(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.parts.push(Part::Text(c.to_string())),
        }
    }
}

/// What a script is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A word.
    Word(Word),
    /// `;`, `&`, `;;`, `&&`, `||`, `|`, `(`, `)`, and the end of a line as "\n".
    Operator(&'static str),
}

/// The tokens of a script, each with its line from 1.
pub fn tokens(script: &str) -> Vec<(usize, Token)> {
    let end = script.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= SCRIPT_BYTES_MAX).last();
    let mut lexer = Lexer {
        chars: script[..end.unwrap_or(0)].chars().collect(),
        at: 0,
        line: 1,
        out: Vec::new(),
        here_documents: Vec::new(),
    };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.out
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    out: Vec<(usize, Token)>,
    /// The ends of here documents that begin with the next line.
    here_documents: Vec<String>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn step(&mut self) {
        const OPERATORS: [&str; 9] = ["&&", "||", ";;", ";", "&", "|", "(", ")", "\n"];
        match self.peek(0) {
            Some(' ' | '\t' | '\r') => self.at += 1,
            Some('\\') if self.peek(1) == Some('\n') => {
                self.next();
                self.next();
            }
            Some('#') => {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            }
            Some('<' | '>') => self.redirection(),
            _ => match OPERATORS.into_iter().find(|operator| self.sees(operator)) {
                Some(operator) => {
                    self.out.push((self.line, Token::Operator(operator)));
                    for _ in operator.chars() {
                        self.next();
                    }
                    if operator == "\n" {
                        self.skip_here_documents();
                    }
                }
                None => self.word(),
            },
        }
    }

    fn sees(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    /// A redirection and its target: neither is a word of the command.
    fn redirection(&mut self) {
        let here = self.sees("<<");
        while let Some('<' | '>' | '&' | '|' | '-') = self.peek(0) {
            self.at += 1;
        }
        while let Some(' ' | '\t') = self.peek(0) {
            self.at += 1;
        }
        let words = self.out.len();
        if self.peek(0).is_some_and(|c| !"\n;&|()<>".contains(c)) {
            self.word();
        }
        // A target with a number before it, as in 2>&1, has none of its own.
        if let Some((_, Token::Word(word))) = self.out.drain(words..).next()
            && here
        {
            let text: String =
                word.parts.iter().map(|part| if let Part::Text(text) = part { text } else { "" }).collect();
            self.here_documents.push(text);
        }
    }

    fn skip_here_documents(&mut self) {
        for end in std::mem::take(&mut self.here_documents) {
            while self.at < self.chars.len() {
                let mut line = String::new();
                while let Some(c) = self.next().filter(|c| *c != '\n') {
                    line.push(c);
                }
                if line.trim_start_matches('\t') == end {
                    break;
                }
            }
        }
    }

    fn word(&mut self) {
        let line = self.line;
        let mut word = Word::default();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' => break,
                '<' | '>' => {
                    // The number of a descriptor belongs to the redirection.
                    if word.plain().is_some_and(|text| text.chars().all(|c| c.is_ascii_digit())) {
                        return self.redirection();
                    }
                    break;
                }
                '\'' => {
                    word.quoted = true;
                    self.at += 1;
                    word.parts.push(Part::Text(String::new()));
                    while let Some(c) = self.next().filter(|c| *c != '\'') {
                        word.push(c);
                    }
                }
                '"' => self.double_quotes(&mut word),
                '\\' => {
                    self.at += 1;
                    if let Some(c) = self.next().filter(|c| *c != '\n') {
                        word.push(c);
                    }
                }
                '$' | '`' => self.expansion(&mut word),
                '*' | '?' => {
                    self.at += 1;
                    // Alone it is a pattern of `case`, else the name of files that are not known here.
                    let alone = word.parts.is_empty() && self.peek(0).is_none_or(|c| ") |\n\t".contains(c));
                    if alone { word.push(c) } else { word.parts.push(Part::Unknown) }
                }
                c => {
                    self.next();
                    word.push(c);
                }
            }
        }
        self.out.push((line, Token::Word(word)));
    }

    fn double_quotes(&mut self, word: &mut Word) {
        word.quoted = true;
        self.at += 1;
        word.parts.push(Part::Text(String::new()));
        while let Some(c) = self.peek(0) {
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    self.at += 1;
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) if "$`\"\\".contains(c) => word.push(c),
                        Some(c) => {
                            word.push('\\');
                            word.push(c);
                        }
                    }
                }
                '$' | '`' => self.expansion(word),
                c => {
                    self.next();
                    word.push(c);
                }
            }
        }
    }

    /// `$x`, `${x}`, `$(x)`, `` `x` ``.
    fn expansion(&mut self, word: &mut Word) {
        let line = self.line;
        let command = |text: &str| match text.trim_start().starts_with("mktemp") {
            true => Part::Temporary(line),
            false => Part::Unknown,
        };
        if self.next() == Some('`') {
            let mut text = String::new();
            while let Some(c) = self.next().filter(|c| *c != '`') {
                text.push(c);
            }
            return word.parts.push(command(&text));
        }
        match self.peek(0) {
            Some('{') => {
                let text = self.between('{', '}');
                word.parts.push(braces(&text));
            }
            Some('(') => {
                let text = self.between('(', ')');
                word.parts.push(command(&text));
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while let Some(c) = self.peek(0).filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.at += 1;
                }
                word.parts.push(Part::Variable { name, fallback: None });
            }
            Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => {
                self.at += 1;
                let known = c.is_ascii_digit() || c == '@' || c == '*';
                let name = c.to_string();
                word.parts.push(if known { Part::Variable { name, fallback: None } } else { Part::Unknown });
            }
            _ => word.push('$'),
        }
    }

    /// The text between two signs that nest.
    fn between(&mut self, open: char, close: char) -> String {
        let mut text = String::new();
        let mut depth = 0usize;
        while let Some(c) = self.next() {
            depth += usize::from(c == open);
            depth -= usize::from(c == close);
            if depth == 0 {
                break;
            }
            if !(text.is_empty() && depth == 1 && c == open) {
                text.push(c);
            }
        }
        text
    }
}

/// What stands between the braces of `${...}`.
fn braces(text: &str) -> Part {
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let simple = |rest: &str| !rest.contains(['$', '`', '"', '\'', '\\']);
    match &text[name.len()..] {
        "" if !name.is_empty() => Part::Variable { name, fallback: None },
        // What is added only where a variable is set: those that scripts ask for so are not set when a package is
        // installed on a system of its own.
        rest if name == "DPKG_ROOT" && rest.starts_with(":+") => Part::Text(String::new()),
        rest => match rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-')) {
            Some(fallback) if simple(fallback) && !name.is_empty() => {
                Part::Variable { name, fallback: Some(fallback.to_owned()) }
            }
            _ => Part::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(script: &str) -> Vec<String> {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable { name, fallback: None } => format!("<{name}>"),
            Part::Variable { name, fallback: Some(text) } => format!("<{name}|{text}>"),
            Part::Temporary(line) => format!("<temporary {line}>"),
            Part::Unknown => "<?>".to_owned(),
        };
        let token = |(_, token): (usize, Token)| match token {
            Token::Word(word) => word.parts.iter().map(part).collect(),
            Token::Operator(operator) => operator.to_owned(),
        };
        tokens(script).into_iter().map(token).collect()
    }

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        assert_eq!(shown("a 'b c'\"d $e\" f\\ g # no\n"), ["a", "b cd <e>", "f g", "\n"]);
        assert_eq!(shown("a >/dev/null 2>&1 <x b"), ["a", "b"]);
        assert_eq!(shown("a \\\n  b"), ["a", "b"]);
        assert_eq!(
            shown("${x:-y z} ${x%.d} $(mktemp) `id -u` ${DPKG_ROOT:+--root}"),
            ["<x|y z>", "<?>", "<temporary 1>", "<?>", ""]
        );
        assert_eq!(shown("cat <<-E >x\nuseradd y\n\tE\nend"), ["cat", "\n", "end"]);
        assert_eq!(shown("a&&b||c;d|(e)\n;;"), ["a", "&&", "b", "||", "c", ";", "d", "|", "(", "e", ")", "\n", ";;"]);
        assert_eq!(shown("case x in *) y*;; esac"), ["case", "x", "in", "*", ")", "y<?>", ";;", "esac"]);
        assert_eq!(shown("$1 \"$@\" $$ $"), ["<1>", "<@>", "<?>", "$"]);
    }

    #[test]
    fn a_script_is_read_up_to_its_limit_and_lines_are_counted() {
        let long = "é".repeat(SCRIPT_BYTES_MAX);
        assert_eq!(shown(&long)[0].len(), SCRIPT_BYTES_MAX);
        assert_eq!(tokens("a\n\n'b\nc' d").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 1, 2, 3, 4]);
        for broken in ["'", "\"$", "${", "$(", "`", "<<", "\\", "<", ">&", "${}", "2>"] {
            tokens(broken);
        }
    }
}
