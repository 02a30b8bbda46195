//! Siblings: a fork whose new process has the parent of the old one.
//!
//! Gives a second process, a copy of this one, whose parent is this
//! process's parent. So whoever started a template waits for its clones itself, and
//! clones outlive their template, but not the host's node.
//!
//! clone, execveat and _exit are raw system calls, since rustix has none of them.

use rustix::process::Signal;
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// How often, and at most how many times, it is looked whether a thread that ends is gone: KVM keeps one in the process
/// for each machine since Linux 6.14, until the machine is taken apart and a moment longer.
const THREAD_END_POLL_INTERVAL: Duration = Duration::from_millis(1);
const THREAD_END_POLLS_MAX: u32 = 100;

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

/// Forks into a sibling: `CLONE_PARENT` of clone(2). Refused in a process of several threads: without the C library's
/// own fork its locks are copied as they are, and one that another thread holds would stay locked for ever.
///
/// The new process must not signal itself by raise(3), whose thread number is the old one's.
pub(crate) fn fork_sibling() -> io::Result<Side> {
    one_thread()?;
    let flags = libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with no stack given, the call returns twice, like
    // fork; there is one thread, which is here and starts no other.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        0 => Ok(Side::New),
        pid if pid > 0 => Ok(Side::Old(pid as Pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Fails if this process has more threads than one. It needs no files, of which a zygote sees none.
pub(crate) fn one_thread() -> io::Result<()> {
    // CLONE_THREAD does nothing in a process of one thread, and is refused in others (unshare(2)).
    let thread = UnshareFlags::from_bits_retain(libc::CLONE_THREAD as u32);
    for _ in 0..THREAD_END_POLLS_MAX {
        // SAFETY: the table of descriptors is not unshared; nothing is.
        if unsafe { rustix::thread::unshare_unsafe(thread) }.is_ok() {
            return Ok(());
        }
        std::thread::sleep(THREAD_END_POLL_INTERVAL);
    }
    Err(io::Error::other("this process has more threads than one"))
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

/// This process's parent; 0 if that is in another namespace.
pub(crate) fn parent() -> Pid {
    rustix::process::Pid::as_raw(rustix::process::getppid())
}

/// Ends this process as soon as its parent, `expected`, has ended.
pub(crate) fn die_with(expected: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before the request was made.
    if parent() != expected {
        return Err(io::Error::other("the process that asked for it has ended"));
    }
    Ok(())
}

/// What this process is called in lists of processes; its first 15 bytes.
pub(crate) fn rename(name: &str) {
    // The kernel cannot fail; a name with a NUL in it, which none of ours has, is left out.
    let _ = CString::new(name).map(|name| rustix::thread::set_name(&name));
}

/// Ends this process at once, without the C library's farewell.
pub(crate) fn leave(status: i32) -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(status) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_several_threads_is_not_forked() {
        // The test's own thread stands beside the harness's.
        let refused = |result: io::Result<()>| result.is_err_and(|e| e.to_string().contains("more threads"));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(refused(one_thread()) && refused(fork_sibling().map(drop))));
        });
    }
}
