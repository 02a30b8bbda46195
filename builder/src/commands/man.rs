//! `vmatic man`: the manual, one page a verb, made from the same source as `--help`.

use std::fs;
use std::path::PathBuf;

use clap::Command;

use crate::Exit;
use crate::error::{PathContext, Result};
use crate::ui::print::print;

/// Write the man pages into a folder
///
/// One page for vmatic and one for each verb, such as vmatic-build.1. Look at one with `man -l FILE`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder; it is made if need be
    folder: PathBuf,
}

/// Runs the verb.
pub fn run(args: Args, command: Command) -> Result<Exit> {
    fs::create_dir_all(&args.folder).at("create", &args.folder)?;
    clap_mangen::generate_to(command, &args.folder).at("write the man pages to", &args.folder)?;
    print(&format!("{}\n", args.folder.display()))?;
    Ok(Exit::Ok)
}
