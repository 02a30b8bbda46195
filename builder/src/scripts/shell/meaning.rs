//! What the commands of a shell script mean: which are the shell's own or the script's, which start others, which are
//! only tried.
//!
//! A command that the script itself looks for before it calls it (`command -v X`, `[ -x X ]`), or calls only when
//! another failed, is guarded: the script knows what to do without.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::parse::{Call, ShellText, parse};
use super::word::{OWN_PATH, Value, Values, Variables, Word, resolve};
use super::wrappers::{Inner, SHELLS, inner};

/// How deep commands may lie in the words of commands (`sh -c`, `eval`, env).
const COMMANDS_DEPTH_MAX: usize = 8;

/// Most files that a script may read as its own text.
const SOURCES_MAX: usize = 64;

/// Most commands of one script, those in texts of `eval` and traps included.
const CALLS_MAX: usize = 200_000;

/// A name in a script.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// What the script wrote, variables put in.
    pub name: String,
    /// The first line that it stands on.
    pub line: usize,
    /// Whether the script does without.
    pub guarded: bool,
}

/// What a script asks for.
#[derive(Clone, Debug, Default)]
pub struct ShellNeeds {
    /// Commands by name or path, sorted, each once.
    pub commands: Vec<Named>,
    /// Absolute paths among the words of commands.
    pub files: Vec<Named>,
    /// Files that it reads as its own text: their real paths.
    pub sources: Vec<Named>,
    /// Folders that it puts into PATH.
    pub folders: Vec<String>,
    /// Whether it reads text that only a run can tell: then a command may be a function from there.
    pub reads_unknown: bool,
}

/// Finds the file that `. NAME` reads: name and folder of the script; gives its real path and text.
pub type FindSource<'f> = dyn FnMut(&str, &str) -> Option<(String, String)> + 'f;

/// What the script at this path asks for.
pub fn needs(path: &str, text: &str, find: &mut FindSource) -> ShellNeeds {
    let mut reading = Reading { own: path.to_owned(), ..Reading::default() };
    reading.variables.insert(OWN_PATH.to_owned(), vec![Some(Word::text(path))]);
    let mut queue: VecDeque<(String, String)> = [(path.to_owned(), text.to_owned())].into();
    let mut known: BTreeSet<String> = [path.to_owned()].into();
    while let Some((path, text)) = queue.pop_front() {
        let own_folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let parsed = parse(&text, 1);
        reading.learn(&parsed);
        reading.values = resolve(&reading.variables, &own_folder);
        for (name, line, guarded) in reading.sources(&parsed.calls, &own_folder) {
            match name.and_then(|name| find(&name, &own_folder)) {
                Some((real, text)) => {
                    reading.needs.sources.push(Named { name: real.clone(), line, guarded });
                    if known.len() < SOURCES_MAX && known.insert(real.clone()) {
                        queue.push_back((real, text));
                    }
                }
                None => reading.needs.reads_unknown |= !guarded,
            }
        }
        reading.texts.push((own_folder, parsed));
    }
    reading.finish()
}

/// A script, and what it reads as its own, while it is understood.
#[derive(Default)]
struct Reading {
    /// The path of the script itself.
    own: String,
    variables: Variables,
    values: Values,
    functions: BTreeSet<String>,
    texts: Vec<(String, ShellText)>,
    tested: BTreeSet<String>,
    commands: BTreeMap<String, (usize, bool)>,
    files: BTreeMap<String, usize>,
    calls: usize,
    needs: ShellNeeds,
}

impl Reading {
    fn learn(&mut self, text: &ShellText) {
        self.functions.extend(text.functions.iter().cloned());
        for (name, value) in &text.assignments {
            self.variables.entry(name.clone()).or_default().push(value.clone());
        }
        // export X=Y, and its kin.
        for call in &text.calls {
            let name = call.words.first().and_then(Word::literal).unwrap_or_default();
            if ["export", "readonly", "local", "declare", "typeset"].contains(&name) {
                for (name, value) in call.words.iter().filter_map(Word::assignment) {
                    self.variables.entry(name).or_default().push(Some(value));
                }
            }
            if name == "alias" {
                let names = call.words.iter().filter_map(Word::assignment).map(|(name, _)| name);
                self.functions.extend(names);
            }
            if ["read", "getopts", "mapfile", "printf"].contains(&name) {
                for word in call.words.iter().filter_map(Word::literal).filter(|text| super::word::is_name(text)) {
                    self.variables.entry(word.to_owned()).or_default().push(None);
                }
            }
        }
    }

