//! The first line of a script: which interpreter it asks for, also through env.

/// The kernel reads this much of a file to find the interpreter.
pub const LINE_BYTES_MAX: usize = 256;

/// What a `#!` line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The program after `#!`.
    pub path: String,
    /// The program that env is told to find.
    pub program: Option<String>,
}

/// The interpreter of a file that begins with these bytes; None if it has no `#!` line.
pub fn interpreter(head: &[u8]) -> Option<Interpreter> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let path = words.next()?.to_owned();
    let program = if path.ends_with("/env") {
        // Options of env (-S, -i, -u NAME) and NAME=VALUE come before the program.
        words.find(|word| !word.starts_with('-') && !word.contains('=')).map(str::to_owned)
    } else {
        None
    };
    Some(Interpreter { path, program })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        for (line, path, program) in [
            ("#!/bin/sh\nx", "/bin/sh", None),
            ("#! /bin/sh -e\n", "/bin/sh", None),
            ("#!/usr/bin/env python3\n", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env -S A=b python3 -u\n", "/usr/bin/env", Some("python3")),
        ] {
            let expected = Interpreter { path: path.to_owned(), program: program.map(str::to_owned) };
            assert_eq!(interpreter(line.as_bytes()), Some(expected), "{line:?}");
        }
        assert_eq!(interpreter(b"\x7fELF"), None);
        assert_eq!(interpreter(b"#!"), None);
        assert_eq!(interpreter(b"#!\xff\n"), None);
    }
}
