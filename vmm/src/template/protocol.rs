//! What is said between a zygote (the process that holds a template) and whoever wants clones: requests, replies, and
//! how they travel.
//!
//! One message is one request or one reply (SOCK_SEQPACKET), in postcard; descriptors go beside it.

use crate::config::{Card, GuestChannels};
use crate::template::fork::Pid;
use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 8192;
/// Most descriptors that come with one: control socket, log, cable.
const CHANNELS_MAX: usize = 3;
/// Most runs of pages in each list of a message.
pub const RUNS_MAX: usize = 384;
/// What a template's process is asked for. With it go the descriptors of a control
/// socket, a log and, if the clone's card leads somewhere, a cable, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneOrder {
    /// Whoever asks tells its clones apart by it.
    pub tag: u32,
    /// The user and the group that the clone's process is to be; 0 keeps this process's.
    pub user: u32,
    /// Whether the clone goes on when its parent, who started this process, ends.
    pub outlives: bool,
    /// How many ports it has in a network: see [`GuestChannels::ports`].
    pub ports: u8,
}

/// What is said to a template's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ZygoteRequest {
    /// Start a clone.
    Start(CloneOrder),
    /// Have these pages ready for each clone from now on before it runs.
    Prefault(WorkingSet),
}

/// The pages that a clone needs while it applies its identity: number of the first, and how many. It stops at each that
/// is not ready, which is dearer than to prepare them all at once (REAP: Ustiugov et al., ASPLOS 2021, doi
/// 10.1145/3445814.3446714).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingSet {
    /// Those it writes to: copied for it. At most [`RUNS_MAX`] runs.
    pub written: Vec<(u32, u32)>,
    /// Those it touches at all: mapped for it. At most [`RUNS_MAX`] runs.
    pub touched: Vec<(u32, u32)>,
}

/// What a template's process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZygoteReply {
    /// There is a template; orders are welcome.
    Ready {
        /// Milliseconds since it began to boot or to be restored.
        boot_ms: u64,
        /// Whether it was saved before, and did not boot.
        restored: bool,
    },
    /// A clone was started.
    Started {
        /// Of the order.
        tag: u32,
        /// Its process, a child of this process's parent.
        pid: Pid,
    },
    /// A clone could not be started.
    Failed {
        /// Of the order.
        tag: u32,
        /// A sentence that says why.
        why: String,
    },
    /// There is no template, and there will be none.
    NoTemplate {
        /// A sentence that says why.
        why: String,
    },
}

/// A socket for orders and answers: the asking end, and the zygote's.
pub fn sockets() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends an order with a clone's channels. [`io::ErrorKind::WouldBlock`] on a non-blocking
/// socket whose buffer is full.
pub fn send_order(socket: impl AsFd, order: &CloneOrder, channels: &[BorrowedFd]) -> io::Result<()> {
    send(socket, &ZygoteRequest::Start(*order), channels)
}

/// Says which pages each clone needs. There is no answer.
pub fn send_prefault(socket: impl AsFd, set: &WorkingSet) -> io::Result<()> {
    let some = |runs: &[(u32, u32)]| runs[..runs.len().min(RUNS_MAX)].to_vec();
    let set = WorkingSet { written: some(&set.written), touched: some(&set.touched) };
    send(socket, &ZygoteRequest::Prefault(set), &[])
}

/// Receives the next answer; none once the zygote has ended.
pub fn receive_reply(socket: impl AsFd) -> io::Result<Option<ZygoteReply>> {
    Ok(receive(socket)?.map(|(answer, _)| answer))
}

/// Says something to whoever asks.
pub fn send_reply(socket: impl AsFd, answer: &ZygoteReply) -> io::Result<()> {
    send(socket, answer, &[])
}

pub(crate) fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd]) -> io::Result<()> {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let bytes = postcard::to_slice(message, &mut buffer).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(CHANNELS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

pub(crate) fn receive<T: for<'a> Deserialize<'a>>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(CHANNELS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut part = [IoSliceMut::new(&mut buffer)];
    let got = rustix::net::recvmsg(socket, &mut part, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let message = postcard::from_bytes(&buffer[..got.bytes]).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

/// What came with an order, as a clone's connections; none if something is missing.
pub(crate) fn channels(fds: Vec<OwnedFd>, ports: u8) -> Option<GuestChannels> {
    let mut fds = fds.into_iter();
    let (control, serial) = (fds.next()?, fds.next()?);
    let card = fds.next().map_or(Card::Unplugged, Card::Plugged);
    Some(GuestChannels { control: Some(control), serial, card, ports })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn an_order_arrives_with_its_channels_and_an_end_is_told_apart() {
        let (asking, serving) = sockets().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let order = CloneOrder { tag: 7, user: 8, outlives: true, ports: 3 };
        send_order(&asking, &order, &[reader.as_fd(), writer.as_fd()]).unwrap();
        let (got, fds) = receive::<ZygoteRequest>(&serving).unwrap().unwrap();
        assert_eq!((got, fds.len()), (ZygoteRequest::Start(order), 2));
        assert!(fds.iter().all(|fd| ![reader.as_raw_fd(), writer.as_raw_fd()].contains(&fd.as_raw_fd())));
        assert!(channels(fds, 3).is_some_and(|channels| channels.ports == 3));
        assert!(channels(vec![reader.into()], 0).is_none(), "a control socket alone is no set of channels");
        send_reply(&serving, &ZygoteReply::Started { tag: 7, pid: 99 }).unwrap();
        // As many runs as there can be, with the largest numbers, fit a message.
        let many =
            |count| WorkingSet { written: vec![(u32::MAX, u32::MAX); count], touched: vec![(u32::MAX, 1); count] };
        send_prefault(&asking, &many(RUNS_MAX + 1)).unwrap();
        let (got, _) = receive::<ZygoteRequest>(&serving).unwrap().unwrap();
        assert_eq!(got, ZygoteRequest::Prefault(many(RUNS_MAX)));
        drop(serving);
        assert_eq!(receive_reply(&asking).unwrap(), Some(ZygoteReply::Started { tag: 7, pid: 99 }));
        assert_eq!(receive_reply(&asking).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 1..MESSAGE_BYTES_MAX)) {
            let (asking, serving) = sockets().unwrap();
            rustix::net::send(&asking, &bytes, SendFlags::empty()).unwrap();
            let _ = receive::<ZygoteRequest>(&serving);
            rustix::net::send(&serving, &bytes, SendFlags::empty()).unwrap();
            let _ = receive_reply(&asking);
        }
    }
}
