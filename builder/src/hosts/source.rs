//! What a spec says of its table of hosts.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use vmatic_plan::Ipv4Net;

use super::filter::Filter;
use super::formats::Format;

/// What a spec says of its table.
#[derive(Clone, Debug, Default)]
pub struct TableSource {
    /// The files: the first says which machines there are, the others more about them.
    pub files: Vec<PathBuf>,
    /// Their formats, as far as they are said.
    pub formats: Vec<Format>,
    /// The names of the hosts that count; all, if it is not said.
    pub only: Option<Filter>,
    /// The names of those that do not.
    pub except: Option<Filter>,
    /// The router's address, which no host may have.
    pub router: Option<Ipv4Addr>,
    /// The machines' networks, if they are said.
    pub networks: Vec<Ipv4Net>,
    /// The guests' network, in which no machine may be.
    pub guest_network: Option<Ipv4Net>,
}
