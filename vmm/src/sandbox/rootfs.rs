//! The file system of another program that runs a guest: before QEMU starts, its process is moved to where it finds
//! its own files, read-only, and nothing else of the host, and becomes a user without rights.
//!
//! Our own monitor's sandbox ([`super`]) needs no files at all because the monitor opens them before it is locked in.

use crate::error::{Context, Error};
use crate::sandbox::{self, NEW_ROOT};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount};
use rustix::process::Signal;
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Major and minor number of /dev/kvm.
const KVM: (u32, u32) = (10, 232);
const HELP: &str = "run it as root, on a kernel with namespaces and tmpfs";

/// What a sandboxed program has.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rootfs {
    /// User and group of the process; each guest has its own.
    pub user: u32,
    /// Files and folders that it sees, read-only, and where: absolute paths both. Links are made again as they are.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// A folder to write to, `/own`: so many MiB of RAM at most, gone with the process.
    pub scratch_mib: u32,
    /// Whether it may use /dev/kvm.
    pub kvm: bool,
    /// Whether it goes on when its parent ends.
    pub outlives: bool,
}

/// Makes this root and moves this process into it for good. It has no network but the descriptors that it holds, ends
/// when its parent does if it is to, and can gain no rights by starting programs.
pub fn enter(rootfs: &Rootfs) -> Result<(), Error> {
    let namespaces = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    sandbox::unshare(namespaces).context("leave the host's files and networks", HELP)?;
    let ours = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", ours).context("have mounts of its own", HELP)?;
    // Not NODEV, as all else here is: /dev/kvm is one.
    mount("sandbox", NEW_ROOT, "tmpfs", MountFlags::NOSUID, c"size=1m,nr_inodes=256,mode=755")
        .context("make an empty root", HELP)?;
    for (from, to) in &rootfs.binds {
        let tried = || format!("show {} as {} in the sandbox", from.display(), to.display());
        show(from, &inside(to)).map_err(|why| Error::new(tried(), why, "look whether the host image has it"))?;
    }
    scratch(rootfs).context("make a folder of its own", HELP)?;
    if rootfs.kvm {
        kvm().context("make /dev/kvm in the sandbox", HELP)?;
    }
    mount_remount(NEW_ROOT, MountFlags::RDONLY | MountFlags::NOSUID, c"").context("close the sandbox", HELP)?;
    sandbox::enter_root().context("enter the sandbox", HELP)?;
    let parent = rustix::process::getppid();
    sandbox::become_user(rootfs.user).context("become the guest's user", HELP)?;
    // A change of user forgets this and what follows.
    rustix::thread::set_no_new_privs(true).context("forgo new rights", HELP)?;
    if rootfs.outlives {
        return Ok(());
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("end with the node", HELP)?;
    if rustix::process::getppid() != parent {
        let why = "the node exited first (harmless)";
        return Err(Error::new("end with the node", why, "nothing needs to be done"));
    }
    Ok(())
}

/// The folder to write to.
fn scratch(rootfs: &Rootfs) -> io::Result<()> {
    let path = inside(Path::new("/own"));
    let (mib, user) = (rootfs.scratch_mib, rootfs.user);
    let options = CString::new(format!("size={mib}m,nr_inodes=64,mode=700,uid={user},gid={user}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    fs::create_dir(&path)?;
    Ok(mount("own", &path, "tmpfs", flags, options.as_c_str())?)
}

fn inside(path: &Path) -> PathBuf {
    Path::new(NEW_ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes one file, folder or link visible.
fn show(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if kind.is_dir() {
        fs::create_dir(to)?
    } else {
        fs::write(to, "")?
    }
    mount_bind(from, to)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount_remount(to, flags, c"")?)
}

fn kvm() -> io::Result<()> {
    let path = inside(Path::new("/dev/kvm"));
    fs::create_dir(inside(Path::new("/dev")))?;
    rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), rustix::fs::makedev(KVM.0, KVM.1))?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))
}
