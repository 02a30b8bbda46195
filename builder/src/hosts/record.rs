//! What a file says of machines: a record each, with the line that says it; what was left out; what is wrong.

use std::net::Ipv4Addr;

use vmatic_plan::{Ipv4Net, Mac};

/// Most hosts of a table. A line of a file may name millions.
pub const HOSTS_MAX: usize = 1 << 18;

/// A line of one of the table's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileLine {
    /// Which file, from 0.
    pub file: usize,
    /// Which line, from 1.
    pub line: usize,
}

/// What one entry says of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where.
    pub place: FileLine,
    /// Its name, without a domain.
    pub name: String,
    /// The MACs of its cards, the one that it boots from first.
    pub macs: Vec<Mac>,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its rack.
    pub rack: Option<String>,
    /// UUID, serial number, asset tag of the machine.
    pub machines: Vec<String>,
}

/// What was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where.
    pub place: FileLine,
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: FileLine,
    /// What.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// All that a file says.
#[derive(Debug, Default)]
pub struct Found {
    file: usize,
    /// Machines, in the order of the file.
    pub records: Vec<Record>,
    /// What was not taken.
    pub left_out: Vec<LeftOut>,
    /// What is wrong.
    pub mistakes: Vec<Mistake>,
    /// Addresses that the file says are routers.
    pub routers: Vec<(FileLine, Ipv4Addr)>,
    /// Networks that the file says there are.
    pub networks: Vec<Ipv4Net>,
    full: bool,
}

impl Found {
    /// Nothing yet of the file of this number.
    pub fn new(file: usize) -> Found {
        Found { file, ..Found::default() }
    }

    /// A line of the file.
    pub fn place(&self, line: usize) -> FileLine {
        FileLine { file: self.file, line }
    }

    /// Notes what is wrong in a line.
    pub fn mistake(&mut self, line: usize, message: impl Into<String>, remedy: impl Into<String>) {
        let place = self.place(line);
        self.mistakes.push(Mistake { place, message: message.into(), remedy: remedy.into() });
    }

    /// Notes what was not taken of a line.
    pub fn leave_out(&mut self, line: usize, what: impl Into<String>, why: impl Into<String>) {
        let place = self.place(line);
        self.left_out.push(LeftOut { place, what: what.into(), why: why.into() });
    }

    /// Begins a record of this name, whose domain is cut off.
    pub fn record(&self, line: usize, name: &str) -> Record {
        Record { place: self.place(line), name: short_name(name).to_owned(), ..Record::default() }
    }

    /// Takes a record; false when there are too many.
    pub fn push(&mut self, record: Record) -> bool {
        if self.records.len() >= HOSTS_MAX {
            if !self.full {
                let remedy =
                    "name fewer with only = \"PATTERN\", or write regular hosts as a pattern: hosts = \"n[1-9999]\"";
                self.mistake(record.place.line, format!("a host table has at most {HOSTS_MAX} hosts"), remedy);
            }
            self.full = true;
            return false;
        }
        self.records.push(record);
        true
    }

    /// The MAC that a text is; what is wrong is noted.
    pub fn mac(&mut self, line: usize, text: &str) -> Option<Mac> {
        let mac = parse_mac(text);
        match mac {
            None => {
                let message = format!("{text:?} is no MAC");
                self.mistake(line, message, "write six bytes in hexadecimal, as 00:16:3e:00:00:01");
            }
            Some(mac) if mac == Mac([0; 6]) || mac.0[0] & 1 == 1 => {
                self.mistake(
                    line,
                    format!("{mac} is no card's MAC"),
                    "write the MAC of the card that the machine boots from",
                );
                return None;
            }
            Some(_) => {}
        }
        mac
    }

    /// The address that a text is; what is wrong is noted.
    pub fn ipv4(&mut self, line: usize, text: &str) -> Option<Ipv4Addr> {
        let address = text.parse::<Ipv4Addr>().ok();
        match address {
            None => self.mistake(line, format!("{text:?} is no IPv4 address"), "write an address, as 192.168.40.101"),
            Some(address) if !is_a_machines(address) => {
                self.mistake(line, format!("{address} is no machine's address"), "write the address of one machine");
                return None;
            }
            Some(_) => {}
        }
        address
    }
}

/// Whether a machine may have this address.
pub fn is_a_machines(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && !address.is_loopback()
}

/// A name without its domain.
pub fn short_name(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// A MAC as programs write it: with `:` or `-`, digits without leading zeroes (ethers), four digits at a time (Cisco),
/// or twelve digits alone.
pub fn parse_mac(text: &str) -> Option<Mac> {
    if let Ok(mac) = text.parse() {
        return Some(mac);
    }
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut mac = [0; 6];
    let parts: Vec<&str> = text.split([':', '-']).collect();
    if parts.len() == 6 && parts.iter().all(|part| (1..=2).contains(&part.len()) && hex(part)) {
        for (byte, part) in mac.iter_mut().zip(parts) {
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        return Some(Mac(mac));
    }
    let digits = match text.split('.').collect::<Vec<_>>()[..] {
        [a, b, c] if [a, b, c].iter().all(|part| part.len() == 4) => [a, b, c].concat(),
        [alone] => alone.to_owned(),
        _ => return None,
    };
    vmatic_plan::unhex::<6>(&digits).map(Mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_as_programs_write_them() {
        let wanted = Some(Mac([0, 0x16, 0x3e, 1, 2, 0x0a]));
        for text in ["00:16:3e:01:02:0a", "00-16-3E-01-02-0A", "0:16:3e:1:2:a", "0016.3e01.020a", "00163e01020a"] {
            assert_eq!(parse_mac(text), wanted, "{text}");
        }
        for text in ["", "0:16:3e:1:2", "00:16:3e:01:02:0a:0b", "g0163e01020a", "001:6:3e:1:2:a", "é0163e01020"] {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }
}
