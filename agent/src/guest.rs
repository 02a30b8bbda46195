//! The monitor of one guest: a process of its own, which ends with its guest or with the node.
//!
//! Takes open descriptors by number and the rest as arguments; gives a running
//! guest.

use crate::error::{Context, Error};
use crate::role::GuestOptions;
use crate::say;
use std::fs;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use vmatic_vmm::{Discovery, Exit, GuestConfig};

// The leaf calls the port that the monitor relays.
const _: () = assert!(vmatic_vmm::CONTROL_PORT == vmatic_tree::message::GUEST_PORT);

/// The first that the kernel ends when memory runs out; the node itself is at -999.
const OOM_SCORE_ADJ: &str = "500";

/// Runs the guest until it ends.
pub fn run(options: GuestOptions) -> Result<(), Error> {
    // SAFETY: no memory is involved. A node that dies takes its guests along; its successor starts them anew.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if let Err(e) = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ) {
        say(&format!("guest: cannot set oom_score_adj: {e}"));
    }
    let config = GuestConfig {
        kernel: options.kernel,
        initramfs: options.initramfs,
        memory_mib: options.memory_mib,
        cmdline: options.cmdline,
        cid: options.cid,
        mac: options.mac,
        tap: options.tap_fd.map(inherit).transpose()?,
        control: Some(inherit(options.control_fd)?),
        serial: inherit(options.serial_fd)?,
        discovery: Discovery::Acpi,
    };
    match vmatic_vmm::run(config).context(|| "run the guest".into())? {
        Exit::Shutdown | Exit::Killed => Ok(()),
    }
}

/// Takes over a descriptor that the node left open for us.
fn inherit(fd: RawFd) -> Result<OwnedFd, Error> {
    // SAFETY: fcntl only asks; a number that is no open descriptor is refused.
    if fd <= 2 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(Error::new(format!("descriptor {fd} is not open: the node starts guests, not people")));
    }
    // SAFETY: it is open, and nothing else in this process knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
