//! The control tree: what nodes say to each other, and how a host behaves.
//!
//! Takes events (a link opened, a message came, a process ended, time passed);
//! gives actions (send, close, start, stop). No sockets, no clocks, no
//! processes: the agent drives this with tokio, the leaf uses its messages
//! with poll, tests drive it with time of their own making.
//!
//! * [`message`]: the words of the protocol, [`frame`]: how they travel.
//! * [`answer`]: what nodes answered, equal answers folded into node sets.
//! * [`command`]: what the operator signs; [`replay`]: each command once.
//! * [`session`]: an operator's terminal on a node.
//! * [`host`]: a host's state machine.
#![no_std]

extern crate alloc;

pub mod answer;
mod bytes;
#[cfg(feature = "host")]
pub mod command;
#[cfg(feature = "host")]
mod event;
pub mod frame;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "host")]
mod links;
pub mod message;
#[cfg(feature = "host")]
mod operation;
#[cfg(feature = "host")]
mod relay;
#[cfg(feature = "host")]
pub mod replay;
#[cfg(feature = "host")]
mod report;
pub mod session;
