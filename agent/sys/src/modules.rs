//! Kernel modules: those that the image lists, in its order.

use crate::calls::{Errno, Result, c_string, check, open, read_file};
use alloc::string::String;
use core::ffi::{CStr, c_int};

/// Most bytes of the list.
pub const LIST_MAX_BYTES: usize = 1 << 20;

/// Loads the modules of the file `list`, one a line, dependencies first. `read` makes of a line the module's file and
/// its parameters, or nothing where it is not to be loaded; `failed` is told which could not be loaded.
pub fn load_listed(list: &str, read: impl Fn(&str) -> Option<(&str, String)>, failed: impl Fn(&str, Errno)) {
    let text = c_string(list).and_then(|list| read_file(&list, LIST_MAX_BYTES + 1).ok()).unwrap_or_default();
    if text.len() > LIST_MAX_BYTES {
        failed(list, Errno(libc::EFBIG));
    }
    for (path, parameters) in String::from_utf8_lossy(&text).lines().filter_map(read) {
        let loaded = match (c_string(path), c_string(&parameters)) {
            (Some(path), Some(parameters)) => load(&path, &parameters),
            _ => Err(Errno(libc::EINVAL)),
        };
        match loaded {
            // A module that is there already, or whose device is not, is no failure.
            Ok(()) | Err(Errno(libc::EEXIST | libc::ENODEV)) => {}
            Err(e) => failed(path, e),
        }
    }
}

/// Loads a kernel module from a file, with its parameters as one text.
pub fn load(path: &CStr, parameters: &CStr) -> Result<()> {
    let file = open(path, libc::O_RDONLY)?;
    // SAFETY: the parameter string is NUL-terminated; the kernel checks the file.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.raw(), parameters.as_ptr(), 0) };
    check(done as c_int).map(drop)
}
