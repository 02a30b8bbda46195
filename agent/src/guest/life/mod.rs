//! The life of one guest: its states, and the task that leads it through them.
//!
//! `lifecycle` is the state machine, pure; `times` has how long each part of a life may take; `driver` is the task that
//! alone holds a guest's `lifecycle::Life` and its process, and tells `guest::state` what others may know.

pub mod driver;
pub mod lifecycle;
pub mod times;
