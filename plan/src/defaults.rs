//! What a plan says where the operator says nothing.

use crate::address::net::Ipv4Net;
use crate::names::HostNames;
use crate::plan::Plan;
use crate::reach::GuestReach;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// How many guests each host starts.
pub const GUESTS_PER_HOST: u32 = 4;
/// The machines' own network, 172.20.0.0/16.
pub const HOST_NETWORK: Ipv4Net = Ipv4Net::from_bits(0xac14_0000, 16);
/// The guests' network, 10.0.0.0/8.
pub const GUEST_NETWORK: Ipv4Net = Ipv4Net::from_bits(0x0a00_0000, 8);
/// Most children of a host in the control tree.
pub const FANOUT: u32 = 16;
/// The hosts' TCP port.
pub const PORT: u16 = 7117;
/// RAM of a guest, in MiB: Debian's kernel boots in 72 MiB.
pub const GUEST_MEMORY_MIB: u32 = 96;

/// Where guests ask for names: the switch of their host answers there, as at its router's address. The same on every
/// host, so that a template has it before it is anybody's guest; link-local, so that no packet to it leaves the host
/// (RFC 3927, 2.6.2).
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

impl Plan {
    /// A plan with the defaults, for no cluster in particular.
    pub fn new(name: &str, hosts: HostNames) -> Plan {
        Plan {
            name: name.into(),
            cluster: [0; 16],
            hosts,
            guests_per_host: GUESTS_PER_HOST,
            host_network: HOST_NETWORK,
            more_host_networks: Vec::new(),
            guest_network: GUEST_NETWORK,
            guest_reach: GuestReach::Guests,
            fanout: FANOUT,
            port: PORT,
            guest_memory_mib: GUEST_MEMORY_MIB,
            guest_cmdline: String::new(),
            host_table: None,
            network: None,
        }
    }
}
