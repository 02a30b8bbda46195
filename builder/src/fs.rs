//! Files and paths, as every stage needs them.
//!
//! A file is written whole or not at all; a path of an image and its permission bits are checked before they are used.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::{PathContext, Result};
use crate::names;

/// Longest path of an image, as Linux has it (PATH_MAX without the NUL).
pub const PATH_BYTES_MAX: usize = 4095;

/// Bytes that the file system of a folder has left for us.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let space = rustix::fs::statvfs(folder).at("ask for free space on", folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Writes one file, whole or not at all; `mode` is subject to the umask.
pub fn write_file(path: &Path, data: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = fs::Permissions::from_mode(mode);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder).at("write in", folder)?;
    file.write_all(data).at("write", file.path())?;
    // On the disk before it has its name: a crash must not leave an empty file under it.
    file.as_file().sync_all().at("write", file.path())?;
    file.persist(path).map_err(|error| error.error).at("write", path)?;
    Ok(())
}

/// Waits until the disk has all that was written to a folder's file system: before a rename that says it is whole.
pub fn settle(folder: &Path) -> Result<()> {
    let open = fs::File::open(folder).at("open", folder)?;
    rustix::fs::syncfs(&open).map_err(std::io::Error::from).at("write", folder)
}

/// A path without leading slash, `.` and double slashes; refuses `..`, NUL and what is too long.
pub fn clean_path(path: &str) -> std::result::Result<String, &'static str> {
    if path.contains('\0') {
        return Err("the path contains a NUL byte");
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("the path contains `..`"),
            _ => parts.push(part),
        }
    }
    let clean = parts.join("/");
    if clean.len() > PATH_BYTES_MAX && names::decode(&clean).len() > PATH_BYTES_MAX {
        return Err("the path is longer than 4095 bytes");
    }
    if clean == "TRAILER!!!" {
        return Err("an archive ends at this name");
    }
    Ok(clean)
}

/// Permission bits from an octal text of 3 or 4 digits.
pub fn octal(text: &str) -> Option<u32> {
    let mode = u32::from_str_radix(text, 8).ok()?;
    ((3..=4).contains(&text.len()) && mode <= 0o7777).then_some(mode)
}
