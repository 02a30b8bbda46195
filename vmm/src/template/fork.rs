//! Siblings: a fork whose new process has the parent of the old one.
//!
//! Gives a second process, a copy of this one, whose parent is this
//! process's parent. So whoever started a template waits for its clones itself, and
//! clones outlive their template, but not the host's node.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A process's number.
pub type Pid = libc::pid_t;

/// What both sides of the fork go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The process that forked; the new one has this number.
    Old(Pid),
    /// The new one.
    New,
}

/// Forks into a sibling: `CLONE_PARENT` of clone(2).
///
/// # Safety
/// The process must have one thread. Without the C library's own fork its locks are
/// copied as they are, and a lock held by another thread would stay locked for ever.
/// The new process must not signal itself by raise(3), whose thread number is the old
/// one's.
pub(crate) unsafe fn fork_sibling() -> io::Result<Side> {
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with no stack given, the call returns twice, like
    // fork; the caller promises that there is one thread.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        0 => Ok(Side::New),
        pid if pid > 0 => Ok(Side::Old(pid as Pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Executes `program`, an open file, with these arguments and no environment in this process; gives why not.
pub(crate) fn execute(program: BorrowedFd, words: &[CString]) -> io::Error {
    let words: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
    let nothing = [std::ptr::null::<libc::c_char>()];
    // SAFETY: both lists end with a null pointer, and their strings live as long as the call. By number, since the C
    // library's call takes a path where this kernel lacks it, and there may be none.
    unsafe {
        let (program, path) = (program.as_raw_fd(), c"".as_ptr());
        libc::syscall(libc::SYS_execveat, program, path, words.as_ptr(), nothing.as_ptr(), libc::AT_EMPTY_PATH);
    }
    io::Error::last_os_error()
}

/// This process's parent.
pub(crate) fn parent() -> Pid {
    // SAFETY: no memory is involved.
    unsafe { libc::getppid() }
}

/// Ends this process as soon as its parent, `expected`, has ended.
pub(crate) fn die_with(expected: Pid) -> io::Result<()> {
    // SAFETY: neither call involves memory.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have ended before the request was made.
        if parent() != expected {
            return Err(io::Error::other("the process that asked for it has ended"));
        }
    }
    Ok(())
}

/// What this process is called in lists of processes; its first 15 bytes.
pub(crate) fn rename(name: &str) {
    let mut bytes = [0u8; 16];
    for (to, from) in bytes[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the kernel reads at most 16 bytes, which are there and end with a zero. It cannot fail.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Ends this process at once, without the C library's farewell.
pub(crate) fn leave(status: i32) -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(status) }
}
