//! OPNET's exported networks, as far as public samples show them: XML of nested subnets with nodes and links.
//!
//! A link names its nodes by attributes (`srcNode` and `destNode` or the like) or by `attr` elements; a name that is a
//! path (`subnet.node`) is its last part where that is unique.

use std::collections::{BTreeMap, HashMap};

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::{Properties, rate, time_or, whole};
use crate::import::topology::{Draft, Kind, Node, Topology};
use crate::import::xml::{self, Xml, attribute, children};
use vmatic_plan::link::RATE_BITS_S_MAX;

/// How a link's ends are named.
const ENDS: [(&str, &str); 6] = [
    ("srcNode", "destNode"),
    ("src_node", "dest_node"),
    ("source", "target"),
    ("from", "to"),
    ("node1", "node2"),
    ("node a", "node b"),
];

type Element<'a> = roxmltree::Node<'a, 'a>;

/// Reads a file.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    xml::with(text, read_xml)
}

/// What an element says of itself, by attribute or by an element inside.
fn values<'a>(xml: &Xml<'a>, element: Element<'a>) -> BTreeMap<String, (&'a str, usize)> {
    let own = element.attributes().map(|a| (a.name().to_ascii_lowercase(), (a.value(), xml.line(element))));
    let inner = children(element, "attr").filter_map(|attr| {
        Some((attribute(attr, "name")?.to_ascii_lowercase(), (attr.attribute("value")?, xml.line(attr))))
    });
    own.collect::<Vec<_>>().into_iter().chain(inner).collect()
}

fn read_xml(xml: &Xml) -> Result<Topology> {
    let root = xml.root();
    let mut draft = Draft::new();
    draft.topology.title = attribute(root, "name").map(str::to_owned);
    // The last part of a path, and whose it is; none, if it is that of several.
    let mut short: HashMap<String, Option<usize>> = HashMap::new();
    let named = |element: &Element, name: &str| element.is_element() && element.tag_name().name() == name;
    for element in root.descendants().filter(|element| named(element, "node")) {
        let line = xml.line(element);
        let name = attribute(element, "name").ok_or_else(|| ImportError::new(line, "a node has no name"))?;
        let subnets = element.ancestors().skip(1).filter(|outer| named(outer, "subnet"));
        let mut path: Vec<&str> = subnets.filter_map(|subnet| attribute(subnet, "name")).collect();
        path.reverse();
        path.push(name);
        let model = attribute(element, "model").unwrap_or("");
        let low = model.to_ascii_lowercase();
        let kind = match () {
            () if low.contains("switch") || low.contains("hub") => Kind::Switch,
            () if low.contains("cloud") => Kind::Cloud,
            () => Kind::Guest,
        };
        let image = Some(model.to_owned()).filter(|model| !model.is_empty() && kind == Kind::Guest);
        let node =
            draft.node(&path.join("."), Node { label: name.to_owned(), kind, image, ..Node::default() }, line)?;
        short.entry(name.to_owned()).and_modify(|other| *other = None).or_insert(Some(node));
        for (key, (_, line)) in
            values(xml, element).into_iter().filter(|(key, _)| !["name", "model"].contains(&key.as_str()))
        {
            draft.leave_out(&format!("node attribute {key}"), line, "it is not of the network");
        }
    }
    for element in root.descendants().filter(|element| named(element, "link")) {
        read_link(xml, &mut draft, &short, element)?;
    }
    if draft.topology.links.is_empty() {
        return Err(ImportError::new(0, "there is no link in it that names its nodes")
            .help("export the network with its links; the variant of OPNET's format may be another"));
    }
    Ok(draft.finish())
}

fn read_link(xml: &Xml, draft: &mut Draft, short: &HashMap<String, Option<usize>>, element: Element) -> Result<()> {
    let line = xml.line(element);
    let mut values = values(xml, element);
    let ends = ENDS.iter().find_map(|(a, b)| {
        let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
        (values.contains_key(&a) && values.contains_key(&b)).then_some([a, b])
    });
    let Some(ends) = ends else {
        draft.leave_out("link", line, "it does not say which nodes it joins");
        return Ok(());
    };
    let mut nodes = Vec::new();
    for key in &ends {
        let (name, _) = values.remove(key).unwrap_or(("", line));
        let last = name.rsplit('.').next().unwrap_or(name);
        let node = draft.find(name).or_else(|| short.get(last).copied().flatten());
        nodes.push(node.map_or_else(|| draft.named(name, line), Ok)?);
    }
    let mut properties = Properties::default();
    for (key, (value, line)) in values {
        let read = match key.as_str() {
            "data rate" | "datarate" | "rate" => {
                let plain = value.trim().parse().ok().and_then(|bits| whole(bits, RATE_BITS_S_MAX));
                plain.or_else(|| rate(value)).map(|rate| properties.link.rate_bits_s = rate)
            }
            "delay" | "propagation delay" => time_or(value, 1e6).map(|us| properties.link.delay_us = us),
            "name" | "model" | "class" => Some(()),
            _ => None,
        };
        if read.is_none() {
            draft.leave_out(&format!("link attribute {key}"), line, "it is no property of links here");
        }
    }
    draft.join(nodes[0], nodes[1], properties, line)
}
