//! Kea's DHCPv4 server: the reservations of its JSON, wherever they stand (global, of a subnet, of a shared network).
//!
//! Its JSON may have comments (`//`, `/* */`, `#`) and commas behind the last item:
//! <https://kea.readthedocs.io/en/stable/arm/config.html>.

use vmatic_plan::Ipv4Net;

use crate::hosts::record::Found;
use crate::yaml::{Aliases, Tree, Value, parse};

/// The text with blanks in place of comments, and of tabs between values, which YAML would not have.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(_)) if quoted => {
                out.push(c);
                out.extend(chars.next());
            }
            ('"', _) => {
                quoted = !quoted;
                out.push(c);
            }
            _ if quoted => out.push(c),
            ('#', _) | ('/', Some('/')) => while chars.next_if(|c| *c != '\n').is_some() {},
            ('/', Some('*')) => {
                chars.next();
                let mut star = false;
                for c in chars.by_ref() {
                    if c == '\n' {
                        out.push(c);
                    }
                    if star && c == '/' {
                        break;
                    }
                    star = c == '*';
                }
                out.push(' ');
            }
            ('\t', _) => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

/// Reads a configuration.
pub fn read(text: &str, found: &mut Found) {
    let tree = match parse(&without_comments(text), Aliases::Ignored) {
        Ok(tree) => tree,
        Err(e) => {
            let why = format!("not JSON: {}", e.message);
            return found.mistake(e.line.max(1), why, "`kea-dhcp4 -t FILE` checks it");
        }
    };
    let mut open = vec![&tree];
    while let Some(tree) = open.pop() {
        if let Some((_, text)) = tree.get_placed("subnet") {
            found.networks.extend(text.parse::<Ipv4Net>());
        }
        for (key, value) in tree.pairs() {
            match key {
                "Dhcp6" | "DhcpDdns" => {}
                "reservations" => value.items().iter().for_each(|item| reservation(item, found)),
                "option-data" => value.items().iter().for_each(|item| routers(item, found)),
                _ => open.push(value),
            }
        }
        if let Value::List(items) = &tree.value {
            open.extend(items);
        }
    }
    // What is opened last is found first: the order of the file is kept.
    found.records.sort_by_key(|record| record.place);
}

fn routers(item: &Tree, found: &mut Found) {
    let is_router = item.get_placed("name").is_some_and(|(_, name)| name == "routers")
        || item.get_placed("code").is_some_and(|(_, code)| code == "3");
    if let Some((line, data)) = item.get_placed("data").filter(|_| is_router) {
        let place = found.place(line);
        found.routers.extend(data.split(',').filter_map(|text| Some((place, text.trim().parse().ok()?))));
    }
}

fn reservation(item: &Tree, found: &mut Found) {
    let Some((line, name)) = item.get_placed("hostname") else {
        let key = ["hw-address", "ip-address", "client-id", "duid"].iter().find_map(|key| item.get_placed(key));
        let what = key.map_or("a reservation", |(_, text)| text);
        return found.leave_out(item.line, what, "it has no hostname");
    };
    let mut record = found.record(line, name);
    if let Some((line, mac)) = item.get_placed("hw-address") {
        record.macs.extend(found.mac(line, mac));
    }
    if let Some((line, address)) = item.get_placed("ip-address") {
        record.ipv4 = found.ipv4(line, address);
    }
    found.push(record);
}
