//! How this program starts itself as another process.
//!
//! Takes a subcommand, its configuration, descriptors by number and a control group; gives a command whose process
//! ends with ours.

use crate::error::Error;
use crate::log::log;
use crate::process::config;
use serde::Serialize;
use std::fs;
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use vmatic_sys::child::{BeforeExec, ENDED_FIRST, before_exec};

/// The file of this program.
pub const THIS_PROGRAM: &str = "/proc/self/exe";
/// As any program.
const OOM_ORDINARY: &str = "0";

/// This program as another of its subcommands, which is told `config`, inherits these descriptors, is born in the
/// control group that `cgroup` enters, and ends with the process that starts it. `title` is for who reads `ps`.
pub fn configured(
    subcommand: &str,
    title: &str,
    config: &impl Serialize,
    fds: &[RawFd],
    cgroup: Option<RawFd>,
) -> Result<Command, Error> {
    outliving(subcommand, title, config, fds, cgroup, false)
}

/// The same; with `outlives`, its process goes on when ours ends.
pub fn outliving(
    subcommand: &str,
    title: &str,
    config: &impl Serialize,
    fds: &[RawFd],
    cgroup: Option<RawFd>,
    outlives: bool,
) -> Result<Command, Error> {
    let config = config::seal(config)?;
    let mut command = Command::new(THIS_PROGRAM);
    command.arg(subcommand).arg(title).arg("--config-fd").arg(config.as_raw_fd().to_string());
    let before =
        BeforeExec { inherit: fds.to_vec(), hand_over: vec![config], cgroup, outlives, ..BeforeExec::default() };
    before_exec(&mut command, before);
    Ok(command)
}

/// The same for the event loop, which ends the process when it is dropped.
pub fn watched(command: Command) -> tokio::process::Command {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command
}

/// Has this process end before others when memory runs out.
pub fn end_before_others() {
    set_oom_score(ENDED_FIRST);
}

/// Has this process be no more spared than any when memory runs out: the node starts another.
pub fn end_as_others() {
    set_oom_score(OOM_ORDINARY);
}

fn set_oom_score(score: &str) {
    if let Err(e) = fs::write("/proc/self/oom_score_adj", score) {
        log(&format!("cannot set oom_score_adj to {score}: {e}"));
    }
}
