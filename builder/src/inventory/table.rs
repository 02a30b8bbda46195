//! The table for people: nodes that one law makes share a row.
//!
//! Hosts are folded by their level in the control tree, since those of a level have the parents of the level above;
//! within a range of numbers, MACs and addresses go from the first node's to the last one's.

use std::io::{self, Write};

use vmatic_plan::{GuestId, HostId, Mac, Node, NodeSet, RangeSet};

use super::record::{Inventory, Record};
use crate::digest::hex;
use crate::ui::size::count;

/// Most nodes that have a row of their own unless asked for.
const ROWS_MAX: u64 = 32;
/// Longest pattern of names that is shown whole.
const NAMES_MAX: usize = 40;
/// What stands above the columns.
const HEADS: [&str; 7] = ["NODES", "NAMES", "MAC", "IPV4", "IPV6", "PARENT", "ROUTES"];

type Cells = [String; 7];

/// Writes the table, and before it what all nodes share.
pub fn write(inventory: &Inventory, out: &mut dyn Write, each: bool) -> io::Result<()> {
    let plan = inventory.plan;
    let (hosts, guests) = (u64::from(plan.host_count()), u64::from(plan.guests_per_host));
    let cluster = if inventory.has_cluster { format!(" ({})", hex(&plan.cluster)) } else { String::new() };
    writeln!(
        out,
        "cluster {}{cluster}: {} in {}, {} in {}; the control tree on TCP port {}",
        plan.name,
        count(hosts, "host"),
        plan.host_networks().map(|network| network.to_string()).collect::<Vec<_>>().join(", "),
        count(hosts * guests, "guest"),
        plan.guest_network,
        plan.port
    )?;
    if each || inventory.nodes.len() <= ROWS_MAX {
        return one_each(inventory, out);
    }
    let mut rows = vec![HEADS.map(str::to_owned)];
    for (hosts, members) in inventory.nodes.products() {
        if members.contains(0) {
            let levels = (0..).map(|level| plan.level_hosts(level)).take_while(|level| !level.is_empty());
            for level in levels {
                for range in hosts.intersection(&level).ranges() {
                    rows.extend(
                        of_one_law(inventory, *range).into_iter().map(|range| folded(inventory, range, (0, 0))),
                    );
                }
            }
        } else {
            let ranges = hosts.ranges().iter().flat_map(|h| members.ranges().iter().map(move |m| (*h, *m)));
            rows.extend(ranges.map(|(hosts, members)| folded(inventory, hosts, members)));
        }
    }
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    rows.iter().try_for_each(|row| line(out, row, &widths))
}

/// A row for each node. Widths are those of the longest values that there can be: the nodes are not held.
fn one_each(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    let plan = inventory.plan;
    // Numbers grow, and with them what is written: the last node's are the longest, but for names.
    let last = Node { host: HostId(plan.host_count()), guest: GuestId(plan.guests_per_host) };
    let name = |node| plan.node_name(node).map_or(0, |name| name.len());
    let few = inventory.nodes.len() <= ROWS_MAX;
    let names = if few { inventory.nodes.iter().map(name).max().unwrap_or_default() } else { name(last) };
    let ipv6 = if inventory.has_cluster { "fd00:1122:3344:1122:33::4455".len() } else { 4 };
    let node = last.to_string().len().max(HEADS[0].len());
    let widths = [node, names.max(5), "02:00:00:00:00:00".len(), "255.255.255.255".len(), ipv6, 6, 0];
    line(out, &["NODE", "NAME", HEADS[2], HEADS[3], HEADS[4], HEADS[5], HEADS[6]].map(str::to_owned), &widths)?;
    inventory.each(|Record { node, name, mac, ipv4, ipv6, parent, guests }| {
        let row = [
            node.to_string(),
            name,
            mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string()),
            ipv4.to_string(),
            ipv6.map_or_else(|| "-".to_owned(), |address| address.to_string()),
            parent.map_or_else(|| "-".to_owned(), |node| node.to_string()),
            guests.map_or_else(String::new, |(_, (block, bits))| format!("{block}/{bits}")),
        ];
        line(out, &row, &widths)
    })
}

