//! What the plan says of one node, and of which nodes it is asked.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use vmatic_plan::{Mac, Node, NodeSet, Plan};

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
}

impl Inventory<'_> {
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
    /// Its MAC.
    pub mac: Mac,
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
            mac: plan.mac(node)?,
            ipv4,
            ipv6: ipv6.filter(|_| inventory.has_cluster),
            parent: plan.parent(node),
            guests: if has_guests { Some((plan.ipv4(node)?, plan.host_block(node.host)?)) } else { None },
        })
    }
}
