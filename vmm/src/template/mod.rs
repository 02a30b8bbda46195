//! Templates: a guest that is booted once, stopped, and cloned.
//!
//! * `origin`: the template itself, its memory and the state of its machine, from its boot to each clone's first step;
//! * [`protocol`]: what is said to the process that holds it; [`zygote`]: that process, which owns the template;
//! * `fork`: siblings of a process; `reexec`: the zygote's next life, which takes over template and socket;
//! * `snapshot`: templates in files.

pub(crate) mod fork;
mod origin;
pub mod protocol;
mod reexec;
pub(crate) mod snapshot;
pub mod zygote;

pub use origin::{Readiness, Template};
