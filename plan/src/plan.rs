//! The plan: what the whole cluster shares, checked once.
//!
//! Takes the handful of values that a spec gives; gives the laws in
//! `address.rs` something to compute from. Its checks name the field that is
//! wrong, so that the builder can point at the line.

use crate::address::mac::Mac;
use crate::address::net::Ipv4Net;
use crate::error::{PlanError, PlanErrorKind as Kind, PlanField};
use crate::host_table::{HostTable, TableError};
use crate::ids::HostId;
use crate::names::{self, HostNames};
use crate::network::{Network, PlannedNetwork};
use crate::reach::GuestReach;
use crate::sets::{Node, NodeSet, RangeSet};
use crate::{GUESTS_MAX, HOSTS_MAX};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Everything that all nodes of a cluster have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The cluster's name, for people.
    pub name: String,
    /// The cluster's identity: commands signed for another are refused.
    pub cluster: [u8; 16],
    /// The hosts' names, which also say how many there are.
    pub hosts: HostNames,
    /// How many guests each host starts, 0 to [`GUESTS_MAX`].
    pub guests_per_host: u32,
    /// The machines' own network: host n has its n-th address, unless the table has addresses.
    pub host_network: Ipv4Net,
    /// Further networks of the machines, at most [`HOST_NETWORKS_MAX`] in all: only a table's hosts are in several.
    pub more_host_networks: Vec<Ipv4Net>,
    /// The guests' network: host n routes its n-th block.
    pub guest_network: Ipv4Net,
    /// What guests may reach.
    pub guest_reach: GuestReach,
    /// Most children of a host in the control tree, 2 to 64.
    pub fanout: u32,
    /// The TCP port on which a host accepts its children and the console.
    pub port: u16,
    /// RAM of each guest that is of no kind, in MiB, 16 to 1,048,576.
    pub guest_memory_mib: u32,
    /// What the spec adds to a guest's boot command line.
    pub guest_cmdline: String,
    /// What the site's machines are called and which MACs and addresses they have, where that is not computed.
    pub host_table: Option<HostTable>,
    /// The nodes and links that guests make up, if the cluster has a network of its own.
    pub network: Option<PlannedNetwork>,
}

/// Most networks of the machines.
pub const HOST_NETWORKS_MAX: usize = 64;
/// Least fanout of a plan with racks: half of a head's children are in other racks, and one alone would be a chain.
pub(crate) const RACK_FANOUT_MIN: u32 = 4;

/// Least bits of a host's block that keep addresses readable (`10.0.17.4` is guest 3 of host 17).
const READABLE_BLOCK_BITS: u32 = 8;
/// Addresses of a block that are no guest's: network, host, broadcast.
const BLOCK_RESERVED: u64 = 3;
/// Addresses of the host network kept free: network, gateway, name server, broadcast.
const HOST_NETWORK_RESERVED: u64 = 4;
/// Least and most children of a host in the tree: of one alone it would be a chain.
const FANOUT_MIN: u32 = 2;
const FANOUT_MAX: u32 = 64;
/// Least and most RAM of a guest: with less than 16 MiB no kernel of ours boots.
const MEMORY_MIN_MIB: u32 = 16;
const MEMORY_MAX_MIB: u32 = 1 << 20;
/// Most characters of a cluster's name: it is one label of a host name (RFC 1123).
const NAME_MAX_BYTES: usize = 63;
/// Most characters of a guest's extra command line (x86's COMMAND_LINE_SIZE is 2,048; the agent needs some).
const CMDLINE_MAX_BYTES: usize = 1024;

