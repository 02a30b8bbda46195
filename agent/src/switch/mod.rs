//! The switch of a host: what leads from each guest to its neighbours and to the world.
//!
//! `policy` says where a frame goes, `reach` how far guests get, `reply` what the switch says
//! itself, `shaper` what a cable is like, `fairness` who may take how much of what all share,
//! `forward` puts them together without I/O; `server` is the process that moves the frames, `timer` wakes it,
//! `routes` tells the kernel, `protocol` is what can be asked of it, `supervisor` the node's side,
//! `client` the operator's; `settings` hands links to the next switch. `network` is the part of a `[network]` here.

pub mod capture;
pub mod client;
mod counters;
mod fairness;
pub mod forward;
pub mod frame;
pub mod network;
pub mod policy;
pub mod protocol;
mod reach;
mod reply;
mod routes;
pub mod server;
pub mod settings;
mod shaper;
pub mod supervisor;
mod timer;

/// Where a host's switch can be asked, by root alone.
pub const SOCKET: &str = "/run/vmatic/switch";
