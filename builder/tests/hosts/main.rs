//! Level two: real processes of ours on this machine. Agents and switches in network namespaces, consoles on terminals,
//! the zygote; and `programs`: Debian's programs in a root of only what they need.
//!
//! Needs root, and bin/ as `make build` fills it; `make test-hosts` and `make test-programs` run it.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../support/fixture.rs"]
mod fixture;
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/pty.rs"]
mod pty;

mod consoles;
mod programs;
mod reexec;
mod switch;
mod tree;
