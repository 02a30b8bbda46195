//! containerlab's topology files (<https://containerlab.dev/manual/topo-def-file/>).
//!
//! What a node does not say itself its group says, then its kind, then the defaults. A bridge is a segment. Ends are
//! short (`"a:eth1"`) or long (`{node: a, interface: eth1}`); `ethN` is port N, as here eth0 is the host's. Addresses
//! are those that `exec` gives.

use crate::import::commands;
use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::Properties;
use crate::import::topology::{Draft, End, Kind, Link, Node, Topology};
use crate::yaml::Tree;

/// Ends that are no nodes: the machine that containerlab itself runs on.
const NO_NODES: [&str; 3] = ["host", "macvlan", "mgmt-net"];

/// Reads a file.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let root = super::yaml(text)?;
    let lab = root.get("topology").ok_or_else(|| ImportError::new(root.line, "there is no topology: in it"))?;
    let mut draft = Draft::new();
    draft.topology.title = root.get_text("name").map(str::to_owned);
    for (key, value) in root.pairs().filter(|(key, _)| !["name", "topology"].contains(key)) {
        draft.leave_out(key, value.line, "it says nothing of the network");
    }
    for (key, value) in lab.pairs().filter(|(key, _)| !["nodes", "links", "kinds", "groups", "defaults"].contains(key))
    {
        draft.leave_out(&format!("topology.{key}"), value.line, "it is unknown here");
    }
    for (name, node) in lab.get("nodes").into_iter().flat_map(Tree::pairs) {
        read_node(&mut draft, lab, name, node)?;
    }
    for link in lab.get("links").map(Tree::items).unwrap_or_default() {
        read_link(&mut draft, link)?;
    }
    Ok(draft.finish())
}

/// The values of a node's key, the nearest first: its own, its group's, its kind's, the defaults'.
fn layers<'a>(lab: &'a Tree, node: &'a Tree) -> Vec<&'a Tree> {
    let named = |table: &str, name: Option<&str>| lab.get(table)?.get(name?);
    let defaults = lab.get("defaults");
    let group_name = node.get_text("group").or_else(|| defaults?.get_text("group"));
    let group = named("groups", group_name);
    let mut layers: Vec<&Tree> = [Some(node), group].into_iter().flatten().collect();
    let kind = layers.iter().chain(defaults.iter()).find_map(|layer| layer.get_text("kind"));
    layers.extend(named("kinds", kind));
    layers.extend(defaults);
    layers
}

fn read_node(draft: &mut Draft, lab: &Tree, name: &str, node: &Tree) -> Result<()> {
    let layers = layers(lab, node);
    let text = |key: &str| layers.iter().find_map(|layer| layer.get_text(key));
    let kind = text("kind").unwrap_or("");
    let image = text("image").or(Some(kind).filter(|kind| !kind.is_empty())).map(str::to_owned);
    let kind = match kind {
        "bridge" | "ovs-bridge" => Kind::Switch,
        "host" => Kind::Cloud,
        _ => Kind::Guest,
    };
    let image = image.filter(|_| kind == Kind::Guest);
    let number = draft.node(name, Node { label: name.to_owned(), kind, image, ..Node::default() }, node.line)?;
    for layer in &layers {
        for (key, value) in layer.pairs() {
            match key {
                "kind" | "group" | "image" => {}
                "exec" => {
                    for command in value.items() {
                        read_command(draft, number, command);
                    }
                }
                _ => draft.leave_out(&format!("node key {key}"), value.line, "it is not of the network"),
            }
        }
    }
    Ok(())
}

fn read_command(draft: &mut Draft, node: usize, command: &Tree) {
    let text = command.text().unwrap_or("");
    match commands::address(text) {
        Some(address) => draft.address(node, Some(address), text, command.line),
        None => {
            let first = text.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ");
            draft.leave_out(&format!("exec {first}"), command.line, "only addresses are taken from commands");
        }
    }
}

/// A node and its interface.
fn side<'a>(end: &'a Tree, link: &Tree) -> Result<(&'a str, &'a str)> {
    let short = end.text().and_then(|text| text.split_once(':'));
    short.or_else(|| Some((end.get_text("node")?, end.get_text("interface").unwrap_or("")))).ok_or_else(|| {
        ImportError::new(end.line.max(link.line), "an end of a link is no \"NODE:INTERFACE\"")
            .help("write endpoints: [\"a:eth1\", \"b:eth1\"]")
    })
}

fn read_link(draft: &mut Draft, link: &Tree) -> Result<()> {
    let kind = link.get_text("type").unwrap_or("veth");
    if kind != "veth" {
        draft.leave_out(&format!("link type {kind}"), link.line, "it has no equivalent here");
        return Ok(());
    }
    for (key, value) in link.pairs().filter(|(key, _)| !["type", "endpoints"].contains(key)) {
        draft.leave_out(&format!("link key {key}"), value.line, "it is no property of links here");
    }
    let Some([one, other]) = link.get("endpoints").map(Tree::items) else {
        return Err(
            ImportError::new(link.line, "a link needs two endpoints").help("write endpoints: [\"a:eth1\", \"b:eth1\"]")
        );
    };
    let (one, other) = (side(one, link)?, side(other, link)?);
    if let Some((name, _)) = [one, other].iter().find(|(name, _)| NO_NODES.contains(name) && draft.find(name).is_none())
    {
        draft.leave_out(&format!("a link to {name}"), link.line, "it has no equivalent here");
        return Ok(());
    }
    let end = |(name, interface): (&str, &str)| -> Result<End> {
        let node = draft.named(name, link.line)?;
        let port = commands::port(interface, 1).filter(|_| draft.topology.nodes[node].kind == Kind::Guest);
        Ok(End { node, port })
    };
    let (a, b) = (end(one)?, end(other)?);
    let (there, back) = (Properties::default(), Properties::default());
    draft.link(Link { a, b, there, back }, link.line)
}
