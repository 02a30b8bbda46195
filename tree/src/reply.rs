//! What an order gives back that is no program's output: a value of a type, which the console puts into words.

use crate::bytes::OUTPUT_MAX_BYTES;
use crate::guest::Usage;
use crate::info::NodeInfo;
use crate::misplaced::Misplaced;
use crate::traffic::{NODE_NAME_MAX_BYTES, NetworkPort, NetworkPorts, PORTS_MAX, Piece, Ports};
use crate::twins::Twins;
use crate::unknown::{UNKNOWN_BYTES, UNKNOWN_MAX, UnknownMachine};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use vmatic_plan::LinkProperties;

/// Most guests whose use of memory is told one by one in one answer.
pub const USAGE_EACH_MAX: usize = 16 * 1024;
/// Most bytes of an answer about one guest's memory, and about one link: their numbers as varints.
const USAGE_BYTES: usize = 25;
const PORT_BYTES: usize = 180;
/// Most bytes of what has a fixed number of fields.
const FIXED_BYTES: usize = 1024;

/// What a node gives back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reply {
    /// To `Order::Info`.
    Info(NodeInfo),
    /// To `Order::Usage`.
    Usage(Usage),
    /// To `Order::Link` that shows.
    Ports(Ports),
    /// To `Order::Capture` and `Order::Save`.
    Piece(Piece),
    /// To `Order::Link` that sets: how all these links are shaped now.
    Link(LinkProperties),
    /// To `Order::Ping`, of a host that two machines say they are.
    Twins(Twins),
    /// To `Order::Image`: sha256 over what the image holds; nothing of a node that no image of ours was booted with.
    Image(Option<[u8; 32]>),
    /// To `Order::Unknown`, of a host that machines without a number have their link to; at most
    /// [`UNKNOWN_MAX`].
    Unknown(Vec<UnknownMachine>),
    /// To `Order::Ping`, of a host that is not where a site's table has it.
    Misplaced(Misplaced),
    /// To `Order::Push`.
    Pushed(Pushed),
    /// To `Order::Stored`.
    Stored(Stored),
    /// To `Order::Port`: how the link's ends on this host are now.
    NetworkPorts(NetworkPorts),
}

/// What was put in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pushed {
    /// How many files, folders and links.
    pub entries: u64,
    /// The bytes of the files.
    pub bytes: u64,
}

/// What a host keeps of parcels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stored {
    /// The bytes of the chunks that it keeps.
    pub used_bytes: u64,
    /// Most that it keeps.
    pub budget_bytes: u64,
    /// How many chunks.
    pub chunks: u64,
    /// Bytes of chunks that it has fetched since it started.
    pub fetched_bytes: u64,
    /// Bytes of chunks that it has given to others.
    pub given_bytes: u64,
}

impl Reply {
    /// About how many bytes it takes in a message, never less than it does.
    pub fn size(&self) -> usize {
        FIXED_BYTES
            + match self {
                Reply::Info(_)
                | Reply::Link(_)
                | Reply::Twins(_)
                | Reply::Image(_)
                | Reply::Misplaced(_)
                | Reply::Pushed(_)
                | Reply::Stored(_)
                | Reply::NetworkPorts(_) => 0,
                Reply::Usage(usage) => usage.each.len() * USAGE_BYTES,
                Reply::Ports(ports) => ports.ports.len() * PORT_BYTES,
                Reply::Piece(piece) => piece.bytes.len(),
                Reply::Unknown(machines) => machines.len() * UNKNOWN_BYTES,
            }
    }

    /// Whether it is as long as it may be: its neighbours' answers share a message with it.
    pub fn fits(&self) -> bool {
        match self {
            Reply::Info(_)
            | Reply::Twins(_)
            | Reply::Image(_)
            | Reply::Misplaced(_)
            | Reply::Pushed(_)
            | Reply::Stored(_) => true,
            Reply::Link(link) => link.is_valid(),
            Reply::NetworkPorts(ends) => {
                let fits = |end: &NetworkPort| end.name.len() <= NODE_NAME_MAX_BYTES && end.there.is_valid();
                ends.ports.len() <= 2 && ends.ports.iter().all(fits)
            }
            Reply::Usage(usage) => usage.each.len() <= USAGE_EACH_MAX,
            Reply::Ports(ports) => ports.ports.len() <= PORTS_MAX,
            Reply::Piece(piece) => piece.bytes.len() <= OUTPUT_MAX_BYTES as usize,
            Reply::Unknown(machines) => machines.len() <= UNKNOWN_MAX,
        }
    }
}
