//! The verbs, one file each, all of one shape: `Args` (what clap reads) and `run(args) -> Result<Exit>`.
//!
//! * [`image`]: verbs that look into images. [`cluster`]: verbs that command a cluster. [`operator`]: who may.
//!   [`network`]: verbs that look at a network. The others build, boot and look at this machine.

pub mod bench;
pub mod boot;
pub mod build;
pub mod check;
pub mod cluster;
pub mod completions;
pub mod doctor;
pub mod hosts;
pub mod image;
pub mod import;
pub mod kernel;
pub mod man;
pub mod network;
pub mod new;
pub mod operator;
pub mod plan;
pub mod relay;
pub mod trace;
