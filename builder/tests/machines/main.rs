//! Level three: whole machines. QEMU boots the images that `vmatic build` makes, agents start real guests under nested
//! KVM, and the console commands them. One boot serves many checks, because each costs a minute under emulation.
//!
//! Needs QEMU and bin/ as `make build` fills it; `make test-machines` runs it, `make test-machines TESTS="clones qemu"`
//! these modules alone.

#![allow(clippy::unwrap_used)]

#[path = "../support/cluster/mod.rs"]
mod cluster;
#[path = "../support/newc.rs"]
mod newc;
#[path = "../support/odd/mod.rs"]
mod odd;
#[path = "../support/output.rs"]
mod output;
#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/wait.rs"]
mod wait;

mod archives;
mod boot;
mod clones;
mod faults;
mod images;
mod loaders;
mod modules;
mod networks;
mod promises;
mod qemu;
mod survive;
