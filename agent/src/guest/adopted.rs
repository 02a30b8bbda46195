//! A guest's process that an earlier node started: a child of the keeper, which says how it ended.

use crate::error::Error;
use crate::guest::exit;
use crate::process::fd;
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::timeout;
use vmatic_tree::guest::ExitReason;

/// How long the keeper may take to say how a process ended that has ended.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// A process that an earlier node started. Dropped, it ends.
pub struct AdoptedProcess {
    /// Becomes readable when it ends.
    handle: Rc<AsyncFd<OwnedFd>>,
    /// Its wait status, told by the keeper.
    status: watch::Receiver<Option<i32>>,
}

impl AdoptedProcess {
    /// The process that this descriptor is (pidfd_open(2)).
    pub fn new(process: OwnedFd, status: watch::Receiver<Option<i32>>) -> Result<Self, Error> {
        Ok(Self { handle: Rc::new(fd::watch(process)?), status })
    }

    /// By which it is signalled, whatever its number.
    pub fn handle(&self) -> Rc<AsyncFd<OwnedFd>> {
        self.handle.clone()
    }

    /// Waits for its end; says how it ended.
    pub async fn wait(&mut self) -> ExitReason {
        // An error would mean that it cannot be watched: then it is ended, which dropping does.
        let _ = self.handle.readable().await;
        let told = timeout(STATUS_TIMEOUT, self.status.wait_for(Option::is_some)).await;
        match told.ok().and_then(Result::ok).and_then(|status| *status) {
            Some(status) => exit::reason_of(ExitStatus::from_raw(status)),
            // The node that started it buried it, and told nobody any more.
            None => ExitReason::Monitor("it ended while one node followed another".into()),
        }
    }

    /// Has it end.
    pub fn start_kill(&self) {
        // Fails only if it has ended.
        let _ = rustix::process::pidfd_send_signal(self.handle.get_ref(), Signal::KILL);
    }
}

impl Drop for AdoptedProcess {
    fn drop(&mut self) {
        self.start_kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags};
    use std::process::Command;

    #[test]
    fn an_end_is_told_by_the_keeper_and_dropping_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
            let pidfd = || rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::NONBLOCK).unwrap();
            let (told, status) = watch::channel(None);
            let mut process = AdoptedProcess::new(pidfd(), status.clone()).unwrap();
            let other = AdoptedProcess::new(pidfd(), status).unwrap();
            assert!(timeout(Duration::from_millis(50), process.wait()).await.is_err());
            drop(other);
            let status = child.wait().unwrap();
            told.send_replace(Some(status.into_raw()));
            assert_eq!(process.wait().await, ExitReason::Signal(9));
        });
    }
}
