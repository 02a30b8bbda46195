//! The node's ends of what leads to a QEMU: its monitor, its serial port, its cable, and what it complains of.
//!
//! They are what another node needs to go on with it.

use super::qmp::Qmp;
use super::{port, serial};
use crate::error::{Context, Error};
use crate::guest::channels::{self, GuestEnds};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The node's ends.
pub struct QemuEnds {
    /// Of its monitor.
    pub monitor: UnixStream,
    /// Of its serial port.
    pub serial: UnixStream,
    /// Of its cable.
    pub cable: OwnedFd,
    /// Of its standard error.
    pub words: pipe::Receiver,
}

/// What talks to a QEMU, what it complained of at its end, and who is told when its guest has said that it is ready.
pub type Relayed = (Rc<Qmp>, JoinHandle<Vec<u8>>, oneshot::Receiver<()>);

impl QemuEnds {
    /// To be held by another: see [`Self::take`].
    pub fn duplicate(&self) -> Result<Vec<OwnedFd>, Error> {
        let all = [self.monitor.as_fd(), self.serial.as_fd(), self.cable.as_fd(), self.words.as_fd()];
        all.into_iter().map(|fd| fd.try_clone_to_owned().context("duplicate QEMU's channels")).collect()
    }

    /// What [`Self::duplicate`] gave; none if it is not all there.
    pub fn take(mut fds: impl Iterator<Item = OwnedFd>) -> Option<Result<QemuEnds, Error>> {
        let (monitor, serial, cable, words) = (fds.next()?, fds.next()?, fds.next()?, fds.next()?);
        Some((|| {
            let words = pipe::Receiver::from_owned_fd(words).context("set up a pipe")?;
            Ok(QemuEnds { monitor: channels::stream(monitor)?, serial: channels::stream(serial)?, cable, words })
        })())
    }

    /// Carries between QEMU and the guest's channels from now on; needs a `LocalSet`. The guest is ready when it has
    /// said `words`.
    pub fn relay(
        self,
        ends: &GuestEnds,
        words: &str,
        talk: impl FnOnce(UnixStream) -> Rc<Qmp>,
    ) -> Result<Relayed, Error> {
        let wire = ends.serial.try_clone().context("duplicate a console")?;
        let to_switch = ends.cable.try_clone().context("duplicate a cable")?;
        let is_shared = ends.is_shared;
        let (serial, cable, needle) = (self.serial, self.cable, words.to_owned());
        tokio::task::spawn_local(async move { port::relay(cable, to_switch, is_shared).await });
        let (said, heard) = oneshot::channel();
        tokio::task::spawn_local(async move { serial::relay(serial, wire, &needle, said).await });
        let complaints = tokio::task::spawn_local(channels::last_words(self.words));
        Ok((talk(self.monitor), complaints, heard))
    }
}
