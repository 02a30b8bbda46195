//! The console: attaches to the tree at any host, signs commands, gathers the answers.
//!
//! * [`place`]: where the clusters that run here are, and which one is meant.
//! * [`link`]: one connection. [`ask`]: one operation from command to count.
//! * [`order`]: what a host's agent is told to do.
//! * [`print`]: answers as people and programs read them.

pub mod ask;
pub mod link;
pub mod order;
pub mod place;
pub mod print;
