//! Programs that start others: where among their words the other one's begin.

/// What a word list of such a program comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Inner<'w> {
    /// These words are a command.
    Words(&'w [String]),
    /// This text is one for a shell.
    Text(&'w str),
}

/// A program that takes options, then operands of its own, then a command.
struct Wrapper {
    name: &'static str,
    /// Options that take the next word.
    valued: &'static [&'static str],
    operands: usize,
    /// Whether assignments may come before the command.
    assigns: bool,
}

const fn wrapper(name: &'static str, valued: &'static [&'static str], operands: usize, assigns: bool) -> Wrapper {
    Wrapper { name, valued, operands, assigns }
}

/// Columns: name, options with a value, operands before the command, assignments before it.
const WRAPPERS: &[Wrapper] = &[
    wrapper("env", &["-u", "--unset", "-C", "--chdir"], 0, true),
    wrapper("sudo", &["-u", "-g", "-C", "-h", "-p", "-r", "-t", "-T", "-U", "-R", "-D", "--user", "--group"], 0, true),
    wrapper("doas", &["-u", "-C"], 0, false),
    wrapper("nice", &["-n", "--adjustment"], 0, false),
    wrapper("ionice", &["-c", "-n", "-p"], 0, false),
    wrapper("nohup", &[], 0, false),
    wrapper("setsid", &[], 0, false),
    wrapper("time", &["-f", "-o"], 0, false),
    wrapper("timeout", &["-k", "-s", "--kill-after", "--signal"], 1, false),
    wrapper("stdbuf", &["-i", "-o", "-e"], 0, false),
    wrapper("chrt", &["-T", "-P", "-D"], 1, false),
    wrapper("taskset", &[], 1, false),
    wrapper("strace", &["-e", "-o", "-p", "-s", "-u"], 0, false),
    wrapper("unshare", &["-S", "-G", "-R", "-w"], 0, false),
    wrapper("nsenter", &["-t", "-S", "-G"], 0, false),
    wrapper("setpriv", &[], 0, false),
    wrapper("runuser", &["-u", "-g", "-G", "-s"], 0, false),
    wrapper("xargs", &["-I", "-n", "-P", "-L", "-d", "-E", "-s", "-a", "-i", "--max-args", "--max-procs"], 0, false),
    wrapper("watch", &["-n", "--interval"], 0, false),
    wrapper("flock", &["-w", "-E"], 1, false),
    wrapper("exec", &["-a"], 0, false),
    wrapper("command", &[], 0, false),
    wrapper("builtin", &[], 0, false),
    wrapper("systemd-inhibit", &["--what", "--who", "--why", "--mode"], 0, false),
];

/// Shells, whose -c takes a text.
pub const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"];

/// The commands that a program is told to start by its words, the first of which is the program.
pub fn inner<'w>(name: &str, words: &'w [String]) -> Vec<Inner<'w>> {
    let rest = words.get(1..).unwrap_or_default();
    if SHELLS.contains(&name) || name == "su" || name == "runuser" || name == "flock" {
        let text = rest.iter().position(|word| is_text_option(word)).and_then(|at| rest.get(at + 1));
        if let Some(text) = text {
            return vec![Inner::Text(text)];
        }
    }
    match name {
        "find" => after(rest, &["-exec", "-execdir", "-ok", "-okdir"]),
        "start-stop-daemon" => after(rest, &["--exec", "-x", "--startas", "-a"]),
        "ip" => after(rest, &["exec"]).into_iter().filter_map(skip_one).collect(),
        "eval" => Vec::new(),
        _ => {
            WRAPPERS.iter().find(|wrapper| wrapper.name == name).and_then(|own| own.command(rest)).into_iter().collect()
        }
    }
}

/// -c, also joined with others: -ec.
fn is_text_option(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    word == "--command"
        || (letters.ends_with('c') && letters.len() < 6 && letters.bytes().all(|b| b.is_ascii_lowercase()))
}

/// `ip netns exec NAME COMMAND`.
fn skip_one(inner: Inner) -> Option<Inner> {
    match inner {
        Inner::Words([_, rest @ ..]) if !rest.is_empty() => Some(Inner::Words(rest)),
        _ => None,
    }
}

fn after<'w>(words: &'w [String], options: &[&str]) -> Vec<Inner<'w>> {
    let found = words.iter().enumerate().filter(|(_, word)| options.contains(&word.as_str()));
    let commands = found.map(|(at, _)| &words[at + 1..]).filter(|rest| !rest.is_empty());
    commands.map(|rest| Inner::Words(upto_end(rest))).collect()
}

/// Words up to the `;` or `+` of find.
fn upto_end(words: &[String]) -> &[String] {
    let end = words.iter().position(|word| word == ";" || word == "+").unwrap_or(words.len());
    &words[..end]
}

impl Wrapper {
    fn command<'w>(&self, words: &'w [String]) -> Option<Inner<'w>> {
        let mut at = 0;
        while let Some(word) = words.get(at) {
            if word == "--" {
                at += 1;
                break;
            }
            if word.len() < 2 || !word.starts_with('-') {
                break;
            }
            at += if self.valued.contains(&word.as_str()) { 2 } else { 1 };
        }
        at += self.operands;
        while self.assigns && words.get(at).is_some_and(|word| word.contains('=')) {
            at += 1;
        }
        words.get(at..).filter(|rest| !rest.is_empty()).map(Inner::Words)
    }
}
