//! The output folder, replaced whole or not at all.
//!
//! Everything is written to a folder beside the target, which then takes the target's place in one
//! step. A build that fails, runs out of space or is interrupted leaves the old folder as it was.

pub mod identity;
pub mod inspect;
pub mod lock;
pub mod plan;
pub mod sbom;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use crate::error::{Error, PathContext, Result};
use crate::fs::free_bytes;

/// What shows that a folder was written by vmatic.
const OUTPUT_MARK: &str = "manifest.json";
/// Space left over when it is checked whether a build fits, for folders and rounding.
const SPARE_BYTES: u64 = 1 << 20;

/// A new output folder that is not yet in its place.
pub struct Output {
    target: PathBuf,
    scratch: PathBuf,
    placed: bool,
}

impl Output {
    /// Begins a folder that will be `target` and hold `bytes` in all. Refuses a target that is a
    /// folder of somebody else.
    pub fn begin(target: &Path, bytes: u64) -> Result<Output> {
        // A link to a folder elsewhere (a TFTP server's) stays: what it leads to is replaced.
        let target = &target.canonicalize().unwrap_or_else(|_| target.to_owned());
        let tried = || Error::new(format!("cannot write the output folder {}", target.display()));
        if target.exists() && !target.join(OUTPUT_MARK).is_file() && !is_empty_dir(target) {
            return Err(tried()
                .because(format!("it exists and vmatic did not write it (it has no {OUTPUT_MARK})"))
                .help("name another folder with --out DIR, or remove it yourself"));
        }
        let name = target
            .file_name()
            .ok_or_else(|| tried().because("it has no name").help("name a folder with --out DIR"))?
            .to_string_lossy()
            .into_owned();
        let parent = match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(tried().because("it has no parent folder").help("name a folder with --out DIR")),
        };
        create_folders(parent)?;
        remove_abandoned(parent, &name);
        let free = free_bytes(parent)?;
        if bytes + SPARE_BYTES > free {
            return Err(tried()
                .because(format!("it needs {bytes} bytes and the disk has {free} left"))
                .help("free some space on that file system, or choose another folder with --out DIR"));
        }
        let scratch = parent.join(format!(".{name}.new-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        create_folders(&scratch)?;
        Ok(Output { target: target.to_owned(), scratch, placed: false })
    }

    /// Writes one file.
    pub fn write(&self, file: &str, data: &[u8]) -> Result<()> {
        let path = self.scratch.join(file);
        if let Some(parent) = path.parent() {
            create_folders(parent)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path).at("create", &path)?;
        file.set_permissions(fs::Permissions::from_mode(0o644)).at("open to everybody", &path)?;
        file.write_all(data).at("write", &path)
    }

    /// Puts the folder in its place.
    pub fn place(mut self) -> Result<()> {
        let exchange = rustix::fs::renameat_with(CWD, &self.scratch, CWD, &self.target, RenameFlags::EXCHANGE);
        match exchange {
            // The old folder is now the scratch one, and goes when this value is dropped.
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT) => {
                fs::rename(&self.scratch, &self.target).at("put in place", &self.target)?;
                self.placed = true;
            }
            // A file system that cannot exchange: the old one steps aside for a moment.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                let aside = self.scratch.with_extension("old");
                fs::rename(&self.target, &aside).at("move aside", &self.target)?;
                if let Err(cause) = fs::rename(&self.scratch, &self.target) {
                    let _ = fs::rename(&aside, &self.target);
                    return Err(cause).at("put in place", &self.target);
                }
                let _ = fs::remove_dir_all(&aside);
                self.placed = true;
            }
            Err(cause) => return Err(cause).at("put in place", &self.target),
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::remove_dir_all(&self.scratch);
        }
    }
}

/// Creates a folder and those above it that are not there, readable by everybody whatever the umask: a TFTP server runs
/// as somebody else, and nothing in an output is secret.
fn create_folders(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_folders(parent)?;
    }
    match fs::create_dir(path) {
        // Another build was faster.
        Err(_) if path.is_dir() => return Ok(()),
        result => result.at("create", path)?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).at("open to everybody", path)
}

fn is_empty_dir(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Removes what builds left behind that were killed: their process is no more.
fn remove_abandoned(parent: &Path, name: &str) {
    let prefix = format!(".{name}.new-");
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some(id) = file.strip_prefix(&prefix).and_then(|rest| rest.trim_end_matches(".old").parse::<u32>().ok())
        else {
            continue;
        };
        if !Path::new(&format!("/proc/{id}")).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn build(target: &Path, text: &str) {
        let output = Output::begin(target, 10).unwrap();
        output.write(OUTPUT_MARK, b"{}").unwrap();
        output.write("grub/grub.cfg", text.as_bytes()).unwrap();
        output.place().unwrap();
    }

    #[test]
    fn a_folder_is_replaced_whole() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("x");
        build(&target, "one");
        fs::write(target.join("stale"), "").unwrap();
        build(&target, "two");
        assert_eq!(names(&target), ["grub", OUTPUT_MARK]);
        assert_eq!(fs::read_to_string(target.join("grub/grub.cfg")).unwrap(), "two");
        assert_eq!(names(parent.path()), ["x"], "nothing is left beside it");
    }

    #[test]
    fn a_build_that_fails_leaves_the_old_folder_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("x");
        build(&target, "one");
        let output = Output::begin(&target, 10).unwrap();
        output.write("grub/grub.cfg", b"two").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(target.join("grub/grub.cfg")).unwrap(), "one");
        assert_eq!(names(parent.path()), ["x"]);
        assert!(Output::begin(&target, u64::MAX / 2).err().unwrap().to_string().contains("free some space"));
        assert_eq!(names(parent.path()), ["x"]);
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("home");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("thesis"), "").unwrap();
        assert!(Output::begin(&target, 10).err().unwrap().to_string().contains("vmatic did not write it"));
        assert_eq!(names(&target), ["thesis"]);
    }

    #[test]
    fn what_a_killed_build_left_goes_with_the_next() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join(".x.new-4194305")).unwrap();
        fs::create_dir(parent.path().join(format!(".x.new-{}", std::process::id()))).unwrap();
        fs::create_dir(parent.path().join(".xy.new-4194305")).unwrap();
        build(&parent.path().join("x"), "one");
        assert_eq!(names(parent.path()), [".xy.new-4194305", "x"]);
    }
}
