//! The host's own network card: the address that the boot loader was given.
//!
//! Takes the kernel's `ip=` words and pxelinux's `BOOTIF=` off the command line
//! (Documentation/admin-guide/nfs/nfsroot.rst); gives a card that is up. Where
//! the boot loader passed no address, BusyBox's udhcpc asks for one.

use crate::error::{Context, Error, os_error};
use crate::log::log;
use crate::machine::cmdline::{boot_mac, word};
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};
use vmatic_plan::Mac;
use vmatic_plan::boot_words::host;
use vmatic_sys::netdev;

/// How long the card may take to appear after its driver was loaded.
const CARD_TIMEOUT: Duration = Duration::from_secs(10);
/// Where the base layer's udhcpc script leaves what it was given.
const LEASE: &str = "/run/vmatic-lease";
/// BusyBox's DHCP client; process 1 has no PATH.
const UDHCPC: &str = "/sbin/udhcpc";

/// Sets the card up; gives its address.
pub fn bring_up(cmdline: &str) -> Result<Ipv4Addr, Error> {
    let _ = netdev::up("lo");
    let card = find_card(cmdline)?;
    netdev::up(&card).map_err(os_error).with_context(|| format!("set up {card}"))?;
    let text = match word(cmdline, host::IP).filter(|ip| ip.contains(':') && !ip.starts_with(':')) {
        Some(ip) => ip.to_string(),
        None => ask_for_lease(&card)?,
    };
    let mut fields = text.trim().split(':');
    let address: Option<Ipv4Addr> = fields.next().and_then(|f| f.parse().ok());
    let router = fields.nth(1).and_then(|f| f.parse().ok());
    let netmask = fields.next().and_then(|f| f.parse().ok());
    let (Some(address), Some(netmask)) = (address, netmask) else {
        let tried = format!("use ip={text} of the command line");
        return Err(Error::new(tried).because("it is not ADDRESS::ROUTER:NETMASK"));
    };
    netdev::set_ipv4(&card, address, netmask, router)
        .map_err(os_error)
        .with_context(|| format!("give {card} the address {address}"))?;
    log(&format!("{card} has {address}"));
    Ok(address)
}

/// The card that the machine booted from, or else the first with an Ethernet address.
fn find_card(cmdline: &str) -> Result<String, Error> {
    let booted = boot_mac(cmdline);
    let start = Instant::now();
    loop {
        let cards = cards();
        let found = match booted {
            Some(mac) => cards.iter().find(|c| c.1 == mac).or(cards.first().filter(|_| start.elapsed() > CARD_TIMEOUT)),
            None => cards.first(),
        };
        if let Some((name, _)) = found {
            return Ok(name.clone());
        }
        if start.elapsed() > CARD_TIMEOUT {
            let error = Error::new("find a network card").because("there is none");
            return Err(error.help("add its driver to the spec's host.modules"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Names and MACs of the cards with real hardware below them, by name.
fn cards() -> Vec<(String, Mac)> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let physical = entries.flatten().filter(|e| e.path().join("device").exists());
    let mut cards: Vec<(String, Mac)> = physical
        .filter_map(|e| {
            let mac = fs::read_to_string(e.path().join("address")).ok()?.trim().parse().ok()?;
            Some((e.file_name().to_string_lossy().into_owned(), mac))
        })
        .collect();
    cards.sort();
    cards
}

/// Asks DHCP; the script of the host's overlay writes `address::router:netmask`.
fn ask_for_lease(card: &str) -> Result<String, Error> {
    log(&format!("no ip= on the command line: asking for an address on {card}"));
    let status = Command::new(UDHCPC)
        .args(["-n", "-q", "-t", "10", "-T", "2", "-i", card, "-s", "/etc/vmatic/udhcpc"])
        .status()
        .with_context(|| format!("run {UDHCPC}"))?;
    if !status.success() {
        let why = format!("no DHCP lease on {card} (udhcpc: {status})");
        return Err(Error::new("get an address").because(why));
    }
    fs::read_to_string(LEASE).with_context(|| format!("read {LEASE}"))
}
