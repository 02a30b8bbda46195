//! Two machines that say they are one host: what hosts notice of them, for `vmatic nodes`.

use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use vmatic_plan::HostId;

/// Most twins that a host keeps and reports; what does not fit is in its log alone.
pub const TWINS_MAX: usize = 16;

/// Where a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Whereabouts {
    /// At this address, from which it called.
    Address(IpAddr),
    /// Below this host, which reports it.
    Below(HostId),
    /// Nobody knows where.
    Unknown,
}

/// Two machines live that say they are one host. The first keeps its place, the second is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Twins {
    /// The number that both claim.
    pub host: HostId,
    /// The machine that is the host of that number.
    pub first: Whereabouts,
    /// The one that is not.
    pub second: Whereabouts,
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Whereabouts::Address(address) => write!(f, "{address}"),
            Whereabouts::Below(host) => write!(f, "one below host {host}"),
            Whereabouts::Unknown => f.write_str("one at an unknown address"),
        }
    }
}

impl fmt::Display for Twins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Twins { host, first, second } = self;
        write!(f, "two machines say they are host {host}: {first} and {second}; the first keeps its place")
    }
}
