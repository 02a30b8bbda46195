//! What a module of Node loads and starts, read from its tokens.

use super::tokens::tokens;
use crate::scripts::token::{Lexeme, Token, inside};

/// What a module asks for.
#[derive(Clone, Debug, Default)]
pub struct Asks {
    /// Modules by the names that are written, with line, and whether the module does without.
    pub modules: Vec<(String, usize, bool)>,
    /// Paths below its own folder.
    pub own_paths: Vec<(String, usize)>,
    /// Programs that it starts by name.
    pub programs: Vec<(String, usize)>,
    /// Texts that a shell gets.
    pub shell: Vec<(String, usize)>,
    /// Absolute paths among its texts.
    pub paths: Vec<(String, usize)>,
    /// Whether it loads what only a run can tell.
    pub dynamic: bool,
}

/// Reads a module.
pub fn asks(text: &str) -> Asks {
    let spots = tokens(text);
    let mut asks = Asks::default();
    // For each open brace: whether it is that of a try.
    let mut braces: Vec<bool> = Vec::new();
    for at in 0..spots.len() {
        let guarded = braces.last().copied().unwrap_or(false);
        match &spots[at].token {
            Token::Sign('{') => {
                let tries = at > 0 && spots[at - 1].name() == Some("try");
                braces.push(guarded || tries);
            }
            Token::Sign('}') => drop(braces.pop()),
            Token::Name(name) => word(&spots, at, name, guarded, &mut asks),
            Token::Text { text, plain: true, .. } if text.starts_with("/usr/") || text.starts_with("/opt/") => {
                asks.paths.push((text.clone(), spots[at].line));
            }
            _ => {}
        }
    }
    asks
}

fn word(spots: &[Lexeme], at: usize, name: &str, guarded: bool, asks: &mut Asks) {
    let line = spots[at].line;
    let before = at.checked_sub(1).map(|at| &spots[at]);
    let member = before.is_some_and(|spot| spot.is('.')) && !at.checked_sub(2).is_some_and(|at| spots[at].is('.'));
    let calls = spots.get(at + 1).is_some_and(|spot| spot.is('('));
    let arguments = || inside(spots, at + 1);
    match name {
        "require" | "import" if calls && !member => match arguments().first() {
            Some(spot) if spot.text().is_some() && arguments().get(1).is_none_or(|spot| spot.is(',')) => {
                asks.modules.extend(spot.text().map(|text| (text.to_owned(), line, guarded)));
            }
            Some(_) => {
                own_path(arguments(), line, asks);
                asks.dynamic = true;
            }
            None => {}
        },
        // require.resolve('x')
        "resolve" if calls && member && at >= 2 && spots[at - 2].name() == Some("require") => {
            let text = arguments().first().and_then(Lexeme::text);
            asks.modules.extend(text.map(|text| (text.to_owned(), line, guarded)));
        }
        "import" | "export" if !member && !calls => from(spots, at, asks),
        "join" | "resolve" if calls => own_path(arguments(), line, asks),
        "URL" if calls && arguments().iter().any(|spot| spot.name() == Some("meta")) => {
            let text = arguments().first().and_then(Lexeme::text);
            asks.own_paths.extend(text.map(|text| (text.to_owned(), line)));
        }
        _ if calls => starts(spots, at, name, arguments(), asks),
        _ => {}
    }
}

/// `import x from 'y'`, `import 'y'`, `export * from 'y'`.
fn from(spots: &[Lexeme], at: usize, asks: &mut Asks) {
    const TOKENS_MAX: usize = 300;
    let line = spots[at].line;
    let rest = &spots[at + 1..];
    let import = spots[at].name() == Some("import");
    if let Some(text) = rest.first().and_then(Lexeme::text).filter(|_| import) {
        return asks.modules.push((text.to_owned(), line, false));
    }
    for (n, spot) in rest.iter().enumerate().take(TOKENS_MAX) {
        match &spot.token {
            Token::Name(name) if name == "from" => {
                if let Some(text) = rest.get(n + 1).and_then(Lexeme::text) {
                    return asks.modules.push((text.to_owned(), line, false));
                }
            }
            Token::Name(_) | Token::Sign('{' | '}' | ',' | '*' | '$') => {}
            // Modules may be named by texts: export { x as 'y' }.
            Token::Text { .. } => {}
            _ => return,
        }
    }
}

/// `join(__dirname, 'a', 'b')`.
fn own_path(arguments: &[Lexeme], line: usize, asks: &mut Asks) {
    if !arguments.iter().any(|spot| spot.name() == Some("__dirname")) {
        return;
    }
    let parts: Vec<&str> = arguments.iter().filter_map(Lexeme::text).map(|text| text.trim_start_matches('/')).collect();
    if !parts.is_empty() {
        asks.own_paths.push((parts.join("/"), line));
    }
}

/// child_process.
fn starts(spots: &[Lexeme], at: usize, name: &str, arguments: &[Lexeme], asks: &mut Asks) {
    let line = spots[at].line;
    let owner = at.checked_sub(2).filter(|at| spots[at + 1].is('.')).and_then(|at| spots[at].name());
    let owned = matches!(owner, Some("child_process" | "cp" | "childProcess"));
    let free = !at.checked_sub(1).is_some_and(|at| spots[at].is('.'));
    let Some(text) = arguments.first().and_then(Lexeme::text).filter(|_| owned || free) else { return };
    match name {
        "exec" | "execSync" => asks.shell.push((text.to_owned(), line)),
        "spawn" | "spawnSync" | "execFile" | "execFileSync" => asks.programs.push((text.to_owned(), line)),
        _ => {}
    }
}

#[cfg(test)]
#[path = "requires_tests.rs"]
mod tests;
