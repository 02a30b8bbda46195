//! The control tree: what nodes say to each other, and how a host behaves.
//!
//! Takes events (a link opened, a message came, a process ended, time passed);
//! gives actions (send, close, start, stop). No sockets, no clocks, no
//! processes: the agent drives this with tokio, the guest agent uses its messages
//! with poll, tests drive it with time of their own making.
//!
//! Rooms, from the lowest: [`id`], [`text`] and the values that answers carry ([`guest`], [`info`], [`traffic`],
//! [`twins`], [`unknown`], [`misplaced`], [`reply`], [`mod@unreachable`], [`refusal`], folded by [`answer`]),
//! [`session`] (an operator's terminal on a node), [`stream`] (what programs write, while they run), [`parcel`] (files
//! for nodes); [`wire`], what is said on a link; `link`, what carries it between machines; `auth`, whose commands are
//! obeyed; `host`, a host's state machine. The only state is `host`'s, which says who owns which part of it, and what
//! `link` has of one link.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod answer;
#[cfg(feature = "host")]
pub mod auth;
mod bytes;
#[cfg(all(any(test, fuzzing), feature = "host"))]
#[path = "../../fuzz/targets/tree/mod.rs"]
pub mod fuzz;
pub mod guest;
#[cfg(feature = "host")]
pub mod host;
pub mod id;
pub mod info;
#[cfg(feature = "host")]
pub mod link;
pub mod misplaced;
pub mod parcel;
pub mod refusal;
pub mod reply;
pub mod session;
#[cfg(all(any(test, feature = "sim"), feature = "host"))]
pub mod sim;
pub mod stream;
pub mod text;
pub mod traffic;
pub mod twins;
pub mod unknown;
pub mod unreachable;
pub mod wire;
