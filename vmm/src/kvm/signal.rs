//! The signals that interrupt a running guest.
//!
//! Takes file descriptors; makes readiness interrupt `KVM_RUN`. One thread then
//! does everything: it runs the guest, and when a signal ends the run it serves the
//! devices. SIGIO (readiness), SIGALRM (time), SIGTERM (the end) and SIGCONT (it was held
//! until now) are blocked except inside `KVM_RUN`, so none is ever lost between a check and
//! the next run. A process is stopped and goes on whether SIGCONT is blocked or not, and it is
//! stopped outside of `KVM_RUN` always: so SIGCONT stays pending until it is taken.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::time::Duration;

/// What interrupted the guest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wake {
    /// A descriptor may be ready.
    pub io: bool,
    /// The timer ([`tick_every`], [`tick_after`]) went off.
    pub tick: bool,
    /// Somebody asked this process to end.
    pub term: bool,
    /// This process was stopped, and goes on.
    pub held: bool,
}

/// The signals that are taken here.
const OURS: [libc::c_int; 4] = [libc::SIGIO, libc::SIGALRM, libc::SIGTERM, libc::SIGCONT];

/// Restores the thread's signal mask when the guest has ended.
pub(crate) struct Signals {
    before: libc::sigset_t,
    ours: libc::sigset_t,
}

/// `_IOW(KVMIO, 0x8b, struct kvm_signal_mask)`; the struct's fixed part is 4 bytes.
const KVM_SET_SIGNAL_MASK: libc::c_ulong = 0x4004_ae8b;

#[repr(C)]
struct KvmSignalMask {
    bytes: u32,
    set: [u8; 8],
}

impl Signals {
    /// Blocks these signals in this thread.
    pub fn block() -> io::Result<Self> {
        let mut ours = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are written by the calls before they are read; the calls
        // touch nothing else but this thread's mask.
        unsafe {
            libc::sigemptyset(ours.as_mut_ptr());
            for signal in OURS {
                libc::sigaddset(ours.as_mut_ptr(), signal);
            }
            let ours = ours.assume_init();
            let code = libc::pthread_sigmask(libc::SIG_BLOCK, &ours, before.as_mut_ptr());
            if code != 0 {
                return Err(io::Error::from_raw_os_error(code));
            }
            Ok(Self { before: before.assume_init(), ours })
        }
    }

    /// Lets these signals end this vCPU's `KVM_RUN`, without being delivered.
    pub fn open_during_run(&self, vcpu: RawFd) -> io::Result<()> {
        let mut mask = self.before;
        // SAFETY: `mask` is an initialised set of our own.
        unsafe {
            for signal in OURS {
                libc::sigdelset(&mut mask, signal);
            }
        }
        let mut argument = KvmSignalMask { bytes: 8, set: [0; 8] };
        for signal in 1..=64 {
            // SAFETY: `mask` is initialised and the number is a valid signal.
            if unsafe { libc::sigismember(&mask, signal) } == 1 {
                argument.set[(signal as usize - 1) / 8] |= 1 << ((signal - 1) % 8);
            }
        }
        // SAFETY: the kernel reads 4 + 8 bytes, which the struct has.
        if unsafe { libc::ioctl(vcpu, KVM_SET_SIGNAL_MASK as _, &argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Takes what is pending; nothing when it was some other signal.
    pub fn take(&self) -> Wake {
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut wake = Wake::default();
        loop {
            // SAFETY: the set and the timeout are ours; no information is asked for.
            match unsafe { libc::sigtimedwait(&self.ours, std::ptr::null_mut(), &none) } {
                libc::SIGTERM => wake.term = true,
                libc::SIGALRM => wake.tick = true,
                libc::SIGIO => wake.io = true,
                libc::SIGCONT => wake.held = true,
                _ => return wake,
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.take();
        // SAFETY: restores the mask that `block` saved.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}

/// Has SIGALRM sent to this process again and again; zero ends it.
pub(crate) fn tick_every(period: Duration) -> io::Result<()> {
    set_timer(period, period)
}

/// Has SIGALRM sent to this process, once.
pub(crate) fn tick_after(time: Duration) -> io::Result<()> {
    set_timer(time, Duration::ZERO)
}

fn set_timer(first: Duration, then: Duration) -> io::Result<()> {
    let time = |t: Duration| libc::timeval { tv_sec: t.as_secs() as _, tv_usec: t.subsec_micros() as _ };
    let timer = libc::itimerval { it_interval: time(then), it_value: time(first) };
    // SAFETY: the kernel reads one itimerval of ours, and writes nothing. The system call,
    // since the C libraries disagree about the type of its first argument.
    let done = unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &timer, std::ptr::null_mut::<()>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the kernel send SIGIO to this thread whenever `fd` becomes ready, and makes
/// it non-blocking.
pub(crate) fn watch(fd: RawFd) -> io::Result<()> {
    #[repr(C)]
    struct Owner {
        kind: libc::c_int,
        id: libc::pid_t,
    }
    const F_OWNER_TID: libc::c_int = 0;
    const F_SETOWN_EX: libc::c_int = 15;
    // SAFETY: fcntl on a descriptor the caller owns; `owner` has the layout of
    // struct f_owner_ex. The owner is set last: switching O_ASYNC on resets a tap's.
    unsafe {
        let owner = Owner { kind: F_OWNER_TID, id: libc::syscall(libc::SYS_gettid) as libc::pid_t };
        if libc::fcntl(fd, F_SETOWN_EX, &owner) < 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::fcntl(fd, libc::F_GETFL);
        if flags < 0 || libc::fcntl(fd, libc::F_SETFL, flags | libc::O_ASYNC | libc::O_NONBLOCK) < 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::fcntl(fd, F_SETOWN_EX, &owner) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn readiness_and_room_both_signal_this_thread() {
        let signals = Signals::block().unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        watch(near.as_raw_fd()).unwrap();
        signals.take();
        far.write_all(b"x").unwrap();
        assert!(signals.take().io, "data arrived");
        near.read_exact(&mut [0]).unwrap();
        assert_eq!(signals.take(), Wake::default());
        while near.write(&[0; 4096]).is_ok() {}
        signals.take();
        let mut sink = vec![0; 1 << 20];
        let _ = far.read(&mut sink).unwrap();
        assert!(signals.take().io, "room again");
    }

    #[test]
    fn term_is_taken_not_delivered() {
        let signals = Signals::block().unwrap();
        // SAFETY: a signal to this very thread, which blocks it.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGTERM) };
        assert_eq!(signals.take(), Wake { term: true, ..Wake::default() });
    }

    #[test]
    fn whoever_was_held_learns_of_it_once() {
        let signals = Signals::block().unwrap();
        // SAFETY: as above.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGCONT) };
        assert_eq!(signals.take(), Wake { held: true, ..Wake::default() });
        assert_eq!(signals.take(), Wake::default());
    }
}
