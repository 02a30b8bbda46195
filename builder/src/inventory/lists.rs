//! A line, or a value, for each node: /etc/hosts, /etc/ethers, CSV, JSON.
//!
//! Names, numbers and addresses have no character that any of these formats would read otherwise: the plan holds names
//! to letters, digits and hyphens.

use std::io::{self, Write};

use serde_json::json;

use vmatic_plan::{HostId, RangeSet};

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
    inventory.each(|Record { mac, name, .. }| mac.map_or(Ok(()), |mac| writeln!(out, "{mac} {name}")))
}

/// Comma-separated values (RFC 4180), the names of the columns first; what a node does not have is empty.
pub fn csv(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    // What only a site's table says has columns of its own there.
    let more = if inventory.site.is_some() { ",rack,machine,machine,machine" } else { "" };
    write!(out, "node,name,mac,ipv4,ipv6,parent,guests_router,guests_block{more}\r\n")?;
    inventory.each(|Record { node, name, mac, ipv4, ipv6, parent, guests }| {
        let mac = mac.map_or_else(String::new, |mac| mac.to_string());
        let ipv6 = ipv6.map_or_else(String::new, |address| address.to_string());
        let parent = parent.map_or_else(String::new, |node| node.to_string());
        let guests =
            guests.map_or_else(|| ",".to_owned(), |(router, (block, bits))| format!("{router},{block}/{bits}"));
        write!(out, "{node},{name},{mac},{ipv4},{ipv6},{parent},{guests}")?;
        if inventory.site.is_some() {
            let row = inventory.row(node.host).filter(|_| node.is_host());
            write!(out, ",{}", row.and_then(|row| row.rack.as_deref()).map_or_else(String::new, quoted))?;
            let machines = row.map(|row| row.machines.as_slice()).unwrap_or_default();
            (0..3)
                .try_for_each(|n| write!(out, ",{}", machines.get(n).map_or_else(String::new, |text| quoted(text))))?;
        }
        write!(out, "\r\n")
    })
}

/// A text of a site's as a field (RFC 4180, 2.5 to 2.7).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Warewulf's nodes.conf: its YAML takes quoted texts as JSON has them.
pub fn warewulf(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "nodes:")?;
    inventory.each(|Record { node, name, mac, ipv4, .. }| {
        writeln!(out, "  {name}:")?;
        if let Some(rack) = inventory.row(node.host).and_then(|row| row.rack.as_deref()) {
            writeln!(out, "    tags:\n      rack: {}", json!(rack))?;
        }
        writeln!(out, "    network devices:\n      default:")?;
        mac.map_or(Ok(()), |mac| writeln!(out, "        hwaddr: \"{mac}\""))?;
        writeln!(out, "        ipaddr: {ipv4}")
    })
}

/// Lines of slurm.conf, and of topology.conf where racks are known.
pub fn slurm(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    inventory.each(|Record { name, ipv4, .. }| writeln!(out, "NodeName={name} NodeAddr={ipv4}"))?;
    let Some(site) = inventory.site.filter(|site| site.table.rack_count() > 0) else { return Ok(()) };
    let asked = inventory.nodes.hosts_themselves();
    for rack in 0..site.table.rack_count() {
        let (Some(HostId(first)), Some(HostId(end))) = (site.table.rack_start(rack), site.table.rack_start(rack + 1))
        else {
            continue;
        };
        let hosts = asked.intersection(&RangeSet::span(first, end - 1));
        let name = inventory.row(HostId(first)).and_then(|row| row.rack.as_deref());
        // What belongs to no rack is no switch's, and a switch's name has no blanks.
        if let Some(name) = name.filter(|_| !hosts.is_empty()) {
            let name: String = name.split_whitespace().collect::<Vec<_>>().join("-");
            writeln!(out, "SwitchName={name} Nodes={}", inventory.plan.hosts.fold(&hosts))?;
        }
    }
    Ok(())
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
        "more_host_networks": plan.more_host_networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
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
            "mac": mac.map(|mac| mac.to_string()),
            "rack": inventory.row(node.host).filter(|_| node.is_host()).and_then(|row| row.rack.as_deref()),
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
