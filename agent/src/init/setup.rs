//! What a host needs before its node starts: file systems, modules, settings of its kernel.
//!
//! Nothing here is fatal: what failed is said on the console, and the host
//! joins the tree as far as it can, because that is where the operator looks.

use crate::error::os_error;
use crate::log::log;
use crate::machine::cmdline;
use std::ffi::CStr;
use std::fs;
use vmatic_plan::host_image::MODULES;
use vmatic_plan::modules::ListedModule;
use vmatic_sys::calls::Errno;
use vmatic_sys::{modules, mounts};

/// Mounts what every program expects.
pub fn mount_all() {
    let failed = |target: &CStr, e: Errno| log(&format!("cannot mount {}: {}", target.to_string_lossy(), os_error(e)));
    mounts::mount_all(failed);
    let _ = mounts::mount(c"cgroup2", c"/sys/fs/cgroup").map_err(|e| failed(c"/sys/fs/cgroup", e));
}

/// Loads the modules that the image lists, with the parameters that list and boot command line have for them.
pub fn load_modules() {
    let cmdline = cmdline::kernel();
    modules::load_listed(
        MODULES,
        |line| {
            let module = ListedModule::parse(line)?;
            let parameters = module.with_cmdline(&cmdline);
            if parameters.is_none() {
                log(&format!("does not load {}: modprobe.blacklist= on the boot command line", module.path));
            }
            Some((module.path, parameters?))
        },
        |path, e| log(&format!("cannot load {path}: {}", os_error(e))),
    );
}

/// Settings of the kernel that a host of guests wants.
pub fn tune() {
    for (path, value) in [
        // Each host that guests talk to is a neighbour, in either protocol; the switch has at most 1,024 at a time, and
        // what the host itself needs must always find a place beside them.
        ("/proc/sys/net/ipv4/neigh/default/gc_thresh2", "2048"),
        ("/proc/sys/net/ipv4/neigh/default/gc_thresh3", "4096"),
        ("/proc/sys/net/ipv6/neigh/default/gc_thresh2", "2048"),
        ("/proc/sys/net/ipv6/neigh/default/gc_thresh3", "4096"),
        // The agent is the last to die when memory runs out; its guests are the first (process/spawn.rs).
        ("/proc/self/oom_score_adj", "-999"),
        // Clones share pages by birth; huge pages would copy 2 MiB for each byte written.
        ("/sys/kernel/mm/transparent_hugepage/enabled", "never"),
    ] {
        if let Err(e) = fs::write(path, value) {
            log(&format!("cannot write {value} to {path}: {e}"));
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
