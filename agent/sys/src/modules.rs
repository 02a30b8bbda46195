//! Kernel modules: those that the image lists, in its order.

use crate::calls::{Errno, Result, c_string, check, open, read_file};
use alloc::string::String;
use core::ffi::{CStr, c_int};

/// Most bytes of the list.
const LIST_MAX_BYTES: usize = 64 * 1024;

/// Loads the modules that the file `list` names, one path a line, dependencies first; tells `failed` which could not
/// be loaded.
pub fn load_listed(list: &str, failed: impl Fn(&str, Errno)) {
    let list = c_string(list).and_then(|list| read_file(&list, LIST_MAX_BYTES).ok()).unwrap_or_default();
    for path in String::from_utf8_lossy(&list).lines().filter(|l| !l.is_empty()) {
        let loaded = c_string(path).map_or(Err(Errno(libc::EINVAL)), |p| load(&p));
        match loaded {
            // A module that is there already, or whose device is not, is no failure.
            Ok(()) | Err(Errno(libc::EEXIST | libc::ENODEV)) => {}
            Err(e) => failed(path, e),
        }
    }
}

/// Loads a kernel module from a file.
pub fn load(path: &CStr) -> Result<()> {
    let file = open(path, libc::O_RDONLY)?;
    // SAFETY: the parameter string is NUL-terminated; the kernel checks the file.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.raw(), c"".as_ptr(), 0) };
    check(done as c_int).map(drop)
}
