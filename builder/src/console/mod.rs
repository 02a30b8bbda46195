//! The console: attaches to the tree at any host, signs commands, gathers the answers.
//!
//! * [`place`]: where the clusters that run here are, and which one is meant.
//! * [`link`]: one connection. [`ask`]: one operation from command to count.
//! * [`order`]: what a host's agent is told to do.
//! * [`session`]: a terminal on a node; [`terminal`]: the operator's own; [`escape`]: `~.` and its like.
//! * [`print`]: answers as people and programs read them.

pub mod ask;
pub mod escape;
pub mod link;
pub mod order;
pub mod place;
pub mod print;
pub mod session;
pub mod terminal;
