//! The operator's terminal: messages, results, interrupts, suggestions.
//!
//! * [`say`]: messages on standard error. [`interrupt`]: Ctrl-C and SIGTERM as a flag.
//! * [`suggest`]: the known word nearest to a misspelt one.
//!
//! State: one flag of the process, set by signals and owned by [`interrupt`].

pub mod interrupt;
pub mod say;
pub mod suggest;
