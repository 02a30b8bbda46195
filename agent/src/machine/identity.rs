//! Which host this is: one image boots them all.
//!
//! In this order: `vmatic.host=N` on the boot command line; what an operator said since it booted (`vmatic hosts
//! adopt`); the site's table, where the plan has one, by the MAC of any
//! card, the one that it booted from first, and by an address that the network gave; the plan's inverse, by such an
//! address and by a MAC; what the firmware says of the machine (UUID, serial number, asset tag), or a relay of the port
//! that it hangs on (DHCP option 82), where the table has one; the host name that DHCP gave.

use crate::error::Error;
use crate::log::log;
use crate::machine::cmdline::{boot_mac, word};
use crate::machine::firmware::Firmware;
use crate::machine::network::Network;
use std::fs;
use std::net::Ipv4Addr;
use vmatic_plan::host_table::HostTable;
use vmatic_plan::{HostId, Mac, Node, Plan, boot_words};

/// Where the number is kept that an operator gave this machine: for the next node, as long as the machine is up.
pub const ADOPTED: &str = "/run/vmatic/adopted";

/// What was seen of this machine.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The MACs of its cards, the one that it booted from first.
    pub macs: Vec<Mac>,
    /// The addresses that the network gave it.
    pub addresses: Vec<Ipv4Addr>,
    /// What its firmware says that it is, and relays of its place.
    pub machines: Vec<String>,
    /// The host name that DHCP gave it.
    pub name: Option<String>,
    /// The host that an operator said it is.
    pub adopted: Option<HostId>,
}

impl Evidence {
    /// Looks at this machine; the network gave it this.
    pub fn of_machine(cmdline: &str, network: &Network) -> Evidence {
        let macs = boot_mac(cmdline).into_iter().chain(machine_macs()).collect();
        let machines = Firmware::read().machines.into_iter().chain(network.places()).collect();
        let adopted = fs::read_to_string(ADOPTED).ok().and_then(|text| text.trim().parse().ok());
        Evidence { macs, addresses: network.addresses(), machines, name: network.name(), adopted }
    }
}

/// Finds the host's number.
pub fn host_number(plan: &Plan, cmdline: &str, seen: &Evidence) -> Result<HostId, Error> {
    let asked = word(cmdline, boot_words::host::HOST);
    if let Some(text) = asked {
        let number = text.parse().ok().filter(|n: &HostId| plan.has(Node::host(*n)));
        return number.ok_or_else(|| {
            let hosts = plan.host_count();
            let tried = format!("use {}={text} of the command line", boot_words::host::HOST);
            Error::new(tried).because(format!("it must be a host of the plan, 1 to {hosts}"))
        });
    }
    let table = plan.host_table.as_ref();
    let in_table = table.and_then(|table| by_card(table, seen).or_else(|| by_address(table, seen)));
    let by_law = || {
        let mut addresses = seen.addresses.iter().filter(|address| plan.is_host_network(**address));
        let by_address = addresses.find_map(|address| plan.node_by_ipv4(*address)).filter(Node::is_host);
        let by_mac = || seen.macs.iter().filter_map(|mac| plan.node_by_mac(*mac)).find(Node::is_host);
        by_address.or_else(by_mac).map(|node| node.host)
    };
    let by_machine = || seen.machines.iter().find_map(|text| table?.host_by_machine(text));
    let by_name = || plan.hosts.number(seen.name.as_deref()?.split('.').next()?);
    let number = seen.adopted.or(in_table).or_else(by_law).or_else(by_machine).or_else(by_name);
    let number = number.filter(|number| plan.has(Node::host(*number))).ok_or_else(|| {
        let error = Error::new("tell which host this is").because(unknown(plan, seen));
        error.help(
            "`vmatic nodes --unknown` shows it, and `vmatic hosts adopt` gives it a number; for good, add the machine to \
             the site's table, or put vmatic.host=N on its boot command line",
        )
    })?;
    if let Some(why) = elsewhere(plan, number, seen) {
        log(&why);
    }
    Ok(number)
}

/// The host that has one of the machine's cards; a table knows further cards as it knows serial numbers.
fn by_card(table: &HostTable, seen: &Evidence) -> Option<HostId> {
    let further = |mac: &Mac| if table.has_machines() { table.host_by_machine(&mac.to_string()) } else { None };
    seen.macs.iter().find_map(|mac| table.host_by_mac(*mac).or_else(|| further(mac)))
}

/// The host that has one of the machine's addresses.
fn by_address(table: &HostTable, seen: &Evidence) -> Option<HostId> {
    seen.addresses.iter().find_map(|address| table.host_by_ipv4(*address))
}

/// What is to be said where a machine that is known comes with an address that its site's table does not give it.
fn elsewhere(plan: &Plan, number: HostId, seen: &Evidence) -> Option<String> {
    let (address, planned) = (seen.addresses.first()?, plan.host_ipv4(number)?);
    let wrong = (plan.host_table.is_some() || seen.adopted.is_some()) && !seen.addresses.contains(&planned);
    let (how, whose) = if seen.adopted.is_some() { ("an operator's word", "plan") } else { ("its card", "table") };
    let name = plan.hosts.name(number).unwrap_or_default();
    wrong.then(|| {
        format!(
            "this is host {number} ({name}) by {how}, and its address is {address}, not the {whose}'s {planned}: other \
             hosts look for it there; correct the DHCP server or the {whose}"
        )
    })
}

/// What was seen of this machine, beside what the plan has.
fn unknown(plan: &Plan, seen: &Evidence) -> String {
    let macs: Vec<String> = seen.macs.iter().filter(|mac| **mac != Mac::default()).map(Mac::to_string).collect();
    let last = HostId(plan.host_count());
    let hosts = match (plan.host_ipv4(HostId(1)), plan.host_ipv4(last)) {
        _ if plan.host_table.is_some() => format!("the site's table has {last} hosts"),
        (Some(first), Some(last)) => format!("hosts have {first} to {last}"),
        _ => format!("hosts have {}", plan.host_network),
    };
    let cards = if macs.is_empty() { String::new() } else { format!("; cards: {}", macs.join(", ")) };
    match seen.addresses.first() {
        Some(address) => format!("its address {address} is no host's, nor is its MAC in the plan ({hosts}{cards})"),
        None => format!("it has no address, and its MAC is not in the plan ({hosts}{cards})"),
    }
}

/// The MACs of this machine's cards, by the cards' names.
pub fn machine_macs() -> Vec<Mac> {
    let Ok(cards) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut cards: Vec<_> = cards.flatten().map(|card| card.path().join("address")).collect();
    cards.sort();
    cards.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
