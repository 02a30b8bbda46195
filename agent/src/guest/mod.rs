//! The life of this host's guests: started, watched, started again.
//!
//! A guest's states are `life`'s: a pure machine, and the one task that moves it on and owns the guest's process.
//! `state` owns what others may know of guests, and the counters; `desired` what the operator wants of each; `console`
//! what each said. `launcher` starts the drivers; `launch` makes processes, of one of the backends `vmm` and `qemu`;
//! `admission` says when; `ports` what a guest has in the network. `outliving` is what the next node gets of a guest
//! that runs, `adopted` its process there.

pub mod admission;
mod adopted;
pub mod backend;
pub mod channels;
pub mod console;
pub mod desired;
pub mod exit;
pub mod image;
mod launch;
pub mod launcher;
pub mod life;
pub mod outliving;
pub mod ports;
pub mod qemu;
mod shared;
pub mod state;
pub mod usage;
pub mod vmm;
