//! What a host is told, and what it wants done: the whole surface between the state machine and whoever drives it.

use crate::answer::{Outcome, Output};
use crate::guest::GuestState;
use crate::id::{LinkId, OpId};
use crate::session::{SessionInput, SessionOutput};
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::string::String;
use alloc::vec::Vec;
use vmatic_plan::{GuestId, RangeSet};

/// In which direction of the tree a link leads, as far as the driver knows before anything is said on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the parent: we opened it.
    Parent,
    /// To whoever connected to us.
    Child,
    /// To the agent of our own guest, over its monitor's control channel.
    Guest(GuestId),
}

/// What a host is told.
#[derive(Debug)]
pub enum Event {
    /// A link opened.
    Opened {
        /// Its number.
        link: LinkId,
        /// Where it leads.
        side: Direction,
    },
    /// A message came.
    Received {
        /// On which link.
        link: LinkId,
        /// What it says.
        message: Message,
    },
    /// A link closed at the other end, or broke.
    Closed {
        /// Which.
        link: LinkId,
    },
    /// A task of this host ended.
    Finished {
        /// Which operation.
        op: OpId,
        /// How it ended.
        outcome: Outcome,
        /// What it wrote.
        output: Output,
    },
    /// A console session of this host says something.
    SessionOutput {
        /// Which session.
        op: OpId,
        /// What.
        said: SessionOutput,
    },
    /// A guest's state, as this host's launcher sees it. `Up` lets a paused guest go on: whether its agent answers,
    /// its link says. A paused guest is silent, and not lost. `Unmanaged` is one that is up and has no agent.
    Guest {
        /// The guest's number on this host.
        guest: GuestId,
        /// What it is doing.
        state: GuestState,
    },
    /// Time has passed.
    Tick,
}

/// What a host wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        message: Message,
    },
    /// Close the link once what was sent before has left.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Carry out an order on this host, and say [`Event::Finished`].
    Start {
        /// Which operation.
        op: OpId,
        /// The guests that it is about; none if it is about the host.
        guests: RangeSet,
        /// What to do.
        order: Order,
        /// When to end it.
        remaining_ms: u32,
    },
    /// Hand this to the session of this operation.
    SessionInput {
        /// Which session.
        op: OpId,
        /// What the operator says.
        feed: SessionInput,
    },
    /// End the task of this operation; nobody waits for it.
    Stop {
        /// Which operation.
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
    /// Adds an action.
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Adds a line for the operator.
    pub fn note(&mut self, text: String) {
        self.push(Action::Note(text));
    }

    /// Takes everything out.
    pub fn take(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }
}