impl Plan {
    /// The first thing that is wrong, if anything is.
    ///
    /// # Errors
    /// Tells the field, and what is wrong with it.
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |field, kind| Err(PlanError { field, kind });
        let name = self.name.as_bytes();
        if !(1..=NAME_MAX_BYTES).contains(&name.len()) || !name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        {
            return wrong(PlanField::Name, Kind::ClusterName { bytes_max: NAME_MAX_BYTES });
        }
        let hosts = u64::from(self.host_count());
        if hosts == 0 || hosts > u64::from(HOSTS_MAX) {
            return wrong(PlanField::Hosts, Kind::HostCount { max: HOSTS_MAX });
        }
        if self.guests_per_host > GUESTS_MAX {
            return wrong(PlanField::GuestsPerHost, Kind::GuestCount { max: GUESTS_MAX });
        }
        let addresses = self.host_network.size();
        let computed = self.host_table.as_ref().is_none_or(|table| table.has_addresses() == Some(false));
        if computed && hosts + HOST_NETWORK_RESERVED > addresses {
            let reserved = HOST_NETWORK_RESERVED;
            let prefix = 32 - (hosts + reserved).next_power_of_two().trailing_zeros() as u8;
            return wrong(PlanField::HostNetwork, Kind::HostsDoNotFit { hosts, addresses, reserved, prefix });
        }
        let addresses = self.guest_network.size();
        if ((hosts + 1) << self.block_bits()) > addresses {
            let need = (hosts + 1) << self.least_block_bits();
            return wrong(PlanField::GuestNetwork, Kind::GuestsDoNotFit { need, addresses });
        }
        if self.host_networks().count() > HOST_NETWORKS_MAX {
            return wrong(PlanField::MoreHostNetworks, Kind::Table(TableError::Networks { max: HOST_NETWORKS_MAX }));
        }
        if let Some(network) = self.host_networks().find(|network| network.overlaps(&self.guest_network)) {
            return wrong(PlanField::GuestNetwork, Kind::Overlap(network));
        }
        if !(FANOUT_MIN..=FANOUT_MAX).contains(&self.fanout) {
            return wrong(PlanField::Fanout, Kind::Fanout { min: FANOUT_MIN, max: FANOUT_MAX });
        }
        if self.port == 0 {
            return wrong(PlanField::Port, Kind::Port);
        }
        if !(MEMORY_MIN_MIB..=MEMORY_MAX_MIB).contains(&self.guest_memory_mib) {
            return wrong(PlanField::GuestMemoryMib, Kind::Memory { min_mib: MEMORY_MIN_MIB, max_mib: MEMORY_MAX_MIB });
        }
        if self.guest_cmdline.len() > CMDLINE_MAX_BYTES || self.guest_cmdline.chars().any(char::is_control) {
            return wrong(PlanField::GuestCmdline, Kind::CommandLine { bytes_max: CMDLINE_MAX_BYTES });
        }
        self.check_table()
    }

    /// Whether the site's table fits the plan, as far as it is at hand.
    fn check_table(&self) -> Result<(), PlanError> {
        self.fit_table().map_err(|error| PlanError { field: PlanField::HostTable, kind: Kind::Table(error) })
    }

    fn fit_table(&self) -> Result<(), TableError> {
        let Some(table) = &self.host_table else {
            return if self.hosts.is_listed() { Err(TableError::Missing) } else { Ok(()) };
        };
        let Some(rows) = table.host_count() else { return Ok(()) };
        if rows != self.host_count() || self.hosts.is_listed() && !table.has_names() {
            return Err(TableError::Hosts { table: rows, plan: self.host_count() });
        }
        if table.rack_count() > 0 && self.fanout < RACK_FANOUT_MIN {
            return Err(TableError::RackFanout { min: RACK_FANOUT_MIN });
        }
        for host in (1..=rows).map(HostId) {
            if let Some(address) = table.ipv4(host).filter(|address| !self.is_host_network(*address)) {
                return Err(TableError::Address { host, address });
            }
            if let Some(mac) = table.mac(host).filter(|mac| self.is_anothers_computed_mac(host, *mac)) {
                return Err(TableError::Mac { host, mac });
            }
        }
        Ok(())
    }

    /// Whether a node other than `host` has this MAC by arithmetic.
    fn is_anothers_computed_mac(&self, host: HostId, mac: Mac) -> bool {
        let has_none = |other: HostId| self.host_table.as_ref().is_none_or(|table| table.mac(other).is_none());
        let other = self.node_by_computed_mac(mac).filter(|other| *other != Node::host(host));
        other.is_some_and(|other| !other.is_host() || has_none(other.host))
    }

    /// Whether the table is named, and not at hand.
    pub fn lacks_table(&self) -> bool {
        self.host_table.as_ref().is_some_and(|table| table.bytes().is_none())
    }

    /// The plan with the bytes of its table, which is checked against it.
    ///
    /// # Errors
    /// They are not the table that the plan names, or do not fit it.
    pub fn with_table(self, bytes: Vec<u8>) -> Result<Plan, PlanError> {
        let wrong = |kind| PlanError { field: PlanField::HostTable, kind };
        let named = self.host_table.as_ref().ok_or_else(|| wrong(Kind::Missing))?;
        let table = named.with_bytes(bytes).map_err(|e| wrong(Kind::Table(e)))?;
        let hosts =
            if self.hosts.is_listed() { HostNames::listed(self.hosts.len(), Some(table.clone())) } else { self.hosts };
        let plan = Plan { hosts, host_table: Some(table), ..self };
        plan.check()?;
        Ok(plan)
    }

    /// The network, where there is one and its text is at hand.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()?.network()
    }

    /// Whether a network is named, and not at hand.
    pub fn lacks_network(&self) -> bool {
        self.network.is_some() && self.network().is_none()
    }

    /// The plan with the text of its network.
    ///
    /// # Errors
    /// It is not the text of the network that the plan names.
    pub fn with_network(self, text: &str) -> Result<Plan, PlanError> {
        let wrong = |kind| PlanError { field: PlanField::Network, kind };
        let named = self.network.as_ref().ok_or_else(|| wrong(Kind::Missing))?;
        let network = named.with_text(text, self.host_count(), self.guests_per_host);
        let network = network.map_err(|error| wrong(Kind::NetworkText(error.to_string())))?;
        Ok(Plan { network: Some(network), ..self })
    }

    /// How many hosts there are.
    pub fn host_count(&self) -> u32 {
        self.hosts.len()
    }

    /// Whether the plan has this node.
    pub fn has(&self, node: Node) -> bool {
        (1..=self.host_count()).contains(&node.host.0) && node.guest.0 <= self.guests_per_host
    }

    /// All hosts' numbers.
    pub fn all_hosts(&self) -> RangeSet {
        RangeSet::span(1, self.host_count())
    }

    /// Every host and every guest.
    pub fn all_nodes(&self) -> NodeSet {
        NodeSet::product(&self.all_hosts(), &RangeSet::span(0, self.guests_per_host))
    }

    /// A node's name.
    pub fn node_name(&self, node: Node) -> Option<String> {
        let host = self.has(node).then(|| self.hosts.name(node.host))??;
        Some(if node.is_host() { host } else { names::guest_name(&host, node.guest) })
    }

    /// The names of a set of nodes, folded: `h[1-2],h[1-2]-g[1-4]`.
    pub fn fold_names(&self, nodes: &NodeSet) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (hosts, members) in nodes.products() {
            let guests = match members.ranges() {
                [(0, 0)] => String::new(),
                [(a, b)] if a == b => format!("-g{a}"),
                _ => format!("-g[{members}]"),
            };
            // Each pattern of hosts by itself: behind a comma stands another node.
            parts.extend(self.hosts.fold_each(&hosts).into_iter().map(|hosts| hosts + &guests));
        }
        parts.join(",")
    }

    /// The node with this name.
    pub fn node_by_name(&self, name: &str) -> Option<Node> {
        names::find(&self.hosts, name).filter(|node| self.has(*node))
    }

    /// Bits of a host's block of guest addresses that the guests need.
    fn least_block_bits(&self) -> u32 {
        (u64::from(self.guests_per_host) + BLOCK_RESERVED).next_power_of_two().trailing_zeros()
    }

    /// Bits of a host's block: as few as the guests need, but readable where the network has room.
    pub(crate) fn block_bits(&self) -> u32 {
        let least = self.least_block_bits();
        let hosts = u64::from(self.host_count()) + 1;
        let readable = least.max(READABLE_BLOCK_BITS);
        if (hosts << readable) <= self.guest_network.size() { readable } else { least }
    }
}
