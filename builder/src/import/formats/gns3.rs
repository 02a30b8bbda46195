//! GNS3's projects, in both of their forms: JSON of version 1 (numbers for nodes and their ports), and of 2 (UUIDs,
//! adapters and ports). Which it is, the links show. Switches and hubs are segments, clouds and NAT the host's uplink.

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::{Properties, percent, time_or};
use crate::import::topology::{Draft, Kind, Node, Topology};
use crate::yaml::Tree;

/// Reads a file.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let root = super::yaml(text)?;
    let topology = root.get("topology").ok_or_else(|| ImportError::new(root.line, "there is no topology in it"))?;
    let mut draft = Draft::new();
    draft.topology.title = root.get_text("name").map(str::to_owned);
    for (key, value) in topology.pairs().filter(|(key, _)| !["nodes", "links"].contains(key)) {
        if !value.items().is_empty() {
            draft.leave_out(&format!("topology.{key}"), value.line, "it is not of the network");
        }
    }
    for node in topology.get("nodes").map(Tree::items).unwrap_or_default() {
        read_node(&mut draft, node)?;
    }
    for link in topology.get("links").map(Tree::items).unwrap_or_default() {
        read_link(&mut draft, link)?;
    }
    Ok(draft.finish())
}

fn read_node(draft: &mut Draft, node: &Tree) -> Result<()> {
    let id = node.get_text("node_id").or_else(|| node.get_text("id"));
    let id = id.ok_or_else(|| ImportError::new(node.line, "a node has neither node_id nor id"))?;
    let properties = node.get("properties");
    let name = node.get_text("name").or_else(|| properties?.get_text("name"));
    let name = name.or_else(|| node.get("label")?.get_text("text")).unwrap_or(id);
    let what = node.get_text("node_type").or_else(|| node.get_text("type")).unwrap_or("");
    let kind = match what.to_ascii_lowercase().as_str() {
        "cloud" | "nat" => Kind::Cloud,
        low if low.ends_with("switch") || low.ends_with("hub") => Kind::Switch,
        _ => Kind::Guest,
    };
    for (key, value) in node.pairs() {
        match key {
            "node_id" | "id" | "name" | "label" | "node_type" | "type" | "ports" => {}
            _ => draft.leave_out(&format!("node key {key}"), value.line, "it is not of the network"),
        }
    }
    let image = Some(what.to_owned()).filter(|what| !what.is_empty() && kind == Kind::Guest);
    draft.node(id, Node { label: name.to_owned(), kind, image, ..Node::default() }, node.line).map(drop)
}

fn read_link(draft: &mut Draft, link: &Tree) -> Result<()> {
    let new = link.get("nodes").map(Tree::items).unwrap_or_default();
    let ends = match new {
        [a, b] => [a.get_text("node_id"), b.get_text("node_id")],
        [] => ["source_node_id", "destination_node_id"].map(|key| link.get_text(key)),
        _ => return Err(ImportError::new(link.line, "a link has not two nodes")),
    };
    let [Some(a), Some(b)] = ends else {
        return Err(ImportError::new(link.line, "a link does not say which nodes it joins"));
    };
    let (a, b) = (draft.named(a, link.line)?, draft.named(b, link.line)?);
    for (key, value) in link.pairs() {
        match key {
            "nodes" | "filters" | "link_id" | "id" | "description" => {}
            "suspend" if value.text() != Some("true") => {}
            _ if key.starts_with("source_") || key.starts_with("destination_") => {}
            _ => draft.leave_out(&format!("link key {key}"), value.line, "it is no property of links here"),
        }
    }
    let properties = filters(draft, link);
    draft.join(a, b, properties, link.line)
}

fn filters(draft: &mut Draft, link: &Tree) -> Properties {
    let mut properties = Properties::default();
    for (filter, value) in link.get("filters").into_iter().flat_map(Tree::pairs) {
        let argument = |at: usize| value.items().get(at).and_then(Tree::text).unwrap_or("0");
        let read = match filter {
            "delay" => time_or(argument(0), 1e3).zip(time_or(argument(1), 1e3)).map(|(delay, jitter)| {
                (properties.link.delay_us, properties.jitter_us) = (delay, jitter);
            }),
            "packet_loss" => percent(argument(0)).map(|ppm| properties.link.loss_ppm = ppm),
            "corrupt" => percent(argument(0)).map(|ppm| properties.corrupt_ppm = ppm),
            _ => None,
        };
        if read.is_none() {
            draft.leave_out(&format!("filter {filter}"), value.line, "it has no equivalent here, or is out of range");
        }
    }
    properties
}
