//! What this computer is: its command line, number, network cards, memory, and the limits of its processes.
//!
//! What the cards have is state of `network`, whose one task asks DHCP servers (`dhcp`) and sets the cards (`cards`);
//! all else asks the kernel at each call.

mod boot_address;
mod cards;
pub mod cgroup;
pub mod cmdline;
pub mod dhcp;
pub mod firmware;
pub mod identity;
pub mod ksm;
pub mod kvm;
pub mod limits;
pub mod memory;
pub mod network;
pub mod plan;
