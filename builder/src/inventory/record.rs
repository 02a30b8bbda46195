//! What the plan says of one node, and of which nodes it is asked.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use vmatic_plan::{HostId, Mac, Node, NodeSet, Plan};

use crate::hosts::site::{SiteHost, SiteTable};
use crate::spec::values::LoaderName;

/// What an inventory is made from.
pub struct Inventory<'a> {
    /// The plan that has the nodes.
    pub plan: &'a Plan,
    /// The nodes that are asked for.
    pub nodes: &'a NodeSet,
    /// Whether the plan's cluster is known: IPv6 addresses are made of it.
    pub has_cluster: bool,
    /// The boot loaders that hosts may ask for.
    pub loaders: &'a [LoaderName],
    /// The site's own machines, where a table says them.
    pub site: Option<&'a SiteTable>,
}

impl Inventory<'_> {
    /// What the site's table says of a host.
    pub fn row(&self, host: HostId) -> Option<&SiteHost> {
        self.site?.hosts.get(host.0.checked_sub(1)? as usize)
    }

    /// How many of the hosts that are asked for have no MAC that is known.
    pub fn without_mac(&self) -> u64 {
        let Some(site) = self.site else { return 0 };
        let hosts = self.nodes.hosts_themselves();
        let lacking = hosts.iter().filter(|host| site.table.mac(HostId(*host)).is_none());
        lacking.count() as u64
    }

    /// Writes the nodes, hosts first, each computed when its turn comes.
    pub fn each(&self, mut write: impl FnMut(Record) -> io::Result<()>) -> io::Result<()> {
        for (hosts, members) in self.nodes.products() {
            for node in NodeSet::product(&hosts, &members).iter() {
                Record::of(self, node).map_or(Ok(()), &mut write)?;
            }
        }
        Ok(())
    }
}

/// What the plan says of one node.
pub struct Record {
    /// The node.
    pub node: Node,
    /// Its name.
    pub name: String,
    /// Its MAC; none of a machine whose site does not tell it.
    pub mac: Option<Mac>,
    /// A host's is on the machines' network.
    pub ipv4: Ipv4Addr,
    /// Likewise, where the cluster is known.
    pub ipv6: Option<Ipv6Addr>,
    /// The node above; the root has none.
    pub parent: Option<Node>,
    /// Of a host: its address among its guests, and the block of theirs.
    pub guests: Option<(Ipv4Addr, (Ipv4Addr, u8))>,
}

impl Record {
    /// What the plan says; none where it has no such node.
    pub fn of(inventory: &Inventory, node: Node) -> Option<Record> {
        let plan = inventory.plan;
        let (ipv4, ipv6) = if node.is_host() {
            (plan.host_ipv4(node.host)?, plan.host_ipv6(node.host))
        } else {
            (plan.ipv4(node)?, plan.ipv6(node))
        };
        let has_guests = node.is_host() && plan.guests_per_host > 0;
        Some(Record {
            node,
            name: plan.node_name(node)?,
            mac: match inventory.site {
                Some(site) if node.is_host() => site.table.mac(node.host),
                _ => Some(plan.mac(node)?),
            },
            ipv4,
            ipv6: ipv6.filter(|_| inventory.has_cluster),
            parent: plan.parent(node),
            guests: if has_guests { Some((plan.ipv4(node)?, plan.host_block(node.host)?)) } else { None },
        })
    }
}
