//! A table: its bytes checked once, and every search over them.

use super::bytes::number;
use super::column::Column;
use super::error::TableError;
use super::machines::Machines;
use super::names::NameList;
use super::racks::Racks;
use crate::address::mac::Mac;
use crate::ids::HostId;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;
use core::ops::Range;
use sha2::{Digest, Sha256};

/// What a table's bytes begin with; the number grows with the format.
pub(super) const MAGIC: &[u8; 16] = b"vmatic-hosts 1\n\0";
/// Bytes of a length, and of the count of hosts.
pub(super) const LENGTH_BYTES: usize = 4;
const SECTIONS: usize = 5;
pub(super) const ADDRESS_BYTES: usize = 4;
pub(super) const MAC_BYTES: usize = 6;

/// A table: its hash, and its bytes where they are at hand.
#[derive(Clone)]
pub struct HostTable {
    digest: [u8; 32],
    here: Option<Arc<Sections>>,
}

#[derive(Debug)]
struct Sections {
    bytes: Vec<u8>,
    hosts: u32,
    spans: [Range<usize>; SECTIONS],
}

impl HostTable {
    /// The table of this hash, whose bytes are elsewhere.
    pub fn named(digest: [u8; 32]) -> HostTable {
        HostTable { digest, here: None }
    }

    /// Takes a table's bytes.
    ///
    /// # Errors
    /// They are no sound table: none of the searches would be sure to find what is there.
    pub fn open(bytes: Vec<u8>) -> Result<HostTable, TableError> {
        if !bytes.starts_with(MAGIC) {
            return Err(TableError::Magic);
        }
        let length = |at| number(&bytes, at, LENGTH_BYTES).ok_or(TableError::Length);
        let mut at = MAGIC.len();
        let hosts = u32::try_from(length(at)?).ok().filter(|hosts| (1..=crate::HOSTS_MAX).contains(hosts));
        let hosts = hosts.ok_or(TableError::Section("hosts"))?;
        at += LENGTH_BYTES;
        let mut spans: [Range<usize>; SECTIONS] = Default::default();
        for span in &mut spans {
            let begin = at + LENGTH_BYTES;
            at = usize::try_from(length(at)?).ok().and_then(|len| begin.checked_add(len)).ok_or(TableError::Length)?;
            *span = begin..at;
        }
        if at != bytes.len() {
            return Err(TableError::Length);
        }
        let sections = Sections { bytes, hosts, spans };
        sections.check()?;
        let digest = Sha256::digest(&sections.bytes).into();
        Ok(HostTable { digest, here: Some(Arc::new(sections)) })
    }

    /// The same with its bytes.
    ///
    /// # Errors
    /// They are no table, or another.
    pub fn with_bytes(&self, bytes: Vec<u8>) -> Result<HostTable, TableError> {
        let table = HostTable::open(bytes)?;
        if table.digest == self.digest { Ok(table) } else { Err(TableError::Digest) }
    }

