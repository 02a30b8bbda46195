//! Why bytes are no host table, or not the one that is meant, or do not fit their plan.

use crate::address::mac::Mac;
use crate::ids::HostId;
use core::fmt;
use core::net::Ipv4Addr;

/// What is wrong with a host table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// The bytes do not begin as a table of this version.
    Magic,
    /// They end before the table does, or after it.
    Length,
    /// A section breaks the rules of the format.
    Section(&'static str),
    /// They are another table than the plan names, or were cut or altered.
    Digest,
    /// Its hash, as the plan has it, is not 64 hexadecimal digits.
    NotHex,
    /// The hosts' names are in a table, and the plan names none.
    Missing,
    /// The table has another count of hosts, or lacks their names.
    Hosts {
        /// How many the table has.
        table: u32,
        /// How many the plan has.
        plan: u32,
    },
    /// The machines are in more networks than this.
    Networks {
        /// The most that there may be.
        max: usize,
    },
    /// A host has an address that is in none of the machines' networks.
    Address {
        /// The host.
        host: HostId,
        /// Its address.
        address: Ipv4Addr,
    },
    /// A host has the MAC that another node has by arithmetic.
    Mac {
        /// The host.
        host: HostId,
        /// Its MAC.
        mac: Mac,
    },
    /// With racks, a host has too few children for both its rack and the others.
    RackFanout {
        /// The least fanout.
        min: u32,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not a host table of this version"),
            Self::Length => f.write_str("it was cut, or something was appended"),
            Self::Section(name) => write!(f, "its {name} break the rules of the format"),
            Self::Digest => f.write_str("it is not the table that the plan names by its hash"),
            Self::NotHex => f.write_str("is not 64 hexadecimal digits"),
            Self::Missing => f.write_str("the hosts' names are in a host table, and the plan names none"),
            Self::Hosts { table, plan } => write!(f, "it has {table} hosts or no names, the plan {plan} hosts"),
            Self::Networks { max } => write!(f, "the machines are in at most {max} networks"),
            Self::Address { host, address } => {
                write!(f, "host {host} has {address}, which is in none of the machines' networks")
            }
            Self::Mac { host, mac } => write!(f, "host {host} has {mac}, which another node has by arithmetic"),
            Self::RackFanout { min } => write!(f, "with racks, the fanout must be at least {min}"),
        }
    }
}

impl core::error::Error for TableError {}
