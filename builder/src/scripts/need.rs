//! What is said of scripts: their language, and a need with who asks for it.

/// Most bytes of a script that is looked into.
pub const SCRIPT_BYTES_MAX: u64 = 4 << 20;

/// The languages that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// POSIX' shell, bash and their kin.
    Shell,
    /// Python 3.
    Python,
    /// Perl 5.
    Perl,
    /// Ruby.
    Ruby,
    /// JavaScript for Node.
    Node,
}

impl Language {
    /// The language of an interpreter, by its path or name.
    pub fn of(interpreter: &str) -> Option<Language> {
        let name = interpreter.rsplit('/').next().unwrap_or(interpreter);
        let plain = name.trim_end_matches(|sign: char| sign.is_ascii_digit() || sign == '.');
        match plain {
            "sh" | "bash" | "dash" | "ash" | "ksh" | "mksh" | "zsh" | "rbash" => Some(Language::Shell),
            "python" | "pypy" => Some(Language::Python),
            "perl" => Some(Language::Perl),
            "ruby" => Some(Language::Ruby),
            "node" | "nodejs" => Some(Language::Node),
            _ => None,
        }
    }
}

/// A script to look into.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its real path.
    pub path: String,
    /// What it says.
    pub text: String,
    /// Its language.
    pub language: Language,
    /// Its interpreter, by the path that is called.
    pub interpreter: String,
    /// That interpreter's real path.
    pub interpreter_real: String,
}

impl Script {
    /// The folder that it lies in.
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// A file that was found: a module, a text that is read as the script's own.
    File(String),
    /// A path that may be a file: wanted if it is one.
    Data(String),
    /// A program, by name or by path.
    Command(String),
    /// A module that is nowhere.
    Nothing(String),
}

/// Something that a script asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptNeed {
    /// What.
    pub wanted: Wanted,
    /// Why, e.g. "module elftools.elf".
    pub reason: String,
    /// The script or module that asks.
    pub needed_by: String,
    /// The line there.
    pub line: usize,
    /// Whether it goes on without.
    pub guarded: bool,
}
