//! `vmatic why`: say why a file is in an image.

use crate::error::Result;
use crate::{Error, Exit};

/// Say why a file is in an image.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new("vmatic why is not built yet"))
}
