//! `vmatic new`: a spec with comments, ready to build.

use std::io::Write;
use std::path::PathBuf;

use crate::Exit;
use crate::error::{Error, PathContext, Result};
use crate::ui::print::print;

/// Write a spec with comments
///
/// Never overwrites a file.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file to write; `-` is standard output
    #[arg(default_value = "vmatic.toml")]
    file: PathBuf,
}

/// The spec that is written. It holds every key, with its default.
pub const SPEC: &str = include_str!("new.toml");

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    if args.file.as_os_str() == "-" {
        print(SPEC)?;
        return Ok(Exit::Ok);
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).open(&args.file) {
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new(format!("cannot write {}", args.file.display()))
                .because("it exists")
                .help("name another file, or remove it yourself"));
        }
        result => result.at("create", &args.file)?.write_all(SPEC.as_bytes()).at("write", &args.file)?,
    }
    print(&format!("{}\n", args.file.display()))?;
    Ok(Exit::Ok)
}
