//! Files, folders and links, made and moved by a program that has no std.
//!
//! Paths are bytes with a NUL behind them; whoever makes them keeps them below the folder that they belong in.

use crate::calls::{Fd, Result, check};
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::mem::MaybeUninit;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// Something else.
    Other,
}

/// A path from its parts, between which there are slashes; none if there is a NUL in one.
pub fn path(parts: &[&[u8]]) -> Option<CString> {
    let parts: Vec<&[u8]> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    CString::new(parts.join(&b'/')).ok()
}

/// Makes a folder.
pub fn make_folder(path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(drop)
}

/// Makes a file that is not there yet, which nobody else may read until it has its mode.
pub fn make_file(path: &CStr) -> Result<Fd> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated and outlives the call.
    Fd::new(unsafe { libc::open(path.as_ptr(), flags, 0o600) })
}

/// Sets who may do what with a file or folder.
pub fn set_mode(path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    check(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
}

/// Makes a symbolic link.
pub fn make_link(target: &CStr, path: &CStr) -> Result<()> {
    // SAFETY: both are NUL-terminated and outlive the call.
    check(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) }).map(drop)
}

/// Moves something, in place of what is there.
pub fn rename(from: &CStr, to: &CStr) -> Result<()> {
    // SAFETY: both are NUL-terminated and outlive the call.
    check(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }).map(drop)
}

/// What is at a path, or where it leads if it is a link and `follow` says so; none if nothing is.
pub fn kind(path: &CStr, follow: bool) -> Option<Kind> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path is NUL-terminated, and the structure has room for what the call writes; zeroes are valid.
    let mode = unsafe {
        let look = if follow { libc::stat } else { libc::lstat };
        check(look(path.as_ptr(), stat.as_mut_ptr())).ok()?;
        stat.assume_init().st_mode
    };
    Some(if mode & libc::S_IFMT == libc::S_IFDIR { Kind::Folder } else { Kind::Other })
}

/// The names in a folder; none if it cannot be read.
pub fn names(path: &CStr) -> Vec<CString> {
    let mut names = Vec::new();
    // SAFETY: the stream is ours and closed once; an entry is read before the next one is asked for.
    unsafe {
        let folder = libc::opendir(path.as_ptr());
        if folder.is_null() {
            return names;
        }
        loop {
            let entry = libc::readdir(folder);
            if entry.is_null() {
                break;
            }
            let name = CStr::from_ptr((*entry).d_name.as_ptr());
            if name != c"." && name != c".." {
                names.push(name.into());
            }
        }
        libc::closedir(folder);
    }
    names
}

/// Removes a file, or a folder with all that is in it. How deep that goes, the kernel's longest path bounds.
pub fn remove_all(path_of: &CStr) {
    if kind(path_of, false) == Some(Kind::Folder) {
        for name in names(path_of) {
            if let Some(inner) = path(&[path_of.to_bytes(), name.to_bytes()]) {
                remove_all(&inner);
            }
        }
    }
    // SAFETY: the path is NUL-terminated and outlives the call.
    unsafe { libc::remove(path_of.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_is_made_is_there_and_all_of_it_can_be_removed() {
        let folder = std::env::temp_dir().join(std::format!("vmatic-files-{}", std::process::id()));
        let at = |below: &[u8]| path(&[folder.as_os_str().as_bytes(), below]).unwrap();
        make_folder(&at(b""), 0o755).unwrap();
        make_folder(&at(b"a"), 0o700).unwrap();
        make_file(&at(b"a/f")).unwrap().write(b"x").unwrap();
        assert!(make_file(&at(b"a/f")).is_err(), "it is there already");
        make_link(c"f", &at(b"a/l")).unwrap();
        make_link(c"a", &at(b"link")).unwrap();
        assert_eq!((kind(&at(b"link"), false), kind(&at(b"link"), true)), (Some(Kind::Other), Some(Kind::Folder)));
        assert_eq!((kind(&at(b"none"), true), names(&at(b"a")).len()), (None, 2));
        rename(&at(b"a/f"), &at(b"g")).unwrap();
        set_mode(&at(b"g"), 0o400).unwrap();
        assert_eq!(std::fs::read(folder.join("g")).unwrap(), b"x");
        remove_all(&at(b""));
        assert!(!folder.exists());
    }
}
