//! Level two: real processes of ours on this machine. Agents and switches in network namespaces, consoles on terminals,
//! the zygote; and `programs`: Debian's programs in a root of only what they need.
//!
//! Needs root, and bin/ as `make build` fills it; `make test-hosts` and `make test-programs` run it.

#![allow(clippy::unwrap_used)]

#[path = "../support/channel.rs"]
mod channel;
#[path = "../support/dhcp_servers.rs"]
mod dhcp_servers;
#[path = "../support/folder.rs"]
mod folder;
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/output.rs"]
mod output;
#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/switch_lab.rs"]
mod switch_lab;
#[path = "../support/wait.rs"]
mod wait;

mod attacks;
mod consoles;
mod flood;
mod heal;
mod keeper;
mod leases;
mod links;
mod networks;
mod operators;
mod outputs;
mod parcels;
mod programs;
mod reach;
mod reexec;
mod site;
mod streams;
mod switch;
mod tree;
