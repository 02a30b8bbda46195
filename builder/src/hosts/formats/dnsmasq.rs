//! dnsmasq(8): `dhcp-host=` lines, whose fields may stand in any order, and lines of a dhcp-hostsfile, which lack that
//! word. What else tells of the network: `dhcp-range=` and the router's option.

use std::net::Ipv4Addr;

use vmatic_plan::Ipv4Net;

use crate::hosts::record::{Found, parse_mac};

/// Reads a configuration.
pub fn read(text: &str, found: &mut Found) {
    for (line, whole) in (1..).zip(text.lines()) {
        let plain = whole.trim();
        if plain.is_empty() || plain.starts_with('#') {
            continue;
        }
        let (key, value) = match plain.split_once('=') {
            Some((key, value)) => (key.trim(), value.trim()),
            None if plain.contains(',') && parse_mac(plain.split(',').next().unwrap_or("")).is_some() => {
                ("dhcp-host", plain)
            }
            None => continue,
        };
        match key {
            "dhcp-host" => host(line, value, found),
            "dhcp-option" | "dhcp-option-force" => routers(line, value, found),
            "dhcp-range" => found.networks.extend(network(value)),
            "conf-file" | "conf-dir" | "dhcp-hostsfile" | "dhcp-hostsdir" | "servers-file" => {
                found.leave_out(line, plain, "other files are not read: name them in `file`, too");
            }
            _ => {}
        }
    }
}

fn is_lease_time(field: &str) -> bool {
    let digits = field.trim_end_matches(['s', 'm', 'h', 'd', 'w']);
    field == "infinite"
        || !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && field.len() - digits.len() <= 1
}

fn host(line: usize, value: &str, found: &mut Found) {
    // A comment may stand behind a blank.
    let value = value.split(" #").next().unwrap_or(value);
    let (mut record, mut ignored) = (found.record(line, ""), false);
    for field in value.split(',').map(str::trim).filter(|field| !field.is_empty()) {
        // How long, IPv6, and what only dnsmasq is told by: nothing of a table's.
        let others = ["id:", "set:", "tag:", "net:", "["];
        if is_lease_time(field) || others.iter().any(|word| field.starts_with(word)) {
            continue;
        }
        if field == "ignore" {
            ignored = true;
        } else if let Ok(address) = field.parse::<Ipv4Addr>() {
            record.ipv4 = found.ipv4(line, &address.to_string());
        } else if field.contains(':') {
            // A type of hardware may stand before it, as in 01-00:16:3e:00:00:01.
            let (kind, rest) = field.split_once('-').unwrap_or(("", field));
            let typed = kind.len() == 2 && rest.contains(':');
            if field.contains('*') {
                found.leave_out(line, field, "a MAC with * is no one card's");
            } else if let Some(mac) = found.mac(line, if typed { rest } else { field }) {
                record.macs.push(mac);
            }
        } else {
            record.name = crate::hosts::record::short_name(field).to_owned();
        }
    }
    match () {
        () if ignored => found.leave_out(line, value, "dnsmasq is told to ignore it"),
        () if record.name.is_empty() => found.leave_out(line, value, "it has no name"),
        () => drop(found.push(record)),
    }
}

fn routers(line: usize, value: &str, found: &mut Found) {
    let mut fields =
        value.split(',').map(str::trim).filter(|field| !field.starts_with("tag:") && !field.starts_with("net:"));
    if !matches!(fields.next(), Some("3" | "option:router")) {
        return;
    }
    let place = found.place(line);
    found.routers.extend(fields.filter_map(|field| Some((place, field.parse().ok()?))));
}

/// The network of `START,END,NETMASK` or `START,static,NETMASK`.
fn network(value: &str) -> Option<Ipv4Net> {
    let addresses: Vec<Ipv4Addr> = value.split(',').filter_map(|field| field.trim().parse().ok()).collect();
    let mask = addresses
        .iter()
        .skip(1)
        .map(|mask| u32::from(*mask))
        .find(|mask| mask.leading_ones() + mask.trailing_zeros() == 32 && *mask >= 0xff00_0000)?;
    let base = u32::from(*addresses.first()?) & mask;
    format!("{}/{}", Ipv4Addr::from(base), mask.leading_ones()).parse().ok()
}
