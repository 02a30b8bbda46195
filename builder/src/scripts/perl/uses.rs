//! What a Perl file loads and starts, read from its tokens.
//!
//! Something is guarded in an `eval`: the script goes on where it fails.

use std::collections::BTreeSet;

use super::tokens::tokens;
use crate::scripts::token::{Lexeme, Token, inside};

/// A module or file that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its path below @INC: `Foo/Bar.pm`; or a path as it was written.
    pub path: String,
    /// The line.
    pub line: usize,
    /// Whether the file does without.
    pub guarded: bool,
}

/// What a file asks for.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// What it loads.
    pub uses: Vec<Use>,
    /// Folders that it puts in front of @INC; `None` in front: below its own folder.
    pub folders: Vec<(bool, String)>,
    /// Programs that it starts by name.
    pub programs: Vec<(String, usize, bool)>,
    /// Texts that a shell gets.
    pub shell: Vec<(String, usize, bool)>,
    /// Absolute paths among its texts.
    pub paths: Vec<(String, usize)>,
    /// Modules that it names without loading them, by path: of these it may load some where it loads what only a run
    /// can tell.
    pub named: BTreeSet<String>,
    /// Short texts that may be parts of a path which it joins while it runs.
    pub parts: Vec<String>,
    /// Whether it loads what only a run can tell.
    pub dynamic: bool,
    /// What names of modules begin with in its texts: `Foo/Bar` for "Foo::Bar::$name".
    pub stems: Vec<String>,
}

/// Reads a file.
pub fn asks(text: &str) -> Asks {
    let spots = tokens(text);
    let mut asks = Asks::default();
    // For each open brace: whether it is that of an eval.
    let mut braces: Vec<bool> = Vec::new();
    for at in 0..spots.len() {
        let guarded = braces.last().copied().unwrap_or(false);
        let spot = &spots[at];
        asks.stems.extend(stems(spot));
        let named = spot.text().or_else(|| spot.name()).filter(|name| name.contains("::") && is_module(name));
        asks.named.extend(named.filter(|_| asks.named.len() < NAMED_MAX).map(path_of));
        match &spot.token {
            Token::Sign('{') => {
                let eval = at > 0 && matches!(spots[at - 1].name(), Some("eval" | "try"));
                braces.push(guarded || eval);
            }
            Token::Sign('}') => drop(braces.pop()),
            Token::Name(name) => word(&spots, at, name, guarded, &mut asks),
            Token::Text { text, plain: true, command: true } => asks.shell.push((text.clone(), spot.line, guarded)),
            Token::Text { text, plain: true, .. } if text.starts_with("/usr/") || text.starts_with("/opt/") => {
                asks.paths.push((text.clone(), spot.line));
            }
            Token::Text { text, plain: true, .. } if asks.parts.len() < PARTS_MAX && is_part(text) => {
                asks.parts.push(text.clone());
            }
            _ => {}
        }
    }
    asks
}

/// Most modules that a file names.
const NAMED_MAX: usize = 500;

/// Most texts of a file that may be parts of a path.
const PARTS_MAX: usize = 200;