    /// SHA-256 of its bytes.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Its bytes, where they are at hand.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.here.as_ref().map(|here| here.bytes.as_slice())
    }

    /// How many hosts it has, where its bytes are at hand.
    pub fn host_count(&self) -> Option<u32> {
        self.here.as_ref().map(|here| here.hosts)
    }

    /// Whether hosts have addresses of it: none where it is not at hand.
    pub fn has_addresses(&self) -> Option<bool> {
        self.here.as_ref().map(|here| here.addresses().is_some_and(|column| !column.is_absent()))
    }

    /// A host's address.
    pub fn ipv4(&self, host: HostId) -> Option<Ipv4Addr> {
        let value = self.here.as_ref()?.addresses()?.value(host.0.checked_sub(1)?)?;
        u32::try_from(value).ok().map(Ipv4Addr::from)
    }

    /// The host that has this address.
    pub fn host_by_ipv4(&self, address: Ipv4Addr) -> Option<HostId> {
        self.here.as_ref()?.addresses()?.host(u32::from(address).into()).map(host_id)
    }

    /// The MAC by which a host is known.
    pub fn mac(&self, host: HostId) -> Option<Mac> {
        let value = self.here.as_ref()?.macs()?.value(host.0.checked_sub(1)?)?;
        let [_, _, mac @ ..] = value.to_be_bytes();
        Some(Mac(mac))
    }

    /// The host that is known by this MAC.
    pub fn host_by_mac(&self, Mac([a, b, c, d, e, f]): Mac) -> Option<HostId> {
        self.here.as_ref()?.macs()?.host(u64::from_be_bytes([0, 0, a, b, c, d, e, f])).map(host_id)
    }

    /// The host whose machine has this UUID, serial number or asset tag.
    pub fn host_by_machine(&self, text: &str) -> Option<HostId> {
        let here = self.here.as_ref()?;
        Machines::read_checked(here.section(3)).host(text).map(host_id)
    }

    /// Whether it tells hosts by their machines.
    pub fn has_machines(&self) -> bool {
        self.here.as_ref().is_some_and(|here| !here.section(3).is_empty())
    }

    /// Whether it has the hosts' names.
    pub fn has_names(&self) -> bool {
        self.here.as_ref().is_some_and(|here| !here.section(4).is_empty())
    }

    /// A host's name, where the plan has no pattern for it.
    pub fn name(&self, host: HostId) -> Option<String> {
        self.here.as_ref()?.names()?.name(host.0.checked_sub(1)?)
    }

    /// The host of this name.
    pub fn host_by_name(&self, name: &str) -> Option<HostId> {
        self.here.as_ref()?.names()?.host(name).map(host_id)
    }

    /// How many racks it knows.
    pub fn rack_count(&self) -> u32 {
        self.racks().map_or(0, |racks| racks.len())
    }

    /// The rack of a host, from 0.
    pub fn rack_of(&self, host: HostId) -> Option<u32> {
        self.racks().map(|racks| racks.of(host.0.saturating_sub(1)))
    }

    /// The first host of a rack; of the rack behind the last, the number behind the last host's.
    pub fn rack_start(&self, rack: u32) -> Option<HostId> {
        self.racks().map(|racks| host_id(racks.start(rack)))
    }

    fn racks(&self) -> Option<Racks<'_>> {
        let here = self.here.as_ref()?;
        Racks::read_checked(here.section(2), here.hosts).filter(|racks| racks.len() > 0)
    }
}

fn host_id(index: u32) -> HostId {
    HostId(index.saturating_add(1))
}

impl Sections {
    fn section(&self, n: usize) -> &[u8] {
        self.spans.get(n).and_then(|span| self.bytes.get(span.clone())).unwrap_or_default()
    }

    fn addresses(&self) -> Option<Column<'_>> {
        Column::read(self.section(0), ADDRESS_BYTES, self.hosts)
    }

    fn macs(&self) -> Option<Column<'_>> {
        Column::read(self.section(1), MAC_BYTES, self.hosts)
    }

    fn names(&self) -> Option<NameList<'_>> {
        NameList::read(self.section(4), self.hosts)
    }

    fn check(&self) -> Result<(), TableError> {
        let sound = |column: Option<Column>| column.is_some_and(|column| column.is_sound());
        let addresses = self.addresses();
        // All hosts have an address here, or none has.
        let whole =
            addresses.is_some_and(|column| column.is_absent() || (0..self.hosts).all(|n| column.value(n).is_some()));
        let rules = [
            ("addresses", sound(addresses) && whole),
            ("MACs", sound(self.macs())),
            ("racks", Racks::read(self.section(2), self.hosts).is_some()),
            ("machines", Machines::read(self.section(3), self.hosts).is_some()),
            ("names", self.section(4).is_empty() || self.names().is_some_and(|names| names.is_sound())),
        ];
        match rules.iter().find(|(_, kept)| !kept) {
            Some((section, _)) => Err(TableError::Section(section)),
            None => Ok(()),
        }
    }
}

impl PartialEq for HostTable {
    /// Tables of one hash are one.
    fn eq(&self, other: &HostTable) -> bool {
        self.digest == other.digest
    }
}

impl Eq for HostTable {}

impl fmt::Debug for HostTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.digest;
        write!(f, "HostTable({a:02x}{b:02x}{c:02x}{d:02x}.., {:?} hosts)", self.host_count())
    }
}
