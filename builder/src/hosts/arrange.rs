//! The hosts' numbers, and what in a table contradicts itself.
//!
//! Numbers follow the racks, and in each rack the names, numbers in them by their value: so that n2 comes before n10, a
//! rack is a range, and what is regular stays so whatever the order of the file. A row with a mistake gets none.

use std::collections::HashMap;
use std::hash::Hash;

use vmatic_plan::host_table::{DraftHost, TableDraft, machine_hash};
use vmatic_plan::{HostNames, Ipv4Net};

use super::merge::Merged;
use super::networks;
use super::record::{Mistake, Record};
use super::site::{ReadFile, SiteHost, SiteTable, at};
use super::source::TableSource;

/// Gives the numbers; the rows that cannot have one are mistakes.
pub fn arrange(merged: Merged, source: &TableSource, files: &[ReadFile]) -> (Option<SiteTable>, Vec<Mistake>) {
    let Merged { records, left_out, mistakes, routers, networks: known } = merged;
    let mut check = Check { files, mistakes };
    let mut records: Vec<Record> = records.into_iter().filter(|record| check.name(record)).collect();
    check.addresses(&mut records, &routers, source);
    check.twice(&mut records, "the name", |record| vec![record.name.to_lowercase()]);
    check.twice(&mut records, "the MAC", |record| record.macs.clone());
    check.twice(&mut records, "the address", |record| record.ipv4.into_iter().collect());
    check.twice(&mut records, "the UUID, serial number or asset tag", |record| {
        record.machines.iter().filter_map(|text| machine_hash(text).map(|_| text.to_lowercase())).collect()
    });
    let (with, without): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|record| record.ipv4.is_some());
    if !with.is_empty() && !without.is_empty() {
        for record in without {
            let message = format!("{} has no address, and others have one", record.name);
            check.wrong(record, message, "write its address; or none for all: then they are computed");
        }
        records.retain(|record| record.ipv4.is_some());
    }
    if records.is_empty() {
        return (None, check.mistakes);
    }
    records.sort_by_cached_key(|record| {
        (record.rack.is_none(), record.rack.as_deref().map(natural), natural(&record.name))
    });
    let hosts: Vec<SiteHost> = records.into_iter().map(host).collect();
    let networks = match (check.networks(&hosts, &known, source), source.networks.is_empty()) {
        (_, false) => source.networks.clone(),
        (networks, true) => networks,
    };
    let formats = files.iter().map(|file| (file.path.clone(), file.format, file.said)).collect();
    let site = draft(hosts, networks, formats, left_out);
    (site, check.mistakes)
}

fn host(record: Record) -> SiteHost {
    let Record { place, name, macs, ipv4, rack, machines } = record;
    let mut macs = macs.into_iter();
    SiteHost { name, mac: macs.next(), more_macs: macs.collect(), ipv4, rack, machines, place }
}

fn draft(
    hosts: Vec<SiteHost>,
    networks: Vec<Ipv4Net>,
    formats: Vec<(std::path::PathBuf, super::formats::Format, bool)>,
    left_out: Vec<super::record::LeftOut>,
) -> Option<SiteTable> {
    let mut racks: Vec<u32> = Vec::new();
    for (n, host) in hosts.iter().enumerate() {
        if n == 0 || hosts[n - 1].rack != host.rack {
            racks.push(n as u32);
        }
    }
    // One rack alone orders nothing.
    racks.truncate(if racks.len() > 1 { usize::MAX } else { 0 });
    let names = HostNames::of_list(hosts.iter().map(|host| host.name.clone()));
    let row = |host: &SiteHost| {
        // The other cards tell the machine, too.
        let cards = host.more_macs.iter().map(ToString::to_string);
        let machines = host.machines.iter().cloned().chain(cards).collect();
        DraftHost { name: host.name.clone(), mac: host.mac, ipv4: host.ipv4, machines }
    };
    let draft = TableDraft { hosts: hosts.iter().map(row).collect(), racks, with_names: names.is_none() };
    let table = draft.finish().ok()?;
    let names = names.unwrap_or_else(|| HostNames::listed(hosts.len() as u32, Some(table.clone())));
    Some(SiteTable { hosts, names, table, networks, formats, left_out })
}

