//! What the host's kernel knows of the guests' network: its own block behind the tun, and
//! of the other hosts' blocks those that are talked to.
//!
//! A route for each of ten thousand hosts would cost every host five megabytes of kernel
//! memory and its start a second; so the whole guests' network leads to the tun, and the
//! first packet for another host's block has its route made, which the plan computes. The
//! least used goes when there are many; how many are made a second is bounded where packets are
//! (`forward`), for each is some system calls and a neighbour that the kernel has to find.
//! Hosts must share one network with each other. What the kernel may forward at all says `forwarding`.

mod forwarding;

use crate::error::{Context, Error, no_host, os_error};
use crate::log::log;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use vmatic_plan::{HostId, Node, Plan};
use vmatic_sys::netdev;

/// The tun's name.
pub const TUN: &str = "guests";
/// Most routes to other hosts at a time.
const ROUTES_MAX: usize = 1024;
/// How long a route that could not be made is not tried again.
const ROUTE_RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long the switch before may take to end, and how often it is looked whether it has.
const TUN_TIMEOUT: Duration = Duration::from_secs(5);
const TUN_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How often it is logged that routes cannot be made: a guest may want many.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// A route to another host's block.
struct Route {
    used: u64,
    /// When it may be tried again, if there is none.
    failed_until: Option<Instant>,
}

/// The routes of a host.
pub struct Routes {
    plan: Plan,
    /// The card that has the host's address.
    card: Option<String>,
    known: BTreeMap<HostId, Route>,
    clock: u64,
    /// When a failure may be logged again, and how many were not.
    log_at: Option<Instant>,
    unlogged: u64,
}

/// The tun, once the switch of the node before has let it go.
fn open_tun() -> io::Result<OwnedFd> {
    let start = Instant::now();
    loop {
        match vmatic_vmm::open_tun(TUN) {
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && start.elapsed() < TUN_TIMEOUT => {
                std::thread::sleep(TUN_RETRY_INTERVAL);
            }
            tun => return tun,
        }
    }
}

impl Routes {
    /// Makes the tun and leads this host's guests, and all others', to it.
    pub fn open(plan: &Plan, host: HostId) -> Result<(OwnedFd, Routes), Error> {
        let tun = open_tun();
        let tun = tun.with_context(|| format!("make the tun {TUN} at /dev/net/tun"));
        let tun = tun.map_err(|e| e.help("the kernel needs CONFIG_TUN"))?;
        netdev::up(TUN).map_err(os_error).with_context(|| format!("set up the link of {TUN}"))?;
        let ends = (plan.ipv4(Node::host(host)), plan.host_block(host));
        let (Some(router), Some((block, prefix))) = ends else {
            return Err(no_host(host));
        };
        let card = find_card(plan, host);
        // Before anything is forwarded, the kernel knows what is not.
        forwarding::apply(&forwarding::ipv4(plan, host, TUN, card.as_deref()))?;
        for (setting, value) in settings(card.as_deref()) {
            write_setting(&setting, value);
        }
        let alone = Ipv4Addr::BROADCAST;
        let mask = |prefix: u8| Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
        netdev::set_ipv4(TUN, router, alone, None)
            .map_err(os_error)
            .with_context(|| format!("set the address of {TUN}"))?;
        netdev::route_ipv4(block, mask(prefix), None, TUN)
            .map_err(os_error)
            .with_context(|| format!("set the route of {TUN}"))?;
        let all = plan.guest_network;
        netdev::route_ipv4(Ipv4Addr::from(all.base()), all.netmask(), None, TUN)
            .map_err(os_error)
            .with_context(|| format!("set the route of {TUN}"))?;
        if let Err(e) = set_up_ipv6(plan, host, card.as_deref()) {
            log(&format!("switch: guests have no IPv6 beyond their host: {e}"));
        }
        if card.is_none() {
            let own = plan.host_ipv4(host).unwrap_or(Ipv4Addr::UNSPECIFIED);
            log(&format!("switch: no card has this host's address {own}: guests do not reach those of other hosts"));
        }
        let (plan, known) = (plan.clone(), BTreeMap::new());
        Ok((tun, Routes { plan, card, known, clock: 0, log_at: None, unlogged: 0 }))
    }

    /// Whether there is a route to `host`'s guests; nothing if it should be made.
    pub fn has(&mut self, host: HostId) -> Option<bool> {
        self.clock += 1;
        match self.known.get_mut(&host)? {
            Route { used, failed_until: None } => {
                *used = self.clock;
                Some(true)
            }
            Route { failed_until: Some(until), .. } => (Instant::now() < *until).then_some(false),
        }
    }

