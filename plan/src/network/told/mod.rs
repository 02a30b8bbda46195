//! What the hosts of a network are told of it: its text, which a plan names by its hash.
//!
//! * `text`: a draft as text, a law a line. `rows`: graphs of files in it. `planned`: a network, and the hash of its
//!   text, as a plan has it.

mod planned;
mod rows;
mod text;

pub use planned::PlannedNetwork;
pub use text::TEXT_MAX_BYTES;
