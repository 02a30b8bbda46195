//! slurm.conf(5): `NodeName=n[1-40] NodeAddr=10.0.0.[1-40]`, and topology.conf(5): the nodes of a `SwitchName=`, which
//! are a rack. A `\` at a line's end goes on with the next; keys have no case.

use std::net::Ipv4Addr;

use vmatic_plan::{HostId, HostNames, parse_numbers};

use crate::hosts::record::{Found, short_name};

/// Reads the file.
pub fn read(text: &str, found: &mut Found) {
    let mut lines = (1..).zip(text.lines());
    while let Some((line, first)) = lines.next() {
        let mut whole = first.split('#').next().unwrap_or("").trim_end().to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match lines.next() {
                Some((_, more)) => whole += more.split('#').next().unwrap_or("").trim_end(),
                None => break,
            }
        }
        let pairs: Vec<(String, &str)> = whole
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(key, value)| (key.to_ascii_lowercase(), value))
            .collect();
        match pairs.first() {
            Some((key, names)) if key == "nodename" => nodes(line, names, &pairs, found),
            Some((key, switch)) if key == "switchname" => rack(line, switch, &pairs, found),
            Some((key, file)) if key == "include" => {
                found.leave_out(line, *file, "other files are not read: name it in `file`, too");
            }
            _ if whole.trim_start().to_ascii_lowercase().starts_with("include ") => {
                found.leave_out(line, whole.trim(), "other files are not read: name it in `file`, too");
            }
            _ => {}
        }
    }
}

/// The names that a hostlist makes.
fn names(line: usize, text: &str, found: &mut Found) -> Option<HostNames> {
    HostNames::parse(text)
        .map_err(|error| {
            let remedy = "write names as Slurm and VMatic both have them, such as n[1-40]";
            found.mistake(line, format!("invalid hostlist {text:?}: {error}"), remedy);
        })
        .ok()
}

fn nodes(line: usize, list: &str, pairs: &[(String, &str)], found: &mut Found) {
    if list.eq_ignore_ascii_case("default") {
        return;
    }
    // With domains, of one node.
    let list = if list.contains('[') { list } else { short_name(list) };
    let Some(names) = names(line, list, found) else { return };
    let value = |wanted: &str| pairs.iter().find(|(key, _)| key == wanted).map(|(_, value)| *value);
    let addresses = value("nodeaddr").and_then(|text| addresses(line, text, names.len(), found));
    for host in 1..=names.len() {
        let Some(name) = names.name(HostId(host)) else { break };
        let mut record = found.record(line, &name);
        record.ipv4 = addresses.as_ref().and_then(|addresses| addresses.get(host as usize - 1).copied());
        if !found.push(record) {
            break;
        }
    }
}

/// The addresses of `10.0.0.[1-40]`, or of commas; none where they are names, which another file may tell.
fn addresses(line: usize, text: &str, wanted: u32, found: &mut Found) -> Option<Vec<Ipv4Addr>> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let wrong = |found: &mut Found, why: &str| {
        found.mistake(line, format!("NodeAddr={text}: {why}"), "write an address for each node, such as 10.0.0.[1-40]");
        None
    };
    let all: Option<Vec<Ipv4Addr>> = match (text.find('['), text.ends_with(']')) {
        (Some(open), true) => {
            let Ok(numbers) = parse_numbers(0, &text[open..]) else { return wrong(found, "its ranges are none") };
            // The numbers are of one byte: more than 256 are wrong in any case.
            let count = numbers.len().min(256) as usize;
            numbers.iter().take(count).map(|n| format!("{}{n}", &text[..open]).parse().ok()).collect()
        }
        (None, _) => text.split(',').map(|one| one.parse().ok()).collect(),
        _ => None,
    };
    match all {
        None => wrong(found, "these are no addresses"),
        Some(all) if all.len() != wanted as usize => {
            wrong(found, &format!("{} addresses for {wanted} nodes", all.len()))
        }
        Some(all) => Some(all),
    }
}

fn rack(line: usize, switch: &str, pairs: &[(String, &str)], found: &mut Found) {
    // A switch of switches is no rack.
    let Some((_, list)) = pairs.iter().find(|(key, _)| key == "nodes") else { return };
    let Some(names) = names(line, list, found) else { return };
    for name in (1..=names.len()).filter_map(|host| names.name(HostId(host))) {
        let mut record = found.record(line, &name);
        record.rack = Some(switch.to_owned());
        if !found.push(record) {
            break;
        }
    }
}
