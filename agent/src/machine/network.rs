//! What the network gives this machine: addresses for its cards, a way out, a name.
//!
//! Takes the kernel's `ip=` word (`boot_address`) and pxelinux's `BOOTIF=` off the command line; gives a [`Network`]
//! that changes as leases come and go. Where the boot loader passed no address, DHCP is asked on every card with a
//! carrier (`dhcp`); one that it passed is used at once, and a lease for it is looked after from then on, unless the
//! word says that it is fixed (`off`, `none`). One task owns what the cards have.

use crate::error::{Context, Error, os_error};
use crate::log::log;
use crate::machine::boot_address::{self, BootAddress, Given};
use crate::machine::cards::{Card, cards};
use crate::machine::cmdline::{boot_mac, word};
use crate::machine::dhcp::{self, Lease, Report};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use vmatic_plan::boot_words::host;
use vmatic_sys::netdev;

/// How long cards may take to appear after their drivers were loaded.
const CARD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long others are waited for once the first is there: drivers look for cards one after the other.
const MORE_CARDS: Duration = Duration::from_millis(300);
/// How often it is looked for cards.
const CARD_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How many reports of cards may wait.
const REPORTS_MAX: usize = 64;

/// What one card has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CardAddress {
    card: String,
    address: Ipv4Addr,
    router: Option<Ipv4Addr>,
    name: Option<String>,
    place: Option<String>,
}

/// What the network gave this machine so far, the card first that it booted from, or that was given something first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network(Vec<CardAddress>);

impl Network {
    /// The addresses of its cards.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.0.iter().map(|held| held.address).collect()
    }

    /// The host name that came with one of them.
    pub fn name(&self) -> Option<String> {
        self.0.iter().find_map(|held| held.name.clone())
    }

    /// Where the machine hangs, as relays say it.
    pub fn places(&self) -> Vec<String> {
        self.0.iter().filter_map(|held| held.place.clone()).collect()
    }
}

/// Sets the machine's cards up, and keeps them so; what they have is seen as it changes. A failure is said, and the
/// machine goes on without what failed: it may be known by its cards.
pub fn start(cmdline: &str) -> watch::Receiver<Network> {
    let (shown, network) = watch::channel(Network::default());
    let cmdline = cmdline.to_owned();
    tokio::spawn(async move {
        let mut owner = Owner { shown, dhcp: BTreeMap::new() };
        if let Err(e) = owner.run(&cmdline).await {
            log(&e.to_string());
            // It stays as it is.
            owner.shown.closed().await;
        }
    });
    network
}

/// Nothing is set up, and nothing will change.
pub fn none() -> watch::Receiver<Network> {
    watch::channel(Network::default()).1
}

/// Who owns what the cards have.
struct Owner {
    shown: watch::Sender<Network>,
    /// What was set on cards for leases: to be taken away with them.
    dhcp: BTreeMap<String, (Ipv4Addr, Ipv4Addr)>,
}

impl Owner {
    async fn run(&mut self, cmdline: &str) -> Result<(), Error> {
        let _ = netdev::up("lo");
        let asked = boot_address::read(word(cmdline, host::IP).unwrap_or_default())?;
        let named = match &asked {
            BootAddress::Given(given) => given.card.clone(),
            BootAddress::Ask { card } => card.clone(),
            BootAddress::Off => {
                let error = Error::new("get an address").because("ip= on the command line says that there is none");
                return Err(error.help("leave the word out, and the host asks DHCP"));
            }
        };
        let (reports, mut heard) = mpsc::channel(REPORTS_MAX);
        let one = named.is_some() || matches!(asked, BootAddress::Given(_));
        let found = find_cards(cmdline, named.as_deref(), one).await?;
        match asked {
            BootAddress::Given(given) => {
                let card = &found[0];
                self.give(&card.name, &given);
                if !given.fixed {
                    tokio::spawn(dhcp::keep(card.clone(), Some(given.address), reports.clone()));
                }
            }
            _ => {
                let cards = if named.is_some() { &found[..1] } else { &found[..] };
                let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
                log(&format!("no ip= on the command line: asking for an address on {}", names.join(", ")));
                for card in cards {
                    self.ask(card, reports.clone());
                }
            }
        }
        while let Some((card, report)) = heard.recv().await {
            match report {
                Report::Bound(lease) => self.bound(&card, lease),
                Report::Lost(why) => self.lost(&card, &why),
                Report::Note(text) => log(&format!("{card}: {text}")),
            }
        }
        Ok(())
    }

