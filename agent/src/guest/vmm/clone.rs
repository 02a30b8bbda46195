//! A clone's process: a child of this one that the template's process started.

use crate::error::{Context, Error};
use crate::guest::exit;
use crate::process::fd;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::unix::AsyncFd;
use vmatic_tree::guest::ExitReason;
use vmatic_tree::text::ShortText;

/// What is tried with a process that is there; without its number, so that equal failures of many guests fold.
const WATCH: &str = "watch a clone's process";

/// A clone's process.
pub struct CloneProcess {
    /// Becomes readable when it ends.
    handle: AsyncFd<OwnedFd>,
    pid: Pid,
    reaped: bool,
}

impl CloneProcess {
    /// A child of ours that another process started.
    pub fn adopt(pid: vmatic_vmm::Pid) -> Result<Self, Error> {
        let pid = Pid::from_raw(pid).ok_or("it has no number").context(WATCH)?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).context(WATCH).and_then(fd::watch);
        if handle.is_err() {
            // Out of descriptors, perhaps: one that cannot be watched must not run on, unseen.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        }
        Ok(Self { handle: handle?, pid, reaped: false })
    }

    /// Its number, which is its own until its end was waited for.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The same as a descriptor.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.handle.get_ref().as_fd()
    }

    /// Waits for its end; says how it ended.
    pub async fn wait(&mut self) -> ExitReason {
        // An error would mean that it cannot be watched: then it is ended, which kill does.
        let _ = self.handle.readable().await;
        self.reap()
    }

    fn reap(&mut self) -> ExitReason {
        self.reaped = true;
        match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => exit::reason(status.exit_status(), status.terminating_signal()),
            Ok(None) => ExitReason::Monitor("still runs".into()),
            Err(e) => ExitReason::Monitor(ShortText::new(e)),
        }
    }

    /// Has it end.
    pub fn start_kill(&self) {
        // Fails only if it has ended; its number is its own until it is reaped.
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
    }
}

impl Drop for CloneProcess {
    fn drop(&mut self) {
        if !self.reaped {
            self.start_kill();
            self.reap();
        }
    }
}
