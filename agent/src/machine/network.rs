//! The host's own network card: the address that the boot loader was given.
//!
//! Takes the kernel's `ip=` word (`boot_address`) and pxelinux's `BOOTIF=` off the command line; gives a card that is
//! up. Where the boot loader passed no address, BusyBox's udhcpc asks for one.

use crate::error::{Context, Error, os_error};
use crate::log::log;
use crate::machine::boot_address::{self, BootAddress, Given};
use crate::machine::cmdline::{boot_mac, word};
use std::fs;
use std::net::UdpSocket;
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

/// Sets the card up; gives its address, and what came with it. What the card would not take is said, and the address
/// given all the same: it tells which host this is.
pub fn bring_up(cmdline: &str) -> Result<Given, Error> {
    let _ = netdev::up("lo");
    let (card, given) = match boot_address::read(word(cmdline, host::IP).unwrap_or_default())? {
        BootAddress::Given(given) => (find_card(cmdline, given.card.as_deref())?, given),
        BootAddress::Ask { card } => {
            let card = find_card(cmdline, card.as_deref())?;
            netdev::up(&card).map_err(os_error).with_context(|| format!("set up {card}"))?;
            match kept_lease() {
                Some(given) => (card, given),
                None => (card.clone(), of_lease(&ask_for_lease(&card)?)?),
            }
        }
        BootAddress::Off => {
            let error = Error::new("get an address").because("ip= on the command line says that there is none");
            return Err(error.help("leave the word out, and the host asks DHCP"));
        }
    };
    if let Err(e) = give(&card, &given) {
        log(&e.to_string());
    }
    Ok(given)
}

/// Gives the card its address, and the machine its way out.
fn give(card: &str, given: &Given) -> Result<(), Error> {
    let Given { address, netmask, router, .. } = given;
    let reached = router.filter(|router| given.reaches(*router));
    if let Some(router) = router.filter(|router| !given.reaches(*router)) {
        log(&format!("no router: {router} is not in the network of {address}, netmask {netmask}"));
    }
    netdev::up(card).map_err(os_error).with_context(|| format!("set up {card}"))?;
    netdev::set_ipv4(card, *address, *netmask, reached)
        .map_err(os_error)
        .with_context(|| format!("give {card} the address {address}"))?;
    log(&format!("{card} has {address}"));
    Ok(())
}

/// The card of this name, or that the machine booted from, or else the first with an Ethernet address.
fn find_card(cmdline: &str, named: Option<&str>) -> Result<String, Error> {
    let booted = boot_mac(cmdline);
    let start = Instant::now();
    loop {
        let cards = cards();
        let late = start.elapsed() > CARD_TIMEOUT;
        let found = match (named, booted) {
            (Some(name), _) => cards.iter().find(|c| c.0 == name).or(cards.first().filter(|_| late)),
            (None, Some(mac)) => cards.iter().find(|c| c.1 == mac).or(cards.first().filter(|_| late)),
            (None, None) => cards.first(),
        };
        if let Some((name, _)) = found {
            return Ok(name.clone());
        }
        if late {
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

/// What DHCP gave to a node before this one, if the machine has it still: nobody is to wait for a server again.
fn kept_lease() -> Option<Given> {
    let given = of_lease(&fs::read_to_string(LEASE).ok()?).ok()?;
    // Only an address of this machine's can be bound to.
    UdpSocket::bind((given.address, 0)).ok().map(|_| given)
}

fn of_lease(lease: &str) -> Result<Given, Error> {
    match boot_address::read(lease)? {
        BootAddress::Given(given) => Ok(given),
        _ => Err(Error::new("get an address").because(format!("{LEASE} has none: {lease:?}"))),
    }
}

/// Asks DHCP; the script of the base layer writes `address::router:netmask`.
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
