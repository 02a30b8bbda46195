//! The formats of host tables, one file each: what of a text is a machine, and what is not.
//!
//! All take the whole text and note what they find with its line; none stops at the first mistake, and none reads
//! another file.

mod csv;
mod dhcpd;
mod dnsmasq;
mod etc_hosts;
mod kea;
mod slurm;
mod warewulf;

use super::record::Found;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// /etc/hosts, hosts(5).
    Hosts,
    /// /etc/ethers, ethers(5).
    Ethers,
    /// ISC dhcpd.conf(5), its host blocks.
    Dhcpd,
    /// dnsmasq(8), its `dhcp-host` lines.
    Dnsmasq,
    /// Kea's DHCPv4 server, its reservations.
    Kea,
    /// Warewulf 4's nodes.conf.
    Warewulf,
    /// slurm.conf(5), its NodeName lines; topology.conf(5), its switches as racks.
    Slurm,
    /// Comma-separated values (RFC 4180) under a line of headers.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 8] = [
        Format::Hosts,
        Format::Ethers,
        Format::Dhcpd,
        Format::Dnsmasq,
        Format::Kea,
        Format::Warewulf,
        Format::Slurm,
        Format::Csv,
    ];

    /// Its word in a spec.
    pub fn word(self) -> &'static str {
        match self {
            Format::Hosts => "hosts",
            Format::Ethers => "ethers",
            Format::Dhcpd => "dhcpd",
            Format::Dnsmasq => "dnsmasq",
            Format::Kea => "kea",
            Format::Warewulf => "warewulf",
            Format::Slurm => "slurm",
            Format::Csv => "csv",
        }
    }

    /// All words, for a sentence.
    pub fn words() -> String {
        Format::ALL.map(|format| format!("{:?}", format.word())).join(", ")
    }

    /// The format of this word.
    pub fn by_word(word: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.word() == word)
    }

    /// Reads a text of this format.
    pub fn read(self, text: &str, found: &mut Found) {
        match self {
            Format::Hosts => etc_hosts::hosts(text, found),
            Format::Ethers => etc_hosts::ethers(text, found),
            Format::Dhcpd => dhcpd::read(text, found),
            Format::Dnsmasq => dnsmasq::read(text, found),
            Format::Kea => kea::read(text, found),
            Format::Warewulf => warewulf::read(text, found),
            Format::Slurm => slurm::read(text, found),
            Format::Csv => csv::read(text, found),
        }
    }
}

/// Whether a text begins with a header of [`Format::Csv`].
pub fn csv_header(text: &str) -> bool {
    csv::is_header(csv::header(text))
}

#[cfg(test)]
#[path = "formats_tests.rs"]
mod tests;
