//! Which host this is: one image boots them all.
//!
//! In this order: `vmatic.host=N` on the boot command line; the site's table, where the plan has one, by the MAC of any
//! card, the one that it booted from first, and by the address that the network gave; the plan's inverse, by that
//! address and by a MAC; what the firmware says of the machine (UUID, serial number, asset tag), where the table has
//! one; the host name that DHCP gave.

use crate::error::Error;
use crate::log::log;
use crate::machine::boot_address::Given;
use crate::machine::cmdline::{boot_mac, word};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use vmatic_plan::host_table::HostTable;
use vmatic_plan::{HostId, Mac, Node, Plan, boot_words};

/// Where the kernel has what the firmware says of a machine (SMBIOS, DSP0134), and the files that tell machines apart.
const FIRMWARE: &str = "/sys/class/dmi/id";
const FIRMWARE_FILES: [&str; 6] =
    ["product_uuid", "product_serial", "chassis_serial", "board_serial", "chassis_asset_tag", "board_asset_tag"];

/// What was seen of this machine.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The MACs of its cards, the one that it booted from first.
    pub macs: Vec<Mac>,
    /// The address that the network gave it.
    pub address: Option<Ipv4Addr>,
    /// What its firmware says that it is.
    pub machines: Vec<String>,
    /// The host name that DHCP gave it.
    pub name: Option<String>,
}

impl Evidence {
    /// Looks at this machine; the network gave it this.
    pub fn of_machine(cmdline: &str, given: Option<Given>) -> Evidence {
        let (address, name) = given.map_or((None, None), |given| (Some(given.address), given.name));
        let macs = boot_mac(cmdline).into_iter().chain(machine_macs()).collect();
        Evidence { macs, address, machines: firmware(Path::new(FIRMWARE)), name }
    }
}

/// What the firmware says that this machine is. Of a UUID both orders of bytes: programs differ in which they print.
fn firmware(folder: &Path) -> Vec<String> {
    let texts = FIRMWARE_FILES.iter().filter_map(|file| fs::read_to_string(folder.join(file)).ok());
    texts.map(|text| text.trim().to_owned()).flat_map(|text| [turned(&text), Some(text)]).flatten().collect()
}

/// A UUID with the bytes of its first three fields turned (SMBIOS 2.6 has them little-endian, 7.2.1).
fn turned(uuid: &str) -> Option<String> {
    let fields: Vec<&str> = uuid.split('-').collect();
    let lengths = fields.iter().map(|field| field.len());
    if !lengths.eq([8, 4, 4, 4, 12]) || !uuid.is_ascii() {
        return None;
    }
    let turn = |field: &str| (0..field.len()).step_by(2).rev().map(|at| &field[at..at + 2]).collect::<String>();
    let [a, b, c, rest @ ..] = &fields[..] else { return None };
    Some(
        [&[turn(a), turn(b), turn(c)][..], &rest.iter().map(|field| (*field).to_owned()).collect::<Vec<_>>()]
            .concat()
            .join("-"),
    )
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
    let in_table = table.and_then(|table| by_card(table, seen).or_else(|| table.host_by_ipv4(seen.address?)));
    let by_law = || {
        let address = seen.address.filter(|address| plan.is_host_network(*address));
        let by_address = address.and_then(|address| plan.node_by_ipv4(address));
        let by_mac = || seen.macs.iter().filter_map(|mac| plan.node_by_mac(*mac)).find(Node::is_host);
        by_address.or_else(by_mac).map(|node| node.host)
    };
    let by_machine = || seen.machines.iter().find_map(|text| table?.host_by_machine(text));
    let by_name = || plan.hosts.number(seen.name.as_deref()?.split('.').next()?);
    let number = in_table.or_else(by_law).or_else(by_machine).or_else(by_name);
    let number = number.filter(|number| plan.has(Node::host(*number))).ok_or_else(|| {
        let error = Error::new("tell which host this is").because(unknown(plan, seen));
        error.help("put vmatic.host=N on the boot command line, or add the machine to the site's table")
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

/// What is to be said where a machine that is known comes with an address that its site's table does not give it.
fn elsewhere(plan: &Plan, number: HostId, seen: &Evidence) -> Option<String> {
    let (address, planned) = (seen.address?, plan.host_ipv4(number)?);
    let wrong = plan.host_table.is_some() && address != planned;
    let name = plan.hosts.name(number).unwrap_or_default();
    wrong.then(|| {
        format!(
            "this is host {number} ({name}) by its card, and its address is {address}, not the table's {planned}: other \
             hosts look for it there; correct the DHCP server or the table"
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
    match seen.address {
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
