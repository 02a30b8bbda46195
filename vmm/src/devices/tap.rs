//! Tap and tun interfaces of the host.
//!
//! Takes an interface name; gives an opened tap as the guest's network card wants
//! it: no packet information, a 12-byte virtio header, non-blocking, no offloads. Or
//! an opened tun, as a host's switch wants it.

use rustix::fs::{Mode, OFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Bytes of virtio-net header before every frame.
pub(crate) const HEADER_BYTES: usize = 12;
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;

/// Opens (and creates, if there is none) the tap `name`.
///
/// Needs CAP_NET_ADMIN and the `tun` driver. An interface that was not there
/// before goes away when the descriptor is closed.
pub fn open_tap(name: &str) -> io::Result<OwnedFd> {
    let tap = open(name, libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR)?;
    let header_bytes = HEADER_BYTES as libc::c_int;
    // SAFETY: the kernel reads a live integer; TUNSETOFFLOAD takes a plain number.
    unsafe {
        if libc::ioctl(tap.as_raw_fd(), TUNSETVNETHDRSZ as _, &header_bytes) < 0
            || libc::ioctl(tap.as_raw_fd(), TUNSETOFFLOAD as _, 0 as libc::c_ulong) < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(tap)
}

/// Opens (and creates) the tun `name`, an interface of bare IP packets, non-blocking. As [`open_tap`]'s,
/// it goes away with its descriptor.
pub fn open_tun(name: &str) -> io::Result<OwnedFd> {
    open(name, libc::IFF_TUN | libc::IFF_NO_PI)
}

fn open(name: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
    let name_c = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an interface name has 1 to 15 bytes"));
    }
    let how = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open("/dev/net/tun", how, Mode::empty())?;
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name_c.as_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the kernel reads and writes exactly this struct, which outlives the call.
    match unsafe { libc::ioctl(opened.as_raw_fd(), TUNSETIFF as _, &mut request) } {
        0.. => Ok(opened),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_and_past_the_limit() {
        assert_eq!(open_tap("").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open_tap("sixteenbyteslong").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open_tap("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
