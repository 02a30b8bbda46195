//! `vmatic check`: report every mistake of a spec at once.

use crate::error::Result;
use crate::{Error, Exit};

/// Report every mistake of a spec at once.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new("vmatic check is not built yet"))
}
