//! Programs of ours, and processes that must not outlive this one.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use vmatic_sys::child::{BeforeExec, before_exec};

use crate::carried;
use crate::error::{Context, Error, Result};

/// How long a process may take to end by itself when it is asked to.
const END_GRACE: Duration = Duration::from_secs(2);

/// One of the programs that go into images: named, beside this one, or carried in it.
pub fn sibling_program(named: Option<PathBuf>, name: &str) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path);
    }
    let own = std::env::current_exe().context("cannot find vmatic's own folder")?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    if let Some(path) = carried::program(name)? {
        return Ok(path);
    }
    let option = name.trim_start_matches("vmatic-");
    Err(Error::new(format!("cannot find {name}"))
        .because(format!("{} does not exist", path.display()))
        .help(format!("run `make build`, or name it with --{option} FILE")))
}

/// Lets the kernel send `signal` to the process when this one dies, however it dies.
pub fn end_with_us(command: &mut Command, signal: Signal) -> &mut Command {
    before_exec(command, BeforeExec { death_signal: Some(signal.as_raw()), ..BeforeExec::default() });
    command
}

/// The same for a process that leads a group of its own ([`end_group`]). It and all that it starts hold `held`.
pub fn group_with_us(command: &mut Command, signal: Signal, held: OwnedFd) -> &mut Command {
    let before = BeforeExec { death_signal: Some(signal.as_raw()), hand_over: vec![held], ..BeforeExec::default() };
    before_exec(command, before);
    command.process_group(0)
}

/// Asks the process and all of its group to end, then ends who is left.
pub fn end_group(child: &mut Child) {
    let group = Pid::from_child(child);
    for signal in [Signal::TERM, Signal::KILL] {
        let _ = kill_process_group(group, signal);
        let start = Instant::now();
        while start.elapsed() < END_GRACE {
            // The child stays in its group until it is waited for.
            let ended = !matches!(child.try_wait(), Ok(None));
            if ended && test_kill_process_group(group).is_err() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
    }
    let _ = child.wait();
}

/// Asks the process to end, then ends it.
pub fn end(child: &mut Child) {
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let start = Instant::now();
    while start.elapsed() < END_GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_group_ends_with_those_who_do_not_hear() {
        let script = "trap '' TERM; (sleep 600 & sleep 600) & echo up; sleep 600";
        let mut command = Command::new("sh");
        let held = File::open("/dev/null").unwrap().into();
        group_with_us(command.args(["-c", script]).stdout(Stdio::piped()), Signal::KILL, held);
        let mut child = command.spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 3]).unwrap();
        end_group(&mut child);
        // Nobody is left who has the pipe.
        assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0);
    }
}
