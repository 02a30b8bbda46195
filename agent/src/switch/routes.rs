//! What the host's kernel knows of the guests' network: its own block behind the tun, and
//! of the other hosts' blocks those that are talked to.
//!
//! A route for each of ten thousand hosts would cost every host five megabytes of kernel
//! memory and its start a second; so the whole guests' network leads to the tun, and the
//! first packet for another host's block has its route made, which the plan computes. The
//! least used goes when there are many. Hosts must share one network with each other.

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
        // What the host itself sends first to another host's guest comes back to it by the tun.
        for (setting, value) in [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]
            .map(|(name, value)| (name.to_string(), value))
            .into_iter()
            .chain([(format!("ipv4/conf/{TUN}/accept_local"), "1"), (format!("ipv4/conf/{TUN}/rp_filter"), "0")])
        {
            let path = format!("/proc/sys/net/{setting}");
            if let Err(e) = fs::write(&path, value) {
                log(&format!("switch: cannot write {value} to {path}: {e}"));
            }
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
        let card = find_card(plan, host);
        if let Err(e) = set_up_ipv6(plan, host, card.as_deref()) {
            log(&format!("switch: guests have no IPv6 beyond their host: {}", os_error(e)));
        }
        if card.is_none() {
            let own = plan.host_ipv4(host).unwrap_or(Ipv4Addr::UNSPECIFIED);
            log(&format!("switch: no card has this host's address {own}: guests do not reach those of other hosts"));
        }
        Ok((tun, Routes { plan: plan.clone(), card, known: BTreeMap::new(), clock: 0 }))
    }

    /// Sees to it that there is a route to `host`'s guests; `missing` if the kernel had none.
    pub fn ensure(&mut self, host: HostId, missing: bool) -> bool {
        self.clock += 1;
        match self.known.get_mut(&host) {
            Some(Route { used, failed_until: None }) if !missing => {
                *used = self.clock;
                return true;
            }
            Some(Route { failed_until: Some(until), .. }) if Instant::now() < *until => return false,
            Some(_) => {}
            None => self.make_room(),
        }
        let made = self.make(host);
        if let Err(e) = &made {
            log(&format!("switch: cannot make the route to the guests of host {host}: {e}"));
        }
        let failed_until = made.is_err().then(|| Instant::now() + ROUTE_RETRY_INTERVAL);
        self.known.insert(host, Route { used: self.clock, failed_until });
        made.is_ok()
    }

    fn make(&self, host: HostId) -> Result<(), Error> {
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

/// The card that has the address which the plan gives the host.
fn find_card(plan: &Plan, host: HostId) -> Option<String> {
    let own = plan.host_ipv4(host)?;
    let cards = fs::read_dir("/sys/class/net").ok()?.flatten();
    let mut names = cards.map(|card| card.file_name().to_string_lossy().into_owned());
    names.find(|name| netdev::ipv4_of(name).is_ok_and(|address| address == own))
}

fn set_up_ipv6(plan: &Plan, host: HostId, card: Option<&str>) -> Result<(), vmatic_sys::calls::Errno> {
    if let (Some(router), Some((block, prefix))) = (plan.ipv6(Node::host(host)), plan.host_block_ipv6(host)) {
        netdev::set_ipv6(TUN, router, 128, None)?;
        netdev::route_ipv6(block, prefix.into(), None, TUN)?;
        // All hosts share the first 40 bits.
        let mut all = block.octets();
        all[5..].fill(0);
        netdev::route_ipv6(all.into(), 40, None, TUN)?;
    }
    match (plan.host_ipv6(host), card) {
        (Some(own), Some(card)) => netdev::set_ipv6(card, own, 64, None),
        _ => Ok(()),
    }
}
