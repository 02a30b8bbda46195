//! The law of a cluster: node number -> name, MAC, addresses, parent, and back.
//!
//! Takes a [`Plan`] (a few hundred bytes, the same for every node) and a node's
//! number; gives everything that node needs to know about itself and about any
//! other node, by arithmetic in constant time. There is no table of nodes
//! anywhere: ten million nodes cost the same bytes as ten. Only what a site has
//! given its own machines, and no formula yields, stands in a table of hosts
//! ([`host_table`]).
//!
//! Also here, because builder, console and agent must agree on them: sets of
//! nodes ([`NodeSet`]), and the node paths and folded forms that people write.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod address;
pub mod boot_words;
pub mod cable;
mod codec;
pub mod defaults;
mod error;
#[cfg(any(test, fuzzing))]
#[path = "../../fuzz/targets/plan/mod.rs"]
pub mod fuzz;
pub mod guest_kinds;
pub mod host_image;
pub mod host_table;
mod ids;
pub mod link;
pub mod measurement;
pub mod modules;
mod names;
pub mod network;
mod path;
mod plan;
mod reach;
mod sets;

pub use address::mac::{Mac, MacError};
pub use address::net::{Ipv4Net, NetError};
pub use codec::unhex;
pub use error::{NameError, NameErrorKind, PathError, PathErrorKind, PlanError, PlanErrorKind, PlanField};
pub use ids::{GuestId, HostId};
pub use link::{LinkError, LinkProperties};
pub use names::{HostNames, fold_list};
pub use path::{parse_nodes, parse_numbers};
pub use plan::{HOST_NETWORKS_MAX, Plan};
pub use reach::{GuestReach, ReachError};
pub use sets::{Node, NodeSet, RangeSet};

/// Most hosts of one cluster: a host's number fills 24 bits of MAC and IPv6 prefix.
pub const HOSTS_MAX: u32 = (1 << 24) - 1;
/// Most guests of one host: a guest's number fills 16 bits of its MAC.
pub const GUESTS_MAX: u32 = (1 << 16) - 1;
