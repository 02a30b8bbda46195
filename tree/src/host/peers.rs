//! The links of a host: who is at the other end, and what it reported.

pub use crate::id::LinkId;
use crate::unreachable::{LinkEnd, Peer};
use crate::wire::message::{Report, Who};
use vmatic_plan::{Node, NodeSet};

/// Where a link leads, as far as the driver knows before anything is said on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To the parent: we opened it.
    Above,
    /// To whoever connected to us.
    Below,
    /// To the leaf of our own guest, over its monitor's control channel.
    Guest(u32),
}

/// How often something is said on a link to a host.
pub const HOST_HEARTBEAT_MS: u64 = 1_000;
/// How long a host may be silent. Ten misses, not three: a machine that boots a hundred guests stalls.
pub const HOST_SILENCE_MS: u64 = 10_000;
/// How often something is said on a link to a guest: each time wakes it.
pub const GUEST_HEARTBEAT_MS: u64 = 5_000;
/// How long a guest may be silent.
pub const GUEST_SILENCE_MS: u64 = 60_000;
/// How long a console may be silent while nothing runs for it.
pub const CONSOLE_SILENCE_MS: u64 = 600_000;
/// How long a new link may take to say who it is.
pub const HELLO_MS: u64 = 10_000;

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub side: Side,
    /// Who it is, once it has said so and was accepted.
    pub who: Option<Who>,
    pub boot: [u8; 16],
    /// What is up and down behind it.
    pub report: Report,
    pub heard_ms: u64,
    /// Whether it leads to a guest that is held: it may be silent.
    pub paused: bool,
    pub said_ms: u64,
}

impl Link {
    pub fn new(side: Side, now_ms: u64) -> Self {
        Link {
            side,
            who: None,
            boot: [0; 16],
            report: Report::default(),
            heard_ms: now_ms,
            paused: false,
            said_ms: now_ms,
        }
    }

    /// Whether this is a parent that has welcomed us.
    pub fn is_parent(&self) -> bool {
        self.side == Side::Above && self.who.is_some()
    }

    /// The nodes that commands reach over this link, of `host`'s subtree.
    pub fn reach(&self, host: u32) -> NodeSet {
        match (self.side, self.who) {
            (Side::Below, Some(Who::Host(_))) => self.report.up.clone(),
            (Side::Guest(_), Some(Who::Guest(guest))) => NodeSet::one(Node::guest(host, guest)),
            _ => NodeSet::new(),
        }
    }

    /// Heartbeat and longest silence.
    fn pace(&self) -> (u64, u64) {
        match (self.side, self.who) {
            (Side::Guest(_), None) => (u64::MAX, u64::MAX),
            (Side::Guest(_), Some(_)) => (GUEST_HEARTBEAT_MS, GUEST_SILENCE_MS),
            (Side::Below, Some(Who::Console)) => (u64::MAX, CONSOLE_SILENCE_MS),
            (_, Some(_)) => (HOST_HEARTBEAT_MS, HOST_SILENCE_MS),
            (_, None) => (u64::MAX, HELLO_MS),
        }
    }

    /// Whether it is time to say something.
    pub fn heartbeat_due(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.said_ms) >= self.pace().0
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        match (self.side, self.who) {
            (Side::Above, Some(Who::Host(host))) => Peer::Parent(Some(host)),
            (Side::Above, _) => Peer::Parent(None),
            (Side::Guest(guest), _) => Peer::Guest(guest),
            (_, Some(Who::Host(host))) => Peer::Host(host),
            (_, Some(Who::Console)) => Peer::Console,
            _ => Peer::Unknown,
        }
    }

    /// How the link ended, if it counts as dead.
    pub fn dead(&self, now_ms: u64) -> Option<LinkEnd> {
        if self.paused || now_ms.saturating_sub(self.heard_ms) < self.pace().1 {
            return None;
        }
        Some(if self.who.is_none() { LinkEnd::NoHello } else { LinkEnd::Silent })
    }
}
