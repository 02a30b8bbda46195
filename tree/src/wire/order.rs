//! What an operator wants of a node: the orders that commands carry, each with its limits.

use crate::bytes;
use crate::parcel::ParcelId;
use crate::session::{Console, SessionInput};
use crate::unknown::MachineId;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use vmatic_plan::network::Properties;
use vmatic_plan::{HostId, LinkProperties};

/// Most bytes of standard input that a command carries.
pub const INPUT_MAX_BYTES: usize = 512 * 1024;

/// What a process is to be, and what it is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Program and arguments; the program is looked up in PATH.
    pub argv: Vec<String>,
    /// Added to the node's own environment.
    pub env: Vec<(String, String)>,
    /// Working directory; empty means `/`.
    pub dir: String,
    /// Standard input, whole.
    #[serde(with = "bytes")]
    pub stdin: Vec<u8>,
    /// How much of each output stream is kept, at most [`OUTPUT_MAX_BYTES`](crate::answer::OUTPUT_MAX_BYTES).
    pub output_max_bytes: u32,
}

/// What the operator wants of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Say whether the tree can reach it; answered from what the tree knows.
    Ping,
    /// Say how it is ([`NodeInfo`](crate::info::NodeInfo)).
    Info,
    /// Run a program to its end.
    Run(Run),
    /// Do this to guests. Their host does it and answers for them.
    Guests(GuestAction),
    /// Set or show guests' links. Their host does it and answers for them.
    Link(LinkOrder),
    /// Capture what passes one guest's link, or, of a host, what its guests send elsewhere: one piece.
    Capture(CaptureOrder),
    /// Measure what a host's guests take of its memory.
    Usage {
        /// Of each guest by itself, too.
        each: bool,
    },
    /// Give a piece of a snapshot of a host's template.
    Save {
        /// The first byte of the piece. At 0 the snapshot is made; a piece behind the end is empty, and the last.
        from: u64,
    },
    /// Open a session with a program on one node ([`crate::session`]).
    Console(Console),
    /// Open a session with one guest's serial port. Its host does it.
    Serial(Serial),
    /// What the operator says in an open session.
    SessionInput(SessionInput),
    /// Say which image it booted ([`IMAGE`](vmatic_plan::host_image::IMAGE)).
    Image,
    /// Hold these certificates for revoked: a signed list (`auth::revocation`). Only the cluster's key gives it; hosts
    /// carry it out, each for itself.
    Revoke(#[serde(with = "bytes")] Vec<u8>),
    /// Say which machines have their link here and no number; answered from what the tree knows.
    Unknown,
    /// Make a machine without a number a host, as long as it is not booted anew. Asked of the one host that has the
    /// machine's link.
    Adopt {
        /// The machine.
        machine: MachineId,
        /// The host that it is to be.
        host: HostId,
    },
    /// Put a parcel's files in their place.
    Push(Push),
    /// Give a piece of a file or a folder.
    Pull(Pull),
    /// Run a program that comes with all that it needs.
    Bundle(Bundle),
    /// Say what is kept of parcels ([`Stored`](crate::reply::Stored)). Hosts carry it out, each for itself.
    Stored,
    /// Run a program to its end, and send what it writes while it runs ([`crate::stream`]): all of it, whatever
    /// [`Run::output_max_bytes`] says.
    Stream(Run),
    /// Change or show a link of the network. Hosts do what is theirs of it: those of its two ends.
    Port(PortOrder),
}

/// What is wanted of a link of the plan's network, by one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortOrder {
    /// The node's number in the network.
    pub node: u32,
    /// Its port, from 1.
    pub port: u32,
    /// What is wanted.
    pub action: PortAction,
}

/// What can be done with a link of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortAction {
    /// Give how each end on the host is ([`NetworkPorts`](crate::traffic::NetworkPorts)).
    Show,
    /// Cables carry frames, or none, whatever the plan has them at first; cards see it.
    Up(bool),
    /// What the link does to frames from the port, and to it, until the host boots anew.
    Set(Properties, Properties),
}

impl Order {
    /// Whether a guest's host carries it out and answers for it, be the guest up or down.
    pub fn is_for_guests_host(&self) -> bool {
        matches!(self, Order::Guests(_) | Order::Serial(_) | Order::Link(_) | Order::Capture(_))
    }

    /// The parcel that is needed to carry it out.
    pub fn parcel(&self) -> Option<ParcelId> {
        match self {
            Order::Push(push) => Some(push.parcel),
            Order::Bundle(bundle) => Some(bundle.parcel),
            _ => None,
        }
    }
}

/// How a session with a serial port begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial {
    /// Go on with what is said from now on, after what the host has kept.
    pub follow: bool,
}

/// What can be done to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestAction {
    /// Run it, if it was stopped or paused.
    Start,
    /// End it, and do not start it again.
    Stop,
    /// Hold its processor; its memory stays.
    Pause,
    /// Let its processor go on.
    Resume,
    /// End it and start it anew.
    Restart,
    /// Start it held, if it was stopped: it has its memory, and runs when it is resumed.
    StartPaused,
}

/// What is wanted of guests' links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkOrder {
    /// Shape them like this from now on, until the host boots anew.
    Set(LinkProperties),
    /// Give properties and counters ([`Ports`](crate::traffic::Ports)).
    Show,
}

/// What is wanted of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureOrder {
    /// A number drawn at random: pieces of one number are one capture. It begins with the first piece.
    pub id: u64,
    /// How long frames are gathered for this piece, in milliseconds.
    pub gather_ms: u32,
    /// Most bytes of the piece, at most [`OUTPUT_MAX_BYTES`](crate::answer::OUTPUT_MAX_BYTES).
    pub bytes_max: u32,
}

/// Files for a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// What they come in.
    pub parcel: ParcelId,
    /// What the parcel's one file or folder is called on the node, from the root on.
    pub path: String,
}

/// A piece of what is to be fetched from a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// A number drawn at random: pieces of one number are one archive ([`crate::parcel::archive`]). It begins with the
    /// piece at 0.
    pub id: u64,
    /// The file or folder, from the root on.
    pub path: String,
    /// The first byte of the piece: that behind the last piece, or the last piece's again. A piece behind the end is
    /// empty, and the last.
    pub from: u64,
    /// Most bytes of the piece, at most [`OUTPUT_MAX_BYTES`](crate::answer::OUTPUT_MAX_BYTES).
    pub bytes_max: u32,
}

/// A program with all that it needs, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Its files, which are there for it alone and hide those of the node's that are called the same.
    pub parcel: ParcelId,
    /// How it is run.
    pub run: Run,
    /// Most memory of all its processes and files, in MiB.
    pub memory_mib: Option<u32>,
    /// Most processes and threads.
    pub processes: Option<u32>,
    /// The user and group that it is.
    pub user: Option<u32>,
}
