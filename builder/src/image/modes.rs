//! Modes and owners of files that come from the building machine: as on disk, and never wider than there.
//!
//! Takes what the disk says of a file and who stands for root there; gives the file's mode and owner in an image, and
//! the rule by which they came about, which `vmatic why` shows. An image is served to everybody, but what runs on it is
//! not everybody: a key that only root may read must stay one.
//!
//! Where root builds, owners and modes are those on disk. Whoever else builds owns all his files and cannot give them
//! away: they are root's. The owner of a layer's folder stands for root in both cases, so that a checkout of somebody
//! gives the same image under sudo. What a umask leaves for group and others to write is not taken over.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{PathContext, Result};

/// Who may do what with a file of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// How they came about.
    pub rule: &'static str,
}

/// What the disk says of a file.
#[derive(Clone, Copy, Debug)]
pub struct OnDisk {
    /// Permission bits.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// Whether it is a folder.
    pub folder: bool,
}

impl From<&Metadata> for OnDisk {
    fn from(about: &Metadata) -> OnDisk {
        OnDisk { mode: about.mode() & 0o7777, uid: about.uid(), gid: about.gid(), folder: about.is_dir() }
    }
}

/// Whose files count as root's on the building machine.
#[derive(Clone, Copy, Debug)]
pub struct Builder {
    /// Whether root builds, who sees owners as they are meant.
    pub root: bool,
    /// The user who stands for root.
    pub uid: u32,
    /// The group that stands for root's.
    pub gid: u32,
}

/// The mode is that of the disk.
pub const AS_ON_DISK: &str = "as on disk";
/// The mode is narrower than that of the disk.
const NARROWED: &str = "as on disk, but only its owner may write";
/// The mode is what a layer.toml says.
pub const BY_MANIFEST: &str = "by the [modes] of layer.toml";
/// The mode is what the spec says.
pub const BY_SPEC: &str = "as the spec says";
/// A file in a folder that is closed on disk, and open in the image.
pub const CLOSED_FOLDER: &str = "as on disk, where its folder is closed to others";

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

impl Builder {
    /// The one who builds, with a layer in this folder.
    pub fn of(folder: &Path) -> Builder {
        let root = rustix::process::geteuid().is_root();
        let (uid, gid) = fs::metadata(folder).map_or((0, 0), |about| (about.uid(), about.gid()));
        Builder { root, uid, gid }
    }

    /// Mode and owner in the image of what lies on disk.
    pub fn access(&self, disk: OnDisk) -> Access {
        let owner = if self.root && disk.uid != self.uid { disk.uid } else { 0 };
        let group = if self.root && disk.gid != self.gid { disk.gid } else { 0 };
        let mut mode = disk.mode;
        let shared = disk.folder && mode & STICKY != 0;
        if group == 0 && !shared {
            mode &= !0o020;
            // A folder has it from the one it was made in, and root's group means nothing.
            mode &= if disk.folder { !SETGID } else { !0 };
        }
        if !self.root && !shared {
            mode &= !0o002;
        }
        // As root's it would be another program: whoever wrote it may not give it root's rights.
        if !disk.folder && !self.root {
            mode &= if disk.uid == self.uid { !0 } else { !SETUID };
            mode &= if disk.gid == self.gid { !0 } else { !SETGID };
        }
        Access { mode, uid: owner, gid: group, rule: if mode == disk.mode { AS_ON_DISK } else { NARROWED } }
    }
}

/// The mode of a single file that the spec names without one, and its rule. Its owner is what the spec says.
pub fn of_file(file: &Path) -> Result<(u32, &'static str)> {
    let about = fs::metadata(file).at("read", file)?;
    let owner = Builder { root: false, uid: about.uid(), gid: about.gid() };
    let access = owner.access(OnDisk::from(&about));
    Ok((access.mode, access.rule))
}

/// The mode of what a root holds, whoever unpacked or installed it: what its owner alone was to write stays so.
pub fn of_root(mode: u32, folder: bool) -> u32 {
    if folder && mode & STICKY != 0 { mode } else { mode & !0o022 }
}

/// Which bits of a file say something to those whom its folder keeps out.
pub fn closed_bits(folder_mode: u32) -> u32 {
    let group = if folder_mode & 0o010 == 0 { 0o070 } else { 0 };
    group | if folder_mode & 0o001 == 0 { 0o007 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: Builder = Builder { root: true, uid: 0, gid: 0 };
    const USER: Builder = Builder { root: false, uid: 1000, gid: 1000 };
    const SUDO: Builder = Builder { root: true, uid: 1000, gid: 1000 };

    fn file(mode: u32, uid: u32, gid: u32) -> OnDisk {
        OnDisk { mode, uid, gid, folder: false }
    }

    fn folder(mode: u32, uid: u32, gid: u32) -> OnDisk {
        OnDisk { mode, uid, gid, folder: true }
    }

    fn short(access: Access) -> (u32, u32, u32) {
        (access.mode, access.uid, access.gid)
    }

    #[test]
    fn a_checkout_gives_the_same_whoever_builds_and_under_any_usual_umask() {
        for builder in [USER, SUDO] {
            for mode in [0o644, 0o664] {
                assert_eq!(short(builder.access(file(mode, 1000, 1000))), (0o644, 0, 0));
            }
            assert_eq!(short(builder.access(file(0o600, 1000, 1000))), (0o600, 0, 0));
            assert_eq!(short(builder.access(folder(0o2775, 1000, 1000))), (0o755, 0, 0));
            assert_eq!(short(builder.access(file(0o4755, 1000, 1000))), (0o4755, 0, 0));
        }
        assert_eq!(short(USER.access(file(0o666, 1000, 1000))), (0o644, 0, 0));
        assert_eq!(short(USER.access(folder(0o1777, 1000, 1000))), (0o1777, 0, 0));
        assert_eq!(short(USER.access(file(0o640, 1001, 44))), (0o640, 0, 0));
    }

    #[test]
    fn root_keeps_what_is_meant() {
        assert_eq!(short(ROOT.access(file(0o660, 33, 44))), (0o660, 33, 44));
        assert_eq!(short(ROOT.access(folder(0o2775, 0, 50))), (0o2775, 0, 50));
        assert_eq!(short(ROOT.access(file(0o664, 0, 0))), (0o644, 0, 0));
        assert_eq!(short(SUDO.access(file(0o660, 33, 44))), (0o660, 33, 44));
        assert_eq!(ROOT.access(file(0o600, 0, 0)).rule, AS_ON_DISK);
    }

    #[test]
    fn nothing_is_ever_wider_than_on_disk() {
        for mode in 0..=0o7777 {
            for builder in [ROOT, USER, SUDO] {
                for disk in [file(mode, 1000, 33), folder(mode, 0, 0)] {
                    assert_eq!(builder.access(disk).mode & !mode, 0);
                    assert_eq!(of_root(mode, disk.folder) & !mode, 0);
                }
            }
        }
        assert_eq!([0o755, 0o750, 0o700, 0o711].map(closed_bits), [0, 0o007, 0o077, 0]);
    }
}
