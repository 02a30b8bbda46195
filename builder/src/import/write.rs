//! A topology as a spec with `[network]`: link lines where it is small, else a table of links beside it.
//!
//! Only a table has addresses and places, so a topology that has addresses gets one, too, however small it is.

use std::fmt::Write as _;

use super::properties;
use super::topology::{Kind, Link, Topology};

/// Most links that a spec has as lines.
pub const LINES_MAX: usize = 64;
/// Most guests on a host of the spec that is written.
const GUESTS_PER_HOST: usize = 250;
/// Most names in a line.
const NAMES_PER_LINE: usize = 8;

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The spec.
    pub spec: String,
    /// The table of links, if there is one.
    pub table: Option<String>,
}

/// A link as a line, without its end.
fn line(topology: &Topology, link: &Link) -> String {
    let end = |end: super::topology::End| {
        let port = end.port.map(|port| format!(":{port}"));
        format!("{}{}", topology.nodes[end.node].name, port.unwrap_or_default())
    };
    [&[end(link.a), end(link.b)], &properties::words(&link.there, &link.back)[..]].concat().join(" ")
}

/// The table of links: a line for each node, in their order, then one for each link.
pub fn table(topology: &Topology, heading: &str) -> String {
    let mut text = comment(heading);
    for node in &topology.nodes {
        text += &format!("node {} kind={}", node.name, node.kind.word());
        if let Some(place) = node.at {
            text += &format!(" at={},{}", place.north, place.east);
        }
        for address in &node.addresses {
            text += &format!(" address={}/{}", address.ip, address.length);
        }
        text.push('\n');
    }
    for link in &topology.links {
        text += &line(topology, link);
        text.push('\n');
    }
    text
}

/// A text as comment lines, without what could end them.
fn comment(text: &str) -> String {
    let clean = |line: &str| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    text.lines().map(|line| format!("# {}", clean(line)).trim_end().to_owned() + "\n").collect()
}

/// Names as a list of TOML; they are letters, digits and hyphens.
fn names(key: &str, all: &[&str]) -> String {
    let quoted: Vec<String> = all.iter().map(|name| format!("\"{name}\"")).collect();
    if quoted.len() <= NAMES_PER_LINE {
        return format!("{key} = [{}]\n", quoted.join(", "));
    }
    let lines = quoted.chunks(NAMES_PER_LINE).map(|part| format!("  {},\n", part.join(", ")));
    format!("{key} = [\n{}]\n", lines.collect::<String>())
}

/// The nodes that a rule of the spec is about.
fn rule(text: &mut String, all: &[&str], keys: &str) {
    if !all.is_empty() {
        text.push_str("\n[[network.nodes]]\n");
        text.push_str(&names("names", all));
        text.push_str(keys);
    }
}

/// Writes a topology. `name` is the spec's, `file` the table's, `heading` says where it comes from.
pub fn write(topology: &Topology, name: &str, file: &str, heading: &str) -> Written {
    let addresses = topology.nodes.iter().any(|node| !node.addresses.is_empty());
    let whole = topology.links.len() <= LINES_MAX && !addresses;
    let table = (!whole).then(|| table(topology, heading));
    let guests = topology.nodes.iter().filter(|node| node.kind == Kind::Guest).count();
    let hosts = guests.div_ceil(GUESTS_PER_HOST).max(1);
    let mut text = comment(heading);
    let _ = write!(text, "name = \"{name}\"\n\n[plan]\nhosts = {hosts}\nguests = {}\n", guests.div_ceil(hosts));
    text += "\n[network]\n";
    if addresses {
        text += "numbering = \"file\"\n";
    }
    match table {
        Some(_) => {
            let _ = writeln!(text, "links = [{{ file = \"{file}\", format = \"links\" }}]");
        }
        None => {
            text += "links = [\n";
            for link in &topology.links {
                let _ = writeln!(text, "  \"{}\",", line(topology, link));
            }
            text += "]\n";
        }
    }
    rules(&mut text, topology, whole);
    Written { spec: text, table }
}

/// What nodes are: their kinds where no table says them, their routing, and what they were, as comments.
fn rules(text: &mut String, topology: &Topology, kinds: bool) {
    let degrees = topology.degrees();
    let named = |fits: &dyn Fn(usize) -> bool| -> Vec<&str> {
        let all = topology.nodes.iter().enumerate().filter(|(at, _)| fits(*at));
        all.map(|(_, node)| node.name.as_str()).collect()
    };
    for kind in [Kind::Router, Kind::Switch, Kind::Cloud].into_iter().filter(|_| kinds) {
        let all = named(&|at| topology.nodes[at].kind == kind && degrees[at] > 0);
        rule(text, &all, &format!("kind = \"{}\"\n", kind.word()));
    }
    let routes = |at: usize| topology.nodes[at].kind == Kind::Guest && degrees[at] > 0;
    for routing in ["ospf", "bgp"] {
        let all = named(&|at| routes(at) && topology.nodes[at].routing == Some(routing));
        rule(text, &all, &format!("routing = \"{routing}\"\ndaemon = \"frr\"\n"));
    }
    // A guest with several links passes nothing on unless it is told to.
    let all = named(&|at| routes(at) && topology.nodes[at].routing.is_none() && degrees[at] > 1);
    rule(text, &all, "routing = \"computed\"\n");
    let mut images: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for node in &topology.nodes {
        if let Some(image) = &node.image {
            images.entry(image).or_default().push(&node.name);
        }
    }
    if !images.is_empty() {
        text.push_str(
            "\n# What nodes were in the file; here all are guests of one image, or kinds of [[guest.kinds]]:\n",
        );
    }
    for (image, all) in images {
        let shown = all.iter().take(NAMES_PER_LINE).copied().collect::<Vec<_>>().join(", ");
        let more = all.len().saturating_sub(NAMES_PER_LINE);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&comment(&format!("{image}: {shown}{more}").replace(['\n', '\r'], " ")));
    }
}
