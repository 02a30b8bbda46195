//! One file a verb, all of one shape: `Args` (what clap reads) and `run(args) -> Result<Exit>`.

pub mod boot;
pub mod build;
pub mod check;
pub mod doctor;
pub mod list;
pub mod new;
pub mod nodes;
pub mod relay;
pub mod run;
pub mod size;
pub mod why;
