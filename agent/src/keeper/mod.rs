//! The keeper: the process between process 1 and the node, that guests outlive their node by.
//!
//! It starts the node, starts it again when it has ended or hangs, and holds for each guest what must not end with
//! the node: descriptors (the guest's process, control stream, serial port, cable) and a note that only nodes
//! understand. It is the nearest subreaper, so what a node leaves behind becomes its child. It parses nothing of
//! guests, and its memory is bounded by the number of guests. When it ends itself, everything on the host ends and
//! starts anew.
//!
//! States: `store` owns what is held, `process` the node that runs and how long it has been silent. `protocol` is what
//! is said between the two, the same over versions; `client` the node's side. `program` owns which program nodes are
//! of, and `upgrade` brings another.

pub mod client;
pub mod process;
pub mod program;
mod protocol;
mod store;
pub mod upgrade;
