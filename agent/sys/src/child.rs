//! What a child process does between its birth and its program (std's `Command`).
//!
//! Takes a description, so that nothing but system calls can stand between fork and exec.

use crate::calls::write_file;
use crate::processes::default_signals;
use core::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What is added to the score of a process that the kernel is to end first when memory runs out: half of what one
/// scores that has all memory, so of two such the larger goes.
pub const ENDED_FIRST: &str = "500";
/// By how much a process is spared when memory runs out, or ended before others (proc_pid_oom_score_adj(5)).
const OOM_SCORE_ADJ: &CStr = c"/proc/self/oom_score_adj";

/// What a child does before it becomes its program. It ends when the thread that started it does, unless it is to
/// outlive it: by SIGKILL, if no other signal is named.
#[derive(Debug, Default)]
pub struct BeforeExec {
    /// Descriptors that stay open in the program.
    pub inherit: Vec<RawFd>,
    /// Descriptors of which the command is the owner, and which stay open in the program, too.
    pub hand_over: Vec<OwnedFd>,
    /// The control group that it enters: an open `cgroup.procs`.
    pub cgroup: Option<RawFd>,
    /// Whether it leads a session of its own, and whether its input is its controlling terminal.
    pub session: Option<Terminal>,
    /// Whether it takes every signal as a new process does, whatever its parent was started with: a parent that
    /// ignores SIGINT, as in the background of a shell script, would otherwise have programs that Ctrl-C cannot end.
    pub default_signals: bool,
    /// Whether the kernel ends it before others when memory runs out ([`ENDED_FIRST`]), though its parent is spared.
    pub ended_first: bool,
    /// Whether it goes on when the thread that started it ends.
    pub outlives: bool,
    /// The signal that it gets when the thread that started it ends, in place of SIGKILL.
    pub death_signal: Option<i32>,
    /// Whether its parent traces it (ptrace(2)): it stops at its program's first instruction.
    pub traced: bool,
}

/// Whether a session has a controlling terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// The process's standard input.
    Input,
    /// It has none.
    None,
}

/// Has a command's process end when the thread that started this one does, also where it becomes another user's, which
/// makes the kernel forget what was said before.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: one system call with integers; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Has the command's process do this before it becomes its program.
pub fn before_exec(command: &mut Command, what: BeforeExec) {
    let in_child = move || {
        let check = |result: libc::c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        if what.default_signals {
            default_signals();
        }
        if what.ended_first {
            // Without /proc it is as its parent is: no reason not to run.
            let _ = write_file(OOM_SCORE_ADJ, ENDED_FIRST.as_bytes());
        }
        // SAFETY: system calls with integers and constants alone, all async-signal-safe.
        unsafe {
            if let Some(terminal) = what.session {
                check(libc::setsid())?;
                if terminal == Terminal::Input {
                    check(libc::ioctl(0, libc::TIOCSCTTY as _, 0))?;
                }
            }
            if !what.outlives {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, what.death_signal.unwrap_or(libc::SIGKILL)))?;
            }
            if what.traced {
                check(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) as libc::c_int)?;
            }
            for fd in what.inherit.iter().copied().chain(what.hand_over.iter().map(AsRawFd::as_raw_fd)) {
                check(libc::fcntl(fd, libc::F_SETFD, 0))?;
            }
            if let Some(group) = what.cgroup {
                check(libc::write(group, c"0".as_ptr().cast(), 1) as libc::c_int)?;
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(in_child) };
}
