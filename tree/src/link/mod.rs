//! A link between machines: who is at its other end, and what nobody between the two can read or change.
//!
//! Takes bytes and random numbers; gives bytes. No sockets, no clocks: the node drives it with tokio, the console with
//! poll, tests with bytes of their own.
//!
//! * `key`: what a machine draws to be known by;
//! * `handshake`: Noise XX, from the first byte to a channel;
//! * `channel`: records, which carry what is said;
//! * `lane`: in which of four lanes a message goes; `outgoing`: what waits to be sent, and how much the other end has
//!   room for; `incoming`: what comes;
//! * `error`: why a link ends.
//!
//! A guest's link to its host is none of these: it never leaves the machine.

mod channel;
mod error;
mod handshake;
mod incoming;
mod key;
mod lane;
mod outgoing;

pub use channel::{Channel, RECORD_BODY_BYTES_MAX, Record};
pub use error::LinkError;
pub use handshake::{CALL_BYTES, Call, Handshake, Opened, REPLY_BYTES, Station, Step, is_call};
pub use incoming::{Came, Incoming, Released};
pub use key::{LinkKey, PeerKey};
pub use lane::{Credit, Lane};
pub use outgoing::{Outgoing, SHORT_BYTES_MAX, WINDOWS_BYTES};

#[cfg(test)]
mod lanes_tests;