    /// What `.` and `source` read, by name; None for what only a run can tell.
    fn sources(&self, calls: &[Call], own_folder: &str) -> Vec<(Option<String>, usize, bool)> {
        let reads = |call: &&Call| {
            let word = call.words.first().and_then(Word::literal);
            matches!(word, Some("." | "source"))
        };
        let one = |call: &Call| {
            let values = call.words.get(1).map(|word| word.values(&self.values, own_folder)).unwrap_or_default();
            if values.is_empty() {
                return vec![(None, call.line, call.guarded)];
            }
            let guarded = call.guarded || values.len() > 1;
            values.into_iter().map(|value| (Some(value.text), call.line, guarded || !value.sure)).collect()
        };
        calls.iter().filter(reads).flat_map(one).collect()
    }

    fn finish(mut self) -> ShellNeeds {
        self.needs.folders = self.path_folders();
        for (own_folder, text) in std::mem::take(&mut self.texts) {
            for call in &text.calls {
                self.call(call, &own_folder, 0);
            }
        }
        let (tested, functions) = (self.tested, self.functions);
        let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        self.needs.commands = self
            .commands
            .into_iter()
            .filter(|(name, _)| !functions.contains(name) && *name != self.own)
            .map(|(name, (line, guarded))| {
                let guarded = guarded || tested.contains(&name) || tested.contains(&last(&name));
                Named { name, line, guarded }
            })
            .collect();
        let files = self.files.into_iter().filter(|(path, _)| *path != self.own);
        self.needs.files = files.map(|(name, line)| Named { name, line, guarded: true }).collect();
        self.needs.sources.sort();
        self.needs.sources.dedup_by(|a, b| a.name == b.name);
        self.needs
    }

