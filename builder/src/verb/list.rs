//! `vmatic list`: list the files of an image.

use crate::error::Result;
use crate::{Error, Exit};

/// List the files of an image.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new("vmatic list is not built yet"))
}
