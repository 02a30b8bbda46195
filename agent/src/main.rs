//! The agent: the only program of VMatic on a host.
//!
//! One file, three roles, told apart by the first argument:
//! * none, as process 1: mounts, loads modules, keeps the node running, reaps;
//! * `node`: the host's place in the control tree, and the launcher of its guests;
//! * `guest`: the monitor of one guest, a process of its own.

mod boot;
mod describe;
mod error;
mod exec;
mod guest;
mod identity;
mod launcher;
mod link;
mod node;
mod parent;
mod role;
mod supervise;
mod uplink;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match role::parse() {
        Ok(role::Role::Init) => supervise::forever(),
        Ok(role::Role::Node(options)) => node::run(options),
        Ok(role::Role::Guest(options)) => guest::run(options),
        Err(e) => Err(e),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say(&e.to_string());
            ExitCode::FAILURE
        }
    }
}

/// A line for whoever watches the host's console.
pub fn say(text: &str) {
    eprintln!("agent: {text}");
}
