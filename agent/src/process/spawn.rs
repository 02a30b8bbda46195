//! How this program starts itself as another process.
//!
//! Takes a subcommand, descriptors by number and a control group; gives a command whose process ends with ours.

use crate::log::say;
use std::fs;
use std::os::fd::RawFd;
use std::process::Command;
use vmatic_sys::child::{BeforeExec, before_exec};

/// This program.
pub const THIS_PROGRAM: &str = "/proc/self/exe";
/// The first that the kernel ends when memory runs out; the node itself is at -999.
const OOM_SCORE_ADJ: &str = "500";

/// This program as another of its subcommands, which inherits these descriptors, is born in the control
/// group that `cgroup` enters, and ends with the node: its successor starts guests anew.
pub fn command(subcommand: &str, fds: &[RawFd], cgroup: Option<RawFd>) -> tokio::process::Command {
    let mut command = Command::new(THIS_PROGRAM);
    command.arg(subcommand);
    inherit_in(&mut command, fds, cgroup);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command
}

/// Has the command's process inherit descriptors, and so on, as [`command`] says.
pub fn inherit_in(command: &mut Command, fds: &[RawFd], cgroup: Option<RawFd>) {
    before_exec(command, BeforeExec { inherit: fds.to_vec(), cgroup, ..BeforeExec::default() });
}

/// Has this process end before others when memory runs out.
pub fn end_before_others() {
    if let Err(e) = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ) {
        say(&format!("guest: cannot set oom_score_adj: {e}"));
    }
}
