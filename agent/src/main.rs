//! The agent: the only program of VMatic on a host.
//!
//! One file, many processes, told apart by the first argument:
//! * none, as process 1: mounts, loads modules, keeps the keeper running, reaps;
//! * `keeper`: keeps the node running, and holds what guests need to outlive it;
//! * `node`: the host's place in the control tree, and the launcher of its guests;
//! * `guest`: the monitor of one guest that boots cold, a process of its own;
//! * `template`: a frozen guest, from which the other guests' processes are forked;
//! * `qemu`: what a guest's QEMU begins as, where the host image has QEMU;
//! * `switch`: what leads from each guest to the others and to the world;
//! * `order`: what the operator wants of the host for its guests: links, captures, usage, snapshots;
//! * `parcel`: puts files of the operator's in their place, packs some, or becomes a program that came with its files;
//! * `ask` and `capture`: the switch, asked by hand;
//! * `upgrade` and `version`: another program for nodes, and what this one is;
//! * `bench`: what guests take, measured here.

mod bench;
mod cli;
mod dns;
mod error;
mod exec;
#[cfg(any(test, fuzzing))]
#[path = "../../fuzz/targets/agent/mod.rs"]
pub mod fuzz;
mod guest;
mod init;
mod keeper;
mod log;
mod machine;
mod node;
mod opening;
mod parcel;
mod process;
mod switch;

use cli::Subcommand;
use error::Kind;
use guest::vmm::process as monitor;
use std::process::ExitCode;
use std::time::Duration;

/// How long the console may take the last words of a process.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    log::open();
    let result = cli::parse().and_then(|subcommand| match subcommand {
        Subcommand::Init => init::supervise::supervise(),
        Subcommand::Keeper(words) => keeper::process::run(words),
        Subcommand::Node(options) => node::run::run(options),
        Subcommand::Guest(config) => monitor::run(config),
        Subcommand::Template(config) => monitor::template(config),
        Subcommand::TemplateGoesOn(handover) => monitor::template_goes_on(handover),
        Subcommand::Qemu(config) => guest::qemu::sandbox::run(&config),
        Subcommand::Switch(config) => switch::server::run(&config),
        Subcommand::Order(order) => node::host_order::run(&order),
        Subcommand::Parcel(job) => parcel::job::run(&job),
        Subcommand::Ask(options) => switch::client::run(&options),
        Subcommand::Capture(options) => switch::client::capture(&options),
        Subcommand::Upgrade(options) => keeper::upgrade::run(&options),
        Subcommand::Version => keeper::upgrade::version(),
        Subcommand::Bench(options) => bench::run(&options),
    });
    let status = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log::log(&e.to_string());
            ExitCode::from(match e.kind() {
                Kind::Failed => 1,
                Kind::Usage => 2,
            })
        }
    };
    log::finish(LAST_WORDS_TIMEOUT);
    status
}
