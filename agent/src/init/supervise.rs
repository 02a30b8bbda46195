//! Process 1: keeps the node running and reaps orphans.
//!
//! It does as little as possible, because a process 1 that ends is a kernel
//! panic. The node is a child; if it dies its guests die with it, and a second
//! later a new node starts and builds everything again.

use crate::error::{Context, Error};
use crate::init::setup;
use crate::log::log;
use crate::process::spawn::THIS_PROGRAM;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::system::RebootCommand;
use std::process::Command;
use std::time::Duration;
use vmatic_sys::signals;

/// How long to wait before the node is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Prepares the machine, then watches the node until the machine is switched off.
pub fn supervise() -> Result<(), Error> {
    setup::mount_all();
    setup::tune();
    setup::load_modules();
    setup::tune_kvm();
    signals::note_from_now_on(&SIGNALS);
    loop {
        let child = Command::new(THIS_PROGRAM).arg("node").spawn();
        match child.context("start the node") {
            Ok(child) => reap_until(Pid::from_raw(child.id() as i32)),
            Err(e) => log(&e.to_string()),
        }
        log("the node ended; it starts again in a second");
        std::thread::sleep(RESTART_PAUSE);
    }
}

/// As BusyBox's halt, poweroff and reboot tell init: SIGUSR1, SIGUSR2, SIGTERM.
const SIGNALS: [i32; 3] = [Signal::USR1.as_raw(), Signal::USR2.as_raw(), REBOOT];
const REBOOT: i32 = Signal::TERM.as_raw();

/// Waits for children, whosever they are, until the node itself has ended.
fn reap_until(node: Option<Pid>) {
    loop {
        let ended = rustix::process::wait(WaitOptions::empty());
        match signals::noted() {
            None => {}
            Some(REBOOT) => stop_machine(RebootCommand::Restart),
            Some(_) => stop_machine(RebootCommand::PowerOff),
        }
        match ended {
            Ok(Some((pid, _))) if Some(pid) == node => return,
            Err(Errno::CHILD) => return,
            _ => {}
        }
    }
}

fn stop_machine(how: RebootCommand) -> ! {
    // A host lives in RAM: there is nothing to unmount.
    rustix::fs::sync();
    let _ = rustix::system::reboot(how);
    // Only where reboot is refused (a container): process 1 ends, and all with it.
    std::process::exit(0)
}
