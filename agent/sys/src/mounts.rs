//! The kernel's own file systems.
//!
//! Nothing here is fatal: what failed is told to the caller, who says it where people look.

use crate::calls::{Errno, Result, check};
use core::ffi::CStr;

/// Mounts what every program expects; tells `failed` what could not be mounted.
pub fn mount_all(failed: impl Fn(&CStr, Errno)) {
    for (kind, target) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"devpts", c"/dev/pts"),
        (c"tmpfs", c"/tmp"),
        (c"tmpfs", c"/run"),
    ] {
        if let Err(e) = mount(kind, target) {
            failed(target, e);
        }
    }
}

/// Mounts a kernel file system.
pub fn mount(kind: &CStr, target: &CStr) -> Result<()> {
    // SAFETY: all strings are NUL-terminated and outlive the calls.
    unsafe {
        libc::mkdir(target.as_ptr(), 0o755);
        let flags = libc::MS_NOSUID;
        check(libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, core::ptr::null())).map(drop)
    }
}

/// Gives this process a mount namespace of its own: what it mounts from now on, nobody else sees, and it goes with the
/// last process in there (mount_namespaces(7)).
pub fn private_namespace() -> Result<()> {
    // SAFETY: integers, null pointers where the kernel reads nothing, and a NUL-terminated path.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        let (flags, none) = (libc::MS_REC | libc::MS_PRIVATE, core::ptr::null());
        check(libc::mount(none, c"/".as_ptr(), none, flags, core::ptr::null())).map(drop)
    }
}
