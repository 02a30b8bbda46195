//! The agent: the only program of VMatic on a host.
//!
//! One file, ten roles, told apart by the first argument:
//! * none, as process 1: mounts, loads modules, keeps the node running, reaps;
//! * `node`: the host's place in the control tree, and the launcher of its guests;
//! * `guest`: the monitor of one guest that boots cold, a process of its own;
//! * `template`: a frozen guest, from which the other guests' processes are forked;
//! * `room`: what a guest's QEMU begins as, where the host image has QEMU;
//! * `switch`: what leads from each guest to the others and to the world;
//! * `ask` and `capture`: what the operator wants of the switch;
//! * `bench`: what guests cost on this machine;
//! * `cost`: what the guests that run here take.

mod bench;
mod boot;
mod cgroup;
mod clones;
mod cost;
mod describe;
mod error;
mod exec;
mod guest;
mod identity;
mod launcher;
mod ledger;
mod link;
mod meminfo;
mod monitor;
mod node;
mod pace;
mod parent;
mod qemu;
mod role;
mod saved;
mod serial;
mod session;
mod software;
mod supervise;
mod switch;
mod uplink;
mod warm;
mod wires;
mod wishes;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match role::parse() {
        Ok(role::Role::Init) => supervise::forever(),
        Ok(role::Role::Node(options)) => node::run(options),
        Ok(role::Role::Guest(options)) => guest::run(options),
        Ok(role::Role::Template(options)) => guest::template(options),
        Ok(role::Role::Room(options)) => qemu::room::run(options),
        Ok(role::Role::Switch(options)) => switch::serve::run(&options),
        Ok(role::Role::Ask(options)) => switch::ask::run(&options),
        Ok(role::Role::Capture(options)) => switch::ask::capture(&options),
        Ok(role::Role::Bench(options)) => bench::run(&options),
        Ok(role::Role::Cost { each }) => cost::run(each),
        Ok(role::Role::SaveTemplate { from }) => saved::piece(from),
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
