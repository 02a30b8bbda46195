//! A table of links: a graph as text, a link a line, with the words of a spec's link lines.
//!
//! `A B [properties]` or `A:PORT B:PORT [properties]`, one name a side; before or between them, of nodes that are more
//! than guests with a link, `node NAME [kind=guest|router|switch|cloud] [at=LAT,LON] [address=IP/LEN ...]`. `#` begins
//! a comment; blank lines are allowed. Nodes count in the order in which the text first names them. Links may be
//! parallel; none joins a node to itself.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use vmatic_plan::HostNames;
use vmatic_plan::network::{Line, LineError, NodeKind, TABLE_LINKS_MAX, TableDraft, TableLink};

use super::Mistake;

/// Most mistakes that are told of one table.
const MISTAKES_MAX: usize = 20;
/// Most addresses of a node.
const ADDRESSES_MAX: usize = 256;

/// A table that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableFile {
    /// Nodes and links, as the law takes them.
    pub table: TableDraft,
    /// Where each node is on earth, in degrees north and east, if the table says.
    pub places: Vec<Option<(f64, f64)>>,
    /// The addresses of each node, with the length of their prefix.
    pub addresses: Vec<Vec<(IpAddr, u8)>>,
}

#[derive(Default)]
struct Reader {
    file: TableFile,
    numbers: HashMap<String, u32>,
    ports: HashSet<(u32, u32)>,
}

/// Reads a table.
///
/// # Errors
/// Tells the mistakes, with their places in the text; of many the first.
pub fn read(text: &str) -> Result<TableFile, Vec<Mistake>> {
    let mut reader = Reader::default();
    let mut mistakes = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.split('#').next().unwrap_or_default().trim_end();
        if let Err(mistake) = reader.line(content) {
            let at = start + mistake.at.start..start + mistake.at.end;
            mistakes.push(Mistake { at, ..mistake });
            if mistakes.len() >= MISTAKES_MAX {
                break;
            }
        }
        start += line.len();
    }
    if reader.file.table.links.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::new(0..0, "the table has no link", "write lines like \"a b delay=5ms\""));
    }
    if mistakes.is_empty() { Ok(reader.file) } else { Err(mistakes) }
}

fn mistake(error: LineError) -> Mistake {
    Mistake::new(error.at, error.kind.to_string(), error.kind.remedy())
}

/// The words of a line, each with its place.
fn words(line: &str) -> impl Iterator<Item = (std::ops::Range<usize>, &str)> {
    line.split_ascii_whitespace().map(|word| {
        let at = word.as_ptr() as usize - line.as_ptr() as usize;
        (at..at + word.len(), word)
    })
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), Mistake> {
        match words(line).next() {
            None => Ok(()),
            Some((_, "node")) => self.node(line),
            Some(_) => self.link(line),
        }
    }

    fn number(&mut self, name: String) -> u32 {
        let next = self.file.table.names.len() as u32;
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.file.table.names.push(name.clone());
            self.file.table.kinds.push(None);
            self.file.places.push(None);
            self.file.addresses.push(Vec::new());
            next
        })
    }

    fn link(&mut self, line: &str) -> Result<(), Mistake> {
        let read = Line::parse(line).map_err(mistake)?;
        let sides: Vec<_> = words(line).take(2).map(|(at, _)| at).collect();
        let mut ends = Vec::new();
        for (side, at) in [&read.a, &read.b].into_iter().zip(&sides) {
            if side.nodes.len() != 1 {
                let message =
                    format!("{} names {} nodes, and a side of a table's link is one", side.nodes, side.nodes.len());
                return Err(Mistake::new(at.clone(), message, "write a line for each link"));
            }
            ends.push((self.number(side.nodes.to_string()), side.port));
        }
        let [a, b] = ends[..] else { return Ok(()) };
        if read.each.is_some() {
            return Err(Mistake::new(0..line.len(), "a table's link joins two nodes", "remove each="));
        }
        if a.0 == b.0 {
            let message = format!("this joins {} to itself", read.a.nodes);
            return Err(Mistake::new(sides[1].clone(), message, "remove the line, or name two nodes"));
        }
        for ((node, port), at) in [a, b].into_iter().zip(&sides) {
            if let Some(port) = port.filter(|port| !self.ports.insert((node, *port))) {
                let message = format!("port {port} of {} has another link", self.file.table.names[node as usize]);
                return Err(Mistake::new(at.clone(), message, "write another port"));
            }
        }
        if self.file.table.links.len() >= TABLE_LINKS_MAX as usize {
            let message = format!("the table has more than {TABLE_LINKS_MAX} links");
            return Err(Mistake::new(0..line.len(), message, "keep a part of it"));
        }
        self.file.table.links.push(TableLink { a, b, there: read.there, back: read.back });
        Ok(())
    }

    fn node(&mut self, line: &str) -> Result<(), Mistake> {
        let mut words = words(line).skip(1);
        let Some((at, name)) = words.next() else {
            return Err(Mistake::new(0..line.len(), "a node needs a name", "write node NAME"));
        };
        match HostNames::parse(name) {
            Ok(names) if names.len() == 1 => {}
            Ok(_) => return Err(Mistake::new(at, format!("{name} names several nodes"), "write a line for each")),
            Err(error) => {
                let message = format!("{name:?} is no name: {error}");
                return Err(Mistake::new(at.start + error.at..at.end, message, "write letters, digits and -"));
            }
        }
        let number = self.number(name.to_owned()) as usize;
        for (at, word) in words {
            let wrong = |wanted: &str| Mistake::new(at.clone(), format!("{word:?} says nothing of a node"), wanted);
            match word.split_once('=') {
                Some(("kind", kind)) => {
                    let kind = NodeKind::WORDS.iter().find(|(other, _)| *other == kind);
                    let kind = kind.ok_or_else(|| wrong("write kind=guest, router, switch or cloud"))?;
                    self.file.table.kinds[number] = Some(kind.1.clone());
                }
                Some(("at", place)) => {
                    let place = degrees(place).ok_or_else(|| wrong("write at=LATITUDE,LONGITUDE in degrees"))?;
                    self.file.places[number] = Some(place);
                }
                Some(("address", address)) => {
                    let address = prefix(address).ok_or_else(|| wrong("write address=10.0.0.1/24"))?;
                    if self.file.addresses[number].len() >= ADDRESSES_MAX {
                        return Err(wrong("a node has at most 256 addresses: remove some"));
                    }
                    self.file.addresses[number].push(address);
                }
                _ => return Err(wrong("write kind=, at= or address=")),
            }
        }
        Ok(())
    }
}

