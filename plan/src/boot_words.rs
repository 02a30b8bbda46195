//! The words on a kernel's command line that are ours: one table for hosts, one for guests.
//!
//! Constants. What operators write or boot loaders add for a host the host's agent reads; what a host writes for its
//! guests the guests' agent reads, and what operators add for guests both read.

/// The words of a host.
pub mod host {
    /// The host's number, where neither address nor MAC tells.
    pub const HOST: &str = "vmatic.host";
    /// Whom to join before the parents that the plan computes: addresses, joined by commas.
    pub const JOIN: &str = "vmatic.join";
    /// For how many seconds after its start a host understands plain links, of programs from before links were
    /// encrypted: while hosts boot one after the other into a newer image.
    pub const OLDER: &str = "vmatic.older";
    /// What becomes of guests until the operator says something else: `run`, `paused` or `stopped`.
    pub const GUESTS: &str = "vmatic.guests";
    /// A file of the host's own, on a disk that is mounted there, in which its template's snapshot is kept.
    pub const TEMPLATE: &str = "vmatic.template";
    /// The kernel's own word for the address that the boot loader was given.
    pub const IP: &str = "ip";
    /// pxelinux's word for the card that the machine booted from.
    pub const BOOTIF: &str = "BOOTIF";
}

/// The words of a guest.
pub mod guest {
    /// Its place in the plan: `HOST/GUEST`.
    pub const NODE: &str = "vmatic.node";
    /// Its host name, as the plan spells it.
    pub const NAME: &str = "vmatic.name";
    /// The kernel's own word for an IPv4 address: `ADDRESS::ROUTER:NETMASK:NAME:CARD:off`
    /// (Documentation/admin-guide/nfs/nfsroot.rst).
    pub const IP: &str = "ip";
    /// Its IPv6 address and router: `ADDRESS/PREFIX,ROUTER`.
    pub const IP6: &str = "vmatic.ip6";
    /// Without a value: it is a template, and waits to be told who it is.
    pub const TEMPLATE: &str = "vmatic.template";
    /// Without a value, from the operator: the guests' shared file is their `/dev/pmem0`, not a disk.
    pub const DAX: &str = "vmatic.dax";
    /// Without a value, from the operator: every guest boots cold.
    pub const COLD: &str = "vmatic.cold";
}
