//! Verbs that command a running cluster through its tree.

pub mod capture;
pub mod console;
pub mod guests;
pub mod link;
pub mod nodes;
pub mod run;
