//! VMatic's own monitor as a backend: guests that boot cold, and clones of a template.
//!
//! `template` owns the process that clones are forked from.

pub mod clone;
pub mod process;
pub mod snapshot;
pub mod template;
pub mod working_set;
