//! What several files say of one machine, put together: the first file says which machines there are.
//!
//! A name is one machine's whatever its case; an entry of ethers may have an address in its place.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use vmatic_plan::Ipv4Net;

use super::record::{FileLine, Found, LeftOut, Mistake, Record};
use super::site::{ReadFile, at};
use super::source::TableSource;

/// What all files say together.
#[derive(Default)]
pub struct Merged {
    /// Machines, in the order of the first file.
    pub records: Vec<Record>,
    /// What was not taken.
    pub left_out: Vec<LeftOut>,
    /// What is wrong.
    pub mistakes: Vec<Mistake>,
    /// Routers, each with where it is said.
    pub routers: Vec<(Option<FileLine>, Ipv4Addr)>,
    /// Networks that the files say there are.
    pub networks: Vec<Ipv4Net>,
}

/// Puts together what was found in each file.
pub fn merge(parts: Vec<Found>, source: &TableSource, files: &[ReadFile]) -> Merged {
    let mut merged =
        Merged { routers: source.router.map(|router| (None, router)).into_iter().collect(), ..Merged::default() };
    let (mut by_name, mut by_address) = (HashMap::new(), HashMap::new());
    for (n, part) in parts.into_iter().enumerate() {
        merged.routers.extend(part.routers.into_iter().map(|(place, address)| (Some(place), address)));
        merged.networks.extend(part.networks);
        merged.left_out.extend(part.left_out);
        for record in part.records {
            let why = match () {
                () if record.name.is_empty() => None,
                () if source.only.as_ref().is_some_and(|only| !only.has(&record.name)) => Some("only"),
                () if source.except.as_ref().is_some_and(|except| except.has(&record.name)) => Some("except"),
                () => None,
            };
            if let Some(key) = why {
                let why = if key == "only" { "`only` does not name it" } else { "`except` names it" };
                // Said once: the other files may have thousands of whom nobody speaks.
                if n == 0 {
                    merged.leave_out(record.place, record.name, why.to_owned());
                }
                continue;
            }
            let key = record.name.to_lowercase();
            let known: Option<usize> = match record.name.is_empty() {
                false => by_name.get(&key).copied(),
                true => record.ipv4.and_then(|address| by_address.get(&address).copied()),
            };
            match (n, known) {
                (0, Some(other)) if says_nothing_new(&record, &merged.records[other]) => {
                    let line = merged.records[other].place.line;
                    merged.leave_out(record.place, record.name, format!("line {line} says the same"));
                }
                // Racks may stand apart from machines, and MACs from addresses.
                (0, Some(other)) if !contradicts(&record, &merged.records[other]) => {
                    complete(&mut merged, other, record, files);
                }
                (0, _) => {
                    by_name.entry(key).or_insert(merged.records.len());
                    if let Some(address) = record.ipv4 {
                        by_address.entry(address).or_insert(merged.records.len());
                    }
                    merged.records.push(record);
                }
                (_, Some(other)) => {
                    complete(&mut merged, other, record, files);
                    if let Some(address) = merged.records[other].ipv4 {
                        by_address.insert(address, other);
                    }
                }
                (_, None) => {
                    let what = if record.name.is_empty() { "an entry without a name".to_owned() } else { record.name };
                    let first = files.first().map_or_else(String::new, |file| file.path.display().to_string());
                    merged.leave_out(record.place, what, format!("{first} does not have it"));
                }
            }
        }
    }
    merged
}

impl Merged {
    fn leave_out(&mut self, place: FileLine, what: String, why: String) {
        self.left_out.push(LeftOut { place, what, why });
    }
}

/// Whether one entry is part of another.
fn says_nothing_new(record: &Record, other: &Record) -> bool {
    let within = |own: Option<&str>, other: Option<&str>| own.is_none() || own == other;
    record.macs.iter().all(|mac| other.macs.contains(mac))
        && (record.ipv4.is_none() || record.ipv4 == other.ipv4)
        && within(record.rack.as_deref(), other.rack.as_deref())
        && record.machines.iter().all(|machine| other.machines.contains(machine))
}

/// Whether two entries of one name say that it is two machines.
fn contradicts(record: &Record, other: &Record) -> bool {
    let differ = |own: bool, other: bool, same: bool| own && other && !same;
    let same_mac = record.macs.iter().any(|mac| other.macs.contains(mac));
    differ(record.ipv4.is_some(), other.ipv4.is_some(), record.ipv4 == other.ipv4)
        || differ(!record.macs.is_empty(), !other.macs.is_empty(), same_mac)
        || differ(record.rack.is_some(), other.rack.is_some(), record.rack == other.rack)
}

/// Adds what a later file says of a machine.
fn complete(merged: &mut Merged, n: usize, more: Record, files: &[ReadFile]) {
    let own = &mut merged.records[n];
    match (own.ipv4, more.ipv4) {
        (Some(own_address), Some(other)) if own_address != other => {
            let message = format!("{} has {other} here, and {own_address} by {}", own.name, at(files, own.place));
            let remedy = "correct one of them: a host is found at one address".to_owned();
            merged.mistakes.push(Mistake { place: more.place, message, remedy });
            return;
        }
        (None, address) => own.ipv4 = address,
        _ => {}
    }
    own.rack = own.rack.take().or(more.rack);
    for mac in more.macs {
        if !own.macs.contains(&mac) {
            own.macs.push(mac);
        }
    }
    for machine in more.machines {
        if !own.machines.contains(&machine) {
            own.machines.push(machine);
        }
    }
}