/// Whether a text may be a part of a path.
fn is_part(text: &str) -> bool {
    const BYTES_MAX: usize = 64;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+.".contains(&byte);
    (2..=BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('.')
}

/// What names of modules begin with, in a text where they go on with what only a run can tell: `Foo/Bar` for each
/// "Foo::Bar::$name" in it.
fn stems(spot: &Lexeme) -> Vec<String> {
    let Token::Text { text, .. } = &spot.token else { return Vec::new() };
    let module = |part: &str| {
        let module = part.rsplit([' ', '\n', '\t', '\'', '"', '{', '(']).next()?.strip_suffix("::")?;
        is_module(module).then(|| module.replace("::", "/"))
    };
    text.split('$').filter_map(module).collect()
}

/// Whether a name is that of a module.
fn is_module(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && !name.ends_with(':') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
}

/// `Foo::Bar` as a path below @INC.
fn path_of(module: &str) -> String {
    format!("{}.pm", module.replace("::", "/"))
}

fn word(spots: &[Lexeme], at: usize, name: &str, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    let next = spots.get(at + 1);
    let before = at.checked_sub(1).map(|at| &spots[at]);
    // A key of a hash, or a method.
    let other = next.is_some_and(|spot| spot.is('=')) && spots.get(at + 2).is_some_and(|spot| spot.is('>'))
        || before.is_some_and(|spot| spot.is('>'))
        || before.and_then(Lexeme::name) == Some("sub");
    if other {
        return;
    }
    match name {
        "use" | "no" => uses(spots, at, guarded, asks),
        "require" | "do" => match next.map(|spot| &spot.token) {
            Some(Token::Name(module)) if name == "require" && is_module(module) => {
                asks.uses.push(Use { path: path_of(module), line, guarded });
            }
            Some(Token::Name(variable)) if name == "require" && variable.starts_with('$') => asks.dynamic = true,
            Some(Token::Text { text, plain: true, .. }) => asks.uses.push(Use { path: text.clone(), line, guarded }),
            Some(Token::Text { plain: false, .. }) if name == "require" => asks.dynamic = true,
            _ => {}
        },
        "eval" => {
            if let Some(Token::Text { text, plain, .. }) = next.map(|spot| &spot.token) {
                let loads = text.contains("require ") || text.trim_start().starts_with("use ");
                asks.dynamic |= loads && !plain;
                if let Some(module) =
                    text.split([' ', ';', '\n']).nth(1).filter(|name| loads && *plain && is_module(name))
                {
                    asks.uses.push(Use { path: path_of(module), line, guarded: true });
                }
            }
        }
        "load_class" | "use_module" | "require_module" | "load" | "try_load" => asks.dynamic |= !literal(next),
        "system" | "exec" => starts(spots, at, guarded, asks),
        "open" => opens(spots, at, guarded, asks),
        _ => {}
    }
}

fn literal(spot: Option<&Lexeme>) -> bool {
    spot.is_some_and(|spot| spot.text().is_some())
}

/// `use Module LIST`.
fn uses(spots: &[Lexeme], at: usize, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    let Some(module) = spots.get(at + 1).and_then(Lexeme::name).filter(|name| is_module(name)) else { return };
    if spots[at].name() == Some("no") {
        return;
    }
    let rest = || spots[at + 2..].iter().take_while(|spot| !spot.is(';')).take(200);
    let texts = || rest().filter_map(Lexeme::text).flat_map(str::split_whitespace);
    match module {
        "lib" => {
            for spot in rest() {
                let Token::Text { text, .. } = &spot.token else { continue };
                let own = ["$FindBin::Bin", "$FindBin::RealBin", "${FindBin::Bin}", "$RealBin", "$Bin"];
                let below = own.iter().find_map(|name| text.strip_prefix(name));
                match below {
                    Some(below) => asks.folders.push((true, below.to_owned())),
                    None if text.starts_with('/') && !text.contains('$') => asks.folders.push((false, text.clone())),
                    None => {}
                }
            }
        }
        "parent" | "base" => {
            let no_file = rest().any(|spot| spot.name() == Some("norequire") || spot.text() == Some("-norequire"));
            let parents = texts().filter(|name| !no_file && is_module(name));
            asks.uses.extend(parents.map(|name| Use { path: path_of(name), line, guarded }));
        }
        "if" => {
            let module = rest()
                .skip_while(|spot| !spot.is(',') && !spot.is('>'))
                .find_map(|spot| spot.text().or_else(|| spot.name()));
            let module = module.filter(|name| is_module(name)).map(path_of);
            asks.uses.extend(module.map(|path| Use { path, line, guarded: true }));
        }
        _ => {}
    }
    asks.uses.push(Use { path: path_of(module), line, guarded });
}

/// The arguments of a function, with brackets or without.
fn arguments(spots: &[Lexeme], at: usize) -> &[Lexeme] {
    match spots.get(at + 1) {
        Some(spot) if spot.is('(') => inside(spots, at + 1),
        _ => {
            let rest = &spots[at + 1..];
            let end =
                rest.iter().take(200).position(|spot| spot.is(';') || spot.is('}')).unwrap_or(rest.len().min(200));
            &rest[..end]
        }
    }
}

/// `system` and `exec`: one text is a shell's, a list begins with a program.
fn starts(spots: &[Lexeme], at: usize, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    let arguments = arguments(spots, at);
    let Some(text) = arguments.first().and_then(Lexeme::text) else { return };
    if arguments.len() == 1 {
        asks.shell.push((text.to_owned(), line, guarded));
    } else {
        let first = text.split_whitespace().next().unwrap_or_default();
        asks.programs.push((first.to_owned(), line, guarded));
    }
}

/// `open(F, "-|", program, ...)`, and the old way to write it.
fn opens(spots: &[Lexeme], at: usize, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    let texts: Vec<&str> = arguments(spots, at).iter().filter_map(Lexeme::text).collect();
    match texts[..] {
        ["-|" | "|-", program, ..] => asks.shell.push((program.to_owned(), line, guarded)),
        [text] if text.starts_with('|') || text.ends_with('|') => {
            asks.shell.push((text.trim_matches('|').to_owned(), line, guarded));
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "uses_tests.rs"]
mod tests;
