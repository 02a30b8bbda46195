//! A stream that was opened, on its way to become a link of the tree: from whoever opens it to the node.

use std::net::IpAddr;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use vmatic_plan::GuestId;
use vmatic_tree::host::Direction;

/// A stream that somebody opened, on its way to become a link.
pub struct Opening {
    /// Where it leads.
    pub side: Direction,
    /// The stream itself.
    pub stream: LinkStream,
    /// The address at its other end, if somebody on a network opened it.
    pub from: Option<IpAddr>,
    /// Told when the link closes: whether it had been welcome.
    pub closed: Option<oneshot::Sender<bool>>,
}

/// What a link runs over.
pub enum LinkStream {
    /// To a host or a console.
    Tcp(TcpStream),
    /// To a guest's monitor.
    Unix(UnixStream),
}

impl Opening {
    /// To the parent.
    pub fn parent(stream: TcpStream, closed: oneshot::Sender<bool>) -> Self {
        Opening { side: Direction::Parent, stream: LinkStream::Tcp(stream), from: None, closed: Some(closed) }
    }

    /// To a guest's monitor.
    pub fn guest(guest: GuestId, stream: UnixStream) -> Self {
        Opening { side: Direction::Guest(guest), stream: LinkStream::Unix(stream), from: None, closed: None }
    }

    /// From whoever called, at this address.
    pub fn below(stream: TcpStream, from: IpAddr) -> Self {
        Opening {
            side: Direction::Child,
            stream: LinkStream::Tcp(stream),
            from: Some(from.to_canonical()),
            closed: None,
        }
    }
}
