//! A network as text, a law a line: what its hosts are told of it. Ten million nodes are a line.
//!
//! A graph of a file has a line with its sizes, and its nodes and links behind it ([`rows`]).

use super::super::error::NetworkErrorKind as Kind;
use super::super::graph::{Draft, LinkDraft};
use super::super::kinds::{AsNumber, Daemon, NodeKind, NodesDraft, Numbering, Port0, Routing};
use super::super::line::{self, Line};
use super::super::properties;
use super::super::shapes::{Keys, Shape};
use super::super::vocabulary::SHAPES;
use super::rows;
use crate::names::HostNames;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Write};

/// The first line; the number grows with the format.
const HEADER: &str = "vmatic-network 1";
/// Most bytes of the text: it lies in the image of every host, whose RAM holds it. A table of 500,000 links fits.
pub const TEXT_MAX_BYTES: usize = 16 << 20;

impl Draft {
    /// The text; [`Draft::decode`] reads it.
    pub fn encode(&self) -> String {
        let mut text = format!("{HEADER}\n");
        let add = |text: &mut String, key: &str, value: &dyn Display| {
            let _ = writeln!(text, "{key} {value}");
        };
        let plain = Draft::default();
        if let Some(routing) = self.routing {
            add(&mut text, "routing", &routing.word());
        }
        if self.numbering != plain.numbering {
            add(&mut text, "numbering", &self.numbering.word());
        }
        if let Some(network) = self.link_network {
            add(&mut text, "link_network", &network);
        }
        if let Some(mtu) = self.mtu {
            add(&mut text, "mtu", &mtu);
        }
        if self.port0 != plain.port0 {
            add(&mut text, "port0", &self.port0.word());
        }
        if self.seed != 0 {
            add(&mut text, "seed", &self.seed);
        }
        for link in &self.links {
            match link {
                LinkDraft::Line(line) => add(&mut text, "link", line),
                LinkDraft::Shape { shape, nodes, there, back } => {
                    let keys = shape.keys().into_iter().map(|(key, value)| format!("{key}={value}"));
                    let words: Vec<String> = keys.chain(properties::words(there, back)).collect();
                    add(&mut text, shape.name(), &format!("{nodes} {}", words.join(" ")).trim_end());
                }
                LinkDraft::Table(table) => rows::encode(table, &mut text),
            }
        }
        for rule in &self.split().nodes {
            rule.names.iter().for_each(|names| add(&mut text, "nodes", &encode_rule(rule, names)));
        }
        text
    }

    /// The same, with each pattern of nodes by itself: so it is read again. A pattern alone has no more bytes than that
    /// of a plan's hosts, and numbers of autonomous systems go on from one to the next.
    pub(super) fn split(&self) -> Draft {
        let mut nodes = Vec::new();
        for rule in &self.nodes {
            let mut before = 0u32;
            for names in &rule.names {
                let number = rule.number.map(|number| match number {
                    AsNumber::From(first) => AsNumber::From(first.saturating_add(before)),
                    AsNumber::File => AsNumber::File,
                });
                before = before.saturating_add(names.len());
                nodes.push(NodesDraft { names: alloc::vec![names.clone()], number, ..rule.clone() });
            }
        }
        Draft { nodes, ..self.clone() }
    }

    /// Reads the text of a network.
    ///
    /// # Errors
    /// The text is none, or has something that no network has.
    pub fn decode(text: &str) -> Result<Draft, Kind> {
        let mut lines = text.lines();
        if text.len() > TEXT_MAX_BYTES || lines.next() != Some(HEADER) {
            return Err(Kind::Text(format!("it does not begin with {HEADER}")));
        }
        let mut draft = Draft::default();
        while let Some(line) = lines.next() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let wrong = || Kind::Text(line.to_string());
            match key {
                "routing" => draft.routing = Some(Routing::of(value).ok_or_else(wrong)?),
                "numbering" => draft.numbering = Numbering::of(value).ok_or_else(wrong)?,
                "link_network" => draft.link_network = Some(value.parse().map_err(|_| wrong())?),
                "mtu" => draft.mtu = Some(value.parse().map_err(|_| wrong())?),
                "port0" => draft.port0 = Port0::of(value).ok_or_else(wrong)?,
                "seed" => draft.seed = value.parse().map_err(|_| wrong())?,
                "link" => draft.links.push(LinkDraft::Line(Line::parse(value).map_err(|error| error.kind)?)),
                "table" => draft.links.push(LinkDraft::Table(rows::decode(value, &mut lines)?)),
                "nodes" => draft.nodes.push(decode_rule(value).ok_or_else(wrong)?),
                shape => draft.links.push(decode_shape(shape, value)?),
            }
        }
        Ok(draft)
    }
}

fn decode_shape(name: &str, text: &str) -> Result<LinkDraft, Kind> {
    let mut words = line::words(text).map(|(_, word)| word);
    let nodes = HostNames::parse(words.next().unwrap_or_default()).map_err(|error| Kind::Names(error.kind))?;
    let known = SHAPES.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, keys)| *keys);
    let (keys, rest): (Vec<&str>, Vec<&str>) =
        words.partition(|word| word.split_once('=').is_some_and(|(key, _)| known.contains(&key)));
    let keys: Vec<(&str, &str)> = keys.into_iter().filter_map(|word| word.split_once('=')).collect();
    let shape: Shape = Keys::new(name, nodes.len(), &keys).shape()?;
    let (there, back) = line::properties(&rest.join(" ")).map_err(|error| error.kind)?;
    Ok(LinkDraft::Shape { shape, nodes, there, back })
}

fn encode_rule(rule: &NodesDraft, names: &HostNames) -> String {
    let number = rule.number.map(|number| match number {
        AsNumber::File => "file".to_string(),
        AsNumber::From(first) => first.to_string(),
    });
    let words = [
        ("kind", rule.kind.as_ref().map(|kind| kind.word().to_string())),
        ("routing", rule.routing.map(|routing| routing.word().to_string())),
        ("daemon", rule.daemon.map(|daemon| daemon.word().to_string())),
        ("number", number),
        ("area", rule.area.map(|area| area.to_string())),
    ];
    let words = words.into_iter().filter_map(|(key, value)| Some(format!(" {key}={}", value?)));
    names.to_string() + &words.collect::<String>()
}

fn decode_rule(text: &str) -> Option<NodesDraft> {
    let mut words = line::words(text).map(|(_, word)| word);
    let names = alloc::vec![HostNames::parse(words.next()?).ok()?];
    let mut rule = NodesDraft { names, kind: None, routing: None, daemon: None, number: None, area: None };
    for word in words {
        match word.split_once('=')? {
            ("kind", value) => rule.kind = Some(NodeKind::of(value)),
            ("routing", value) => rule.routing = Some(Routing::of(value)?),
            ("daemon", value) => rule.daemon = Some(Daemon::of(value)?),
            ("number", "file") => rule.number = Some(AsNumber::File),
            ("number", value) => rule.number = Some(AsNumber::From(value.parse().ok()?)),
            ("area", value) => rule.area = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(rule)
}
