//! The sandbox of our own monitor: what a process that runs a guest cannot do.
//!
//! Takes a process that is about to run a guest; takes away from it everything that
//! running the guest does not need. A guest that breaks out of its virtual machine
//! then holds a process that can use the descriptors it has, and nothing else.

pub mod rootfs;
mod seccomp;

use crate::error::{Context, Error};
use crate::sandbox::seccomp::{ArgFilter, Call};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Gid, Uid};
use rustix::thread::{self, UnshareFlags};
use seccompiler::BpfProgram;
use std::io;

const HELP: &str = "use a kernel with CONFIG_SECCOMP_FILTER";
/// Where a new root is made: nobody looks for files there any more, and the host's own is hidden by it.
const NEW_ROOT: &str = "/proc";
const KVM_RUN: u32 = 0xae80;
const KVM_IRQ_LINE: u32 = 0x4008_ae61;
const KVM_GET_REGS: u32 = 0x8090_ae81;
const KVM_KVMCLOCK_CTRL: u32 = 0xaead;

/// The system calls of a running guest's process, compiled.
pub struct Filter(BpfProgram);

/// What a guest's process still needs once its machine is built: to run it, to move
/// bytes between descriptors that are open, to take signals, to allocate, to end.
pub fn filter() -> Result<Filter, Error> {
    let filtered = |number, argument, mask, values| Call { number, args: Some(ArgFilter { argument, mask, values }) };
    let always = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_pread64,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_poll,
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_sigaltstack,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_close,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let calls: Vec<Call> = always
        .into_iter()
        .map(|number| Call { number, args: None })
        .chain([
            filtered(libc::SYS_ioctl, 1, u32::MAX, &[KVM_RUN, KVM_IRQ_LINE, KVM_GET_REGS, KVM_KVMCLOCK_CTRL]),
            // The standard library asks whether a descriptor is open before it closes it, where
            // it was built to check itself.
            filtered(libc::SYS_fcntl, 1, u32::MAX, &[libc::F_GETFD as u32]),
            // Memory that is no code.
            filtered(libc::SYS_mmap, 2, libc::PROT_EXEC as u32, &[0]),
        ])
        .collect();
    let tried = "compile the filter of system calls";
    seccomp::program(&calls)
        .map(Filter)
        .ok_or_else(|| Error::new(tried, "seccomp filter too long: a branch exceeds 255 instructions", HELP))
}

/// Makes the process `user`, of the group of the same number and no other, without
/// capabilities; 0 changes nothing.
pub(crate) fn become_user(user: u32) -> io::Result<()> {
    if user == 0 {
        return Ok(());
    }
    // The kernel's calls, which change this thread: the C library's would look for others to change with it, and there
    // are none.
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
    thread::set_thread_groups(&[])?;
    thread::set_thread_res_gid(group, group, group)?;
    Ok(thread::set_thread_res_uid(user, user, user)?)
}

/// Leaves the host's namespaces of these kinds for new ones.
fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: the table of descriptors is not among what namespaces hold.
    Ok(unsafe { thread::unshare_unsafe(namespaces.difference(UnshareFlags::FILES)) }?)
}

/// Moves this process, and all that is forked from it, into namespaces without files, without
/// networks and without others' names and queues: what a guest that broke out could still
/// reach by a path or an address is then nothing. Needs root; says what the kernel lacks.
pub(crate) fn isolate() -> Vec<String> {
    let mut missing = Vec::new();
    let mut done = |what: &str, result: io::Result<()>| match result {
        Ok(()) => true,
        Err(error) => {
            missing.push(format!("{what}: {error}"));
            false
        }
    };
    for (what, namespace) in [
        ("a network of its own", UnshareFlags::NEWNET),
        ("queues of its own", UnshareFlags::NEWIPC),
        ("names of its own", UnshareFlags::NEWUTS),
    ] {
        done(what, unshare(namespace));
    }
    if done("mounts of its own", unshare(UnshareFlags::NEWNS)) {
        done("an empty root", empty_root());
    }
    missing
}

/// The mounts must be this process's own.
fn empty_root() -> io::Result<()> {
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    rustix::mount::mount("empty", NEW_ROOT, "tmpfs", flags, c"size=4k,nr_inodes=2,mode=555")?;
    enter_root()
}

/// Has what is mounted at [`NEW_ROOT`] be this process's root.
fn enter_root() -> io::Result<()> {
    rustix::process::chroot(NEW_ROOT)?;
    Ok(rustix::process::chdir("/")?)
}

/// From now on a system call that is not in the filter ends this process.
pub(crate) fn lock(filter: &Filter) -> Result<(), Error> {
    seccompiler::apply_filter(&filter.0).context("filter system calls", HELP)
}
