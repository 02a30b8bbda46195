//! The host in the control tree: its links, its state machine's actions carried out, and what it says of itself.
//!
//! `driver` owns the tree's state machine, all open links and what runs for the operator; `run` starts it and hands
//! it what happens. `connection` is a link, `secure` how one to another machine begins, `inbound` what links say
//! (`rate`: how fast), `parent` looks for one, `unknown` waits for a number where the plan has none, `resolver` names
//! nodes to programs of the host, `host_order` and `info` carry orders out.

pub mod connection;
mod driver;
pub mod host_order;
pub mod inbound;
pub mod info;
pub mod options;
pub mod parent;
mod rate;
mod resolver;
pub mod run;
mod secure;
mod toll;
mod unknown;

#[cfg(test)]
mod far_tests;
