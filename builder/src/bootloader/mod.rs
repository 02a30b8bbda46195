//! What starts a host before its kernel: scripts for firmware and loaders, and one file for UEFI.
//!
//! * [`scripts`]: iPXE, GRUB and PXELINUX. [`loader`]: the loaders' own programs. [`uki`]: kernel, image and command
//!   line as one UEFI program.

pub mod loader;
pub mod scripts;
pub mod uki;
