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
mod cli;
mod error;
mod exec;
mod guest;
mod init;
mod log;
mod machine;
mod node;
mod process;
mod switch;

use guest::vmm::snapshot;
use log::say;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match cli::parse() {
        Ok(cli::Role::Init) => init::supervise::supervise(),
        Ok(cli::Role::Node(options)) => node::run::run(options),
        Ok(cli::Role::Guest(options)) => guest::vmm::process::run(options),
        Ok(cli::Role::Template(options)) => guest::vmm::process::template(options),
        Ok(cli::Role::Room(options)) => guest::qemu::sandbox::run(options),
        Ok(cli::Role::Switch(options)) => switch::server::run(&options),
        Ok(cli::Role::Ask(options)) => switch::client::run(&options),
        Ok(cli::Role::Capture(options)) => switch::client::capture(&options),
        Ok(cli::Role::Bench(options)) => bench::run(&options),
        Ok(cli::Role::Cost { each }) => guest::usage::run(each),
        Ok(cli::Role::SaveTemplate { from }) => snapshot::piece(from),
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
