//! What a Python module asks for, read from its tokens: imports, distributions by name, commands, paths.
//!
//! An import is guarded where the module goes on without: in a `try` that takes its failure, in an `except` that is
//! such a failure's other way, or for another system.

use super::tokens::tokens;
use crate::scripts::token::{Lexeme, Token, inside};

/// `import a.b`, or `from a import b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The dots in front: how far up the package it begins.
    pub level: usize,
    /// The module's name.
    pub module: String,
    /// What is taken from it: attributes, or modules below it.
    pub names: Vec<String>,
    /// The line.
    pub line: usize,
    /// Whether the module does without.
    pub guarded: bool,
}

/// What a module asks for.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// Imports, in order.
    pub imports: Vec<Import>,
    /// Distributions whose metadata is read; an empty name is the module's own.
    pub distributions: Vec<String>,
    /// Entry points that are loaded: distribution, group, name.
    pub entry_points: Vec<(String, String, String)>,
    /// Groups of which all entry points are looked up.
    pub groups: Vec<String>,
    /// Folders put into sys.path: how far above the module's own they begin (None: absolute), and the rest.
    pub folders: Vec<(Option<usize>, String)>,
    /// Programs that are started: as words, or as a text for a shell.
    pub programs: Vec<(String, usize, bool)>,
    /// Texts for a shell.
    pub shell: Vec<(String, usize)>,
    /// Absolute paths among its texts.
    pub paths: Vec<(String, usize)>,
    /// Whether it imports modules whose names only a run can tell.
    pub dynamic: bool,
    /// What such names begin with: packages, any of whose modules may be meant.
    pub packages: Vec<String>,
}

/// A block that decides over its imports.
struct Block {
    indent: usize,
    guarded: bool,
    skipped: bool,
}

/// Reads a module.
pub fn asks(text: &str) -> Asks {
    let spots = tokens(text);
    let mut asks = Asks::default();
    let mut blocks: Vec<Block> = Vec::new();
    for at in 0..spots.len() {
        if let Token::Line(indent) = spots[at].token {
            while blocks.last().is_some_and(|block| block.indent >= indent) {
                blocks.pop();
            }
            blocks.extend(block(&spots, at, indent, &blocks));
        }
        let start = at == 0 || matches!(spots[at - 1].token, Token::Line(_) | Token::Sign(';' | ':'));
        let guarded = blocks.last().is_some_and(|block| block.guarded);
        let skipped = blocks.last().is_some_and(|block| block.skipped);
        match spots[at].name() {
            Some("import") if start && !skipped => import(&spots, at, guarded, &mut asks),
            Some("from") if start && !skipped => from(&spots, at, guarded, &mut asks),
            Some(name) => called(&spots, at, name, guarded, &mut asks),
            None => {}
        }
        if let Some(path) = spots[at].text().filter(|text| text.starts_with("/usr/") || text.starts_with("/opt/")) {
            asks.paths.push((path.to_owned(), spots[at].line));
        }
    }
    if !reads_metadata(&asks) {
        asks.distributions.clear();
    }
    asks
}

/// The block that a line begins, if it decides over imports.
fn block(spots: &[Lexeme], at: usize, indent: usize, outer: &[Block]) -> Option<Block> {
    let (guarded, skipped) = outer.last().map_or((false, false), |block| (block.guarded, block.skipped));
    let head = || spots[at + 1..].iter().take_while(|spot| !spot.is(':') && !matches!(spot.token, Token::Line(_)));
    let names = |name: &str| head().any(|spot| spot.name() == Some(name));
    match spots.get(at + 1)?.name()? {
        "try" => Some(Block { indent, guarded: guarded || takes_failure(spots, at, indent), skipped }),
        "except" => Some(Block { indent, guarded: true, skipped }),
        "if" | "elif" => {
            let system = ["win32", "darwin", "nt", "java", "cygwin", "Windows", "Darwin", "ce", "os2"];
            let foreign = head().any(|spot| spot.text().is_some_and(|text| system.contains(&text)));
            let typing = names("TYPE_CHECKING");
            (foreign || typing).then_some(Block { indent, guarded: true, skipped: skipped || typing })
        }
        "else" => Some(Block { indent, guarded, skipped }),
        _ => None,
    }
}

