//! `vmatic build`: build the host and guest images of a spec.

use crate::error::Result;
use crate::{Error, Exit};

/// Build the host and guest images of a spec.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs the verb.
pub fn run(_args: Args) -> Result<Exit> {
    Err(Error::new("vmatic build is not built yet"))
}