/// A name in parts that are compared one by one: texts, and numbers by their value, then by how they are written.
fn natural(name: &str) -> Vec<(String, u128, usize)> {
    let (mut parts, mut rest) = (Vec::new(), name);
    while !rest.is_empty() {
        let text_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let number = &rest[text_end..];
        let number_end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        let digits = &number[..number_end];
        parts.push((rest[..text_end].to_owned(), digits.parse().unwrap_or_default(), digits.len()));
        rest = &number[number_end..];
    }
    parts
}

struct Check<'a> {
    files: &'a [ReadFile],
    mistakes: Vec<Mistake>,
}

impl Check<'_> {
    fn wrong(&mut self, record: &Record, message: String, remedy: impl Into<String>) {
        self.mistakes.push(Mistake { place: record.place, message, remedy: remedy.into() });
    }

    /// Whether a record has a name that a host can have.
    fn name(&mut self, record: &Record) -> bool {
        let name = &record.name;
        if name.is_empty() {
            self.wrong(record, "the entry has no name".to_owned(), "name a file that has it first in `file`");
            return false;
        }
        let error = HostNames::parse(name).err();
        if let Some(error) = &error {
            let remedy = format!("rename it, or leave it out: except = {name:?}");
            self.wrong(record, format!("{name:?} cannot be a host's name: {error}"), remedy);
        }
        error.is_none()
    }

    /// Notes rows whose addresses no host may have, and drops them.
    fn addresses(
        &mut self,
        records: &mut Vec<Record>,
        routers: &[(Option<super::record::FileLine>, std::net::Ipv4Addr)],
        source: &TableSource,
    ) {
        records.retain(|record| {
            let (Some(address), name) = (record.ipv4, &record.name) else { return true };
            if let Some((place, _)) = routers.iter().find(|(_, router)| *router == address) {
                let said = place.map_or("`router`".to_owned(), |place| at(self.files, place));
                let remedy = format!("leave it out: except = {name:?}; or correct its address");
                self.wrong(record, format!("{name} has the router's address {address}, as {said} says"), remedy);
                return false;
            }
            if let Some(network) = source.guest_network.filter(|network| network.contains(address)) {
                let remedy = "write another plan.guest_network: guests and machines are told apart by it";
                self.wrong(record, format!("{name} has {address}, which is in the guests' network {network}"), remedy);
                return false;
            }
            let network = source.networks.iter().find(|network| network.contains(address));
            let (message, remedy) = match network {
                None if source.networks.is_empty() => return true,
                None => (
                    format!("{name} has {address}, which is not in plan.host_network"),
                    "add its network: host_network = [\"...\", \"...\"]; or leave the key out",
                ),
                Some(network)
                    if network.size() > 2 && [Some(0), Some(network.size() - 1)].contains(&network.offset(address)) =>
                {
                    (
                        format!("{name} has {address}, the first or last address of {network}"),
                        "write an address between them, or a wider plan.host_network",
                    )
                }
                Some(_) => return true,
            };
            self.wrong(record, message, remedy);
            false
        });
    }

    /// Notes rows that have what an earlier one has, and drops them.
    fn twice<K: Eq + Hash + ToString>(
        &mut self,
        records: &mut Vec<Record>,
        what: &str,
        keys: impl Fn(&Record) -> Vec<K>,
    ) {
        let mut seen: HashMap<K, (super::record::FileLine, String)> = HashMap::new();
        records.retain(|record| {
            for key in keys(record) {
                if let Some((place, other)) = seen.get(&key) {
                    let place = at(self.files, *place);
                    let whose = if *other == record.name { String::new() } else { format!(" as {other}'s") };
                    let message =
                        format!("{what} {} of {} stands in {place}, too{whose}", key.to_string(), record.name);
                    self.wrong(record, message, "correct one of the two, or leave one out with `except`");
                    return false;
                }
            }
            for key in keys(record) {
                seen.insert(key, (record.place, record.name.clone()));
            }
            true
        });
    }

    fn networks(&mut self, hosts: &[SiteHost], known: &[Ipv4Net], source: &TableSource) -> Vec<Ipv4Net> {
        let addresses: Vec<_> = hosts.iter().filter_map(|host| host.ipv4).collect();
        let networks = networks::of(&addresses, known);
        if networks.is_none() && source.networks.is_empty() {
            let place = hosts[0].place;
            let message = format!("the hosts are in more than {} networks", vmatic_plan::HOST_NETWORKS_MAX);
            let remedy = "write those that have them all: host_network = [\"...\", \"...\"]".to_owned();
            self.mistakes.push(Mistake { place, message, remedy });
        }
        networks.unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "arrange_tests.rs"]
mod tests;
