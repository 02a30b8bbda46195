//! Verbs that look into an image or an output folder.

pub mod cat;
pub mod deps;
pub mod diff;
pub mod list;
pub mod size;
pub mod unpack;
pub mod why;
