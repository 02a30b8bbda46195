//! /etc/hosts (hosts(5)): `ADDRESS NAME...`, and /etc/ethers (ethers(5)): `MAC NAME`. `#` begins a comment.

use std::net::{IpAddr, Ipv4Addr};

use crate::hosts::record::{Found, is_a_machines};

/// The words of each line that has some, with its number.
fn lines(text: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let words = (1..).zip(text.lines()).map(|(n, line)| {
        let words: Vec<&str> = line.split('#').next().unwrap_or("").split_whitespace().collect();
        (n, words)
    });
    words.filter(|(_, words)| !words.is_empty())
}

/// Reads /etc/hosts. Of several names the first without a dot is the machine's.
pub fn hosts(text: &str, found: &mut Found) {
    for (line, words) in lines(text) {
        let (address, names) = (words[0], &words[1..]);
        let Some(name) = names.iter().find(|name| !name.contains('.')).or(names.first()) else {
            found.mistake(line, format!("{address} has no name"), "write ADDRESS NAME");
            continue;
        };
        match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(v4)) if is_a_machines(v4) => {
                let record = found.record(line, name);
                found.push(crate::hosts::record::Record { ipv4: Some(v4), ..record });
            }
            Ok(IpAddr::V4(v4)) if v4.is_loopback() => found.leave_out(line, *name, "a loopback address"),
            Ok(IpAddr::V4(Ipv4Addr::BROADCAST)) => found.leave_out(line, *name, "the broadcast address"),
            Ok(IpAddr::V4(v4)) => found.leave_out(line, *name, format!("{v4} is no machine's address")),
            Ok(IpAddr::V6(_)) => found.leave_out(line, *name, "IPv6: hosts are told apart by IPv4"),
            Err(_) => found.mistake(line, format!("{address:?} is no address"), "write ADDRESS NAME"),
        }
    }
}

/// Reads /etc/ethers.
pub fn ethers(text: &str, found: &mut Found) {
    for (line, words) in lines(text) {
        let Some(name) = words.get(1) else {
            found.mistake(line, format!("{} has no name", words[0]), "write MAC NAME");
            continue;
        };
        let Some(mac) = found.mac(line, words[0]) else { continue };
        // ethers(5) takes an address in a name's place.
        let mut record = found.record(line, name);
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            record.name = String::new();
            record.ipv4 = Some(address);
        }
        record.macs.push(mac);
        found.push(record);
    }
}
