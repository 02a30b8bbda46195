//! The file system of another program that runs a guest: before QEMU starts, its process is moved to where it finds
//! its own files, read-only, and nothing else of the host, and becomes a user without rights.
//!
//! Our own monitor's sandbox ([`super`]) needs no files at all because the monitor opens them before it is locked in.

use crate::error::{Context, Error};
use crate::sandbox;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is made where nobody looks for files any more: the host's own is hidden by it.
const ROOM: &str = "/proc";
/// Major and minor number of /dev/kvm.
const KVM: (u32, u32) = (10, 232);
const NEXT: &str = "run it as root, on a kernel with namespaces and tmpfs";

/// What a room has.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rootfs {
    /// User and group of the process; each guest has its own.
    pub user: u32,
    /// Files and folders that it sees, and where: absolute paths both. Links are made again as they are.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// A folder to write to, `/own`: so many MiB of RAM at most, gone with the process.
    pub scratch_mib: u32,
    /// Whether it may use /dev/kvm.
    pub kvm: bool,
}

/// Moves this process into the room for good. It has no network but the descriptors that it holds, ends when its
/// parent does, and can gain no rights by starting programs.
pub fn enter(rootfs: &Rootfs) -> Result<(), Error> {
    let spaces = libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    // SAFETY: no memory is involved.
    check(unsafe { libc::unshare(spaces) }).context("leave the host's files and networks", NEXT)?;
    mount("none", "/", None, libc::MS_REC | libc::MS_PRIVATE, "").context("have mounts of its own", NEXT)?;
    let safe = libc::MS_NOSUID | libc::MS_NODEV;
    mount("room", ROOM, Some("tmpfs"), libc::MS_NOSUID, "size=1m,nr_inodes=256,mode=755")
        .context("make an empty room", NEXT)?;
    for (from, to) in &rootfs.binds {
        let tried = || format!("show {} as {} in the room", from.display(), to.display());
        show(from, &inside(to)).map_err(|why| Error::new(tried(), why, "look whether the host image has it"))?;
    }
    let own = inside(Path::new("/own"));
    let limits =
        format!("size={}m,nr_inodes=64,mode=700,uid={user},gid={user}", rootfs.scratch_mib, user = rootfs.user);
    let made = fs::create_dir(&own).and_then(|()| mount("own", &own, Some("tmpfs"), safe | libc::MS_NOEXEC, &limits));
    made.context("make a folder of its own", NEXT)?;
    if rootfs.kvm {
        kvm().context("make /dev/kvm in the room", NEXT)?;
    }
    let flags = libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_NOSUID;
    mount("room", ROOM, None, flags, "").context("close the room", NEXT)?;
    let path = c_string(Path::new(ROOM)).context("name the room", NEXT)?;
    // SAFETY: the string ends with a NUL and outlives the calls.
    let moved = unsafe { check(libc::chroot(path.as_ptr())).and_then(|()| check(libc::chdir(c"/".as_ptr()))) };
    moved.context("enter the room", NEXT)?;
    // SAFETY: no memory is involved.
    let parent = unsafe { libc::getppid() };
    sandbox::become_user(rootfs.user).context("become the guest's user", NEXT)?;
    // A change of user forgets both. SAFETY: no memory is involved.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)).context("end with the node", NEXT)?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)).context("forgo new rights", NEXT)?;
        if libc::getppid() != parent {
            return Err(Error::new(
                "end with the node",
                "the node exited first (harmless)",
                "nothing needs to be done",
            ));
        }
    }
    Ok(())
}

fn inside(path: &Path) -> PathBuf {
    Path::new(ROOM).join(path.strip_prefix("/").unwrap_or(path))
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
    mount(from, to, None, libc::MS_BIND, "")?;
    let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV;
    mount("none", to, None, flags, "")
}

fn kvm() -> io::Result<()> {
    let path = inside(Path::new("/dev/kvm"));
    fs::create_dir(inside(Path::new("/dev")))?;
    let c_path = c_string(&path)?;
    // SAFETY: the string ends with a NUL and outlives the call.
    check(unsafe { libc::mknod(c_path.as_ptr(), libc::S_IFCHR, libc::makedev(KVM.0, KVM.1)) })?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))
}

fn mount(
    what: impl AsRef<Path>,
    at: impl AsRef<Path>,
    kind: Option<&str>,
    flags: libc::c_ulong,
    options: &str,
) -> io::Result<()> {
    let (what, at, options) = (c_string(what.as_ref())?, c_string(at.as_ref())?, c_string(Path::new(options))?);
    let kind = kind.map(|kind| c_string(Path::new(kind))).transpose()?;
    let kind = kind.as_ref().map_or(std::ptr::null(), |kind| kind.as_ptr());
    // SAFETY: all strings end with a NUL and outlive the call; options is text for every file system used here.
    check(unsafe { libc::mount(what.as_ptr(), at.as_ptr(), kind, flags, options.as_ptr().cast()) })
}

fn c_string(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
