//! Labs of Cisco Modeling Labs (CML, VIRL 2): YAML of nodes with interfaces, and links `n1`, `i1`, `n2`, `i2`.
//!
//! An unmanaged switch is a segment, an external connector the host's uplink. Conditioning: bandwidth is in kilobits a
//! second, times in milliseconds, shares in percents.

use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::{Properties, percent, time_or, whole};
use crate::import::topology::{Draft, Kind, Node, Topology};
use crate::yaml::Tree;
use vmatic_plan::link::RATE_BITS_S_MAX;

/// Reads a file.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    let root = super::yaml(text)?;
    let mut draft = Draft::new();
    draft.topology.title = root.get("lab").and_then(|lab| lab.get_text("title")).map(str::to_owned);
    for (key, value) in root.pairs().filter(|(key, _)| !["lab", "nodes", "links"].contains(key)) {
        draft.leave_out(key, value.line, "it is not of the network");
    }
    for node in root.get("nodes").map(Tree::items).unwrap_or_default() {
        read_node(&mut draft, node)?;
    }
    for link in root.get("links").map(Tree::items).unwrap_or_default() {
        let end = |draft: &Draft, key: &str| {
            let id = link.get_text(key).ok_or_else(|| ImportError::new(link.line, format!("a link has no {key}")))?;
            draft.named(id, link.line)
        };
        let (a, b) = (end(&draft, "n1")?, end(&draft, "n2")?);
        for (key, value) in link.pairs() {
            if !["n1", "n2", "i1", "i2", "id", "label", "conditioning"].contains(&key) {
                draft.leave_out(&format!("link key {key}"), value.line, "it is no property of links here");
            }
        }
        let properties = conditioning(&mut draft, link);
        draft.join(a, b, properties, link.line)?;
    }
    Ok(draft.finish())
}

fn read_node(draft: &mut Draft, node: &Tree) -> Result<()> {
    let id = node.get_text("id").ok_or_else(|| ImportError::new(node.line, "a node has no id"))?;
    let what = node.get_text("node_definition").unwrap_or("");
    let kind = match what {
        "unmanaged_switch" => Kind::Switch,
        "external_connector" => Kind::Cloud,
        _ => Kind::Guest,
    };
    for (key, value) in node.pairs() {
        if !["id", "label", "node_definition", "interfaces", "x", "y"].contains(&key) {
            draft.leave_out(&format!("node key {key}"), value.line, "it is not of the network");
        }
    }
    let label = node.get_text("label").unwrap_or(id).to_owned();
    let image = Some(what.to_owned()).filter(|what| !what.is_empty() && kind == Kind::Guest);
    draft.node(id, Node { label, kind, image, ..Node::default() }, node.line).map(drop)
}

fn conditioning(draft: &mut Draft, link: &Tree) -> Properties {
    let mut properties = Properties::default();
    for (key, value) in link.get("conditioning").into_iter().flat_map(Tree::pairs) {
        let text = value.text().unwrap_or("");
        let read = match key {
            "bandwidth" => value.number().and_then(|kbit| whole(kbit * 1e3, RATE_BITS_S_MAX)).map(|rate| {
                properties.link.rate_bits_s = rate;
            }),
            "latency" => time_or(text, 1e3).map(|us| properties.link.delay_us = us),
            "jitter" => time_or(text, 1e3).map(|us| properties.jitter_us = us),
            "loss" => percent(text).map(|ppm| properties.link.loss_ppm = ppm),
            "duplicate" => percent(text).map(|ppm| properties.dup_ppm = ppm),
            "corrupt_prob" => percent(text).map(|ppm| properties.corrupt_ppm = ppm),
            "enabled" => Some(()),
            _ => None,
        };
        if read.is_none() && value.text().is_some_and(|text| text != "0") {
            draft.leave_out(
                &format!("conditioning {key}"),
                value.line,
                "it has no equivalent here, or is out of range",
            );
        }
    }
    properties
}
