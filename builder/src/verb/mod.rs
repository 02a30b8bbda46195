//! One file a verb, all of one shape: `Args` (what clap reads) and `run(args) -> Result<Exit>`.

pub mod bench;
pub mod boot;
pub mod build;
pub mod capture;
pub mod cat;
pub mod check;
pub mod console;
pub mod diff;
pub mod doctor;
pub mod guests;
pub mod kernel;
pub mod link;
pub mod list;
pub mod needs;
pub mod new;
pub mod nodes;
pub mod relay;
pub mod run;
pub mod size;
pub mod trace;
pub mod unpack;
pub mod why;
