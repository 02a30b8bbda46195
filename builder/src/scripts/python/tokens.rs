//! Python's tokens (The Python Language Reference, 2. Lexical analysis). Each statement begins with a `Line` that says
//! how far it is indented; lines within brackets are one.

use crate::scripts::token::{Cursor, Lexeme, Token, in_name};

/// All tokens of a module.
pub fn tokens(text: &str) -> Vec<Lexeme> {
    let mut cursor = Cursor::new(text);
    let mut spots = Vec::new();
    let mut open = 0_usize;
    let mut fresh = true;
    while cursor.peek().is_some() {
        let indent = cursor.blanks();
        let line = cursor.line;
        let Some(byte) = cursor.peek() else { break };
        let spot = |token| Lexeme { token, line };
        match byte {
            b'#' => {
                cursor.rest_of_line();
                continue;
            }
            b'\n' => {
                cursor.next();
                fresh |= open == 0;
                continue;
            }
            b'\\' if cursor.ahead(1) == Some(b'\n') => {
                cursor.skip(2);
                continue;
            }
            _ => {}
        }
        if fresh {
            spots.push(spot(Token::Line(indent)));
            fresh = false;
        }
        match byte {
            b'\'' | b'"' => spots.push(spot(string(&mut cursor, ""))),
            b'0'..=b'9' => drop(cursor.take(|byte| in_name(byte) || byte == b'.')),
            _ if in_name(byte) => {
                let name = cursor.take(in_name);
                let quote = matches!(cursor.peek(), Some(b'\'' | b'"'));
                let prefix = name.len() <= 2 && name.bytes().all(|byte| b"rRbBuUfF".contains(&byte));
                spots.push(spot(if quote && prefix { string(&mut cursor, &name) } else { Token::Name(name) }));
            }
            _ => {
                cursor.next();
                match byte {
                    b'(' | b'[' | b'{' => open += 1,
                    b')' | b']' | b'}' => open = open.saturating_sub(1),
                    _ => {}
                }
                spots.push(spot(Token::Sign(byte as char)));
            }
        }
    }
    spots
}

/// A string, from its first quote on.
fn string(cursor: &mut Cursor, prefix: &str) -> Token {
    let raw = prefix.contains(['r', 'R']);
    let plain = !prefix.contains(['f', 'F']);
    let quote = cursor.next().unwrap_or(b'"');
    let triple = cursor.starts(&[quote, quote]);
    if triple {
        cursor.skip(2);
    }
    let mut bytes = Vec::new();
    while let Some(byte) = cursor.peek() {
        if byte == quote && (!triple || cursor.starts(&[quote; 3])) {
            cursor.skip(if triple { 3 } else { 1 });
            break;
        }
        if byte == b'\n' && !triple {
            break;
        }
        cursor.next();
        if byte == b'\\' {
            match cursor.next() {
                Some(b'\n') | None => {}
                Some(next) if !raw && (next == quote || next == b'\\') => bytes.push(next),
                Some(next) => bytes.extend([b'\\', next]),
            }
        } else {
            bytes.push(byte);
        }
    }
    Token::Text { text: String::from_utf8_lossy(&bytes).into_owned(), plain, command: false }
}
