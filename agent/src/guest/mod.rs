//! The life of this host's guests: started, watched, started again.
//!
//! `launcher` owns the guests' tasks, `counters` what was counted of them, `desired` what the operator wants of each,
//! `console` what each said; `vmm` and `qemu` are the two backends.

pub mod admission;
pub mod backend;
pub mod channels;
pub mod console;
pub mod counters;
pub mod desired;
pub mod exit;
pub mod image;
pub mod launcher;
pub mod qemu;
pub mod usage;
pub mod vmm;
