//! Process 1: keeps the keeper running and reaps orphans.
//!
//! It does as little as possible, because a process 1 that ends is a kernel
//! panic. The keeper is a child, and the node the keeper's. If the keeper dies
//! nobody knows any more what guests there are: then everything on the host is
//! ended, and a while later a new keeper starts and builds everything again: a
//! second at first, ever longer where keepers do not live. Whatever it waits for, it sees signals and the dead.

use crate::error::{Context, Error};
use crate::init::setup;
use crate::keeper::process::KEEPER;
use crate::log::{self, log};
use crate::process::spawn::THIS_PROGRAM;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use rustix::system::RebootCommand;
use std::process::Command;
use std::time::{Duration, Instant};
use vmatic_sys::child::{BeforeExec, before_exec};
use vmatic_sys::{processes, signals};

/// Waits before the keeper is started again.
const BACKOFF_S: [u64; 6] = [1, 2, 5, 10, 30, 60];
/// One that lived as long did not die of its start.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How long nothing may happen until it looks again all the same.
const IDLE_LIMIT: Duration = Duration::from_secs(3600);
/// How long the console may take the last words before the machine ends.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(200);

/// As BusyBox's halt, poweroff and reboot tell init: SIGUSR1, SIGUSR2, SIGTERM.
const REBOOT: i32 = Signal::TERM.as_raw();
const CHILD: i32 = Signal::CHILD.as_raw();
const SIGNALS: [i32; 4] = [CHILD, Signal::USR1.as_raw(), Signal::USR2.as_raw(), REBOOT];

/// The keeper's process: the one that runs, or when the next is due.
enum Keeper {
    Runs(Pid, Instant),
    DueAt(Instant),
}

/// Prepares the machine, then watches the keeper until the machine is switched off.
pub fn supervise() -> Result<(), Error> {
    signals::hold(&SIGNALS);
    setup::mount_all();
    log::open();
    setup::tune();
    setup::load_modules();
    setup::tune_kvm();
    let mut failures = Failures::default();
    let mut keeper = Keeper::DueAt(Instant::now());
    loop {
        if let Keeper::DueAt(due) = keeper
            && due <= Instant::now()
        {
            keeper = start().unwrap_or_else(|e| {
                log(&e.to_string());
                failures.ended(Duration::ZERO)
            });
        }
        match signals::take(&SIGNALS, wait(&keeper).as_millis() as u64) {
            None | Some(CHILD) => {}
            Some(REBOOT) => stop_machine(RebootCommand::Restart),
            Some(_) => stop_machine(RebootCommand::PowerOff),
        }
        // Children, whosever they are. One signal may stand for many.
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Keeper::Runs(running, since) = keeper
                && running == pid
            {
                log(&format!("the keeper ended ({}): all that ran here is ended", how(status)));
                processes::kill_all();
                keeper = failures.ended(since.elapsed());
            }
        }
        log::retry();
    }
}

fn start() -> Result<Keeper, Error> {
    let mut command = Command::new(THIS_PROGRAM);
    command.arg(KEEPER);
    // Process 1 holds signals, which its children must not.
    before_exec(&mut command, BeforeExec { default_signals: true, ..BeforeExec::default() });
    let child = command.spawn().context("start the keeper")?;
    let pid = Pid::from_raw(child.id() as i32).ok_or("it has no number").context("start the keeper")?;
    Ok(Keeper::Runs(pid, Instant::now()))
}

/// How long there is nothing to do, if nothing happens.
fn wait(keeper: &Keeper) -> Duration {
    let due = match keeper {
        Keeper::Runs(..) => IDLE_LIMIT,
        // A millisecond more, since waits are whole ones.
        Keeper::DueAt(at) => at.saturating_duration_since(Instant::now()) + Duration::from_millis(1),
    };
    if log::waits() { due.min(log::RETRY_INTERVAL) } else { due }
}

/// How many in a row did not live long.
#[derive(Default)]
struct Failures(usize);

impl Failures {
    /// One ended after so long, or never was: when the next is due.
    fn ended(&mut self, lived: Duration) -> Keeper {
        let pause = self.pause(lived);
        log(&format!("it starts again in {} s", pause.as_secs()));
        Keeper::DueAt(Instant::now() + pause)
    }

    fn pause(&mut self, lived: Duration) -> Duration {
        if lived >= STABLE_AFTER {
            self.0 = 0;
        }
        let pause = BACKOFF_S[self.0.min(BACKOFF_S.len() - 1)];
        self.0 += 1;
        Duration::from_secs(pause)
    }
}

fn how(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}

fn stop_machine(how: RebootCommand) -> ! {
    log::finish(LAST_WORDS_TIMEOUT);
    // A host lives in RAM: there is nothing to unmount.
    rustix::fs::sync();
    let _ = rustix::system::reboot(how);
    // Only where reboot is refused (a container): process 1 ends, and all with it.
    std::process::exit(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_do_not_live_are_started_ever_more_slowly_and_others_at_once() {
        let mut failures = Failures::default();
        let pauses: Vec<u64> = (0..8).map(|_| failures.pause(Duration::ZERO).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 5, 10, 30, 60, 60, 60]);
        assert_eq!(failures.pause(STABLE_AFTER - Duration::from_millis(1)).as_secs(), 60);
        assert_eq!(failures.pause(STABLE_AFTER).as_secs(), 1);
    }
}
