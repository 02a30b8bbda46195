//! `vmatic boot`: virtual machines that stand in for a rack, PXE-booted from an output folder.
//!
//! Takes a plan and a TFTP root; gives a running cluster that ends with the
//! process, whatever ends it. Each machine is a QEMU with a network of its own
//! (user mode: no root, no bridge, nothing to clean up); the plan's addresses
//! hold inside, and calls between hosts are relayed.
//!
//! * [`accel`]: KVM or emulation. [`machine`]: one QEMU's command line.
//! * [`cluster`]: all of them, from start to end. [`progress`]: what the operator sees.

pub mod accel;
pub mod cluster;
pub mod machine;
pub mod progress;
