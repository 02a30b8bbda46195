//! The guest's agent: process 1 of a guest, a leaf of the tree, in less than 200 kB.
//!
//! Takes the guest's boot command line; gives a machine with a name and
//! addresses that does what its host asks over vsock. No std, no shell, no threads: one
//! loop around poll(2), so that an idle guest touches as few pages as possible.
//!
//! * [`identity`]: who the guest is, read off the command line. [`boot`]: mounts, modules, network.
//! * [`task`]: one process that the host wants run. [`session`]: one with an operator's terminal.
//! * [`files`]: files that the operator sends.
//! * [`clock`]: how a clone comes to know the time. [`log`](mod@log): what is said on the console.
//! * [`serve`]: the loop, which owns the guest's tasks and sessions.
//!
//! System calls are `vmatic-sys`'.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod boot;
pub mod clock;
pub mod files;
#[cfg(any(test, fuzzing))]
#[path = "../../../fuzz/targets/leaf/mod.rs"]
pub mod fuzz;
pub mod identity;
pub mod log;
pub mod ports;
pub mod serve;
pub mod session;
pub mod task;