/// Whether the `try` at this line takes the failure of an import.
fn takes_failure(spots: &[Lexeme], at: usize, indent: usize) -> bool {
    const TAKERS: [&str; 6] = [
        "ImportError",
        "ModuleNotFoundError",
        "Exception",
        "BaseException",
        "DistributionNotFound",
        "PackageNotFoundError",
    ];
    for (n, spot) in spots.iter().enumerate().skip(at + 1) {
        let Token::Line(other) = spot.token else { continue };
        if other > indent {
            continue;
        }
        if other < indent || spots.get(n + 1).and_then(Lexeme::name) != Some("except") {
            return false;
        }
        let mut head = spots[n + 2..].iter().take_while(|spot| !spot.is(':'));
        let bare = spots.get(n + 2).is_some_and(|spot| spot.is(':'));
        if bare || head.any(|spot| spot.name().is_some_and(|name| TAKERS.contains(&name))) {
            return true;
        }
    }
    false
}

/// A dotted name from `at` on; gives where it ends.
fn dotted(spots: &[Lexeme], mut at: usize) -> (String, usize) {
    let mut name = String::new();
    while let Some(part) = spots.get(at).and_then(Lexeme::name) {
        name.push_str(part);
        at += 1;
        if !spots.get(at).is_some_and(|spot| spot.is('.')) {
            break;
        }
        name.push('.');
        at += 1;
    }
    (name.trim_end_matches('.').to_owned(), at)
}

fn import(spots: &[Lexeme], at: usize, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    let mut at = at + 1;
    loop {
        let (module, end) = dotted(spots, at);
        if module.is_empty() {
            return;
        }
        asks.imports.push(Import { level: 0, module, names: Vec::new(), line, guarded });
        at = end;
        if spots.get(at).and_then(Lexeme::name) == Some("as") {
            at += 2;
        }
        if !spots.get(at).is_some_and(|spot| spot.is(',')) {
            return;
        }
        at += 1;
    }
}

fn from(spots: &[Lexeme], at: usize, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    let dots = spots[at + 1..].iter().take_while(|spot| spot.is('.')).count();
    let (module, end) = match spots.get(at + 1 + dots).and_then(Lexeme::name) {
        Some("import") => (String::new(), at + 1 + dots),
        _ => dotted(spots, at + 1 + dots),
    };
    if spots.get(end).and_then(Lexeme::name) != Some("import") {
        return;
    }
    let mut names = Vec::new();
    let mut alias = false;
    for spot in &spots[end + 1..] {
        match &spot.token {
            Token::Name(name) if name == "as" => alias = true,
            Token::Name(name) if !std::mem::take(&mut alias) => names.push(name.clone()),
            Token::Name(_) | Token::Sign(',' | '(' | '*') => {}
            _ => break,
        }
    }
    asks.imports.push(Import { level: dots, module, names, line, guarded });
}

/// A name that may be called: what of its arguments matters.
fn called(spots: &[Lexeme], at: usize, name: &str, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    if name == "__requires__" && spots.get(at + 1).is_some_and(|spot| spot.is('=')) {
        asks.distributions.extend(spots.get(at + 2).and_then(Lexeme::text).map(distribution));
    }
    if !spots.get(at + 1).is_some_and(|spot| spot.is('(')) {
        return;
    }
    let arguments = inside(spots, at + 1);
    let texts: Vec<&str> = arguments.iter().filter_map(Lexeme::text).collect();
    let first = arguments.first();
    match name {
        "import_module" | "__import__" => match first.and_then(Lexeme::text) {
            // 'package.' + name, and format strings.
            Some(module) if !arguments.get(1).is_none_or(|lexeme| lexeme.is(',')) || module.contains('%') => {
                asks.dynamic = true;
                let package = module.rsplit_once('.').map(|(package, _)| package);
                asks.packages.extend(package.filter(|package| !package.is_empty()).map(str::to_owned));
            }
            Some(module) => {
                let level = module.bytes().take_while(|byte| *byte == b'.').count();
                let module = module.trim_start_matches('.').to_owned();
                asks.imports.push(Import { level, module, names: Vec::new(), line, guarded });
            }
            None => asks.dynamic = true,
        },
        "iter_modules" | "walk_packages" => asks.dynamic = true,
        "insert" | "append" if is_after(spots, at, &["sys", ".", "path", "."]) => folder(arguments, &texts, asks),
        "load_entry_point" | "importlib_load_entry_point" if texts.len() == 3 => {
            asks.distributions.push(distribution(texts[0]));
            asks.entry_points.push((distribution(texts[0]), texts[1].to_owned(), texts[2].to_owned()));
        }
        "distribution" | "get_distribution" | "version" | "metadata" | "requires" | "require" | "files" => {
            match first {
                Some(spot) if spot.text().is_some() => asks.distributions.extend(spot.text().map(distribution)),
                Some(spot) if matches!(spot.name(), Some("__name__" | "__package__")) => {
                    asks.distributions.push(String::new());
                }
                _ => {}
            }
        }
        "iter_entry_points" | "entry_points" => asks.groups.extend(texts.last().map(|text| (*text).to_owned())),
        _ => programs(spots, at, name, arguments, asks),
    }
}

