//! What the host's agent and the guest's both need from the kernel, each behind a function that cannot be misused.
//!
//! No state. No std, but for what the feature `std` adds for the host's
//! agent. Beside `vmm/` this is the only place of unsafe code.
//!
//! The calls are the C library's, not rustix's: the guest's agent is linked with it anyway and counts kilobytes, and
//! half of what is here rustix does not have (ioctls of cards and routes, packet sockets, what is done between fork
//! and exec). What only the host's agent needs and rustix has stands there.
//!
//! * [`calls`]: system calls. [`netdev`]: network cards and routes, by ioctl. `packet`: sockets for whole frames.
//! * [`files`]: files and folders, made and moved.
//! * [`mounts`], [`modules`]: what a machine needs first. [`heap`]: the C library's allocator.
//! * [`processes`]: started, told to end, waited for. [`group`]: control groups, that they are ended by.
//! * [`input`]: what waits to be typed into one. [`signals`]: held until a loop asks for them.
//! * [`child`], [`inherited`]: between a process and those that it starts.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

pub mod calls;
#[cfg(any(test, feature = "std"))]
pub mod child;
pub mod files;
pub mod group;
pub mod heap;
#[cfg(any(test, feature = "std"))]
pub mod inherited;
pub mod input;
pub mod modules;
pub mod mounts;
pub mod netdev;
#[cfg(any(test, feature = "std"))]
pub mod packet;
pub mod processes;
pub mod signals;
