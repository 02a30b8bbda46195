//! A small virtual machine monitor for Linux guests: one guest a process, one
//! thread a guest.
//!
//! Takes a kernel, an initramfs and opened descriptors ([`GuestConfig`]); runs the
//! guest until it ends ([`run`]). The machine has one processor, a serial port, an
//! entropy source, a socket device and, with a tap, a network card; no PCI bus, no
//! PIT, no firmware.
//!
//! Deliberately absent: any file or socket opened by path except kernel,
//! initramfs and /dev/kvm; any thread; any waiting outside `KVM_RUN`.

mod boot;
pub mod config;
mod devices;
mod error;
#[cfg(any(test, fuzzing))]
#[path = "../../fuzz/targets/vmm/mod.rs"]
pub mod fuzz;
mod kvm;
mod layout;
mod log;
mod machine;
mod memory;
pub mod sandbox;
pub mod stub;
pub mod template;

pub use config::{
    CONTROL_PORT, Card, Discovery, Exit, GUEST_CMDLINE, GuestChannels, GuestConfig, Ports, Share, Software,
    TEMPLATE_CMDLINE, TERMINATED_STATUS,
};
pub use devices::tap::{open_tap, open_tun};
pub use error::Error;
pub use kvm::probe::{Kvm, probe};
pub use memory::TEMPLATE_MAPPING;
pub use template::fork::Pid;
pub use template::snapshot::MAGIC as TEMPLATE_MAGIC;

use error::Context;
use log::log;
use template::fork;

/// Runs a guest in the calling thread until it ends.
///
/// The process becomes `user`, with the group of that number and no other (0 changes
/// nothing), dies with its parent unless it `outlives` that, and can do nothing but run its guest.
///
/// Call it once a process: SIGIO, SIGALRM and SIGTERM are blocked in this thread
/// meanwhile, and other threads must not wait for them. SIGKILL at any time leaves
/// nothing behind.
pub fn run(config: GuestConfig, user: u32, outlives: bool) -> Result<Exit, Error> {
    let memory = memory::create(config.memory_mib)?;
    memory::mergeable(&memory);
    let share = config.software.share.as_ref().map(devices::share::Opened::new).transpose()?;
    let mut machine = machine::Machine::boot(config, memory, share.as_ref())?;
    let parent = fork::parent();
    if user != 0 {
        for missing in sandbox::isolate() {
            log(&format!("guest: not isolated: {missing}"));
        }
    }
    sandbox::become_user(user).context(format!("become user {user}"), "start the node as root")?;
    // Becoming another user forgets whom to die with, so this comes second.
    if !outlives {
        fork::die_with(parent).context("die with the node", "start it again")?;
    }
    sandbox::lock(&sandbox::filter()?)?;
    machine.run()
}
