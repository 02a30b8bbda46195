//! The host in the control tree: its links, its state machine's actions carried out, and what it says of itself.
//!
//! `run` owns the tree's state machine and all open links.

pub mod connection;
pub mod host_order;
pub mod info;
pub mod options;
pub mod parent;
pub mod run;
