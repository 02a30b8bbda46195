//! What a host is told, and what it wants done: the whole surface between the
//! state machine in `host.rs` and whoever drives it.

use crate::answer::{Outcome, Output};
use crate::guest::GuestState;
use crate::host::peers::{LinkId, Side};
use crate::session::{Feed, Said};
use crate::wire::message::{Message, OpId, Order};
use alloc::string::String;
use vmatic_plan::RangeSet;

/// What a host is told.
#[derive(Debug)]
pub enum Event {
    /// A link opened.
    Opened {
        /// Its number.
        link: LinkId,
        /// Where it leads.
        side: Side,
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
    Said {
        /// Which session.
        op: OpId,
        /// What.
        said: Said,
    },
    /// A guest's state, as this host's launcher sees it. `Up` lets a paused guest go on: whether its agent answers,
    /// its link says. A paused guest is silent, and not lost. `Unmanaged` is one that is up and has no agent.
    Guest {
        /// The guest's number on this host.
        guest: u32,
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
    Feed {
        /// Which session.
        op: OpId,
        /// What the operator says.
        feed: Feed,
    },
    /// End the task of this operation; nobody waits for it.
    Stop {
        /// Which operation.
        op: OpId,
    },
    /// For the operator who reads the host's console.
    Note(String),
}
