//! The command line: one line and one file in `commands/` for each verb.
//!
//! Help, man pages and completions are made from these types: see [`command`], `commands/man.rs` and
//! `commands/completions.rs`. clap cannot group subcommands, so the list of verbs under its headings is made here.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Error, Kind, Result};
use crate::ui::escape::escape_control;
use crate::ui::say;
use crate::{Exit, commands};

/// Build images, boot clusters of small virtual machines, and command them.
#[derive(Parser, Debug)]
#[command(name = "vmatic", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
Exit status: 0 ok, 1 failed, 2 usage, 3 spec wrong, 4 some nodes failed, 5 timed out, \
6 images differ (diff), 7 an output was cut off (run).
`vmatic console` ends as its program does, or with 255.
Results go to standard output, messages to standard error. NO_COLOR is respected.";

/// The verbs, as `vmatic --help` groups them.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "Spec and image",
        &[
            "new", "import", "check", "plan", "hosts", "draw", "route", "build", "kernel", "list", "why", "size",
            "diff", "cat", "unpack", "deps", "trace",
        ],
    ),
    (
        "Cluster",
        &[
            "boot", "nodes", "run", "push", "pull", "console", "guests", "link", "capture", "test", "upgrade",
            "operator",
        ],
    ),
    ("This machine", &["doctor", "bench", "completions", "man"]),
];

/// Verbs and flags that have another name now: where (the verb's path), the old word, the new one.
const RENAMED: [(&str, &str, &str); 8] = [
    ("", "needs", "deps"),
    ("guests", "cost", "usage"),
    ("guests", "count", "stats"),
    ("", "--at", "--connect"),
    ("guests save", "--output", "--out"),
    ("capture", "--write", "--out"),
    ("capture", "-w", "-o"),
    ("console", "--log", "--logs"),
];

/// Makes the enum of verbs and its dispatch from one line a verb. Those behind the semicolon are about the command line
/// itself, and get it.
macro_rules! verbs {
    ($($(#[$meta:meta])* $name:ident => $($module:ident)::+,)*; $($own:ident => $own_module:ident,)*) => {
        /// What can be asked for.
        #[derive(Subcommand, Debug)]
        enum Verb {
            $($(#[$meta])* $name(commands::$($module)::+::Args),)*
            $($own(commands::$own_module::Args),)*
        }

        impl Verb {
            fn run(self) -> Result<Exit> {
                match self {
                    $(Verb::$name(args) => commands::$($module)::+::run(args),)*
                    $(Verb::$own(args) => commands::$own_module::run(args, command()),)*
                }
            }
        }
    };
}

verbs! {
    New => new,
    Import => import,
    Check => check,
    Plan => plan,
    Hosts => hosts,
    Draw => network::draw,
    Route => network::route,
    Test => network::test,
    Build => build,
    Kernel => kernel,
    List => image::list,
    Why => image::why,
    Size => image::size,
    Diff => image::diff,
    Cat => image::cat,
    Unpack => image::unpack,
    Deps => image::deps,
    Trace => trace,
    Boot => boot,
    Guests => cluster::guests,
    Nodes => cluster::nodes,
    Run => cluster::run,
    Push => cluster::push,
    Pull => cluster::pull,
    Console => cluster::console,
    Link => cluster::link,
    Capture => cluster::capture,
    Upgrade => cluster::upgrade,
    Operator => operator,
    Doctor => doctor,
    Bench => bench,
    #[command(hide = true)]
    Relay => relay,
    ;
    Completions => completions,
    Man => man,
}

/// The whole command line, with its verbs in groups.
pub fn command() -> Command {
    let command = Cli::command();
    let width = GROUPS.iter().flat_map(|(_, verbs)| *verbs).map(|verb| verb.len()).max().unwrap_or(0);
    let mut list = String::new();
    for (heading, verbs) in GROUPS {
        list += &format!("{heading}:\n");
        for verb in verbs {
            let about = command.find_subcommand(verb).and_then(Command::get_about);
            list += &format!("  {verb:width$}  {}\n", about.map(ToString::to_string).unwrap_or_default());
        }
        list.push('\n');
    }
    let template = format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}Options:\n{{options}}{{after-help}}");
    command.help_template(template)
}

/// Reads the command line, runs the verb, prints its error, gives the exit code.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let result = match parsed {
        Ok(cli) => cli.verb.run(),
        Err(error) => match renamed(&error, std::env::args_os()) {
            Some(error) => Err(error),
            None => error.exit(),
        },
    };
    let exit = result.unwrap_or_else(|error| {
        say::error(&error);
        error.exit()
    });
    exit.into()
}

/// The error for a word that has another name now; its help is the command line with the new one.
fn renamed(error: &clap::Error, line: impl Iterator<Item = OsString>) -> Option<Error> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return None,
    };
    let Some(ContextValue::String(word)) = error.get(kind) else { return None };
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let word = word.split('=').next().unwrap_or(word);
    // A flag may stand among others; a verb is what stands in the place of a command.
    let behind = if word.starts_with('-') { "" } else { " <COMMAND>" };
    let fits = |place: &str| usage.contains(&format!("{}{behind}", format!("vmatic {place}").trim_end()));
    let (place, _, new) = RENAMED.into_iter().find(|(place, old, _)| *old == word && fits(place))?;
    let place = if word.starts_with('-') || place.is_empty() { String::new() } else { format!("{place} ") };
    Some(
        Error::new(format!("cannot use {word}"))
            .because(format!("it is {place}{new} now"))
            .help(format!("write `{}`", replaced(line, word, new)))
            .of_kind(Kind::Usage),
    )
}

