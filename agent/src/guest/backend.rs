//! A guest's process, whatever holds the guest: its end, and how it is held and let go on.

use crate::error::Error;
use crate::guest::exit;
use crate::guest::qemu::{Qemu, Qmp};
use crate::guest::vmm::clone::CloneProcess;
use rustix::process::{Pid, Signal};
use std::rc::Rc;
use tokio::process::Child;
use vmatic_tree::guest::ExitReason;
use vmatic_tree::text::ShortText;

/// A guest's process.
pub enum Monitor {
    /// It booted in VMatic's monitor.
    Cold(Child),
    /// It was forked from a template.
    Clone(CloneProcess),
    /// QEMU runs it.
    Qemu(Qemu),
}

impl Monitor {
    /// Waits for its end; says how it ended.
    pub async fn wait(&mut self) -> ExitReason {
        match self {
            Monitor::Cold(child) => match child.wait().await {
                Ok(status) => exit::reason_of(status),
                Err(e) => ExitReason::Monitor(ShortText::new(e)),
            },
            Monitor::Clone(clone) => clone.wait().await,
            Monitor::Qemu(qemu) => qemu.wait().await,
        }
    }

    /// By what it is held.
    pub fn handle(&self) -> Handle {
        match self {
            Monitor::Cold(child) => Handle::Process(child.id().and_then(|id| Pid::from_raw(id as i32))),
            Monitor::Clone(clone) => Handle::Process(Some(clone.pid())),
            Monitor::Qemu(qemu) => Handle::Qemu(qemu.qmp.clone(), qemu.leaf),
        }
    }

    /// Ends it.
    pub async fn kill(&mut self) {
        match self {
            Monitor::Cold(child) => drop(child.kill().await),
            Monitor::Clone(clone) => clone.kill().await,
            Monitor::Qemu(qemu) => drop(qemu.child.kill().await),
        }
    }
}

/// By what a guest is held and let go on.
pub enum Handle {
    /// By signals to its process.
    Process(Option<Pid>),
    /// By QEMU's monitor; whether it has a leaf.
    Qemu(Rc<Qmp>, bool),
}

impl Handle {
    /// Holds the guest, or lets it go on: its memory stays.
    pub async fn hold(&self, hold: bool) -> Result<(), Error> {
        match self {
            Handle::Process(pid) => {
                let signal = if hold { Signal::STOP } else { Signal::CONT };
                // Fails only if it has ended, which is noticed elsewhere; its number is its own until then.
                let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
                Ok(())
            }
            Handle::Qemu(qmp, _) if hold => qmp.hold().await,
            Handle::Qemu(qmp, _) => qmp.release().await,
        }
    }
}
