//! The first line of a script: which interpreter it asks for, also through env.
//!
//! Takes the first bytes of a file; gives the interpreter as the kernel would start it (execve(2)): what
//! follows the interpreter is one argument, which env splits only when told to by -S.

/// The kernel reads this much of a file to find the interpreter.
pub const LINE_BYTES_MAX: usize = 256;

/// How deep the kernel lets interpreters be scripts themselves (BINPRM_MAX_RECURSION).
pub const INTERPRETER_DEPTH_MAX: usize = 5;

/// What a `#!` line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The program after `#!`.
    pub path: String,
    /// The program that env is told to find.
    pub program: Option<String>,
    /// Whether env must know -S, as that of GNU and the BSDs does and BusyBox' does not.
    pub splits: bool,
}

/// The interpreter of a file that begins with these bytes; None if it has no `#!` line.
pub fn interpreter(head: &[u8]) -> Option<Interpreter> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(&line[..line.len().min(LINE_BYTES_MAX)]).ok()?;
    let line = line.trim_matches([' ', '\t']);
    let (path, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if path.is_empty() {
        return None;
    }
    let env = path.rsplit('/').next() == Some("env");
    let argument = argument.trim_matches([' ', '\t']);
    let program = if env { env_program(argument) } else { None };
    Some(Interpreter { path: path.to_owned(), program, splits: env && split_string(argument).is_some() })
}

/// What follows -S.
fn split_string(argument: &str) -> Option<&str> {
    argument.strip_prefix("--split-string=").or_else(|| {
        // -S may be joined with others: -vS.
        let (options, rest) = argument.strip_prefix('-')?.split_once('S')?;
        options.chars().all(|option| "iv0".contains(option)).then_some(rest)
    })
}

/// The program that env(1) would run for its one argument.
fn env_program(argument: &str) -> Option<String> {
    let Some(text) = split_string(argument) else {
        return (!argument.is_empty() && !argument.starts_with('-')).then(|| argument.to_owned());
    };
    let mut words = split_words(text).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-u" | "--unset" | "-C" | "--chdir" => drop(words.next()),
            "--" => return words.find(|word| !word.contains('=')),
            _ if word.starts_with('-') || word.contains('=') => {}
            _ => return Some(word),
        }
    }
    None
}

/// Words as env -S splits them: blanks separate, quotes join, a backslash takes the next sign as it is.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' if quote != Some('\'') => word.get_or_insert_default().extend(signs.next()),
            '"' | '\'' if quote.is_none() => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            _ if quote == Some(sign) => quote = None,
            ' ' | '\t' if quote.is_none() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(sign),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_understood() {
        for (line, path, program) in [
            ("#!/bin/sh\nx", "/bin/sh", None),
            ("#! /bin/sh -e\n", "/bin/sh", None),
            ("#!/usr/bin/env python3\n", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env -S A=b python3 -u\n", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env -S -u HOME -i \"my tool\" x\n", "/usr/bin/env", Some("my tool")),
            ("#!/usr/bin/env -vSpython3 -u\n", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env --split-string=awk -f\n", "/usr/bin/env", Some("awk")),
            ("#!/usr/bin/awk -f\n", "/usr/bin/awk", None),
        ] {
            let splits = line.contains("env -");
            let expected = Interpreter { path: path.to_owned(), program: program.map(str::to_owned), splits };
            assert_eq!(interpreter(line.as_bytes()), Some(expected), "{line:?}");
        }
        assert_eq!(interpreter(b"\x7fELF"), None);
        assert_eq!(interpreter(b"#!"), None);
        assert_eq!(interpreter(b"#!\xff\n"), None);
    }

    #[test]
    fn what_the_kernel_would_not_find_is_not_found_either() {
        // Without -S env gets "python3 -u" as one word; a carriage return is part of the path.
        let program = |line: &str| interpreter(line.as_bytes()).unwrap().program;
        assert_eq!(program("#!/usr/bin/env python3 -u\n").as_deref(), Some("python3 -u"));
        assert_eq!(interpreter(b"#!/bin/sh\r\n").unwrap().path, "/bin/sh\r");
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "[-Suv'\"\\\\ a=]{0,40}") {
            let _ = interpreter(&bytes);
            let _ = interpreter(format!("#!/usr/bin/env -S{text}").as_bytes());
        }
    }
}