/// Latitude and longitude, within what the earth has.
fn degrees(text: &str) -> Option<(f64, f64)> {
    let (north, east) = text.split_once(',')?;
    let (north, east) = (north.parse::<f64>().ok()?, east.parse::<f64>().ok()?);
    ((-90.0..=90.0).contains(&north) && (-180.0..=180.0).contains(&east)).then_some((north, east))
}

fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (length <= most).then_some((address, length))
}

/// A table as text, which [`read`] reads: nodes of which more is known than links say, then the links.
pub fn write(file: &TableFile) -> String {
    let mut text = String::new();
    let TableDraft { names, kinds, links } = &file.table;
    for (at, name) in names.iter().enumerate() {
        let kind = kinds[at].as_ref().map(|kind| format!(" kind={}", kind.word()));
        let place = file.places[at].map(|(north, east)| format!(" at={north},{east}"));
        let addresses = file.addresses[at].iter().map(|(address, length)| format!(" address={address}/{length}"));
        // Every node has a line, so that they count in the same order.
        text += &format!("node {name}{}{}", kind.unwrap_or_default(), place.unwrap_or_default());
        text.extend(addresses);
        text.push('\n');
    }
    for link in links {
        let side = |(node, port): (u32, Option<u32>)| {
            let port = port.map(|port| format!(":{port}"));
            format!("{}{}", names[node as usize], port.unwrap_or_default())
        };
        let words = vmatic_plan::network::words(&link.there, &link.back);
        text += [&[side(link.a), side(link.b)], &words[..]].concat().join(" ").as_str();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a ring of three, and a stub\nnode b kind=router at=48.1,11.5 address=10.0.0.1/24 address=fd00::1/64\n\
                        \na b delay=5ms\r\nb:7 c:1 rate=16mbit/1mbit # slow\nc a\na c\nnode lonely\n";

    #[test]
    fn a_table_is_read_and_written() {
        let file = read(TEXT).unwrap();
        assert_eq!(file.table.names, ["b", "a", "c", "lonely"]);
        assert_eq!(file.table.kinds[0], Some(NodeKind::Router));
        assert_eq!(file.places[0], Some((48.1, 11.5)));
        assert_eq!(file.addresses[0].len(), 2);
        let ends: Vec<_> = file.table.links.iter().map(|link| (link.a, link.b)).collect();
        let plain = |a, b| ((a, None), (b, None));
        assert_eq!(ends, [plain(1, 0), ((0, Some(7)), (2, Some(1))), plain(2, 1), plain(1, 2)]);
        assert_eq!(read(&write(&file)), Ok(file));
    }

    #[test]
    fn every_mistake_has_its_place() {
        let text = "a b\na a\na[1-2] b\nnode\nnode x kind=rooter\nnode x at=91,0\nnode x address=10.0.0.1/33\n\
                    a b speed=1\na b each=all\nnode 7\nnode x at=nan,0\nb:1 a\nb:1 c\n";
        let mistakes = read(text).unwrap_err();
        let shown: Vec<(&str, &str)> =
            mistakes.iter().map(|mistake| (&text[mistake.at.clone()], mistake.message.as_str())).collect();
        let wrong = [
            "a",
            "a[1-2]",
            "node",
            "kind=rooter",
            "at=91,0",
            "address=10.0.0.1/33",
            "speed=1",
            "a b each=all",
            "7",
            "at=nan,0",
            "b:1",
        ];
        assert_eq!(shown.iter().map(|(text, _)| *text).collect::<Vec<_>>(), wrong, "{shown:?}");
        assert_eq!(read("# nothing\n").unwrap_err()[0].message, "the table has no link");
        assert_eq!(read(&"a a\n".repeat(50)).unwrap_err().len(), MISTAKES_MAX);
    }
}
