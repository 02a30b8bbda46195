//! Processes that must not outlive this one.

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vmatic_sys::child::{BeforeExec, before_exec};

/// How long a process may take to end by itself when it is asked to.
const END_GRACE: Duration = Duration::from_secs(2);

/// Lets the kernel send `signal` to the process when this one dies, however it dies.
pub fn with_us(command: &mut Command, signal: Signal) -> &mut Command {
    before_exec(command, BeforeExec { death_signal: Some(signal.as_raw()), ..BeforeExec::default() });
    command
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
