//! EVE-NG's labs (`.unl`): XML of nodes whose interfaces name networks, and of networks.
//!
//! A hidden network of two members is a cable, any other a segment, `pnetN` the host's uplink. Serial interfaces name
//! the node at their other end.

use std::collections::{HashMap, HashSet};

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::Properties;
use crate::import::topology::{Draft, Kind, Node, Topology};
use crate::import::xml::{self, Xml, attribute, children};

type Element<'a> = roxmltree::Node<'a, 'a>;

/// Reads a file.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    xml::with(text, read_xml)
}

fn read_xml(xml: &Xml) -> Result<Topology> {
    let root = xml.root();
    let mut draft = Draft::new();
    draft.topology.title = attribute(root, "name").map(str::to_owned);
    let parts: Vec<Element> = children(root, "topology").collect();
    let all = |group: &'static str, name: &'static str| {
        parts.iter().flat_map(move |part| children(*part, group)).flat_map(move |part| children(part, name))
    };
    for part in root.children().filter(|part| part.is_element() && part.tag_name().name() != "topology") {
        draft.leave_out(part.tag_name().name(), xml.line(part), "it is not of the network");
    }
    let nodes: Vec<Element> = all("nodes", "node").collect();
    let mut members: HashMap<&str, usize> = HashMap::new();
    for node in &nodes {
        let line = xml.line(*node);
        let id = attribute(*node, "id").ok_or_else(|| ImportError::new(line, "a node has no id"))?;
        let label = attribute(*node, "name").unwrap_or(id).to_owned();
        let image = attribute(*node, "image").or_else(|| attribute(*node, "template")).map(str::to_owned);
        draft.node(&format!("node {id}"), Node { label, image, ..Node::default() }, line)?;
        for interface in children(*node, "interface") {
            if let Some(network) = attribute(interface, "network_id").filter(|id| *id != "0") {
                *members.entry(network).or_default() += 1;
            }
        }
        for part in node.children().filter(|part| part.is_element() && part.tag_name().name() != "interface") {
            draft.leave_out(part.tag_name().name(), xml.line(part), "it is not of the network");
        }
    }
    let mut cables = HashSet::new();
    for network in all("networks", "network") {
        read_network(xml, &mut draft, network, &members, &mut cables)?;
    }
    let mut waiting = HashMap::new();
    for node in &nodes {
        for interface in children(*node, "interface") {
            read_interface(xml, &mut draft, *node, interface, &cables, &mut waiting)?;
        }
    }
    Ok(draft.finish())
}

fn read_network<'a>(
    xml: &Xml,
    draft: &mut Draft,
    network: Element<'a>,
    members: &HashMap<&str, usize>,
    cables: &mut HashSet<&'a str>,
) -> Result<()> {
    let line = xml.line(network);
    let id = attribute(network, "id").ok_or_else(|| ImportError::new(line, "a network has no id"))?;
    let label = attribute(network, "name").unwrap_or(id).to_owned();
    let cloud = attribute(network, "type").is_some_and(|kind| kind.starts_with("pnet"));
    let count = members.get(id).copied().unwrap_or(0);
    if count == 2 && !cloud && attribute(network, "visibility") == Some("0") {
        cables.insert(id);
        return Ok(());
    }
    let kind = if cloud { Kind::Cloud } else { Kind::Switch };
    draft.node(&format!("network {id}"), Node { label, kind, ..Node::default() }, line).map(drop)
}

fn read_interface<'a>(
    xml: &Xml,
    draft: &mut Draft,
    node: Element<'a>,
    interface: Element<'a>,
    cables: &HashSet<&'a str>,
    waiting: &mut HashMap<String, usize>,
) -> Result<()> {
    let line = xml.line(interface);
    let id = attribute(node, "id").unwrap_or("");
    let own = draft.named(&format!("node {id}"), line)?;
    if let (Some(remote), Some(port)) = (attribute(interface, "remote_id"), attribute(interface, "remote_if")) {
        // Each end names the other; the link is made when both were seen.
        let mine = attribute(interface, "id").unwrap_or("");
        return match waiting.remove(&format!("serial {remote} {port} {id} {mine}")) {
            Some(other) => draft.join(other, own, Properties::default(), line),
            None => {
                waiting.insert(format!("serial {id} {mine} {remote} {port}"), own);
                Ok(())
            }
        };
    }
    let Some(network) = attribute(interface, "network_id").filter(|id| *id != "0") else { return Ok(()) };
    if !cables.contains(network) {
        let segment = draft.named(&format!("network {network}"), line)?;
        return draft.join(own, segment, Properties::default(), line);
    }
    match waiting.remove(&format!("cable {network}")) {
        Some(other) => draft.join(other, own, Properties::default(), line),
        None => {
            waiting.insert(format!("cable {network}"), own);
            Ok(())
        }
    }
}
