//! `vmatic size`: say what takes the space in an image.

use crate::error::Result;
use crate::{Error, Exit};

/// Say what takes the space in an image.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new("vmatic size is not built yet"))
}
