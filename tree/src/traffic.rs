//! What passed a guest's link and what did not, and pieces of captures: what a host's switch says of itself.

use crate::bytes;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use vmatic_plan::network::Properties;
use vmatic_plan::{GuestId, LinkProperties};

/// Most links in one answer: a host of more is asked in parts.
pub const PORTS_MAX: usize = 1024;

/// Most bytes of a node's name in the network (RFC 1035, 2.3.4).
pub const NODE_NAME_MAX_BYTES: usize = 253;

/// Why a frame went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DropReason {
    /// It could not be read.
    Malformed,
    /// Its sender said that it was somebody else.
    Spoofed,
    /// The plan has nobody there.
    NoSuchNode,
    /// It needs no answer: the switch computes what others announce.
    Ignored,
    /// It was for everyone, and its sender says too much to everyone.
    Flood,
    /// The port, the link's queue or the uplink was full, or its guest is not there.
    Full,
    /// The link's loss took it.
    Lost,
    /// The host has no route to its destination.
    NoRoute,
    /// It is no ARP, IPv4 or IPv6: nothing else is forwarded.
    EtherType,
    /// Its destination, or its source, is none that guests reach (`plan.guest_reach`).
    OutOfReach,
    /// The link is down.
    Down,
    /// It is longer than the link takes.
    TooLong,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [DropReason; 12] = [
        DropReason::Malformed,
        DropReason::Spoofed,
        DropReason::NoSuchNode,
        DropReason::Ignored,
        DropReason::Flood,
        DropReason::Full,
        DropReason::Lost,
        DropReason::NoRoute,
        DropReason::EtherType,
        DropReason::OutOfReach,
        DropReason::Down,
        DropReason::TooLong,
    ];

    /// A word for operators and programs.
    pub fn word(self) -> &'static str {
        match self {
            DropReason::Malformed => "malformed",
            DropReason::Spoofed => "spoofed",
            DropReason::NoSuchNode => "no_such_node",
            DropReason::Ignored => "ignored",
            DropReason::Flood => "flood",
            DropReason::Full => "full",
            DropReason::Lost => "lost",
            DropReason::NoRoute => "no_route",
            DropReason::EtherType => "ether_type",
            DropReason::OutOfReach => "out_of_reach",
            DropReason::Down => "down",
            DropReason::TooLong => "too_long",
        }
    }
}

/// Frames, and the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frames {
    /// How many frames, since the switch started.
    pub count: u64,
    /// The bytes of those frames, with their Ethernet headers.
    pub bytes: u64,
}

/// The counters of a port, as its guest sees it, since the switch started.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortCounters {
    /// Frames that came from the guest, whether or not they went anywhere.
    pub sent: Frames,
    /// Frames that were handed to the guest.
    pub received: Frames,
    /// How many frames went nowhere, by the reason, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
}

/// A guest's link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortStatus {
    /// The guest's number on its host.
    pub guest: GuestId,
    /// How each direction of it is shaped.
    pub link: LinkProperties,
    /// What passed it, and what did not.
    pub counters: PortCounters,
}

/// The links of some guests of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    /// By rising numbers of guests, at most [`PORTS_MAX`].
    pub ports: Vec<PortStatus>,
    /// Whether there are more than were given.
    pub truncated: bool,
}

/// How late frames arrived on a link that delays them, after they were due: the proof that its figures hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LatenessSummary {
    /// How many frames were delayed at all.
    pub frames: u64,
    /// Half were at most so many microseconds late, rounded up to a power of two.
    pub median_us: u64,
    /// 99 of 100 were at most so late, rounded likewise.
    pub p99_us: u64,
    /// The worst.
    pub worst_us: u64,
}

/// One end of a link of the network, on the host that answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkPort {
    /// The node's number in the network.
    pub node: u32,
    /// Its name, of at most [`NODE_NAME_MAX_BYTES`].
    pub name: String,
    /// Its port.
    pub port: u32,
    /// Whether the link is up.
    pub up: bool,
    /// The largest packet that it takes.
    pub mtu: u16,
    /// What it does to what the port sends.
    pub there: Properties,
    /// What its node sent and got.
    pub counters: PortCounters,
    /// How late what it sent arrived.
    pub lateness: LatenessSummary,
}

/// The ends of one link that are on one host: none, one, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkPorts {
    /// At most two.
    pub ports: Vec<NetworkPort>,
}

/// A piece of something that is fetched piece by piece: a capture, or a snapshot of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Piece {
    /// The bytes that follow those of the piece before; of a capture whole records, behind the file's header in the
    /// first piece.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
    /// Of a capture: frames that did not fit since it began.
    pub dropped: u64,
}
