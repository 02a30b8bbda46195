//! How a command of a maintainer script ends on a new system: test(1) and what else needs no look at the system.
//!
//! Takes a command's words, as far as they are known; gives whether it succeeds, or nothing where only the system
//! knows.

/// How a command would end on a new system, where that is known: nobody is there yet, and nothing was overridden.
pub fn outcome(words: &[Option<String>]) -> Option<bool> {
    let word = |at: usize| words.get(at).and_then(Option::as_deref);
    match word(0)? {
        "true" | ":" => Some(true),
        "false" | "getent" | "id" => Some(false),
        "dpkg-statoverride" if word(1) == Some("--list") => Some(false),
        // What an upgrade from an older version would do.
        "dpkg" if words.iter().flatten().any(|word| word == "--compare-versions") => Some(false),
        "[" => test(&words[1..words.len() - usize::from(words.last()?.as_deref() == Some("]"))]),
        "test" => test(&words[1..]),
        _ => None,
    }
}

/// Most words of a test that are looked at: each `!`, `-a` and `-o` nests.
const TEST_WORDS_MAX: usize = 64;

/// test(1), of what needs no look at the system.
fn test(words: &[Option<String>]) -> Option<bool> {
    if words.len() > TEST_WORDS_MAX {
        return None;
    }
    if let Some(at) = words.iter().position(|word| word.as_deref() == Some("-o")) {
        return match (test(&words[..at]), test(&words[at + 1..])) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
    }
    if let Some(at) = words.iter().position(|word| word.as_deref() == Some("-a")) {
        return match (test(&words[..at]), test(&words[at + 1..])) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
    }
    match words {
        [not, rest @ ..] if not.as_deref() == Some("!") => test(rest).map(|yes| !yes),
        [Some(a), is, Some(b)] if matches!(is.as_deref(), Some("=" | "==")) => Some(a == b),
        [Some(a), is, Some(b)] if is.as_deref() == Some("!=") => Some(a != b),
        [flag, Some(a)] if flag.as_deref() == Some("-n") => Some(!a.is_empty()),
        [flag, Some(a)] if flag.as_deref() == Some("-z") => Some(a.is_empty()),
        [Some(a)] => Some(!a.is_empty()),
        [] => Some(false),
        _ => None,
    }
}
