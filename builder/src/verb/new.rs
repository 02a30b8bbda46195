//! `vmatic new`: write a spec with comments.

use crate::error::Result;
use crate::{Error, Exit};

/// Write a spec with comments.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new("vmatic new is not built yet"))
}
