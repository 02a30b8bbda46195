//! A table that is being made, and its bytes.

use super::bytes::{INDEX_BYTES, push};
use super::column::Column;
use super::error::TableError;
use super::machines::{HASH_BYTES, hash};
use super::names::NameList;
use super::table::{ADDRESS_BYTES, HostTable, LENGTH_BYTES, MAC_BYTES, MAGIC};
use crate::address::mac::Mac;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// What is known of one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DraftHost {
    /// Its name; it goes into the table only where the plan has no pattern for all names.
    pub name: String,
    /// The MAC of its card.
    pub mac: Option<Mac>,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// UUID, serial number, asset tag of its machine.
    pub machines: Vec<String>,
}

/// A table that is being made: no two hosts have one name, MAC, address or machine.
#[derive(Clone, Debug, Default)]
pub struct TableDraft {
    /// The hosts, in the order of their numbers.
    pub hosts: Vec<DraftHost>,
    /// The index of each rack's first host, from 0; empty where no rack is known.
    pub racks: Vec<u32>,
    /// Whether names go into the table.
    pub with_names: bool,
}

impl TableDraft {
    /// The table.
    ///
    /// # Errors
    /// Two hosts have the same, some have an address and some have none, there are none or too many.
    pub fn finish(&self) -> Result<HostTable, TableError> {
        let hosts = &self.hosts;
        let addresses: Vec<Option<u64>> = hosts.iter().map(|host| host.ipv4.map(|ip| u32::from(ip).into())).collect();
        let mac = |Mac([a, b, c, d, e, f]): Mac| u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let macs: Vec<Option<u64>> = hosts.iter().map(|host| host.mac.map(mac)).collect();
        let mut machines: Vec<(u64, u32)> = Vec::new();
        for (index, host) in (0u32..).zip(hosts) {
            machines.extend(host.machines.iter().filter_map(|text| Some((hash(text)?, index))));
        }
        machines.sort_unstable();
        machines.dedup();
        let mut machine_bytes = Vec::new();
        for (hash, host) in machines {
            push(&mut machine_bytes, hash, HASH_BYTES);
            push(&mut machine_bytes, host.into(), INDEX_BYTES);
        }
        let mut racks = Vec::new();
        self.racks.iter().for_each(|start| push(&mut racks, u64::from(*start), INDEX_BYTES));
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        let names = if self.with_names { NameList::write(&names) } else { Vec::new() };
        let sections =
            [Column::write(&addresses, ADDRESS_BYTES), Column::write(&macs, MAC_BYTES), racks, machine_bytes, names];
        let mut bytes = MAGIC.to_vec();
        push(&mut bytes, hosts.len() as u64, LENGTH_BYTES);
        for section in sections {
            push(&mut bytes, section.len() as u64, LENGTH_BYTES);
            bytes.extend(section);
        }
        HostTable::open(bytes)
    }
}