fn line(out: &mut dyn Write, row: &Cells, widths: &[usize; 7]) -> io::Result<()> {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    writeln!(out, "{}", cells.join("  ").trim_end())
}

/// A range of hosts in parts in which addresses and MACs rise by one step from host to host. Only a site's table has
/// several.
fn of_one_law(inventory: &Inventory, range: (u32, u32)) -> Vec<(u32, u32)> {
    let Some(site) = inventory.site else { return vec![range] };
    let address = |host: u32| site.table.ipv4(HostId(host)).map(|address| u64::from(u32::from(address)));
    let mac = |host: u32| {
        site.table.mac(HostId(host)).map(|Mac([a, b, c, d, e, f])| u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    };
    // None is no step, and what both have not is as good as a rise.
    let step = |value: &dyn Fn(u32) -> Option<u64>, host: u32| match (value(host - 1), value(host)) {
        (None, None) => Some(0),
        (a, b) => b.zip(a).and_then(|(b, a)| b.checked_sub(a)).filter(|step| *step > 0),
    };
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for host in range.0..=range.1 {
        let goes_on = parts.last().is_some_and(|(first, _)| {
            [&address as &dyn Fn(u32) -> Option<u64>, &mac].iter().all(|value| {
                let own = step(value, host);
                own.is_some() && own == step(value, first + 1)
            })
        });
        match parts.last_mut().filter(|_| goes_on) {
            Some(part) => part.1 = host,
            None => parts.push((host, host)),
        }
    }
    parts
}

/// The row of a range of hosts, or of a range of guests on each of these.
fn folded(inventory: &Inventory, hosts: (u32, u32), members: (u32, u32)) -> Cells {
    let plan = inventory.plan;
    let node = |(host, guest)| Record::of(inventory, Node { host: HostId(host), guest: GuestId(guest) });
    let (first, last) = (node((hosts.0, members.0)), node((hosts.1, members.1)));
    let (Some(first), Some(last)) = (first, last) else { return Cells::default() };
    let nodes = NodeSet::product(&RangeSet::span(hosts.0, hosts.1), &RangeSet::span(members.0, members.1));
    let from_to = |first: String, last: String| if first == last { first } else { format!("{first} to {last}") };
    // Several brackets may make a pattern as long as the list.
    let pattern = if plan.host_count() <= 4096 { plan.fold_names(&nodes) } else { String::new() };
    let names = if (1..=NAMES_MAX).contains(&pattern.len()) { pattern } else { from_to(first.name, last.name) };
    let optional = |address: Option<std::net::Ipv6Addr>| address.map_or_else(|| "-".to_owned(), |a| a.to_string());
    let mac = |mac: Option<Mac>| mac.map_or_else(|| "-".to_owned(), |mac| mac.to_string());
    let parent = match (first.parent, last.parent) {
        (Some(first), Some(last)) if first.is_host() && members.0 == 0 => {
            RangeSet::span(first.host.0, last.host.0).to_string()
        }
        (Some(_), Some(_)) => "its host".to_owned(),
        _ => "-".to_owned(),
    };
    let block = |record: &Option<_>| {
        record.map(|(_, (block, bits)): (std::net::Ipv4Addr, (std::net::Ipv4Addr, u8))| format!("{block}/{bits}"))
    };
    let routes = match (block(&first.guests), block(&last.guests)) {
        (Some(first), Some(last)) => from_to(first, last),
        _ => String::new(),
    };
    [
        nodes.to_string(),
        names,
        from_to(mac(first.mac), mac(last.mac)),
        from_to(first.ipv4.to_string(), last.ipv4.to_string()),
        from_to(optional(first.ipv6), optional(last.ipv6)),
        parent,
        routes,
    ]
}
