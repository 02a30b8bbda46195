//! The host in the control tree: its links, its state machine's actions carried out, and what it says of itself.
//!
//! `driver` owns the tree's state machine, all open links and what runs for the operator; `run` starts it and hands it
//! what happens. `link` is what a link is made of, `parent` looks for one, `unknown` waits for a number where the plan
//! has none, `resolver` names nodes to programs of the host, `host_order` and `info` carry orders out.

mod driver;
pub mod host_order;
pub mod info;
pub mod link;
pub mod options;
pub mod parent;
mod resolver;
pub mod run;
mod unknown;
