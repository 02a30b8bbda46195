//! phenix's topologies (`kind: Topology`), and minimega's scripts: interfaces of one VLAN are on one segment.
//!
//! Samples of phenix itself have numbers such as `mask: 24.`, so numbers are read as such. A segment of two members is
//! a cable.

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::segments::Segments;
use crate::import::topology::{Address, Draft, End, Node, Topology};
use crate::yaml::Tree;

/// Reads a topology.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let root = super::yaml(text)?;
    let nodes = root.get("spec").and_then(|spec| spec.get("nodes"));
    let nodes = nodes.ok_or_else(|| ImportError::new(root.line, "there are no spec.nodes in it"))?;
    let mut draft = Draft::new();
    draft.topology.title = root.get("metadata").and_then(|data| data.get_text("name")).map(str::to_owned);
    let mut segments = Segments::default();
    for node in nodes.items() {
        read_node(&mut draft, &mut segments, node)?;
    }
    segments.link(&mut draft)?;
    Ok(draft.finish())
}

fn read_node(draft: &mut Draft, segments: &mut Segments, node: &Tree) -> Result<()> {
    let general = node.get("general").and_then(|general| general.get_text("hostname"));
    let name = general.ok_or_else(|| ImportError::new(node.line, "a node has no general.hostname"))?;
    let image = node.get("hardware").and_then(|hardware| hardware.get_text("os_type")).map(str::to_owned);
    let number = draft.node(name, Node { label: name.to_owned(), image, ..Node::default() }, node.line)?;
    for (key, value) in node.pairs().filter(|(key, _)| !["general", "network", "type"].contains(key)) {
        draft.leave_out(&format!("node key {key}"), value.line, "it is not of the network");
    }
    for (key, value) in node.get("network").into_iter().flat_map(Tree::pairs) {
        match key {
            "interfaces" => {
                for interface in value.items() {
                    read_interface(draft, segments, number, interface);
                }
            }
            "ospf" => draft.topology.nodes[number].routing = Some("ospf"),
            _ => draft.leave_out(&format!("network key {key}"), value.line, "it is not taken over"),
        }
    }
    Ok(())
}

fn read_interface(draft: &mut Draft, segments: &mut Segments, node: usize, interface: &Tree) {
    for (key, value) in interface.pairs() {
        match key {
            "vlan" | "name" | "type" | "proto" | "mask" => {}
            "address" => {
                let mask = interface.get("mask").and_then(Tree::number).filter(|mask| (0.0..=128.0).contains(mask));
                let mask = mask.unwrap_or(24.0) as u8;
                let text = value.text().unwrap_or("");
                let address = Address::parse(text).or_else(|| Address::new(text, &mask.to_string()));
                draft.address(node, address, text, value.line);
            }
            _ => draft.leave_out(&format!("interface key {key}"), value.line, "it is not taken over"),
        }
    }
    match interface.get_text("vlan") {
        Some(vlan) => segments.join(vlan, End { node, port: None }, interface.line),
        None => draft.leave_out("an interface without vlan", interface.line, "it joins nothing"),
    }
}

/// Reads a script.
pub fn read_minimega(text: &str, _: &Options) -> Result<Topology> {
    let mut draft = Draft::new();
    let mut segments = Segments::default();
    let mut nets: Vec<String> = Vec::new();
    for (at, content) in text.lines().enumerate() {
        let line = at + 1;
        let words: Vec<&str> = content.split('#').next().unwrap_or_default().split_ascii_whitespace().collect();
        match words[..] {
            [] => {}
            ["vm", "config", "net" | "networks", ref all @ ..] => {
                nets = all.iter().filter_map(|net| vlan(net)).collect()
            }
            ["clear", "vm", "config", ..] => nets.clear(),
            ["vm", "launch", _, names, ..] => {
                for name in launched(names, draft.topology.nodes.len(), line)? {
                    let node = draft.node(&name, Node { label: name.clone(), ..Node::default() }, line)?;
                    nets.iter().for_each(|net| segments.join(net, End { node, port: None }, line));
                }
            }
            ref first => {
                let key = first.iter().take(3).copied().collect::<Vec<_>>().join(" ");
                draft.leave_out(&key, line, "it is not of the network");
            }
        }
    }
    segments.link(&mut draft)?;
    Ok(draft.finish())
}

/// The VLAN of `[bridge,]vlan[,mac][,driver]`.
fn vlan(net: &str) -> Option<String> {
    let driver = |part: &&str| part.starts_with("e1000") || part.starts_with("virtio") || part.starts_with("rtl");
    let parts: Vec<&str> = net.split(',').filter(|part| !part.contains(':') && !driver(part)).collect();
    parts.get(1).or_else(|| parts.first()).filter(|part| !part.is_empty()).map(|part| (*part).to_owned())
}

/// The names of what a script launches: `a,b`, `a[1-3]`, or only how many.
fn launched(text: &str, next: usize, line: usize) -> Result<Vec<String>> {
    /// Most machines of one line.
    const LAUNCHED_MAX: u32 = 10_000;
    if let Ok(count) = text.parse::<u32>() {
        if count > LAUNCHED_MAX {
            return Err(ImportError::new(line, format!("one line launches more than {LAUNCHED_MAX} machines")));
        }
        return Ok((0..count as usize).map(|n| format!("vm-{}", next + n)).collect());
    }
    let names = vmatic_plan::HostNames::parse(text)
        .map_err(|error| ImportError::new(line, format!("{text:?} are no names: {error}")))?;
    if names.len() > LAUNCHED_MAX {
        return Err(ImportError::new(line, format!("one line launches more than {LAUNCHED_MAX} machines")));
    }
    Ok((1..=names.len()).filter_map(|n| names.name(vmatic_plan::HostId(n))).collect())
}
