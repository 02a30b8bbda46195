//! Process 1: keeps the node running and buries the dead.
//!
//! It does as little as possible, because a process 1 that ends is a kernel
//! panic. The node is a child; if it dies its guests die with it, and a second
//! later a new node starts and builds everything again.

use crate::error::{Context, Error};
use crate::init::setup;
use crate::log::say;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// How long to wait before the node is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The signal by which halt, poweroff and reboot were asked for; 0 if none was.
static ASKED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note_signal(signal: libc::c_int) {
    ASKED.store(signal, Ordering::Relaxed);
}

/// Prepares the machine, then watches the node until the machine is switched off.
pub fn forever() -> Result<(), Error> {
    setup::mount_all();
    setup::tune();
    vmatic_leaf::boot::load_modules();
    setup::tune_kvm();
    catch_signals();
    loop {
        let child = Command::new("/proc/self/exe").arg("node").spawn();
        match child.context(|| "start the node".into()) {
            Ok(child) => bury_until(child.id() as libc::pid_t),
            Err(e) => say(&e.to_string()),
        }
        say("the node ended; it starts again in a second");
        std::thread::sleep(RESTART_PAUSE);
    }
}

/// As BusyBox's halt, poweroff and reboot tell init: SIGUSR1, SIGUSR2, SIGTERM.
fn catch_signals() {
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM] {
        // SAFETY: the handler only stores an integer; without SA_RESTART waitpid returns when it has run.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note_signal as *const () as usize;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Waits for children, whosever they are, until the node itself has ended.
fn bury_until(node: libc::pid_t) {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a live integer.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        match ASKED.load(Ordering::Relaxed) {
            0 => {}
            libc::SIGTERM => stop_machine(libc::RB_AUTOBOOT),
            _ => stop_machine(libc::RB_POWER_OFF),
        }
        if pid == node || (pid < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD)) {
            return;
        }
    }
}

fn stop_machine(how: libc::c_int) -> ! {
    // SAFETY: no memory is involved. A host lives in RAM: there is nothing to unmount.
    unsafe {
        libc::sync();
        libc::reboot(how);
    }
    // Only where reboot is refused (a container): process 1 ends, and all with it.
    std::process::exit(0)
}
