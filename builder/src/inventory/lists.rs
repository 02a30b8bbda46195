//! A line, or a value, for each node: /etc/hosts, /etc/ethers, CSV, JSON.
//!
//! Names, numbers and addresses have no character that any of these formats would read otherwise: the plan holds names
//! to letters, digits and hyphens.

use std::io::{self, Write};

use serde_json::json;

use super::record::{Inventory, Record};

/// Lines of /etc/hosts, hosts(5).
pub fn hosts(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    inventory.each(|Record { name, ipv4, ipv6, .. }| {
        writeln!(out, "{ipv4} {name}")?;
        ipv6.map_or(Ok(()), |ipv6| writeln!(out, "{ipv6} {name}"))
    })
}

/// Lines of /etc/ethers, ethers(5).
pub fn ethers(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    inventory.each(|Record { mac, name, .. }| writeln!(out, "{mac} {name}"))
}

/// Comma-separated values (RFC 4180), the names of the columns first; what a node does not have is empty.
pub fn csv(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "node,name,mac,ipv4,ipv6,parent,guests_router,guests_block\r\n")?;
    inventory.each(|Record { node, name, mac, ipv4, ipv6, parent, guests }| {
        let ipv6 = ipv6.map_or_else(String::new, |address| address.to_string());
        let parent = parent.map_or_else(String::new, |node| node.to_string());
        let guests =
            guests.map_or_else(|| ",".to_owned(), |(router, (block, bits))| format!("{router},{block}/{bits}"));
        write!(out, "{node},{name},{mac},{ipv4},{ipv6},{parent},{guests}\r\n")
    })
}

/// One object: what all nodes share, then the nodes, one a line.
pub fn json(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let plan = inventory.plan;
    let cluster = inventory.has_cluster.then(|| crate::digest::hex(&plan.cluster));
    let head = json!({
        "name": plan.name,
        "cluster": cluster,
        "hosts": plan.host_count(),
        "guests_per_host": plan.guests_per_host,
        "host_network": plan.host_network.to_string(),
        "guest_network": plan.guest_network.to_string(),
        "port": plan.port,
    });
    // The object goes on with the nodes, which are too many for one value.
    let head = head.to_string();
    write!(out, "{},\n\"nodes\":[", head.strip_suffix('}').unwrap_or(&head))?;
    let mut before = "\n";
    inventory.each(|Record { node, name, mac, ipv4, ipv6, parent, guests }| {
        let record = json!({
            "node": node.to_string(),
            "host": node.host.0,
            "guest": (!node.is_host()).then_some(node.guest.0),
            "name": name,
            "mac": mac.to_string(),
            "ipv4": ipv4,
            "ipv6": ipv6,
            "parent": parent.map(|node| node.to_string()),
            "guests_router": guests.map(|(router, _)| router),
            "guests_block": guests.map(|(_, (block, bits))| format!("{block}/{bits}")),
        });
        write!(out, "{before}{record}")?;
        before = ",\n";
        Ok(())
    })?;
    writeln!(out, "\n]}}")
}
