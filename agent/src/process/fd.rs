//! Descriptors that pass between processes of ours.

use crate::error::{Context, Error};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use tokio::io::unix::AsyncFd;

/// What to do about a process that lacks what the node gives it.
pub const INTERNAL: &str = "internal command: started by `vmatic-agent node` only";

/// A descriptor that the event loop watches.
pub fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, Error> {
    // Deprecated since a type could give another descriptor each time it is asked: an OwnedFd is the same one as long
    // as it lives. The successor is an unsafe function.
    #[expect(deprecated)]
    AsyncFd::new(fd).context("watch a descriptor")
}

/// Takes over a descriptor that the node left open for us.
pub fn inherit(fd: RawFd) -> Result<OwnedFd, Error> {
    let taken = vmatic_sys::inherited::take(fd);
    taken.with_context(|| format!("take over descriptor {fd}")).map_err(|e| e.help(INTERNAL))
}

/// Two sockets that are each other's other end, and keep the bounds of messages.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}
