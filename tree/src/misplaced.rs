//! Hosts of a site's table that are at another address than the table's: what their parents notice, for `vmatic nodes`.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use serde::{Deserialize, Serialize};
use vmatic_plan::HostId;

/// Most such hosts that a host tells of.
pub const MISPLACED_MAX: usize = 64;

/// A host that is not where others look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Misplaced {
    /// The host.
    pub host: HostId,
    /// Where it is: it called from there.
    pub at: IpAddr,
    /// Where the table has it.
    pub planned: Ipv4Addr,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misplaced { at, planned, .. } = self;
        write!(f, "at {at}, where nobody looks for it: the table has {planned}; correct the DHCP server or the table")
    }
}
