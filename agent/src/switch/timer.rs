//! Wakes the switch's loop, to the microsecond: what epoll itself waits is whole milliseconds (epoll_wait(2)).

use super::fairness::NS_PER_S;
use crate::error::{Context, Error};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A timer that becomes readable.
pub struct Timer {
    handle: OwnedFd,
    /// For when it was set, by the switch's clock, if it has not rung since.
    due_ns: Option<u64>,
}

impl Timer {
    /// One that is not set.
    pub fn new() -> Result<Timer, Error> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let handle = timerfd_create(TimerfdClockId::Monotonic, flags).context("make a timer")?;
        Ok(Timer { handle, due_ns: None })
    }

    /// What becomes readable when it rings.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Sets it for a time that may be over already.
    pub fn arm(&mut self, due_ns: u64, now_ns: u64) {
        if self.due_ns == Some(due_ns) {
            return;
        }
        // None at all would stop it.
        let left = due_ns.saturating_sub(now_ns).max(1);
        let it_value = Timespec { tv_sec: (left / NS_PER_S) as i64, tv_nsec: (left % NS_PER_S) as _ };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Fails only for a time that is none.
        let set = timerfd_settime(&self.handle, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value });
        self.due_ns = set.is_ok().then_some(due_ns);
    }

    /// It has become readable.
    pub fn rang(&mut self) {
        let _ = rustix::io::read(&self.handle, &mut [0; 8]);
        self.due_ns = None;
    }
}
