//! `vmatic check`: every mistake of a spec at once.

use std::path::PathBuf;

use crate::Exit;
use crate::error::Result;
use crate::spec::Spec;
use crate::ui::say;

/// Report every mistake of a spec at once
///
/// Exits with 3 when there is one. Builds and fetches nothing.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let spec = Spec::load(&args.spec)?;
    say::line(format!("{}: ok: {}", args.spec.display(), spec.size()));
    Ok(Exit::Ok)
}
