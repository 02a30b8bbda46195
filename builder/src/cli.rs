//! The command line: one enum line and one file in `commands/` for each verb. Help, man page and
//! completions come from these same types.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;
use crate::ui::say;
use crate::{Exit, commands};

/// Build images, boot clusters of small virtual machines, and command them.
#[derive(Parser, Debug)]
#[command(name = "vmatic", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 spec wrong, 4 some nodes failed, 5 timed out.
`vmatic console` ends as its program does, or with 255.
Results go to standard output, talk to standard error. NO_COLOR is respected.";

/// Makes the enum of verbs and its dispatch from one line a verb.
macro_rules! verbs {
    ($($(#[$meta:meta])* $name:ident => $($module:ident)::+,)*) => {
        /// What can be asked for.
        #[derive(Subcommand, Debug)]
        enum Verb {
            $($(#[$meta])* $name(commands::$($module)::+::Args),)*
        }

        impl Verb {
            fn run(self) -> Result<Exit> {
                match self {
                    $(Verb::$name(args) => commands::$($module)::+::run(args),)*
                }
            }
        }
    };
}

verbs! {
    New => new,
    Check => check,
    Build => build,
    Kernel => kernel,
    List => image::list,
    Why => image::why,
    Size => image::size,
    Diff => image::diff,
    Cat => image::cat,
    Unpack => image::unpack,
    Needs => image::needs,
    Trace => trace,
    Boot => boot,
    Guests => cluster::guests,
    Nodes => cluster::nodes,
    Run => cluster::run,
    Console => cluster::console,
    Link => cluster::link,
    Capture => cluster::capture,
    Doctor => doctor,
    Bench => bench,
    #[command(hide = true)]
    Relay => relay,
}

/// Reads the command line, runs the verb, prints its error, gives the exit code.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().verb.run() {
        Ok(exit) => exit,
        Err(error) => {
            say::error(&error);
            error.exit_code()
        }
    };
    exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
