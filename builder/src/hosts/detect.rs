//! Which format a text has, told by what only that one has.

use std::net::IpAddr;

use super::formats::{Format, csv_header};
use super::record::parse_mac;

/// Most lines that are looked at.
const LINES_MAX: usize = 10_000;

/// The format of a text; none where nothing tells.
pub fn format(text: &str) -> Option<Format> {
    let lines = || text.lines().take(LINES_MAX).map(str::trim).filter(|line| !line.is_empty());
    let begins = |line: &str, words: &[&str]| words.iter().any(|word| line.starts_with(word));
    let opens_json =
        lines().find(|line| !begins(line, &["#", "//", "/*", "*"])).is_some_and(|line| line.starts_with(['{', '[']));
    if opens_json && lines().any(|line| line.contains("reservations") || line.contains("Dhcp4")) {
        return Some(Format::Kea);
    }
    let plain = || lines().filter(|line| !line.starts_with(['#', ';']) && !line.starts_with("//"));
    let lower = |line: &str| line.get(..12).unwrap_or(line).to_ascii_lowercase();
    if plain().any(|line| begins(&lower(line), &["nodename=", "switchname="])) {
        return Some(Format::Slurm);
    }
    if plain().any(|line| begins(line, &["dhcp-host=", "dhcp-range="])) {
        return Some(Format::Dnsmasq);
    }
    if plain().any(|line| line.contains("hardware ethernet") || line.starts_with("host ") && line.contains('{')) {
        return Some(Format::Dhcpd);
    }
    // At the beginning of its line: another file may have such a key inside.
    let yaml = text.lines().take(LINES_MAX).any(|line| line.trim_end() == "nodes:" || line.starts_with("nodes: {"));
    if yaml {
        return Some(Format::Warewulf);
    }
    if csv_header(text) {
        return Some(Format::Csv);
    }
    let first = plain().next()?;
    let word = first.split_whitespace().next()?;
    match word {
        _ if word.parse::<IpAddr>().is_ok() => Some(Format::Hosts),
        _ if word.contains(':') && parse_mac(word).is_some() => {
            Some(if first.contains(',') { Format::Dnsmasq } else { Format::Ethers })
        }
        _ if first.contains(',') && parse_mac(first.split(',').next()?).is_some() => Some(Format::Dnsmasq),
        _ => None,
    }
}
