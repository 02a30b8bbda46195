//! `vmatic completions`: what a shell needs to complete the command line.

use clap::Command;
use clap_complete::Shell;

use crate::Exit;
use crate::error::Result;
use crate::ui::print::print_bytes;

/// Print completions for a shell
///
/// For example: vmatic completions bash > /etc/bash_completion.d/vmatic
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the verb.
pub fn run(args: Args, mut command: Command) -> Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "vmatic", &mut text);
    print_bytes(&text)?;
    Ok(Exit::Ok)
}
