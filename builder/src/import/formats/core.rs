//! CORE's scenarios (<https://coreemu.github.io/core/>): XML of networks, devices and links.
//!
//! Delays and jitter are microseconds, bandwidths bits a second, losses and duplicates percents; 0 is none. Interface N
//! is port N + 1. Services of routing say which protocol a device speaks.

use std::collections::HashMap;

use super::super::commands;
use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::properties::{Properties, percent, whole};
use crate::import::topology::{Address, Draft, End, Kind, Link, Node, Position, Topology};
use crate::import::xml::{self, Xml, attribute, child, children};
use vmatic_plan::link::{DELAY_US_MAX, RATE_BITS_S_MAX};

/// Links of one direction that wait for the other: their two nodes, and where they are.
type Halves = HashMap<(usize, usize), usize>;

/// Reads a file.
pub fn read(text: &str, _: &Options) -> Result<Topology> {
    xml::with(text, read_xml)
}

fn read_xml(xml: &Xml) -> Result<Topology> {
    let root = xml.root();
    let mut draft = Draft::new();
    draft.topology.title = attribute(root, "name").map(|name| name.rsplit('/').next().unwrap_or(name).to_owned());
    let mut halves = Halves::new();
    for part in root.children().filter(|part| part.is_element()) {
        match part.tag_name().name() {
            "networks" => children(part, "network").try_for_each(|node| network(xml, &mut draft, node))?,
            "devices" => children(part, "device").try_for_each(|node| device(xml, &mut draft, node))?,
            "links" => {}
            other => draft.leave_out(other, xml.line(part), "it is not of the network"),
        }
    }
    let links = children(root, "links").flat_map(|part| children(part, "link"));
    links.into_iter().try_for_each(|node| link(xml, &mut draft, &mut halves, node))?;
    Ok(draft.finish())
}

type Element<'a> = roxmltree::Node<'a, 'a>;

fn id<'a>(xml: &Xml, node: Element<'a>) -> Result<(&'a str, &'a str)> {
    let id = attribute(node, "id").ok_or_else(|| ImportError::new(xml.line(node), "it has no id"))?;
    Ok((id, attribute(node, "name").unwrap_or(id)))
}

fn place(node: Element) -> Option<Position> {
    let position = child(node, "position")?;
    let degrees = |name| position.attribute(name)?.parse::<f64>().ok();
    Position::new(degrees("lat")?, degrees("lon")?)
}

fn network(xml: &Xml, draft: &mut Draft, element: Element) -> Result<()> {
    let (id, name) = id(xml, element)?;
    let kind = match attribute(element, "type").unwrap_or("") {
        "RJ45" => Kind::Cloud,
        "SWITCH" | "HUB" => Kind::Switch,
        other => {
            let reason = "it is a segment here: nobody moves, and everybody hears everybody";
            draft.leave_out(&format!("network type {other}"), xml.line(element), reason);
            Kind::Switch
        }
    };
    let node = Node { label: name.to_owned(), kind, at: place(element), ..Node::default() };
    draft.node(id, node, xml.line(element)).map(drop)
}

fn device(xml: &Xml, draft: &mut Draft, element: Element) -> Result<()> {
    let (id, name) = id(xml, element)?;
    let mut routing = None;
    for service in children(element, "services").flat_map(|services| children(services, "service")) {
        match attribute(service, "name").unwrap_or("") {
            "OSPFv2" | "FRROSPFv2" => routing = Some("ospf"),
            "BGP" | "FRRBGP" => routing = Some("bgp"),
            // Routers and hosts have their routes here.
            "zebra" | "FRRzebra" | "IPForward" | "DefaultRoute" => {}
            other => draft.leave_out(&format!("service {other}"), xml.line(service), "no service is set up"),
        }
    }
    let image = attribute(element, "image").or_else(|| attribute(element, "type")).map(str::to_owned);
    let node = Node { label: name.to_owned(), at: place(element), routing, image, ..Node::default() };
    draft.node(id, node, xml.line(element)).map(drop)
}

fn options(xml: &Xml, draft: &mut Draft, link: Element) -> Properties {
    let mut properties = Properties::default();
    let Some(options) = child(link, "options") else { return properties };
    let line = xml.line(options);
    for option in options.attributes() {
        let (key, text) = (option.name(), option.value());
        let number = text.parse::<f64>().ok();
        let read = match key {
            "delay" => number.and_then(|us| whole(us, DELAY_US_MAX)).map(|us| properties.link.delay_us = us),
            "jitter" => number.and_then(|us| whole(us, DELAY_US_MAX)).map(|us| properties.jitter_us = us),
            "bandwidth" => {
                number.and_then(|bits| whole(bits, RATE_BITS_S_MAX)).map(|rate| properties.link.rate_bits_s = rate)
            }
            "loss" => percent(text).map(|ppm| properties.link.loss_ppm = ppm),
            "dup" => percent(text).map(|ppm| properties.dup_ppm = ppm),
            "unidirectional" => Some(()),
            _ if number == Some(0.0) => Some(()),
            _ => {
                draft.leave_out(&format!("link option {key}"), line, "it is no property of links here");
                Some(())
            }
        };
        if read.is_none() {
            draft.leave_out(&format!("link option {key}={text}"), line, "it is out of range");
        }
    }
    properties
}

fn link(xml: &Xml, draft: &mut Draft, halves: &mut Halves, element: Element) -> Result<()> {
    let line = xml.line(element);
    let mut end = |node: &str, interface: &str| -> Result<End> {
        let id = attribute(element, node).ok_or_else(|| ImportError::new(line, format!("a link has no {node}")))?;
        let node = draft.named(id, line)?;
        let Some(interface) = child(element, interface) else { return Ok(End { node, port: None }) };
        for (ip, mask) in [("ip4", "ip4_mask"), ("ip6", "ip6_mask")] {
            if let (Some(ip), Some(mask)) = (attribute(interface, ip), attribute(interface, mask)) {
                draft.address(node, Address::new(ip, mask), ip, xml.line(interface));
            }
        }
        if attribute(interface, "mac").is_some() {
            draft.leave_out("mac", xml.line(interface), "the plan computes MACs");
        }
        let port = attribute(interface, "name").and_then(|name| commands::port(name, 0));
        Ok(End { node, port: port.filter(|_| draft.topology.nodes[node].kind == Kind::Guest) })
    };
    let (a, b) = (end("node1", "iface1")?, end("node2", "iface2")?);
    let there = options(xml, draft, element);
    let one_way = child(element, "options").and_then(|options| attribute(options, "unidirectional")) == Some("1");
    if one_way && let Some(at) = halves.remove(&(b.node, a.node)) {
        draft.topology.links[at].back = there;
        return Ok(());
    }
    let back = if one_way { Properties::default() } else { there };
    let before = draft.topology.links.len();
    draft.link(Link { a, b, there, back }, line)?;
    if one_way && draft.topology.links.len() > before {
        halves.insert((a.node, b.node), before);
    }
    Ok(())
}