/// Whether these stand right before `at`.
fn is_after(spots: &[Lexeme], at: usize, wanted: &[&str]) -> bool {
    let Some(start) = at.checked_sub(wanted.len()) else { return false };
    spots[start..at].iter().zip(wanted).all(|(spot, wanted)| match &spot.token {
        Token::Name(name) => name == wanted,
        Token::Sign(sign) => wanted.len() == 1 && wanted.starts_with(*sign),
        _ => false,
    })
}

/// What is put into sys.path.
fn folder(arguments: &[Lexeme], texts: &[&str], asks: &mut Asks) {
    let names = |name: &str| arguments.iter().filter(|spot| spot.name() == Some(name)).count();
    let own = names("__file__") + names("argv") > 0;
    let up = names("dirname").saturating_sub(1);
    match (own, texts) {
        (true, _) => asks.folders.push((Some(up), texts.join("/"))),
        (false, [path]) if path.starts_with('/') => asks.folders.push((None, (*path).to_owned())),
        _ => {}
    }
}

/// subprocess, os.system and their kin.
fn programs(spots: &[Lexeme], at: usize, name: &str, arguments: &[Lexeme], asks: &mut Asks) {
    const SUBPROCESS: [&str; 8] = [
        "run",
        "call",
        "check_call",
        "check_output",
        "Popen",
        "getoutput",
        "getstatusoutput",
        "create_subprocess_exec",
    ];
    let line = spots[at].line;
    let of = |module: &str| is_after(spots, at, &[module, "."]);
    let first = arguments.first();
    if SUBPROCESS.contains(&name) && (of("subprocess") || name == "Popen" || name.starts_with("check_")) || of("sp") {
        match first {
            Some(spot) if spot.is('[') || spot.is('(') => {
                asks.programs
                    .extend(arguments.get(1).and_then(Lexeme::text).map(|text| (text.to_owned(), line, false)));
            }
            Some(spot) => asks.shell.extend(spot.text().map(|text| (text.to_owned(), line))),
            None => {}
        }
    } else if of("os") && ["system", "popen"].contains(&name) {
        asks.shell.extend(first.and_then(Lexeme::text).map(|text| (text.to_owned(), line)));
    } else if of("os") && (name.starts_with("exec") || name.starts_with("posix_spawn")) {
        asks.programs.extend(first.and_then(Lexeme::text).map(|text| (text.to_owned(), line, false)));
    } else if of("shutil") && name == "which" {
        asks.programs.extend(first.and_then(Lexeme::text).map(|text| (text.to_owned(), line, true)));
    }
}

/// "ansible-core==2.14" without its version.
pub fn distribution(text: &str) -> String {
    text.split(['=', '<', '>', '!', '~', ' ', ';', '[', '(']).next().unwrap_or_default().to_owned()
}

/// Whether it is metadata that a `version(...)` asks for.
fn reads_metadata(asks: &Asks) -> bool {
    asks.imports.iter().any(|import| {
        let module = import.module.as_str();
        ["importlib.metadata", "importlib_metadata", "pkg_resources"].contains(&module)
            || module == "importlib" && import.names.iter().any(|name| name == "metadata")
    })
}

#[cfg(test)]
#[path = "imports_tests.rs"]
mod tests;
