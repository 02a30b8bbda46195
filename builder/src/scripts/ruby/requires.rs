//! What a Ruby file loads and starts, read from its tokens.

use super::tokens::tokens;
use crate::scripts::token::{Lexeme, Token, inside};

/// What is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// By $LOAD_PATH and gems.
    Feature(String),
    /// Beside the file itself.
    Relative(String),
    /// A gem by name.
    Gem(String),
}

/// What a file asks for.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// What it loads, with line, and whether it does without.
    pub loads: Vec<(Load, usize, bool)>,
    /// Folders that it puts into $LOAD_PATH, below its own.
    pub folders: Vec<String>,
    /// Programs that it starts by name.
    pub programs: Vec<(String, usize)>,
    /// Texts that a shell gets.
    pub shell: Vec<(String, usize)>,
    /// Absolute paths among its texts.
    pub paths: Vec<(String, usize)>,
}

/// So many tokens around a `require` are searched for its `begin` and `rescue`.
const RESCUE_TOKENS_MAX: usize = 60;

/// Reads a file.
pub fn asks(text: &str) -> Asks {
    let spots = tokens(text);
    let mut asks = Asks::default();
    for at in 0..spots.len() {
        let spot = &spots[at];
        match &spot.token {
            Token::Name(name) => word(&spots, at, name, &mut asks),
            Token::Text { text, plain: true, command: true } => asks.shell.push((text.clone(), spot.line)),
            Token::Text { text, plain: true, .. } if text.starts_with("/usr/") || text.starts_with("/opt/") => {
                asks.paths.push((text.clone(), spot.line));
            }
            _ => {}
        }
    }
    asks
}

/// The arguments of a call, with brackets or without.
fn arguments(spots: &[Lexeme], at: usize) -> &[Lexeme] {
    match spots.get(at + 1) {
        Some(spot) if spot.is('(') => inside(spots, at + 1),
        _ => {
            let rest = &spots[at + 1..];
            let ends = |spot: &Lexeme| {
                spot.is(';') || matches!(spot.token, Token::Line(_)) || matches!(spot.name(), Some("if" | "unless"))
            };
            let end = rest.iter().take(200).position(ends).unwrap_or(rest.len().min(200));
            &rest[..end]
        }
    }
}

fn word(spots: &[Lexeme], at: usize, name: &str, asks: &mut Asks) {
    let line = spots[at].line;
    let before = at.checked_sub(1).map(|at| &spots[at]);
    let member = before.is_some_and(|spot| spot.is('.'));
    let of = |owner: &str| member && at >= 2 && spots[at - 2].name() == Some(owner);
    if before.and_then(Lexeme::name) == Some("def")
        || member && !of("Kernel") && !of("Gem") && !of("Open3") && !of("IO") && name != "unshift"
    {
        return;
    }
    let arguments = arguments(spots, at);
    let texts: Vec<&str> = arguments.iter().filter_map(Lexeme::text).collect();
    let first = arguments.first().and_then(Lexeme::text);
    let guarded = || is_rescued(spots, at);
    match (name, first) {
        ("require" | "load", Some(path))
            if arguments.len() == 1 || arguments.get(1).is_none_or(|spot| spot.is(',') || spot.name().is_some()) =>
        {
            let load =
                if path.starts_with("./") { Load::Relative(path.to_owned()) } else { Load::Feature(path.to_owned()) };
            asks.loads.push((load, line, guarded()));
        }
        ("require_relative", Some(path)) => asks.loads.push((Load::Relative(path.to_owned()), line, guarded())),
        ("require" | "load", None)
            if arguments.iter().any(|spot| matches!(spot.name(), Some("__FILE__" | "__dir__"))) =>
        {
            if let Some(path) = texts.first() {
                asks.loads.push((Load::Relative(own_relative(path, arguments)), line, guarded()));
            }
        }
        ("autoload", _) => {
            let load = texts.last().map(|path| (Load::Feature((*path).to_owned()), line, true));
            asks.loads.extend(load);
        }
        ("gem" | "bin_path" | "activate_bin_path", Some(gem)) => {
            asks.loads.push((Load::Gem(gem.to_owned()), line, name == "gem" && guarded()));
        }
        ("unshift", _) if at >= 2 && matches!(spots[at - 2].name(), Some("$LOAD_PATH" | "$")) => {
            let own = arguments.iter().any(|spot| matches!(spot.name(), Some("__FILE__" | "__dir__")));
            asks.folders.extend(texts.first().filter(|_| own).map(|path| own_relative(path, arguments)));
        }
        ("system" | "exec" | "spawn" | "popen" | "capture2" | "capture2e" | "capture3" | "popen3", Some(text)) => {
            if arguments.len() == 1 || texts.len() == 1 && !arguments.iter().any(|spot| spot.is(',')) {
                asks.shell.push((text.to_owned(), line));
            } else {
                let first = text.split_whitespace().next().unwrap_or_default();
                asks.programs.push((first.to_owned(), line));
            }
        }
        _ => {}
    }
}

/// A path from `__FILE__` as one from its folder.
fn own_relative(path: &str, arguments: &[Lexeme]) -> String {
    let from_file = arguments.iter().any(|spot| spot.name() == Some("__FILE__"));
    let dirname = arguments.iter().any(|spot| spot.name() == Some("dirname"));
    let path = if from_file && !dirname { path.strip_prefix("../").unwrap_or(path) } else { path };
    path.trim_start_matches('/').to_owned()
}

/// Whether what stands here is between `begin` and `rescue`, or has a `rescue` behind it.
fn is_rescued(spots: &[Lexeme], at: usize) -> bool {
    let after = spots[at..].iter().take(RESCUE_TOKENS_MAX).filter_map(Lexeme::name);
    let mut after = after.skip_while(|name| !["end", "rescue", "begin", "def", "class"].contains(name));
    if after.next() != Some("rescue") {
        return false;
    }
    let before = spots[at.saturating_sub(RESCUE_TOKENS_MAX)..at].iter().rev().filter_map(Lexeme::name);
    let mut before = before.skip_while(|name| !["end", "begin", "def", "class"].contains(name));
    let modifier = spots[at..]
        .iter()
        .take_while(|spot| !matches!(spot.token, Token::Line(_)))
        .any(|spot| spot.name() == Some("rescue"));
    modifier || before.next() == Some("begin")
}

#[cfg(test)]
#[path = "requires_tests.rs"]
mod tests;
