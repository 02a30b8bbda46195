//! Descriptors that pass between processes of ours.

use crate::error::{Context, Error};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use tokio::io::unix::AsyncFd;

/// A descriptor that the event loop watches.
pub fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, Error> {
    // Deprecated since a type could give another descriptor each time it is asked: an OwnedFd is the same one as long
    // as it lives. The successor is an unsafe function.
    #[expect(deprecated)]
    AsyncFd::new(fd).context(|| "watch a descriptor".into())
}

/// Takes over a descriptor that the node left open for us.
pub fn inherit(fd: RawFd) -> Result<OwnedFd, Error> {
    let taken = vmatic_sys::inherited::take(fd);
    taken.map_err(|_| {
        Error::new(format!("descriptor {fd} is not open: internal command, started by `vmatic-agent node` only"))
    })
}

/// Two sockets that are each other's other end, and keep the bounds of messages.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
