//! The part of a `[network]` that lies on this host: cables between cards of guests, segments, computed routers.
//!
//! * `ports`: who is there and whom each port leads to, by law. `impairment`: what links do to frames; `lateness`: how
//!   true they were.
//! * `segment`, `router`, `ways`: what segments and routers do with a frame, and where routers send it.
//! * `fabric`: all of them together, and what is under way; `arrival`: what happens where a frame arrives.
//! * `control`: what the operator changes. `driver`, `searcher`, `overlay`: the fabric in its process, a thread that
//!   searches for ways, and cables to other hosts.
//!
//! The fabric owns all state; it does no I/O and knows no clock. A frame here begins with the number of a guest's card,
//! behind that is a frame as the rest of the switch has it.

mod arrival;
mod control;
mod driver;
pub mod fabric;
mod impairment;
mod lateness;
mod overlay;
mod ports;
pub mod router;
mod searcher;
mod segment;
mod ways;

pub use driver::Driver;
pub use fabric::{CARD_BYTES, Outlets};
pub use overlay::Overlay;
