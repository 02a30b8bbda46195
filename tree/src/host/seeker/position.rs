//! What the seeker is told, where the host is, and what it wants done.

use crate::host::event::{CallError, Target};
use crate::id::LinkId;
use vmatic_plan::{HostId, Node, Plan};

/// Where the host is now, as whoever owns that tells the seeker.
pub struct Position<'a> {
    pub plan: &'a Plan,
    pub number: HostId,
    /// The hosts from the root to the parent; none if there is no parent.
    pub path: &'a [HostId],
    /// Whether somebody waits for what passes the parent.
    pub busy: bool,
    /// Hosts that are children.
    pub children: &'a dyn Fn(HostId) -> bool,
}

impl Position<'_> {
    pub(super) fn planned(&self) -> Option<HostId> {
        self.plan.parent(Node::host(self.number)).map(|parent| parent.host)
    }

    pub(super) fn ancestors(&self) -> impl Iterator<Item = HostId> {
        let above = |host: &HostId| self.plan.parent(Node::host(*host)).map(|parent| parent.host);
        core::iter::successors(self.planned(), above)
    }

    /// Whether it is below another than by the plan.
    pub(super) fn is_away(&self) -> bool {
        !self.path.is_empty() && self.path.last().copied() != self.planned()
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Call(Target),
    /// Ask to be taken in.
    Hello(LinkId),
    /// That link is of no more use.
    Drop(LinkId),
    /// Nobody was found: the host is the root of what it has.
    Settled,
}

/// What is said first on a link that was opened.
#[derive(Debug, PartialEq, Eq)]
pub enum FirstWord {
    /// Where are you?
    Seek,
    /// Take me in.
    Hello,
}

/// What came of a call that was to tell whether a host lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It took the call, and may have said who its root is.
    Alive(Option<HostId>),
    /// Nobody took it.
    Not(CallError),
}
