//! What a node and its keeper say to each other, and how it travels.
//!
//! One message (SOCK_SEQPACKET) is one byte that says what it is, numbers of four bytes (little endian), and a note;
//! descriptors go beside it. It stays as it is, since a keeper outlives the program that it was started from: what a
//! side does not know it ignores, and news get a number of their own.

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most bytes of a note.
pub const NOTE_BYTES_MAX: usize = 4096;
/// Most descriptors of one entry.
pub const FDS_MAX: usize = 8;
/// Most bytes of a message: its kind and three numbers before the note.
const MESSAGE_BYTES_MAX: usize = 1 + 3 * 4 + NOTE_BYTES_MAX;

const KEEP: u8 = 1;
const CHANGE: u8 = 2;
const FORGET: u8 = 3;
const ALIVE: u8 = 4;
const ENTRY: u8 = 128;
const ENDED_ENTRY: u8 = 129;
const DONE: u8 = 130;
const ENDED: u8 = 131;

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Hold the descriptors that come with this; what was held under the key before is let go.
    Keep {
        /// Whose they are.
        key: u32,
        /// The process that they belong to: its end is told, if it has become the keeper's child.
        pid: u32,
        /// For the next node.
        note: Vec<u8>,
    },
    /// The note is another now.
    Change {
        /// Of which entry.
        key: u32,
        /// For the next node.
        note: Vec<u8>,
    },
    /// Let go what is held.
    Forget {
        /// Under which key.
        key: u32,
    },
    /// The node's event loop turns.
    Alive,
}

/// What a keeper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What is held, with its descriptors beside it: each entry once, first of all.
    Entry {
        /// As it was kept.
        key: u32,
        /// The process that it belongs to.
        pid: u32,
        /// How that process ended (a wait status), if it has.
        status: Option<i32>,
        /// As the last node left it.
        note: Vec<u8>,
    },
    /// That were all entries.
    Done,
    /// The process of an entry has ended.
    Ended {
        /// Of which entry.
        key: u32,
        /// Its wait status.
        status: i32,
    },
}

impl Request {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Request::Keep { key, pid, note } => message(KEEP, &[*key, *pid], note),
            Request::Change { key, note } => message(CHANGE, &[*key], note),
            Request::Forget { key } => message(FORGET, &[*key], &[]),
            Request::Alive => message(ALIVE, &[], &[]),
        }
    }

    /// None if it is not understood.
    pub fn decode(bytes: &[u8]) -> Option<Request> {
        let (kind, rest) = bytes.split_first()?;
        Some(match *kind {
            KEEP => {
                let ([key, pid], note) = numbers(rest)?;
                Request::Keep { key, pid, note: note.to_vec() }
            }
            CHANGE => {
                let ([key], note) = numbers(rest)?;
                Request::Change { key, note: note.to_vec() }
            }
            FORGET => Request::Forget { key: numbers::<1>(rest)?.0[0] },
            ALIVE => Request::Alive,
            _ => return None,
        })
    }
}

impl Reply {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Reply::Entry { key, pid, status: None, note } => message(ENTRY, &[*key, *pid], note),
            Reply::Entry { key, pid, status: Some(status), note } => {
                message(ENDED_ENTRY, &[*key, *pid, status.cast_unsigned()], note)
            }
            Reply::Done => message(DONE, &[], &[]),
            Reply::Ended { key, status } => message(ENDED, &[*key, status.cast_unsigned()], &[]),
        }
    }

    /// None if it is not understood.
    pub fn decode(bytes: &[u8]) -> Option<Reply> {
        let (kind, rest) = bytes.split_first()?;
        Some(match *kind {
            ENTRY => {
                let ([key, pid], note) = numbers(rest)?;
                Reply::Entry { key, pid, status: None, note: note.to_vec() }
            }
            ENDED_ENTRY => {
                let ([key, pid, status], note) = numbers(rest)?;
                Reply::Entry { key, pid, status: Some(status.cast_signed()), note: note.to_vec() }
            }
            DONE => Reply::Done,
            ENDED => {
                let [key, status] = numbers(rest)?.0;
                Reply::Ended { key, status: status.cast_signed() }
            }
            _ => return None,
        })
    }
}

fn message(kind: u8, numbers: &[u32], note: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + 4 * numbers.len() + note.len());
    bytes.push(kind);
    numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.extend(note);
    bytes
}

