//! GraphML (<http://graphml.graphdrawing.org>), such as the Internet Topology Zoo's files.
//!
//! Keys are told by their `attr.name`, since their ids differ from file to file. Parallel edges stay; what is said of
//! nodes and edges means what `graph_keys` says. Nodes are computed routers, hyperedge nodes segments.

use std::collections::HashMap;

use super::graph_keys::{EdgeKeys, Edges, NodeKeys};
use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::topology::{Draft, Topology};
use crate::import::xml::{self, Xml, attribute, children};
use roxmltree::Node;

/// The names of keys, by their ids.
type Keys<'a> = HashMap<&'a str, &'a str>;

/// Reads a file.
pub fn read(text: &str, options: &Options) -> Result<Topology> {
    xml::with(text, |xml| read_xml(xml, options))
}

fn read_xml(xml: &Xml, options: &Options) -> Result<Topology> {
    let root = xml.root();
    let keys: Keys =
        children(root, "key").filter_map(|key| Some((key.attribute("id")?, key.attribute("attr.name")?))).collect();
    let mut draft = Draft::new();
    let mut inside = Vec::new();
    let mut edges = Edges::default();
    let elements = |name: &'static str| root.descendants().filter(move |node| node.has_tag_name_local(name));
    for graph in elements("graph") {
        graph_data(xml, graph, &keys, &mut draft);
    }
    for node in elements("node") {
        let line = xml.line(node);
        let id = node.attribute("id").ok_or_else(|| ImportError::new(line, "a node has no id"))?;
        let mut read = NodeKeys::default();
        for (key, value, line) in data(xml, node, &keys) {
            read.take(&mut draft, key, Some(value), line);
        }
        inside.push(!read.external);
        draft.node(id, read.node(id), line)?;
    }
    for hyperedge in elements("hyperedge") {
        draft.leave_out("hyperedge", xml.line(hyperedge), "only edges of two nodes are read");
    }
    for edge in elements("edge") {
        let line = xml.line(edge);
        let end = |name: &str| {
            let id = edge.attribute(name).ok_or_else(|| ImportError::new(line, format!("an edge has no {name}")))?;
            draft.named(id, line)
        };
        let (a, b) = (end("source")?, end("target")?);
        let mut read = EdgeKeys::default();
        for (key, value, line) in data(xml, edge, &keys) {
            read.take(&mut draft, key, value, line);
        }
        edges.join(&mut draft, (a, b), read, line)?;
    }
    Ok(edges.finish(draft, &inside, options))
}

trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

/// The data of an element: key, value, line.
fn data<'a>(xml: &Xml<'a>, element: Node<'a, 'a>, keys: &Keys<'a>) -> Vec<(&'a str, &'a str, usize)> {
    let one = |data: Node<'a, 'a>| {
        let id = data.attribute("key").unwrap_or("");
        (keys.get(id).copied().unwrap_or(id), data.text().unwrap_or(""), xml.line(data))
    };
    children(element, "data").map(one).collect()
}

fn graph_data<'a>(xml: &Xml<'a>, graph: Node<'a, 'a>, keys: &Keys<'a>, draft: &mut Draft) {
    if attribute(graph, "edgedefault") == Some("directed") {
        draft.leave_out("edgedefault=directed", xml.line(graph), "each edge is a cable, with both directions");
    }
    for (key, value, line) in data(xml, graph, keys) {
        match key {
            "Network" => draft.topology.title = Some(value.trim().to_owned()),
            _ => draft.leave_out(&format!("graph key {key}"), line, "it says nothing of a network"),
        }
    }
}
