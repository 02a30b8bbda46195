//! What a child process does between its birth and its program (std's `Command`).
//!
//! Takes a description, so that nothing but system calls can stand between fork and exec.

use crate::calls::{Errno, read_file, write_file};
use crate::processes::default_signals;
use core::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// By how much a process is spared when memory runs out, or ended before others.
const OOM_SCORE_ADJ: &CStr = c"/proc/self/oom_score_adj";

/// What a child does before it becomes its program. It ends when the thread that started it does, whatever is said
/// here: by SIGKILL, if no other signal is named.
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
    /// Whether it is ended for want of memory as any program is, though its parent is spared (oom_score_adj).
    pub ordinary_oom: bool,
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

/// Has the command's process do this before it becomes its program.
pub fn before_exec(command: &mut Command, what: BeforeExec) {
    let spared = || read_file(OOM_SCORE_ADJ, 16).is_ok_and(|score| score.starts_with(b"-"));
    let ordinary_oom = what.ordinary_oom && spared();
    let in_child = move || {
        let check = |result: libc::c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        if what.default_signals {
            default_signals();
        }
        if ordinary_oom {
            write_file(OOM_SCORE_ADJ, b"0").map_err(|Errno(n)| io::Error::from_raw_os_error(n))?;
        }
        // SAFETY: system calls with integers and constants alone, all async-signal-safe.
        unsafe {
            if let Some(terminal) = what.session {
                check(libc::setsid())?;
                if terminal == Terminal::Input {
                    check(libc::ioctl(0, libc::TIOCSCTTY as _, 0))?;
                }
            }
            check(libc::prctl(libc::PR_SET_PDEATHSIG, what.death_signal.unwrap_or(libc::SIGKILL)))?;
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