    /// Makes a route to `host`'s guests, also where there was one: somebody may have removed it.
    pub fn make(&mut self, host: HostId) -> bool {
        match self.known.get(&host) {
            Some(Route { failed_until: Some(until), .. }) if Instant::now() < *until => return false,
            Some(_) => {}
            None => self.make_room(),
        }
        let made = self.tell_kernel(host);
        if let Err(e) = &made {
            self.log_failure(host, e);
        }
        let failed_until = made.is_err().then(|| Instant::now() + ROUTE_RETRY_INTERVAL);
        self.clock += 1;
        self.known.insert(host, Route { used: self.clock, failed_until });
        made.is_ok()
    }

    fn log_failure(&mut self, host: HostId, e: &Error) {
        let now = Instant::now();
        if self.log_at.is_some_and(|log_at| now < log_at) {
            self.unlogged += 1;
            return;
        }
        self.log_at = Some(now + LOG_INTERVAL);
        let others = match std::mem::take(&mut self.unlogged) {
            0 => String::new(),
            count => format!("; nor {count} others since the last"),
        };
        log(&format!("switch: cannot make the route to the guests of host {host}: {e}{others}"));
    }

    fn tell_kernel(&self, host: HostId) -> Result<(), Error> {
        let ends = (self.plan.host_block(host), self.plan.host_ipv4(host));
        let (Some((block, prefix)), Some(router)) = ends else {
            return Err(no_host(host));
        };
        let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
        netdev::route_ipv4(block, mask, Some(router), "")
            .map_err(os_error)
            .with_context(|| format!("route {block}/{prefix} through {router}"))?;
        let v6 = (self.plan.host_block_ipv6(host), self.plan.host_ipv6(host), &self.card);
        if let (Some((block, prefix)), Some(router), Some(card)) = v6 {
            // Without IPv6 the guests still have IPv4; that it is missing was said at the start.
            let _ = netdev::route_ipv6(block, prefix.into(), Some(router), card);
        }
        Ok(())
    }

    fn make_room(&mut self) {
        if self.known.len() < ROUTES_MAX {
            return;
        }
        let Some(oldest) = self.known.iter().min_by_key(|(_, route)| route.used).map(|(host, _)| *host) else { return };
        self.known.remove(&oldest);
        if let (Some((block, prefix)), Some(router)) = (self.plan.host_block(oldest), self.plan.host_ipv4(oldest)) {
            let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
            // Fails if the kernel has removed it already, with its card.
            let _ = netdev::unroute_ipv4(block, mask, router);
        }
        let v6 = (self.plan.host_block_ipv6(oldest), self.plan.host_ipv6(oldest), &self.card);
        if let (Some((block, prefix)), Some(router), Some(card)) = v6 {
            let _ = netdev::unroute_ipv6(block, prefix.into(), router, card);
        }
    }
}

/// Names of this machine's interfaces.
fn interfaces() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// The card that has the address which the plan gives the host.
fn find_card(plan: &Plan, host: HostId) -> Option<String> {
    let own = plan.host_ipv4(host)?;
    interfaces().find(|name| netdev::ipv4_of(name).is_ok_and(|address| address == own))
}

/// Settings of IPv4 below /proc/sys/net: what comes by the tun and by the hosts' card may be forwarded, no more.
fn settings(card: Option<&str>) -> Vec<(String, &'static str)> {
    let of_tun = [
        ("forwarding", "1"),
        // What the host itself sends first to another host's guest comes back to it by the tun.
        ("accept_local", "1"),
        ("rp_filter", "0"),
        // A packet that comes back for want of a route is no reason to teach its sender another way.
        ("send_redirects", "0"),
    ];
    let of_tun = of_tun.map(|(name, value)| (format!("ipv4/conf/{TUN}/{name}"), value));
    let of_card = card.map(|card| (format!("ipv4/conf/{card}/forwarding"), "1"));
    of_tun.into_iter().chain(of_card).collect()
}

fn write_setting(setting: &str, value: &str) {
    let path = format!("/proc/sys/net/{setting}");
    if let Err(e) = fs::write(&path, value) {
        log(&format!("switch: cannot write {value} to {path}: {e}"));
    }
}

fn set_up_ipv6(plan: &Plan, host: HostId, card: Option<&str>) -> Result<(), Error> {
    forwarding::apply(&forwarding::ipv6(plan, host, TUN))?;
    // IPv6 has this for all interfaces alone.
    write_setting("ipv6/conf/all/forwarding", "1");
    let tried = "set up IPv6";
    if let (Some(router), Some((block, prefix))) = (plan.ipv6(Node::host(host)), plan.host_block_ipv6(host)) {
        netdev::set_ipv6(TUN, router, 128, None).map_err(os_error).context(tried)?;
        netdev::route_ipv6(block, prefix.into(), None, TUN).map_err(os_error).context(tried)?;
        // All hosts share the first 40 bits.
        let mut all = block.octets();
        all[5..].fill(0);
        netdev::route_ipv6(all.into(), 40, None, TUN).map_err(os_error).context(tried)?;
    }
    match (plan.host_ipv6(host), card) {
        (Some(own), Some(card)) => netdev::set_ipv6(card, own, 64, None).map_err(os_error).context(tried),
        _ => Ok(()),
    }
}
