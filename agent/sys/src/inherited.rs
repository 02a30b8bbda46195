//! Descriptors that a parent process left open for this one.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that the parent left open. Refuses what is not open, the three standard ones, and whatever
/// this process opened itself, which closes on exec as all of std's descriptors do; so nothing is taken twice.
pub fn take(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl only asks; a number that is no open descriptor is refused.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if fd <= 2 || flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: fcntl with integers touches no memory.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, was not opened by this process, and is taken once: it is marked now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn only_what_was_left_open_is_taken_and_once() {
        let own = File::open("/dev/null").unwrap();
        assert!(take(own.as_raw_fd()).is_err(), "opened here");
        for wrong in [-1, 0, 2, 1 << 20] {
            assert!(take(wrong).is_err(), "{wrong}");
        }
        // SAFETY: a duplicate is a new descriptor, which nothing else knows of.
        let left = unsafe { libc::dup(own.as_raw_fd()) };
        let taken = take(left).unwrap();
        assert_eq!(taken.as_raw_fd(), left);
        assert!(take(left).is_err(), "it is somebody's now");
    }
}
