//! What a host needs before its node starts: file systems, limits, forwarding.
//!
//! Nothing here is fatal: what failed is said on the console, and the host
//! joins the tree as far as it can, because that is where the operator looks.

use crate::log::say;
use std::fs;
use std::io;
use vmatic_leaf::sys::Errno;

/// Open files of the node: a plan has at most 65,535 guests a host.
const DESCRIPTORS: libc::rlim_t = 262_144;

/// Mounts what every program expects.
pub fn mount_all() {
    vmatic_leaf::boot::mount_all();
    if let Err(Errno(n)) = vmatic_leaf::sys::mount(c"cgroup2", c"/sys/fs/cgroup") {
        say(&format!("cannot mount /sys/fs/cgroup: {}", io::Error::from_raw_os_error(n)));
    }
}

/// Settings of the kernel that a host of guests wants.
pub fn tune() {
    for (path, value) in [
        // Guests reach each other and the world through the host's routing.
        ("/proc/sys/net/ipv4/ip_forward", "1"),
        ("/proc/sys/net/ipv6/conf/all/forwarding", "1"),
        // The agent is the last to die when memory runs out; its guests are the first (launcher.rs).
        ("/proc/self/oom_score_adj", "-999"),
        // Clones share pages by birth; huge pages would copy 2 MiB for each byte written.
        ("/sys/kernel/mm/transparent_hugepage/enabled", "never"),
    ] {
        if let Err(e) = fs::write(path, value) {
            say(&format!("cannot write {value} to {path}: {e}"));
        }
    }
}

/// Spares each guest a thread of the kernel's, which repairs large pages that the defence against iTLB multihit
/// (the kernel's Documentation/admin-guide/hw-vuln/multihit.rst) broke, where the processor needs no such defence.
/// Comes after the modules: KVM may be one. Not an error where there is no KVM, or one before Linux 6.4.
pub fn tune_kvm() {
    let bug = fs::read_to_string("/sys/devices/system/cpu/vulnerabilities/itlb_multihit").unwrap_or_default();
    if bug.trim() == "Not affected" {
        let _ = fs::write("/sys/module/kvm/parameters/nx_huge_pages", "never");
    }
}

/// Lets this process hold descriptors for thousands of guests: three each, and links to hosts and consoles.
pub fn raise_limits() {
    // SAFETY: both calls take a live rlimit.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let root = libc::geteuid() == 0;
        limit.rlim_max = if root { limit.rlim_max.max(DESCRIPTORS) } else { limit.rlim_max };
        limit.rlim_cur = limit.rlim_max.min(DESCRIPTORS);
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) < 0 {
            say(&format!("cannot raise the limit of open files: {}", io::Error::last_os_error()));
        }
    }
}

/// The kernel's command line.
pub fn cmdline() -> String {
    fs::read_to_string("/proc/cmdline").unwrap_or_default()
}
