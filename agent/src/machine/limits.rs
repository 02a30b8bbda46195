//! Limits of this process.

use crate::log::log;
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

/// Open files of the node and of its keeper: a plan has at most 65,535 guests a host.
const DESCRIPTORS: u64 = 524_288;

/// Lets this process hold descriptors for thousands of guests: six each, and links to hosts and consoles.
pub fn raise_limits() {
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let maximum = limit.maximum.map(|most| if geteuid().is_root() { most.max(DESCRIPTORS) } else { most });
    let current = Some(maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS)));
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current, maximum }) {
        log(&format!("cannot raise the limit of open files: {e}"));
    }
}