    /// Has a card ask for an address. What it has of a node before this one it keeps, and asks for again.
    fn ask(&mut self, card: &Card, reports: mpsc::Sender<(String, Report)>) {
        if let Err(e) = netdev::up(&card.name) {
            log(&format!("cannot set up {}: {}", card.name, os_error(e)));
            return;
        }
        let kept = netdev::ipv4_of(&card.name).ok().filter(|address| !address.is_unspecified());
        if let Some(address) = kept {
            self.show(CardAddress { card: card.name.clone(), address, router: None, name: None, place: None });
        }
        tokio::spawn(dhcp::keep(card.clone(), kept, reports));
    }

    /// Uses what the boot loader passed. What the card would not take is said, and the address told all the same: it
    /// says which host this is.
    fn give(&mut self, card: &str, given: &Given) {
        let Given { address, netmask, router, name, .. } = given;
        match set(card, *address, *netmask, *router) {
            Ok(()) => log(&format!("{card} has {address}")),
            Err(e) => log(&e.to_string()),
        }
        let (router, name) = (*router, name.clone());
        self.show(CardAddress { card: card.to_owned(), address: *address, router, name, place: None });
    }

    fn bound(&mut self, card: &str, lease: Lease) {
        let has = (lease.address, lease.netmask);
        let held = self.shown.borrow().0.iter().find(|held| held.card == card).cloned();
        // The first card that has a way out keeps it.
        let others = self.shown.borrow().0.iter().any(|held| held.card != card && held.router.is_some());
        let router = lease.router.filter(|_| !others);
        let is_new = self.dhcp.get(card) != Some(&has) || held.as_ref().is_none_or(|held| held.router != router);
        if is_new {
            if let Err(e) = set(card, lease.address, lease.netmask, router) {
                log(&e.to_string());
            }
            let lasts = lease.times_s.map_or("for ever".to_owned(), |times| format!("for {} s", times.end));
            log(&format!("{card} has {} by DHCP, of server {}, {lasts}", lease.address, lease.server));
        }
        self.dhcp.insert(card.to_owned(), has);
        self.show(CardAddress {
            card: card.to_owned(),
            address: lease.address,
            router,
            name: lease.name.or_else(|| held.as_ref().and_then(|held| held.name.clone())),
            place: lease.place,
        });
    }

    fn lost(&mut self, card: &str, why: &str) {
        let Some((address, _)) = self.dhcp.remove(card) else { return };
        if let Err(e) = netdev::clear_ipv4(card) {
            log(&format!("cannot take {address} from {card}: {}", os_error(e)));
        }
        log(&format!("{card} has lost its address {address}: {why}"));
        self.shown.send_modify(|network| network.0.retain(|held| held.card != card));
    }

    fn show(&mut self, held: CardAddress) {
        self.shown.send_if_modified(|network| {
            match network.0.iter_mut().find(|other| other.card == held.card) {
                Some(same) if *same == held => return false,
                Some(other) => *other = held,
                None => network.0.push(held),
            }
            true
        });
    }
}

/// Gives a card its address, and the machine its way out.
fn set(card: &str, address: Ipv4Addr, netmask: Ipv4Addr, router: Option<Ipv4Addr>) -> Result<(), Error> {
    let reaches = |router: Ipv4Addr| (u32::from(router) ^ u32::from(address)) & u32::from(netmask) == 0;
    let reached = router.filter(|router| reaches(*router));
    if let Some(router) = router.filter(|router| !reaches(*router)) {
        log(&format!("no router: {router} is not in the network of {address}, netmask {netmask}"));
    }
    netdev::up(card).map_err(os_error).with_context(|| format!("set up {card}"))?;
    netdev::set_ipv4(card, address, netmask, reached)
        .map_err(os_error)
        .with_context(|| format!("give {card} the address {address}"))
}

/// The machine's cards: first that of this name, or that it booted from; at least one, and no more are waited for if
/// `one` does.
async fn find_cards(cmdline: &str, named: Option<&str>, one: bool) -> Result<Vec<Card>, Error> {
    let booted = boot_mac(cmdline);
    let start = Instant::now();
    let mut first_seen = None;
    loop {
        let mut found = cards();
        let late = start.elapsed() > CARD_TIMEOUT;
        let is_first = |card: &Card| match (named, booted) {
            (Some(name), _) => card.name == name,
            (None, Some(mac)) => card.mac == mac,
            (None, None) => true,
        };
        let first = found.iter().position(is_first);
        if !found.is_empty() && first.is_some() {
            first_seen.get_or_insert_with(Instant::now);
        }
        let waited = first_seen.is_some_and(|seen: Instant| one || seen.elapsed() > MORE_CARDS);
        if !found.is_empty() && (waited || late) {
            found[..=first.unwrap_or(0)].rotate_right(1);
            return Ok(found);
        }
        if late {
            let error = Error::new("find a network card").because("there is none");
            return Err(error.help("add its driver to the spec's host.modules"));
        }
        sleep(CARD_POLL_INTERVAL).await;
    }
}
