//! The words that nodes say to each other.
//!
//! One enum for all links, so that a frame can be read before it is known who
//! sent it. Encoded with postcard (<https://postcard.jamesmunns.com/wire-format>).
//!
//! Versions that are one step apart understand each other, so that a cluster can be upgraded host by host. So a new
//! [`VERSION`] appends kinds of messages and orders at the end of their lists, and nothing else: everybody skips a
//! message of a kind that it does not know, and answers an order so. A value inside of a known message, a state in a
//! report, is not understood: it comes with a new kind of message, and the old kind stays for one version more.

use crate::answer::Group;
use crate::bytes;
use crate::guest::GuestState;
use crate::id::OpId;
use crate::misplaced::{MISPLACED_MAX, Misplaced};
use crate::parcel::{ParcelId, Part};
use crate::refusal::Refusal;
use crate::session::{SessionInput, SessionOutput};
use crate::stream::{WRITTEN_MAX, Written};
use crate::twins::{TWINS_MAX, Twins};
use crate::unknown::{SeenMachine, UNKNOWN_MAX, UnknownMachine};
use crate::wire::guest_ports::GuestPorts;
use crate::wire::order::Order;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use serde::{Deserialize, Serialize};
use vmatic_plan::{GuestId, HostId, Mac, Node, NodeSet};

/// The protocol's version.
pub const VERSION: u16 = 8;
/// By how much versions may differ that understand each other.
pub const VERSION_STEPS_MAX: u16 = 1;
/// The oldest that follows this rule.
pub const VERSION_MIN: u16 = 7;
/// The first whose links between machines are encrypted (`crate::link`).
pub const ENCRYPTED_FROM: u16 = 8;
/// How many kinds of messages this version knows.
pub const KINDS: u8 = 33;
/// Most bytes of a hello: nobody has said more who has not yet said who it is.
pub const HELLO_MAX_BYTES: usize = 64;
/// Most states in a report, the one for those that were left out among them.
pub const STATES_MAX: usize = 17;
/// Most hosts from the root to a host: what is longer is a circle.
pub const PATH_MAX: usize = 64;
/// Most hosts that a full one names, and that are heard of at a time.
pub const OTHERS_MAX: usize = 8;
/// Most groups in a message of answers: as many of the least size as a batch takes.
pub const GROUPS_MAX: usize = 2048;
/// The vsock port on which a host hears its guests.
pub const GUEST_PORT: u32 = vmatic_plan::defaults::PORT as u32;

/// Whether nodes of this version understand those of another.
pub const fn understands(version: u16) -> bool {
    version.abs_diff(VERSION) <= VERSION_STEPS_MAX && version >= VERSION_MIN
}

/// Who opened a link, as it says of itself; the other end checks it against the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRole {
    /// A host that joins below.
    Host(HostId),
    /// The agent of one of the host's own guests.
    Guest(GuestId),
    /// An operator's console.
    Console,
    /// A machine that has no number, and may get one: [`Message::Unknown`] follows the welcome. Older versions do not
    /// understand this hello, and close the link.
    Unknown,
    /// A host that takes parcels here, as its parent told it to. From version 8.
    Sibling(HostId),
}

/// Who a clone is to be; until it knows, it has its template's memory and nothing of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its place in the plan.
    pub node: Node,
    /// Its host name, as the plan spells it: at most 63 bytes.
    pub name: String,
    /// Its network card's address.
    pub mac: Mac,
    /// Its IPv4 address, netmask and router.
    pub ipv4: Option<(Ipv4Addr, Ipv4Addr, Option<Ipv4Addr>)>,
    /// Its IPv6 address, prefix length and router.
    pub ipv6: Option<(Ipv6Addr, u8, Option<Ipv6Addr>)>,
    /// The time when this was sent, in nanoseconds since 1970; a clone that wakes slowly asks again
    /// ([`Message::AskTime`]).
    pub unix_ns: u64,
    /// Random bytes for its kernel: its template's generator is every clone's.
    pub entropy: [u8; 32],
}

