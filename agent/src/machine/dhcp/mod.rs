//! A DHCP client for each card (RFC 2131): an address is asked for, renewed, asked of other servers, and given up when
//! its time is over.
//!
//! `message` reads and writes what is sent, `client` is the state machine without sockets or clocks, `task` drives it
//! on one card. The owner of what all cards have is `machine::network`.

mod client;
#[cfg(any(test, fuzzing))]
#[path = "../../../../fuzz/targets/agent/dhcp.rs"]
pub mod fuzz;
mod message;
mod task;

use std::net::Ipv4Addr;
pub use task::{Report, keep};

/// What a server gave, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The card's own address.
    pub address: Ipv4Addr,
    /// Of its network.
    pub netmask: Ipv4Addr,
    /// The way out, if there is one.
    pub router: Option<Ipv4Addr>,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// The host name that came with it (option 12).
    pub name: Option<String>,
    /// Where the machine hangs, as a relay says it (option 82): `REMOTE/CIRCUIT`, whatever there is of it.
    pub place: Option<String>,
    /// How long it lasts, and after how long it is renewed and asked of any server, in seconds; none if it never ends.
    pub times_s: Option<Times>,
}

/// The times of a lease, in seconds from when it was asked for (RFC 2131, 4.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it is renewed by who gave it (T1).
    pub renew: u32,
    /// When any server is asked (T2).
    pub rebind: u32,
    /// When it is over.
    pub end: u32,
}