/// A command line as one types it, with a word of it replaced where it first stands.
fn replaced(line: impl Iterator<Item = OsString>, old: &str, new: &str) -> String {
    let mut words: Vec<String> = line.skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let behind =
        |word: &str| word.strip_prefix(old).filter(|rest| rest.is_empty() || rest.starts_with('=')).map(str::to_owned);
    if let Some((word, rest)) = words.iter_mut().find_map(|word| behind(word).map(|rest| (word, rest))) {
        *word = format!("{new}{rest}");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+^[]".contains(c);
    let quoted = |word: String| match !word.is_empty() && word.chars().all(plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    let words: Vec<String> = ["vmatic".to_owned()].into_iter().chain(words.into_iter().map(quoted)).collect();
    escape_control(words.join(" ").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_is_in_one_group() {
        let command = Cli::command();
        let mut shown: Vec<&str> =
            command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(shown, grouped);
    }

    #[test]
    fn an_old_word_names_the_new_one() {
        let said = |words: &[&str]| {
            let error = command().try_get_matches_from(words).unwrap_err();
            renamed(&error, words.iter().map(OsString::from)).map(|error| error.to_string())
        };
        for (words, wanted) in [
            (&["vmatic", "needs", "needs it"][..], "vmatic deps 'needs it'"),
            (&["vmatic", "guests", "cost"], "vmatic guests usage"),
            (&["vmatic", "guests", "count", ".!1"], "vmatic guests stats '.!1'"),
            (&["vmatic", "nodes", "--at", "1.2.3.4"], "vmatic nodes --connect 1.2.3.4"),
            (&["vmatic", "run", "--at=1.2.3.4", "1", "true"], "vmatic run --connect=1.2.3.4 1 true"),
            (&["vmatic", "guests", "save", "1", "--output", "it's"], r"vmatic guests save 1 --out 'it'\''s'"),
            (&["vmatic", "capture", "1/1", "--write", "x"], "vmatic capture 1/1 --out x"),
            (&["vmatic", "capture", "1/1", "-w", "x"], "vmatic capture 1/1 -o x"),
            (&["vmatic", "console", "--log", "x", "1"], "vmatic console --logs x 1"),
        ] {
            let text = said(words).unwrap_or_default();
            assert!(text.ends_with(&format!(" now\nhelp: write `{wanted}`")), "{words:?}: {text}");
        }
        assert_eq!(said(&["vmatic", "frobnicate"]), None);
        assert_eq!(said(&["vmatic", "guests", "needs"]), None, "only where it stood");
    }
}
