//! The inventory of a plan: number, name, MAC, addresses and parent of its nodes, for people, programs and the servers
//! that hand addresses out.
//!
//! Takes a plan and a set of its nodes; writes text. Nothing is held: each node is computed when its line is written,
//! so that a plan of ten million nodes costs no more memory than one of ten. No state: `record` computes, `table` is
//! for people and folds, `lists` has a line for each node, `servers` are the settings of DHCP servers.

mod lists;
mod record;
mod servers;
mod table;

use std::io::{self, Write};

pub use record::Inventory;

/// How an inventory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Settings of dnsmasq
    Dnsmasq,
    /// Settings of ISC dhcpd
    Dhcpd,
    /// Settings of Kea's DHCPv4 server
    Kea,
    /// Lines of /etc/hosts
    Hosts,
    /// Lines of /etc/ethers
    Ethers,
    /// Warewulf's nodes.conf
    Warewulf,
    /// Lines of slurm.conf, and of topology.conf
    Slurm,
    /// One JSON object
    Json,
    /// Comma-separated values
    Csv,
}

impl Format {
    /// Whether it has machines alone: guests get their addresses elsewhere.
    pub fn is_for_hosts(self) -> bool {
        matches!(self, Format::Dnsmasq | Format::Dhcpd | Format::Kea | Format::Warewulf | Format::Slurm)
    }
}

/// Writes an inventory as a table in which nodes are folded; with `each`, every node has a row.
pub fn write_table(inventory: &Inventory, out: &mut dyn Write, each: bool) -> io::Result<()> {
    table::write(inventory, out, each)
}

/// Writes an inventory in a format.
pub fn write(inventory: &Inventory, out: &mut dyn Write, format: Format) -> io::Result<()> {
    match format {
        Format::Dnsmasq => servers::dnsmasq(inventory, out),
        Format::Dhcpd => servers::dhcpd(inventory, out),
        Format::Kea => servers::kea(inventory, out),
        Format::Hosts => lists::hosts(inventory, out),
        Format::Ethers => lists::ethers(inventory, out),
        Format::Warewulf => lists::warewulf(inventory, out),
        Format::Slurm => lists::slurm(inventory, out),
        Format::Json => lists::json(inventory, out),
        Format::Csv => lists::csv(inventory, out),
    }
}
