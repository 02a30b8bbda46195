//! One file a verb, all of one shape: `Args` (what clap reads) and `run(args) -> Result<Exit>`.

pub mod build;
pub mod check;
pub mod list;
pub mod new;
pub mod size;
pub mod why;
