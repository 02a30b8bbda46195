//! `vmatic check`: every mistake of a spec at once.

use std::path::PathBuf;

use crate::Exit;
use crate::error::Result;
use crate::spec::Spec;
use crate::ui::say;

/// Report every mistake of a spec at once
///
/// Exit code 3 when there is one. Builds and fetches nothing.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The spec
    spec: PathBuf,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let spec = Spec::load(&args.spec)?;
    let (hosts, guests) = (spec.plan.hosts.len(), spec.plan.guests);
    say::line(format!("{}: good. {hosts} hosts with {guests} guests each", args.spec.display()));
    Ok(Exit::Ok)
}
