//! From the kernel's jump to /init to a machine with a name and addresses.
//!
//! Nothing here is fatal: a guest whose network failed still reports to its
//! host, which is where the operator sees why. So what is said here is not taken for why a guest ended.

use crate::identity::Identity;
use crate::log::log_failure;
use crate::ports;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;
use vmatic_plan::cable::CARDS_MAX;
use vmatic_plan::defaults::RESOLVER;
use vmatic_plan::host_image::MODULES;
use vmatic_plan::modules::ListedModule;
use vmatic_sys::calls;
use vmatic_sys::{modules, mounts, netdev};
use vmatic_tree::wire::message;

/// Most bytes of a kernel's command line (COMMAND_LINE_SIZE of x86).
const CMDLINE_MAX_BYTES: usize = 2048;
/// The guest's network card.
const CARD: &str = "eth0";
/// What a template's cards must not do by themselves, since clones would inherit it: make an
/// address of the template's MAC, look for routers, ask whether an address is taken (the
/// plan gives each once).
const QUIET_CARD: [(&str, &[u8]); 4] =
    [("addr_gen_mode", b"1"), ("accept_ra", b"0"), ("accept_dad", b"0"), ("router_solicitations", b"0")];
/// Where programs look for who knows names; an image's own stays.
const RESOLV_CONF: &CStr = c"/etc/resolv.conf";
/// How long the card may take to appear.
const CARD_TIMEOUT_MS: u32 = 2_000;

/// Mounts what every program expects.
pub fn mount_all() {
    mounts::mount_all(|target, e| log_failure("mount", &target.to_string_lossy(), Err(e)));
}

/// The kernel's command line.
pub fn cmdline() -> String {
    let bytes = calls::read_file(c"/proc/cmdline", CMDLINE_MAX_BYTES).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Loads the modules that the image lists, with the parameters that list and command line have for them.
pub fn load_modules(cmdline: &str) {
    modules::load_listed(
        MODULES,
        |line| {
            let module = ListedModule::parse(line)?;
            Some((module.path, module.with_cmdline(cmdline)?))
        },
        |path, e| log_failure("load", path, Err(e)),
    );
}

/// Applies name and addresses.
pub fn apply(identity: &Identity) {
    if let Some(name) = identity.name {
        log_failure("set the host name", name, calls::set_hostname(name));
    }
    log_failure("set up", "lo", netdev::up("lo"));
    if identity.ipv4.is_none() && identity.ipv6.is_none() || !netdev::wait_for(CARD, CARD_TIMEOUT_MS) {
        return;
    }
    log_failure("set up", CARD, netdev::up(CARD));
    name_resolver();
    if let Some((address, netmask, router)) = identity.ipv4 {
        log_failure("set the address of", CARD, netdev::set_ipv4(CARD, address, netmask, router));
    }
    if let Some((address, prefix, router)) = identity.ipv6 {
        log_failure("set the IPv6 address of", CARD, netdev::set_ipv6(CARD, address, prefix, router));
    }
}

/// Does what takes long or is the same for all clones: links up, without addresses.
pub fn prepare_template() {
    log_failure("set up", "lo", netdev::up("lo"));
    if !netdev::wait_for(CARD, CARD_TIMEOUT_MS) {
        return calls::print("boot: no eth0: clones of this template have no network\n");
    }
    prepare_card(CARD);
    // Its drivers are the same as the first's: where that is there, they all are.
    for port in (1..CARDS_MAX as usize).map(ports::card).take_while(|card| netdev::wait_for(card, 0)) {
        prepare_card(&port);
    }
    name_resolver();
}

/// Sets a template's card up, without addresses.
fn prepare_card(card: &str) {
    for (key, value) in QUIET_CARD {
        // A kernel without IPv6 has none of these, and needs none.
        if let Ok(path) = CString::new(format!("/proc/sys/net/ipv6/conf/{card}/{key}")) {
            let _ = calls::write_file(&path, value);
        }
    }
    log_failure("set up", card, netdev::up(card));
}

/// Has programs ask the switch for names, unless the image says whom to ask.
fn name_resolver() {
    // Most likely the file is there, or its folder is not.
    let _ = calls::create_file(RESOLV_CONF, format!("nameserver {RESOLVER}\n").as_bytes());
}

/// Applies a clone's identity: by system calls alone, since each page that is written costs
/// every clone. Entropy comes first, so that nothing is drawn from the template's generator.
pub fn apply_identity(identity: &message::Identity) {
    log_failure("take", "entropy", calls::add_entropy(&identity.entropy));
    set_clock(identity.unix_ns);
    log_failure("set the host name", &identity.name, calls::set_hostname(&identity.name));
    log_failure("set the MAC of", CARD, netdev::set_mac(CARD, identity.mac.0));
    if let Some((address, netmask, router)) = identity.ipv4 {
        log_failure("set the address of", CARD, netdev::set_ipv4(CARD, address, netmask, router));
    }
    if let Some((address, prefix, router)) = identity.ipv6 {
        log_failure(
            "set the IPv6 link address of",
            CARD,
            netdev::set_ipv6(CARD, netdev::link_local(identity.mac.0), 64, None),
        );
        log_failure("set the IPv6 address of", CARD, netdev::set_ipv6(CARD, address, prefix, router));
    }
}

/// Sets the clock, to nanoseconds since 1970.
pub fn set_clock(unix_ns: u64) {
    log_failure("set", "the clock", calls::set_clock(unix_ns));
}
