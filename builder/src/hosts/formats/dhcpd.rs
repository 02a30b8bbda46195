//! ISC dhcpd.conf(5): `host NAME { hardware ethernet MAC; fixed-address ADDRESS; }`, at any depth of groups, pools and
//! subnets. The machine's name is its `option host-name`, or the block's.

use std::net::Ipv4Addr;

use vmatic_plan::Ipv4Net;

use crate::hosts::record::{Found, Record, short_name};

/// A word or a sign, with its line.
struct Token<'t> {
    line: usize,
    text: &'t str,
    quoted: bool,
}

/// The tokens of a text; what stands between quotes is one.
fn tokens(text: &str) -> (Vec<Token<'_>>, Option<usize>) {
    let (mut tokens, mut line, mut at) = (Vec::new(), 1, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        let end_of = |stop: &dyn Fn(u8) -> bool, from: usize| {
            bytes[from..].iter().position(|byte| stop(*byte)).map_or(bytes.len(), |n| from + n)
        };
        match byte {
            b'\n' => (line, at) = (line + 1, at + 1),
            b'#' => at = end_of(&|byte| byte == b'\n', at),
            b'"' => {
                let mut end = at + 1;
                while bytes.get(end).is_some_and(|byte| *byte != b'"') {
                    end += if bytes[end] == b'\\' { 2 } else { 1 };
                }
                if end >= bytes.len() {
                    return (tokens, Some(line));
                }
                tokens.push(Token { line, text: text.get(at + 1..end).unwrap_or(""), quoted: true });
                line += bytes[at..end].iter().filter(|byte| **byte == b'\n').count();
                at = end + 1;
            }
            b'{' | b'}' | b';' | b',' => {
                tokens.push(Token { line, text: &text[at..at + 1], quoted: false });
                at += 1;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let end = end_of(&|byte| byte.is_ascii_whitespace() || b"{};,\"#".contains(&byte), at);
                tokens.push(Token { line, text: text.get(at..end).unwrap_or(""), quoted: false });
                at = end;
            }
        }
    }
    (tokens, None)
}

/// Reads a configuration.
pub fn read(text: &str, found: &mut Found) {
    let (tokens, unclosed) = tokens(text);
    if let Some(line) = unclosed {
        found.mistake(line, "unclosed \"", "close the text");
    }
    // Each open block with its line, and the host that it is of, if any.
    let mut open: Vec<(usize, Option<Record>)> = Vec::new();
    let mut begin = 0;
    for (n, token) in tokens.iter().enumerate().filter(|(_, token)| !token.quoted) {
        let statement = &tokens[begin..n];
        match token.text {
            ";" => {
                let host = open.iter_mut().rev().find_map(|(_, host)| host.as_mut());
                say(statement, host, found);
            }
            "{" => {
                let words: Vec<&str> = statement.iter().map(|token| token.text).collect();
                if let ["subnet", base, "netmask", mask, ..] = words[..] {
                    found.networks.extend(network(base, mask));
                }
                let host = match words[..] {
                    ["host", name] => Some(found.record(statement[0].line, name)),
                    _ => None,
                };
                open.push((token.line, host));
            }
            "}" => match open.pop() {
                Some((_, Some(record))) => close(record, found),
                Some((_, None)) => {}
                None => found.mistake(token.line, "} closes nothing", "remove it, or open a block"),
            },
            _ => continue,
        }
        begin = n + 1;
    }
    if let Some((line, _)) = open.last() {
        found.mistake(*line, "unclosed {", "close the block");
    }
}

fn close(record: Record, found: &mut Found) {
    if record.macs.is_empty() && record.ipv4.is_none() {
        found.leave_out(record.place.line, record.name, "it has neither a MAC nor an address");
    } else {
        found.push(record);
    }
}

/// What a statement says, of the host whose block it stands in.
fn say(statement: &[Token], host: Option<&mut Record>, found: &mut Found) {
    let Some(first) = statement.first() else { return };
    let words: Vec<&str> = statement.iter().map(|token| token.text).filter(|text| *text != ",").collect();
    match (&words[..], host) {
        (["hardware", "ethernet", mac], Some(host)) => host.macs.extend(found.mac(first.line, mac)),
        (["hardware", kind, ..], Some(host)) => {
            found.leave_out(first.line, host.name.clone(), format!("its hardware is {kind}, not ethernet"));
        }
        (["fixed-address", addresses @ ..], Some(host)) => match addresses {
            [one] if one.parse::<Ipv4Addr>().is_err() => {
                let why =
                    format!("its address is the name {one}, which is not looked up: name a hosts file in `file`, too");
                found.leave_out(first.line, host.name.clone(), why);
            }
            [one] => host.ipv4 = found.ipv4(first.line, one),
            _ => {
                let message = format!("{} has {} addresses", host.name, addresses.len());
                found.mistake(first.line, message, "write one: a host is found at one address");
            }
        },
        (["option", "host-name", name], Some(host)) => host.name = short_name(name).to_owned(),
        (["option", "routers", routers @ ..], _) => {
            let place = found.place(first.line);
            found.routers.extend(routers.iter().filter_map(|text| Some((place, text.parse().ok()?))));
        }
        (["include", file], _) => {
            found.leave_out(first.line, *file, "other files are not read: name it in `file`, too")
        }
        _ => {}
    }
}

fn network(base: &str, mask: &str) -> Option<Ipv4Net> {
    let mask = u32::from(mask.parse::<Ipv4Addr>().ok()?);
    (mask.leading_ones() + mask.trailing_zeros() == 32)
        .then(|| format!("{base}/{}", mask.leading_ones()).parse().ok())?
}
