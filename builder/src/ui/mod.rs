//! The operator's terminal: messages, results, interrupts, suggestions.
//!
//! * [`say`]: messages on standard error. [`mod@print`]: results on standard output. [`size`]: sizes as text.
//! * [`interrupt`]: Ctrl-C and SIGTERM as a flag. [`escape`]: text of others, made safe to show.
//! * [`mod@base64`]: bytes as text. [`date`]: times as people write them.
//! * [`suggest`]: the known word nearest to a misspelt one.
//!
//! State: one flag of the process, set by signals and owned by [`interrupt`].

pub mod base64;
pub mod date;
pub mod escape;
pub mod interrupt;
pub mod print;
pub mod say;
pub mod size;
pub mod suggest;
