//! The console: attaches to the tree at any host, signs commands, gathers the answers.
//!
//! * [`cluster`]: where the clusters that run here are, and which one is meant.
//! * [`identity`]: with which key and certificate an operator commands it.
//! * [`connection`]: one connection; [`known`]: whom it leads to. [`operation`]: one operation from command to count.
//! * [`session`]: a terminal on a node; [`terminal`]: the operator's own; [`escape`]: `~.` and its like.
//! * [`report`]: answers as people and programs read them. [`numbers`]: reduced, where they are numbers.
//!   [`stream`]: outputs while programs run. [`outputs`]: as files.
//! * [`shipment`]: files for nodes. [`extract`]: files from nodes.

pub mod cluster;
pub mod connection;
pub mod escape;
pub mod extract;
pub mod identity;
pub mod known;
pub mod numbers;
pub mod operation;
pub mod outputs;
pub mod report;
pub mod session;
pub mod shipment;
pub mod stream;
pub mod table;
pub mod terminal;
