//! What this computer is: its command line, number, network card, memory, and the limits of its processes.
//!
//! No state here: each call asks the kernel.

mod boot_address;
pub mod cgroup;
pub mod cmdline;
pub mod identity;
pub mod ksm;
pub mod kvm;
pub mod limits;
pub mod memory;
pub mod network;
pub mod plan;