/// Which nodes of a subtree are up, and why the others are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Nodes that a command reaches.
    pub up: NodeSet,
    /// Guests known to be down, folded by their state: at most [`STATES_MAX`].
    #[serde(deserialize_with = "bytes::at_most::<STATES_MAX, _, _>")]
    pub down: Vec<(GuestState, NodeSet)>,
    /// Machines that say they are hosts of the subtree, beside those: at most [`TWINS_MAX`].
    #[serde(deserialize_with = "bytes::at_most::<TWINS_MAX, _, _>")]
    pub twins: Vec<Twins>,
}

/// Everything that can be said on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// First on every link, from the side that opened it.
    Hello {
        /// See [`VERSION`].
        version: u16,
        /// What the opener says it is.
        who: PeerRole,
        /// Drawn at random at each boot: tells a reboot from a second machine with the same number.
        boot: [u8; 16],
    },
    /// The host's answer to a hello that it accepts.
    Welcome {
        /// The number of the host that accepts.
        host: HostId,
        /// The plan's text, so that a console needs no file.
        plan: String,
        /// The hosts from the root to the one that accepts, at most [`PATH_MAX`]: nobody joins below himself.
        #[serde(deserialize_with = "bytes::at_most::<PATH_MAX, _, _>")]
        path: Vec<HostId>,
    },
    /// The host's answer to one that it does not accept; the link closes.
    Refuse(Refusal),
    /// Sent when there is nothing else to say: silence means death.
    Heartbeat,
    /// Upwards, when it changes.
    Report(Report),
    /// A signed command on its way.
    Command {
        /// Signature and command, as the operator made them ([`crate::auth::command`]).
        #[serde(with = "bytes")]
        signed: Vec<u8>,
        /// The nodes that the receiver answers for.
        asked: NodeSet,
        /// Milliseconds that the sender waits for the answers.
        remaining_ms: u32,
    },
    /// Host to guest: an order that the host has verified.
    Task {
        /// The operation that the guest's answer is for.
        op: OpId,
        /// The order, as its host verified it.
        order: Order,
        /// Milliseconds that the host waits for the answer.
        remaining_ms: u32,
    },
    /// Host to guest: what the operator says in an open session, which the host has verified.
    SessionInput {
        /// The operation that opened the session.
        op: OpId,
        /// Input, within the session's window, or a new size of the terminal.
        feed: SessionInput,
    },
    /// Upwards: what a node says in an open session.
    SessionOutput {
        /// The operation that opened the session.
        op: OpId,
        /// Output, within the session's window, or a sign of life.
        said: SessionOutput,
    },
    /// Downwards: nobody waits for this operation any more.
    Cancel(OpId),
    /// Upwards: what some of the asked nodes answered.
    Answers {
        /// The operation that they belong to.
        op: OpId,
        /// The answers, folded; each node that was asked is in at most one. At most [`GROUPS_MAX`].
        #[serde(deserialize_with = "bytes::at_most::<GROUPS_MAX, _, _>")]
        groups: Vec<Group>,
    },
    /// A template's guest agent, to the process that will freeze it: it waits for an identity.
    Ready {
        /// See [`VERSION`].
        version: u16,
    },
    /// Host to clone, before anything else.
    Become(Identity),
    /// Guest to host: what time is it?
    AskTime,
    /// Host to guest: the answer.
    Time {
        /// When it was sent, in nanoseconds since 1970.
        unix_ns: u64,
    },
    /// Downwards, from a host to its children, when it changes: the path of [`Message::Welcome`].
    Path(#[serde(deserialize_with = "bytes::at_most::<PATH_MAX, _, _>")] Vec<HostId>),
    /// Between hosts both ways, and from a console: the newest signed list of certificates that count no more, when
    /// they meet and when it changes (`auth::revocation`). From version 8.
    Revocations(#[serde(with = "bytes")] Vec<u8>),
    /// First on a link, instead of a hello, from a host that looks for a parent or for other trees: where are you? From
    /// version 8 on; the hello follows where the answer is a good one.
    Seek {
        /// See [`VERSION`].
        version: u16,
        /// The number of the host that asks.
        host: HostId,
        /// The root of the part that it is in, itself if it has no parent.
        root: HostId,
    },
    /// The answer to that.
    Here {
        /// The hosts from the root to the one that answers, at most [`PATH_MAX`].
        #[serde(deserialize_with = "bytes::at_most::<PATH_MAX, _, _>")]
        path: Vec<HostId>,
        /// Whether it has room for the one that asks, which is to say hello then.
        room: bool,
        /// Some of its children, who may have room; at most [`OTHERS_MAX`].
        #[serde(deserialize_with = "bytes::at_most::<OTHERS_MAX, _, _>")]
        others: Vec<HostId>,
    },
    /// Upwards, to the root: these hosts were heard of, the root of another part, and one of it. At most
    /// [`OTHERS_MAX`].
    Heard(#[serde(deserialize_with = "bytes::at_most::<OTHERS_MAX, _, _>")] Vec<HostId>),
    /// Upwards: the links to these nodes broke while they were asked. They may come back elsewhere.
    Adrift {
        /// The operation that waits for them.
        op: OpId,
        /// Nodes that were asked of the sender, and have not answered.
        nodes: NodeSet,
        /// Whether the link fell silent, and did not end: then those behind it notice later, too.
        silent: bool,
    },
    /// Upwards, from a host that has a new parent, and passed on: what it was asked before.
    Owes {
        /// The operation that it has a part in.
        op: OpId,
        /// The nodes that it answers for, those that have answered among them: their answers come again.
        nodes: NodeSet,
        /// Milliseconds until it gives up by itself.
        remaining_ms: u32,
    },
    /// Upwards, like [`Message::Command`], of one that went up before to a parent that is gone.
    Resume {
        /// Signature and command, as the operator made them.
        #[serde(with = "bytes")]
        signed: Vec<u8>,
        /// The nodes whose answers have not come.
        asked: NodeSet,
        /// Milliseconds that the sender waits for them.
        remaining_ms: u32,
    },
    /// Host to guest: the guest's ports in a network. To a clone it comes before [`Message::Become`].
    Ports(GuestPorts),
    /// From a machine without a number, after its welcome and whenever it changes: what is seen of it.
    Unknown(UnknownMachine),
    /// Upwards, when it changes: the machines without a number in this part of the tree. At most [`UNKNOWN_MAX`].
    Unknowns(#[serde(deserialize_with = "bytes::at_most::<UNKNOWN_MAX, _, _>")] Vec<SeenMachine>),
    /// Upwards, when it changes: hosts of a site's table that are elsewhere. At most [`MISPLACED_MAX`].
    Misplaced(#[serde(deserialize_with = "bytes::at_most::<MISPLACED_MAX, _, _>")] Vec<Misplaced>),
    /// To whoever may have it: give me this part of a parcel ([`crate::parcel`]). From version 8.
    Ask {
        /// The parcel.
        parcel: ParcelId,
        /// Which part of it.
        part: Part,
    },
    /// The answer to that, now or when it has come.
    Give {
        /// The parcel.
        parcel: ParcelId,
        /// Which part of it.
        part: Part,
        /// Its bytes, which whoever asked checks.
        #[serde(with = "bytes")]
        bytes: Vec<u8>,
    },
    /// The other answer: I have it not, and nobody whom I could ask.
    Lacks {
        /// The parcel.
        parcel: ParcelId,
        /// Which part of it.
        part: Part,
    },
    /// Downwards: take this parcel from a sibling, or from one below it, or from me.
    Sibling {
        /// The parcel.
        parcel: ParcelId,
        /// The sibling, or who is below it; none for who says it.
        host: Option<HostId>,
    },
    /// Downwards: like [`Message::Command`], for nodes of which it is not known whether they were asked before. Who was
    /// gives the same answer; a host that has booted since the command was given does not obey.
    Again {
        /// Signature and command, as the operator made them.
        #[serde(with = "bytes")]
        signed: Vec<u8>,
        /// The nodes that the receiver answers for.
        asked: NodeSet,
        /// Milliseconds that the sender waits for the answers.
        remaining_ms: u32,
    },
    /// Upwards: what programs write while they run ([`crate::stream`]). From version 8.
    Written {
        /// The operation that they belong to.
        op: OpId,
        /// Pieces, those of a node in their order. At most [`WRITTEN_MAX`].
        #[serde(deserialize_with = "bytes::at_most::<WRITTEN_MAX, _, _>")]
        pieces: Vec<Written>,
    },
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
