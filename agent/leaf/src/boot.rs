//! From the kernel's jump to /init to a machine with a name and addresses.
//!
//! Nothing here is fatal: a guest whose network failed still reports to its
//! host, which is where the operator sees why.

use crate::identity::Identity;
use crate::net;
use crate::sys::{self, Errno};
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;
use vmatic_tree::message;

/// Most bytes of a kernel's command line (COMMAND_LINE_SIZE of x86).
const CMDLINE_MAX_BYTES: usize = 2048;
/// Most bytes of the list of modules.
const MODULES_MAX_BYTES: usize = 64 * 1024;
/// The guest's network card.
const CARD: &str = "eth0";
/// What a template's card must not do by itself, since clones would inherit it: make an
/// address of the template's MAC, look for routers, ask whether an address is taken (the
/// plan gives each once).
const QUIET_CARD: [(&CStr, &[u8]); 4] = [
    (c"/proc/sys/net/ipv6/conf/eth0/addr_gen_mode", b"1"),
    (c"/proc/sys/net/ipv6/conf/eth0/accept_ra", b"0"),
    (c"/proc/sys/net/ipv6/conf/eth0/accept_dad", b"0"),
    (c"/proc/sys/net/ipv6/conf/eth0/router_solicitations", b"0"),
];
/// How long the card may take to appear.
const CARD_PATIENCE_MS: u32 = 2_000;

/// Mounts what every program expects.
pub fn mount_all() {
    for (kind, target) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"devpts", c"/dev/pts"),
        (c"tmpfs", c"/tmp"),
        (c"tmpfs", c"/run"),
    ] {
        complain("mount", target.to_str().unwrap_or_default(), sys::mount(kind, target));
    }
}

/// The kernel's command line.
pub fn cmdline() -> String {
    let bytes = sys::read_file(c"/proc/cmdline", CMDLINE_MAX_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Loads the modules that the image lists, dependencies first.
pub fn load_modules() {
    let list = sys::read_file(c"/etc/vmatic/modules", MODULES_MAX_BYTES).unwrap_or_default();
    for path in String::from_utf8_lossy(&list).lines().filter(|l| !l.is_empty()) {
        let loaded = sys::c_string(path).map_or(Err(Errno(libc::EINVAL)), |p| sys::load_module(&p));
        // A module that is there already, or whose device is not, is no failure.
        if !matches!(loaded, Err(Errno(libc::EEXIST | libc::ENODEV))) {
            complain("load", path, loaded);
        }
    }
}

/// Applies name and addresses.
pub fn apply(identity: &Identity) {
    if let Some(name) = identity.name {
        complain("set the host name", name, sys::set_hostname(name));
    }
    complain("set up", "lo", net::up("lo"));
    if identity.ipv4.is_none() && identity.ipv6.is_none() || !net::wait_for(CARD, CARD_PATIENCE_MS) {
        return;
    }
    complain("set up", CARD, net::up(CARD));
    if let Some((address, netmask, router)) = identity.ipv4 {
        complain("set the address of", CARD, net::set_ipv4(CARD, address, netmask, router));
    }
    if let Some((address, prefix, router)) = identity.ipv6 {
        complain("set the IPv6 address of", CARD, net::set_ipv6(CARD, address, prefix, router));
    }
}

/// Does what takes long or is the same for all clones: links up, without addresses.
pub fn prepare_template() {
    complain("set up", "lo", net::up("lo"));
    if !net::wait_for(CARD, CARD_PATIENCE_MS) {
        return sys::say("boot: no eth0: clones of this template have no network\n");
    }
    for (path, value) in QUIET_CARD {
        // A kernel without IPv6 has none of these, and needs none.
        let _ = sys::write_file(path, value);
    }
    complain("set up", CARD, net::up(CARD));
}

/// Makes a clone somebody: by system calls alone, since each page that is written costs
/// every clone. Entropy comes first, so that nothing is drawn from the template's generator.
pub fn become_somebody(identity: &message::Identity) {
    complain("take", "entropy", sys::add_entropy(&identity.entropy));
    complain("set", "the clock", sys::set_clock(identity.unix_ns));
    complain("set the host name", &identity.name, sys::set_hostname(&identity.name));
    complain("set the MAC of", CARD, net::set_mac(CARD, identity.mac));
    if let Some((address, netmask, router)) = identity.ipv4 {
        complain("set the address of", CARD, net::set_ipv4(CARD, address, netmask, router));
    }
    if let Some((address, prefix, router)) = identity.ipv6 {
        complain("set the IPv6 link address of", CARD, net::set_ipv6(CARD, net::link_local(identity.mac), 64, None));
        complain("set the IPv6 address of", CARD, net::set_ipv6(CARD, address, prefix, router));
    }
}

fn complain(verb: &str, object: &str, result: sys::Result<()>) {
    if let Err(Errno(n)) = result {
        sys::say(&format!("boot: cannot {verb} {object}: errno {n}\n"));
    }
}