/// The numbers at the beginning, and what follows them.
fn numbers<const N: usize>(mut bytes: &[u8]) -> Option<([u32; N], &[u8])> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let (first, rest) = bytes.split_first_chunk()?;
        (*number, bytes) = (u32::from_le_bytes(*first), rest);
    }
    Some((numbers, bytes))
}

/// Sends a message with its descriptors, whole or not at all, without waiting.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd]) -> Result<(), Errno> {
    if bytes.len() > MESSAGE_BYTES_MAX || fds.len() > FDS_MAX {
        return Err(Errno::MSGSIZE);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::MSGSIZE);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags).map(drop)
}

/// A message as it came: its bytes, and the descriptors beside them.
pub type Received = (Vec<u8>, Vec<OwnedFd>);

/// A message and the descriptors beside it; none when the other end is closed. Never waits. MSGSIZE: it came without
/// all its descriptors, and is gone.
pub fn receive(socket: impl AsFd) -> Result<Option<Received>, Errno> {
    let mut buffer = [0; MESSAGE_BYTES_MAX + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut part = [IoSliceMut::new(&mut buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = rustix::net::recvmsg(socket, &mut part, &mut control, flags)?;
    // Out of descriptors: a guest of which a part is not held could not go on.
    if got.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE);
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok((got.bytes > 0).then(|| (buffer[..got.bytes].to_vec(), fds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fd::message_pair;
    use proptest::prelude::*;

    fn requests() -> Vec<Request> {
        vec![
            Request::Keep { key: 7, pid: u32::MAX, note: vec![1, 2] },
            Request::Change { key: 0, note: vec![] },
            Request::Forget { key: u32::MAX },
            Request::Alive,
        ]
    }

    fn replies() -> Vec<Reply> {
        vec![
            Reply::Entry { key: 7, pid: 8, status: None, note: vec![9; NOTE_BYTES_MAX] },
            Reply::Entry { key: 7, pid: 8, status: Some(-1), note: vec![] },
            Reply::Done,
            Reply::Ended { key: 7, status: 9 },
        ]
    }

    #[test]
    fn what_is_said_is_heard_and_what_is_cut_is_not_understood() {
        for request in requests() {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for reply in replies() {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        for short in [&[][..], &[KEEP, 1, 0, 0, 0, 2, 0, 0], &[FORGET, 1], &[200]] {
            assert_eq!(Request::decode(short), None);
        }
    }

    /// A keeper serves nodes of later versions: these bytes must mean the same for ever.
    #[test]
    fn the_bytes_of_each_message_are_these_for_ever() {
        let bytes: Vec<Vec<u8>> = requests().iter().map(Request::encode).collect();
        let want: [&[u8]; 4] =
            [&[1, 7, 0, 0, 0, 255, 255, 255, 255, 1, 2], &[2, 0, 0, 0, 0], &[3, 255, 255, 255, 255], &[4]];
        assert_eq!(bytes, want);
        let ended = Reply::Entry { key: 7, pid: 8, status: Some(-1), note: vec![5] };
        assert_eq!(ended.encode(), [129, 7, 0, 0, 0, 8, 0, 0, 0, 255, 255, 255, 255, 5]);
        assert_eq!((replies()[0].encode()[0], replies()[2].encode()), (128, vec![130]));
        assert_eq!(replies()[3].encode(), [131, 7, 0, 0, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn as_many_descriptors_and_bytes_as_there_may_be_arrive_and_one_more_is_refused() {
        let (ours, theirs) = message_pair().unwrap();
        let note = vec![7; NOTE_BYTES_MAX];
        let longest = Reply::Entry { key: 1, pid: 2, status: Some(3), note };
        send(&ours, &longest.encode(), &[theirs.as_fd(); FDS_MAX]).unwrap();
        let (bytes, fds) = receive(&theirs).unwrap().unwrap();
        assert_eq!((Reply::decode(&bytes), fds.len()), (Some(longest), FDS_MAX));
        assert_eq!(send(&ours, &vec![0; MESSAGE_BYTES_MAX + 1], &[]), Err(Errno::MSGSIZE));
        assert_eq!(send(&ours, &[ALIVE], &[theirs.as_fd(); FDS_MAX + 1]), Err(Errno::MSGSIZE));
        assert_eq!(receive(&theirs).err(), Some(Errno::AGAIN));
        drop(ours);
        assert!(receive(&theirs).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (Request::decode(&bytes), Reply::decode(&bytes));
        }
    }
}