    /// The literal folders of all that is assigned to PATH.
    fn path_folders(&self) -> Vec<String> {
        let words = self.variables.get("PATH").into_iter().flatten().flatten();
        let texts = words.flat_map(|word| word.pieces.iter()).filter_map(|piece| match piece {
            super::word::Piece::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let folders = texts.flat_map(|text| text.split(':')).filter(|folder| folder.starts_with('/'));
        let mut folders: Vec<String> = folders.map(|folder| folder.trim_end_matches('/').to_owned()).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    fn call(&mut self, call: &Call, own_folder: &str, depth: usize) {
        let values = |word: &Word| -> Vec<Value> {
            let values = word.values(&self.values, own_folder);
            // An expansion without quotes is split.
            if word.quoted || word.bare().is_some() {
                return values;
            }
            let split = |value: Value| -> Vec<Value> {
                value.text.split_whitespace().map(|part| Value { text: part.to_owned(), sure: value.sure }).collect()
            };
            match values.len() {
                1 => values.into_iter().flat_map(split).collect(),
                _ => values.into_iter().filter_map(|value| split(value).into_iter().next()).collect(),
            }
        };
        let Some(first) = call.words.first() else { return };
        let names = values(first);
        // What is split off the first word are words of the command.
        let split = !first.quoted && first.bare().is_none() && first.values(&self.values, own_folder).len() == 1;
        let rest: Vec<String> = call.words[1..]
            .iter()
            .map(|word| values(word).into_iter().next().map_or_else(|| UNKNOWN.to_owned(), |value| value.text))
            .collect();
        if split && !names.is_empty() {
            let sure = names[0].sure;
            let words = names.into_iter().map(|value| value.text).chain(rest).collect::<Vec<_>>();
            return self.words(&words, call.line, call.guarded || !sure, own_folder, depth);
        }
        for name in names {
            let words: Vec<String> = [name.text].into_iter().chain(rest.iter().cloned()).collect();
            self.words(&words, call.line, call.guarded || !name.sure, own_folder, depth);
        }
    }

    /// A command whose words are known, as far as they can be.
    fn words(&mut self, words: &[String], line: usize, guarded: bool, own_folder: &str, depth: usize) {
        self.calls += 1;
        let Some(command) = words.first() else { return };
        if depth > COMMANDS_DEPTH_MAX || self.calls > CALLS_MAX {
            return;
        }
        let name = command.rsplit('/').next().unwrap_or(command);
        for path in words[1..].iter().filter(|word| is_data_path(word)) {
            self.files.entry(path.clone()).or_insert(line);
        }
        let asks = match name {
            "command" => words.get(1).is_some_and(|word| word == "-v" || word == "-V"),
            "type" | "which" | "hash" => true,
            "[" | "test" => return self.test(&words[1..]),
            _ => false,
        };
        if asks {
            let names = words[1..].iter().filter(|word| !word.starts_with('-'));
            self.tested.extend(names.cloned());
        }
        if !BUILTINS.contains(&command.as_str()) && !self.functions.contains(command) && is_command(command) {
            let known = self.commands.entry(command.clone()).or_insert((line, guarded));
            known.1 &= guarded;
        }
        if asks {
            return;
        }
        if name == "eval" || name == "trap" {
            let text = if name == "eval" { words[1..].join(" ") } else { words.get(1).cloned().unwrap_or_default() };
            return self.text(&text, line, guarded, own_folder, depth);
        }
        for found in inner(name, words) {
            match found {
                Inner::Words(words) => self.words(words, line, guarded, own_folder, depth + 1),
                Inner::Text(text) => self.text(text, line, guarded, own_folder, depth),
            }
        }
        // `sh FILE`: a script of its own.
        if SHELLS.contains(&name)
            && let Some(file) = words[1..].iter().find(|word| !word.starts_with('-')).filter(|word| word.contains('/'))
            && is_command(file)
        {
            self.commands.entry(file.clone()).or_insert((line, true));
        }
    }

    /// A text that is read as commands.
    fn text(&mut self, text: &str, line: usize, guarded: bool, own_folder: &str, depth: usize) {
        if text.contains(UNKNOWN) || depth >= COMMANDS_DEPTH_MAX {
            return;
        }
        let parsed = parse(text, line);
        self.functions.extend(parsed.functions);
        for call in parsed.calls {
            self.call(&Call { guarded: call.guarded || guarded, ..call }, own_folder, depth + 1);
        }
    }

    /// `[ -x FILE ]` and its kin.
    fn test(&mut self, words: &[String]) {
        for pair in words.windows(2) {
            if ["-x", "-f", "-e", "-r", "-s"].contains(&pair[0].as_str()) {
                self.tested.insert(pair[1].clone());
            }
        }
    }
}

/// Stands for a word that only a run can tell.
const UNKNOWN: &str = "\u{0}";

/// Whether this may be the name or path of a command.
fn is_command(word: &str) -> bool {
    const NAME_BYTES_MAX: usize = 255;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./+-@:".contains(&byte);
    let path = word.starts_with('/') || !word.contains('/');
    word.len() <= NAME_BYTES_MAX
        && path
        && word.bytes().all(plain)
        && !word.starts_with(['-', '+', '@', ':'])
        && word.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && !word.ends_with('/')
}

/// Whether this is a path below a folder of programs' own data. What lies in /etc or /var is a machine's.
fn is_data_path(word: &str) -> bool {
    const PATH_BYTES_MAX: usize = 4096;
    ["/usr/", "/lib/", "/opt/"].iter().any(|folder| word.starts_with(folder))
        && word.len() <= PATH_BYTES_MAX
        && !word.contains(['*', '?', '[', '\u{0}', '\n'])
}

/// Commands of POSIX' shells, of bash and of dash themselves.
const BUILTINS: &[&str] = &[
    ".",
    ":",
    "[",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "declare",
    "dirs",
    "disown",
    "echo",
    "enable",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "getopts",
    "hash",
    "help",
    "history",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "wait",
];
