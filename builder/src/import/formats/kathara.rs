//! Kathará's `lab.conf`: `DEVICE[N]="DOMAIN"` joins interface N of a device to a collision domain.
//!
//! A domain of two members is a cable, one of more a segment. Interface N is port N + 1. Addresses are those that the
//! device's `.startup` file beside it sets.

use crate::import::commands;
use crate::import::error::{ImportError, Result};
use crate::import::options::Options;
use crate::import::segments::Segments;
use crate::import::topology::{Draft, End, Kind, Topology};

/// A line `DEVICE[KEY]=VALUE`.
pub fn split(line: &str) -> Option<(&str, &str, &str)> {
    let (device, rest) = line.trim().split_once('[')?;
    let (key, value) = rest.split_once(']')?;
    let value = value.trim_start().strip_prefix('=')?.trim();
    let quote = value.chars().next().filter(|c| ['"', '\''].contains(c));
    let value = match quote {
        Some(quote) => value[1..].split(quote).next()?,
        None => value.split('#').next()?.trim(),
    };
    (!device.is_empty() && !device.contains(char::is_whitespace)).then_some((device, key.trim(), value))
}

/// Reads a file.
pub fn read(text: &str, options: &Options) -> Result<Topology> {
    let mut draft = Draft::new();
    let mut segments = Segments::default();
    for (at, content) in text.lines().enumerate() {
        let line = at + 1;
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let Some((device, key, value)) = split(content) else {
            match content.split_once('=') {
                Some(("LAB_NAME", name)) => draft.topology.title = Some(name.trim_matches(['"', '\'']).to_owned()),
                Some((key, _)) if key.starts_with("LAB_") => draft.leave_out(key, line, "it is not of the network"),
                _ => {
                    return Err(
                        ImportError::new(line, "this is no DEVICE[KEY]=VALUE").help("correct or remove the line")
                    );
                }
            }
            continue;
        };
        let node = draft.node_or_new(device, Kind::Guest, line)?;
        let nodes = &mut draft.topology.nodes;
        match key.parse::<u32>() {
            Ok(interface) => {
                let (domain, mac) = value.split_once('/').map_or((value, None), |(domain, mac)| (domain, Some(mac)));
                if mac.is_some() {
                    draft.leave_out("mac", line, "the plan computes MACs");
                }
                segments.join(domain, End { node, port: interface.checked_add(1) }, line);
            }
            Err(_) if key == "image" => nodes[node].image = Some(value.to_owned()),
            Err(_) => draft.leave_out(&format!("device key {key}"), line, "it is not of the network"),
        }
    }
    for node in 0..draft.topology.nodes.len() {
        let file = format!("{}.startup", draft.topology.nodes[node].label);
        let Some(startup) = options.beside.get(&file) else { continue };
        for (at, command) in startup.lines().enumerate() {
            match commands::address(command) {
                Some(address) => draft.address(node, Some(address), command, at + 1),
                None if command.trim().is_empty() || command.trim_start().starts_with('#') => {}
                None => {
                    draft.leave_out(&format!("commands of {file}"), at + 1, "only addresses are taken from commands")
                }
            }
        }
    }
    segments.link(&mut draft)?;
    Ok(draft.finish())
}
