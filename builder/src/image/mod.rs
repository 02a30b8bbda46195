//! One image's content, from layers to packed members.
//!
//! * [`assemble`]: the order of things. [`layer`]: the base and overlays. [`programs`]: programs with all that they
//!   load. [`qemu`]: guests that run in QEMU, and their disks ([`qcow2`]).
//! * [`setup`]: what only the installation of packages makes. [`modes`]: who may read what, by what the disk says.
//!   [`secrets`]: what nobody should read, since an image is served to everybody.
//! * [`check`]: what an image must be to boot. [`member`]: its parts, packed and cached.
//!   [`identity`]: which image it is.

pub mod assemble;
pub mod check;
pub mod identity;
pub mod layer;
pub mod member;
pub mod modes;
pub mod programs;
pub mod qcow2;
pub mod qemu;
pub mod secrets;
pub mod setup;
