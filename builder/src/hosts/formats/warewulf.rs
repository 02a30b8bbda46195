//! Warewulf 4's nodes.conf: a YAML map of nodes, each with network devices.
//!
//! Of several devices the primary one is the card that the machine boots from; the others' MACs are known, too. A rack
//! is the tag `rack`, an asset key the machine's. <https://warewulf.org/docs/>, "Node configuration".

use crate::hosts::record::Found;
use crate::yaml::{Aliases, Tree, parse};

/// Reads the file.
pub fn read(text: &str, found: &mut Found) {
    let tree = match parse(text, Aliases::Ignored) {
        Ok(tree) => tree,
        Err(e) => {
            let why = format!("not YAML: {}", e.message);
            return found.mistake(e.line.max(1), why, "`wwctl node list` reads it, too");
        }
    };
    for profile in ["nodeprofiles", "profiles"].iter().filter_map(|key| tree.get(key)).flat_map(Tree::entries) {
        devices(&profile.1).iter().for_each(|(_, device)| gateway(device, found));
    }
    let Some(nodes) = tree.get("nodes") else {
        return found.mistake(1, "there are no nodes", "write nodes: and below it a node each, as `wwctl` does");
    };
    for (name, node) in nodes.entries() {
        read_node(name, node, found);
    }
}

fn devices(node: &Tree) -> &[(Tree, Tree)] {
    ["network devices", "netdevs", "network_devices"].iter().find_map(|key| node.get(key)).map_or(&[], Tree::entries)
}

fn gateway(device: &Tree, found: &mut Found) {
    if let Some((line, text)) = device.get_placed("gateway") {
        let place = found.place(line);
        found.routers.extend(text.parse().map(|address| (place, address)));
    }
}

fn read_node(name: &Tree, node: &Tree, found: &mut Found) {
    let devices = devices(node);
    let yes = |device: &Tree, key| device.get_placed(key).is_some_and(|(_, text)| text == "true");
    let primary = node.get_placed("primary network").map(|(_, name)| name);
    // Ethernet alone: InfiniBand has no MAC of six bytes.
    let ethernet =
        |device: &Tree| device.get_placed("type").is_none_or(|(_, kind)| kind.eq_ignore_ascii_case("ethernet"));
    let mut devices: Vec<&(Tree, Tree)> = devices.iter().filter(|(_, device)| ethernet(device)).collect();
    devices.sort_by_key(|(name, device)| {
        let first = primary == Some(name.written()) || yes(device, "primary") || yes(device, "default");
        (!first, name.written() != "default")
    });
    let mut record = found.record(name.line, name.written());
    for (n, (_, device)) in devices.iter().enumerate() {
        gateway(device, found);
        if let Some((line, mac)) = device.get_placed("hwaddr") {
            record.macs.extend(found.mac(line, mac));
        }
        if let Some((line, address)) = device.get_placed("ipaddr").filter(|_| n == 0) {
            record.ipv4 = found.ipv4(line, address.split('/').next().unwrap_or(address));
        }
    }
    let tags = node.get("tags").or_else(|| node.get("keys"));
    let rack = tags.and_then(|tags| tags.entries().iter().find(|(key, _)| key.written().eq_ignore_ascii_case("rack")));
    record.rack = rack.and_then(|(_, rack)| rack.text()).map(str::to_owned);
    record.machines.extend(node.get_placed("asset key").map(|(_, text)| text.to_owned()));
    if name.written().is_empty() {
        found.leave_out(record.place.line, "a node", "it has no name");
    } else {
        found.push(record);
    }
}
