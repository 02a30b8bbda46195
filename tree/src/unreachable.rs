//! Why no answer came from a node, as whoever last stood before it knows.

use crate::guest::GuestState;
use crate::refusal::Hex;
use core::fmt;
use serde::{Deserialize, Serialize};
use vmatic_plan::{GuestId, HostId};

/// Why no answer came from a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Unreachable {
    /// A guest that its host says is not up.
    Guest(GuestState),
    /// A guest that is up, and has no guest agent that could obey.
    Unmanaged,
    /// A guest, or the host itself, of which nothing is known yet.
    NotReported,
    /// A host that is not in the tree, or a guest of such a one.
    NotJoined,
    /// The link that the command went over ended before the answer came.
    Link(Peer, LinkEnd),
    /// No answer came before the deadline.
    TimedOut,
    /// The operator gave up before the answer came.
    Interrupted,
    /// A host that was in the tree and is no more, or a guest of such a one.
    Lost {
        /// How long ago, in seconds; in whole minutes after the first, so that hosts lost together are said together.
        ago_s: u32,
    },
    /// A host that called, and whose image is of another cluster.
    OtherCluster {
        /// The identity of its image's cluster.
        cluster: [u8; 16],
    },
}

/// Who is at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    /// The parent, and which host that is once it has said so.
    Parent(Option<HostId>),
    /// The child host of this number.
    Host(HostId),
    /// This guest of the host that says it.
    Guest(GuestId),
    /// An operator's console.
    Console,
    /// The tree, as a console sees it.
    Tree,
    /// Whoever has not said yet who it is.
    Unknown,
}

/// How a link ended, as the host that had it saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LinkEnd {
    /// The other end closed it, or the network broke it.
    Lost,
    /// One side refused the other.
    Refused,
    /// The other end opened a new one.
    Replaced,
    /// The other end did not say in time who it is.
    NoHello,
    /// The other end sent no heartbeat in time.
    Silent,
}

impl Unreachable {
    /// What it takes in a message beside a few bytes: the texts in it.
    pub fn size(&self) -> usize {
        match self {
            Unreachable::Guest(state) => state.size(),
            _ => 0,
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreachable::Guest(state) => write!(f, "{state}"),
            Unreachable::Unmanaged => {
                f.write_str("has no guest agent: it is another system, which `vmatic console --serial` shows")
            }
            Unreachable::NotReported => f.write_str("has not reported yet"),
            Unreachable::NotJoined => f.write_str("has not joined"),
            Unreachable::Link(peer, end) => write!(f, "the link to {peer} {end}"),
            Unreachable::TimedOut => f.write_str("no answer in time"),
            Unreachable::Lost { ago_s: seconds @ 0..60 } => write!(f, "was lost {seconds} s ago"),
            Unreachable::Lost { ago_s } => write!(f, "was lost {} min ago", ago_s / 60),
            Unreachable::OtherCluster { cluster } => {
                write!(f, "its image is of another cluster, {}: boot it with this cluster's", Hex(cluster))
            }
            Unreachable::Interrupted => f.write_str("interrupted by the operator"),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Parent(Some(host)) => write!(f, "parent, host {host}"),
            Peer::Parent(None) => f.write_str("parent"),
            Peer::Host(host) => write!(f, "host {host}"),
            Peer::Guest(guest) => write!(f, "guest {guest}"),
            Peer::Console => f.write_str("a console"),
            Peer::Tree => f.write_str("the tree"),
            Peer::Unknown => f.write_str("an unknown peer"),
        }
    }
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LinkEnd::Lost => "was lost",
            LinkEnd::Refused => "was refused",
            LinkEnd::Replaced => "was replaced by a new one",
            LinkEnd::NoHello => "ended: no hello in time",
            LinkEnd::Silent => "ended: heartbeat timeout",
        })
    }
}
