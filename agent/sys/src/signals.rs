//! Signals that are noted, for a loop that looks when it is interrupted.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};

/// The last that came; 0 if none did.
static NOTED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: c_int) {
    NOTED.store(signal, Ordering::Relaxed);
}

/// From now on these signals are noted, and interrupt a system call that waits.
pub fn note_from_now_on(signals: &[c_int]) {
    for &signal in signals {
        // SAFETY: the handler only stores an integer; without SA_RESTART a call that waits returns when it has run.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = note as *const () as usize;
            libc::sigaction(signal, &raw const action, core::ptr::null_mut());
        }
    }
}

/// The signal that was noted last.
pub fn noted() -> Option<c_int> {
    match NOTED.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}
