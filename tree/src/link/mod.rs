//! A link between machines: who is at its other end, and what nobody between the two can read or change.
//!
//! Takes bytes and random numbers; gives bytes. No sockets, no clocks: the node drives it with tokio, the console with
//! poll, tests with bytes of their own.
//!
//! * `key`: what a machine draws to be known by;
//! * `handshake`: Noise XX, from the first byte to a channel;
//! * `channel`: records, which carry what is said;
//! * `error`: why a link ends.
//!
//! A guest's link to its host is none of these: it never leaves the machine.

mod channel;
mod error;
mod handshake;
mod key;

pub use channel::{Channel, FRAMES, RECORD_BODY_BYTES_MAX, Record};
pub use error::LinkError;
pub use handshake::{CALL_BYTES, Call, Handshake, Opened, REPLY_BYTES, Station, Step, is_call};
pub use key::{LinkKey, PeerKey};
