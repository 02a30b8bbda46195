//! Signals that wait until they are asked for: none is lost between a look and a wait.
//!
//! They are blocked, so that they interrupt nothing and stay pending (sigwaitinfo(2)). Process 1 gets blocked signals,
//! too, though it has no handler for them.

use core::ffi::c_int;
use core::mem::MaybeUninit;

/// Nobody waits longer.
const SECONDS_MAX: u64 = 1 << 30;

fn set_of(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset makes the set a valid one; the others only change it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

/// From now on these signals wait for [`take`] in this thread, and in threads that it starts from now on. Programs
/// that it starts would hold them, too: see `child::BeforeExec::default_signals`.
pub fn hold(signals: &[c_int]) {
    let set = set_of(signals);
    // SAFETY: the set is live; that the old one is not wanted is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut()) };
}

/// Holds no signal any more, as a program expects at its start.
pub(crate) fn release_all() {
    let none = set_of(&[]);
    // SAFETY: as in `hold`; async-signal-safe.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, core::ptr::null_mut()) };
}

/// The next of these signals that came or comes, of those that are held; waits so many milliseconds at most.
pub fn take(signals: &[c_int], wait_ms: u64) -> Option<c_int> {
    let set = set_of(signals);
    let (seconds, rest_ms) = (wait_ms / 1000, wait_ms % 1000);
    let limit = libc::timespec { tv_sec: seconds.min(SECONDS_MAX) as _, tv_nsec: rest_ms as libc::c_long * 1_000_000 };
    // SAFETY: set and limit are live; what else is known of the signal is not wanted.
    let signal = unsafe { libc::sigtimedwait(&raw const set, core::ptr::null_mut(), &raw const limit) };
    (signal > 0).then_some(signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_came_before_the_wait_ends_it() {
        let signals = [libc::SIGUSR1, libc::SIGUSR2];
        hold(&signals);
        assert_eq!(take(&signals, 0), None);
        // To this thread alone.
        // SAFETY: no memory is involved, and the signal is held.
        unsafe { libc::raise(libc::SIGUSR2) };
        assert_eq!(take(&signals, 60_000), Some(libc::SIGUSR2));
        assert_eq!(take(&signals, 1), None, "it was taken");
    }
}
