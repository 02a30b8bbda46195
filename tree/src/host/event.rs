//! What a host is told, and what it wants done: the whole surface between the state machine and whoever drives it.

use crate::answer::{Outcome, Output};
use crate::guest::GuestState;
use crate::id::{LinkId, OpId};
use crate::session::{SessionInput, SessionOutput};
use crate::stream::Written;
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use vmatic_plan::{GuestId, HostId, RangeSet};

/// In which direction of the tree a link leads, as far as the driver knows before anything is said on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the parent: we opened it.
    Parent,
    /// To whoever connected to us.
    Child,
    /// To the agent of our own guest, over its monitor's control channel.
    Guest(GuestId),
    /// To a sibling, of whom we take parcels: we opened it.
    Sibling,
}

/// Whom a host calls: where that is, the driver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Who is at this one of the addresses that the operator gave.
    Given(u16),
    /// This host, where the plan has it.
    Host(HostId),
    /// The same, as a sibling of whom to take parcels.
    Sibling(HostId),
}

/// Why nobody took a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// It is not known where the host is: nobody was called.
    Unplaced,
    /// A machine is there, and takes no calls: what ran there has ended.
    Refused,
    /// Nothing came back in a few seconds: the machine is off, or out of reach.
    Silent,
}

/// What a host is told.
#[derive(Debug)]
pub enum Event {
    /// A stream to a neighbour is open, in either direction; nothing has been said on it.
    Opened {
        /// The number that the driver gives it, never used before.
        link: LinkId,
        /// Whether we opened it to our parent, or who else did.
        side: Direction,
        /// The address at its other end, if somebody on a network opened it.
        from: Option<IpAddr>,
    },
    /// What became of a call: the answer to [`Action::Call`].
    Called {
        /// Who was called.
        target: Target,
        /// The link that it became, with a number never used before; or why there is none.
        link: Result<LinkId, CallError>,
    },
    /// A whole message arrived; what it may say on its link is checked by the host.
    Received {
        /// The open link that it came on.
        link: LinkId,
        /// As it was decoded: nothing in it is believed yet.
        message: Message,
    },
    /// A link closed at the other end, or broke.
    Closed {
        /// The link, which is not named again.
        link: LinkId,
    },
    /// A task of this host ended: the answer to [`Action::Start`].
    Finished {
        /// The operation that it was started for.
        op: OpId,
        /// How it ended: the answer of each node that it was started for.
        outcome: Outcome,
        /// What its process wrote, at most [`OUTPUT_MAX_BYTES`](crate::answer::OUTPUT_MAX_BYTES) a stream.
        output: Output,
    },
    /// A console session of this host says something.
    SessionOutput {
        /// The operation that opened the session.
        op: OpId,
        /// Output, within the session's window, or a sign of life.
        said: SessionOutput,
    },
    /// A task of this host, which was to stream, has written something, or its outputs end.
    Written {
        /// The operation that it was started for.
        op: OpId,
        /// A piece, as it is sent; those of a task in their order, before its end.
        written: Written,
    },
    /// A guest's state, as this host's launcher sees it. `Up` lets a paused guest go on: whether its agent answers,
    /// its link says. A paused guest is silent, and not lost. `Unmanaged` is one that is up and has no agent.
    Guest {
        /// The guest's number on this host.
        guest: GuestId,
        /// Its new state; the same one twice does no harm.
        state: GuestState,
    },
    /// Nothing happened but time: due when [`Host::wake_ms`](super::Host::wake_ms) says so.
    Tick,
}

/// What a host wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Queue a message to a neighbour; a link on which that fails is closed, and said to be ([`Event::Closed`]).
    Send {
        /// An open link.
        link: LinkId,
        /// What is to be encoded and sent whole.
        message: Message,
    },
    /// Open a stream to a host, and say what became of it ([`Event::Called`]).
    Call {
        /// Whom to call.
        target: Target,
    },
    /// Send the time on this link, as it is when that is done ([`Message::Time`]).
    TellTime {
        /// An open link, to a guest.
        link: LinkId,
    },
    /// Close the link once what was sent before has left.
    Close {
        /// A link that the host has forgotten already.
        link: LinkId,
    },
    /// Carry out an order on this host, and say [`Event::Finished`].
    Start {
        /// The operation that waits for it.
        op: OpId,
        /// The guests that it is about; none if it is about the host.
        guests: RangeSet,
        /// The order, verified.
        order: Order,
        /// Milliseconds from now until it is to be ended; an answer after that comes too late.
        remaining_ms: u32,
    },
    /// The same with the parcel that it needs: all its chunks, in their order, which are as the operator signed.
    StartWith {
        /// The operation that waits for it.
        op: OpId,
        /// The order, verified: one that is about the host.
        order: Order,
        /// The archive ([`crate::parcel::archive`]).
        chunks: Vec<Arc<Vec<u8>>>,
        /// Milliseconds from now until it is to be ended.
        remaining_ms: u32,
    },
    /// Hand this to the session of this operation.
    SessionInput {
        /// The operation that opened the session, still running here.
        op: OpId,
        /// What the operator says, within the session's window.
        feed: SessionInput,
    },
    /// End the task of this operation; nobody waits for it.
    Stop {
        /// The operation; one that has ended does no harm.
        op: OpId,
    },
    /// For the operator who reads the host's console.
    Note(String),
}

/// What a host wants done, as it gathers while one event is handled, and the event's time.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub now_ms: u64,
    actions: Vec<Action>,
}

impl Outbox {
    /// Adds an action behind those that are to be carried out before it.
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Adds a line for the operator.
    pub fn note(&mut self, text: String) {
        self.push(Action::Note(text));
    }

    /// Takes all actions out, in their order.
    pub fn take(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }
}
