//! A guest's process, whatever runs the guest: its end, and how it is paused and resumed.

use crate::error::Error;
use crate::guest::adopted::AdoptedProcess;
use crate::guest::exit;
use crate::guest::qemu::{Qemu, Qmp};
use crate::guest::vmm::clone::CloneProcess;
use rustix::process::{Pid, Signal};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use vmatic_tree::guest::ExitReason;
use vmatic_tree::text::ShortText;

/// A guest's process.
pub enum GuestProcess {
    /// It booted in VMatic's monitor.
    Cold(Child),
    /// It was forked from a template.
    Clone(CloneProcess),
    /// QEMU runs it.
    Qemu(Qemu),
    /// A node before this one started it; by QEMU's monitor, if that runs it.
    Adopted(AdoptedProcess, Option<Rc<Qmp>>),
}

impl GuestProcess {
    /// Waits for its end; says how it ended.
    pub async fn wait(&mut self) -> ExitReason {
        match self {
            GuestProcess::Cold(child) => match child.wait().await {
                Ok(status) => exit::reason_of(status),
                Err(e) => ExitReason::Monitor(ShortText::new(e)),
            },
            GuestProcess::Clone(clone) => clone.wait().await,
            GuestProcess::Qemu(qemu) => qemu.wait().await,
            GuestProcess::Adopted(process, _) => process.wait().await,
        }
    }

    /// By what it is paused and resumed.
    pub fn handle(&self) -> Handle {
        match self {
            GuestProcess::Cold(child) => Handle::Process(child.id().and_then(|id| Pid::from_raw(id as i32))),
            GuestProcess::Clone(clone) => Handle::Process(Some(clone.pid())),
            GuestProcess::Qemu(qemu) => Handle::Qemu(qemu.qmp.clone()),
            GuestProcess::Adopted(_, Some(qmp)) => Handle::Qemu(qmp.clone()),
            GuestProcess::Adopted(process, None) => Handle::Adopted(process.handle()),
        }
    }

    /// Has it end; [`GuestProcess::wait`] says when it has. Fails only if it has ended.
    pub fn start_kill(&mut self) {
        match self {
            GuestProcess::Cold(child) => drop(child.start_kill()),
            GuestProcess::Clone(clone) => clone.start_kill(),
            GuestProcess::Qemu(qemu) => drop(qemu.child.start_kill()),
            GuestProcess::Adopted(process, _) => process.start_kill(),
        }
    }
}

/// By what a guest is paused and resumed.
pub enum Handle {
    /// By signals to its process.
    Process(Option<Pid>),
    /// By signals to the process that this descriptor is.
    Adopted(Rc<AsyncFd<OwnedFd>>),
    /// By QEMU's monitor.
    Qemu(Rc<Qmp>),
}

impl Handle {
    /// Pauses the guest, or lets it go on: its memory stays.
    pub async fn pause(&self, pause: bool) -> Result<(), Error> {
        let signal = if pause { Signal::STOP } else { Signal::CONT };
        match self {
            Handle::Process(pid) => {
                // Fails only if it has ended, which is noticed elsewhere; its number is its own until then.
                let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
                Ok(())
            }
            Handle::Adopted(process) => {
                // As above.
                let _ = rustix::process::pidfd_send_signal(process.get_ref(), signal);
                Ok(())
            }
            Handle::Qemu(qmp) if pause => qmp.pause().await,
            Handle::Qemu(qmp) => qmp.resume().await,
        }
    }
}
