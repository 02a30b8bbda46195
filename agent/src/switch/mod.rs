//! The switch of a host: what leads from each guest to its neighbours and to the world.
//!
//! `rules` says where a frame goes, `answer` what the switch says itself, `link` what a
//! cable is like, `core` puts them together without I/O; `serve` is the process that
//! moves the frames, `routes` tells the kernel, `request` is what can be asked of it,
//! `keeper` the node's side, `ask` the operator's; `kept` hands links to the next switch.

mod answer;
pub mod ask;
mod capture;
mod core;
mod count;
pub mod frame;
pub mod keeper;
mod kept;
mod link;
mod request;
mod routes;
mod rules;
pub mod serve;

/// Where a host's switch can be asked, by root alone.
pub const SOCKET: &str = "/run/vmatic/switch";
