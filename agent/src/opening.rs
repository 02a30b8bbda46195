//! A stream that was opened, on its way to become a link of the tree: from whoever opens it to the node.

use std::net::IpAddr;
use tokio::net::{TcpStream, UnixStream};
use vmatic_plan::GuestId;
use vmatic_tree::host::{Direction, Target};

/// A stream that somebody opened, on its way to become a link.
pub struct Opening {
    /// Where it leads.
    pub side: Direction,
    /// The stream itself.
    pub stream: LinkStream,
    /// The address at its other end, if somebody on a network opened it.
    pub from: Option<IpAddr>,
    /// Whom we called, if we opened it.
    pub target: Option<Target>,
    /// The number that the guest's agent drew, where an earlier node had the stream before: see
    /// [`vmatic_tree::wire::resync`].
    pub boot: Option<[u8; 16]>,
}

/// What a link runs over.
pub enum LinkStream {
    /// To a host or a console.
    Tcp(TcpStream),
    /// To a guest's monitor.
    Unix(UnixStream),
}

impl Opening {
    /// To another host, which we called: a parent perhaps, or a sibling.
    pub fn parent(stream: TcpStream, target: Target) -> Self {
        Opening {
            side: Direction::Parent,
            stream: LinkStream::Tcp(stream),
            from: None,
            target: Some(target),
            boot: None,
        }
    }

    /// To a guest's monitor.
    pub fn guest(guest: GuestId, stream: UnixStream) -> Self {
        let stream = LinkStream::Unix(stream);
        Opening { side: Direction::Guest(guest), stream, from: None, target: None, boot: None }
    }

    /// The same; an earlier node had the stream, and the agent in the guest drew this number.
    pub fn guest_again(guest: GuestId, stream: UnixStream, boot: [u8; 16]) -> Self {
        Opening { boot: Some(boot), ..Opening::guest(guest, stream) }
    }

    /// From whoever called, at this address.
    pub fn below(stream: TcpStream, from: IpAddr) -> Self {
        Opening {
            side: Direction::Child,
            stream: LinkStream::Tcp(stream),
            from: Some(from.to_canonical()),
            target: None,
            boot: None,
        }
    }
}
