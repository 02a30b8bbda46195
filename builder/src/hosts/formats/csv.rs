//! Comma-separated values (RFC 4180); semicolons and tabs do as well. The first line names the columns, and the names
//! decide: name, mac, address, rack, uuid, serial, asset.

use crate::hosts::record::Found;

/// What a column says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Column {
    Name,
    Node,
    Mac,
    Address,
    Rack,
    Machine,
    Other,
}

/// The headers that are known, in lower case, without what is no letter or digit.
const HEADERS: [(Column, &[&str]); 6] = [
    (Column::Name, &["name", "host", "hostname", "nodename"]),
    (Column::Node, &["node"]),
    (Column::Mac, &["mac", "macaddress", "hwaddr", "hwaddress", "ethernet", "hardware"]),
    (Column::Address, &["address", "ip", "ipv4", "ipaddress", "ipaddr", "ipv4address"]),
    (Column::Rack, &["rack", "cabinet"]),
    (Column::Machine, &["machine", "uuid", "systemuuid", "serial", "serialnumber", "asset", "assettag"]),
];

/// Columns of `vmatic plan --format csv` that say nothing of a machine.
const COMPUTED: [&str; 4] = ["ipv6", "parent", "guestsrouter", "guestsblock"];

fn column(header: &str) -> (Column, String) {
    let plain: String = header.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let known = HEADERS.iter().find(|(_, words)| words.contains(&plain.as_str()));
    (known.map_or(Column::Other, |(column, _)| *column), plain)
}

/// The fields of each row, with the line where it begins; what is wrong with quotes.
fn rows(text: &str, separator: char) -> (Vec<(usize, Vec<String>)>, Option<usize>) {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begin, mut quoted, mut any) = (1, 1, None, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let newline = c == '\n';
        line += usize::from(newline);
        match c {
            '"' if quoted.is_some() && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted.is_some() => quoted = None,
            '"' if field.trim().is_empty() => {
                (quoted, any) = (Some(line), true);
                field.clear();
            }
            _ if quoted.is_some() => field.push(c),
            '\n' => {
                row.push(std::mem::take(&mut field));
                rows.push((begin, std::mem::take(&mut row)));
                (begin, any) = (line, false);
            }
            c if c == separator => {
                row.push(std::mem::take(&mut field));
                any = true;
            }
            '\r' => {}
            _ => {
                field.push(c);
                any = true;
            }
        }
    }
    if any || !row.is_empty() {
        row.push(field);
        rows.push((begin, row));
    }
    let rows = rows.into_iter().map(|(line, row)| (line, row.iter().map(|field| field.trim().to_owned()).collect()));
    let says = |row: &(usize, Vec<String>)| row.1.iter().any(|field| !field.is_empty()) && !row.1[0].starts_with('#');
    (rows.filter(says).collect(), quoted)
}

/// The character between the fields of a header.
pub fn separator(header: &str) -> char {
    [',', ';', '\t'].into_iter().max_by_key(|c| (header.matches(*c).count(), *c == ',')).unwrap_or(',')
}

/// The first line that says something.
pub fn header(text: &str) -> &str {
    text.lines().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).unwrap_or("")
}

/// Whether a line is a header of ours: it names at least the hosts, and one thing more.
pub fn is_header(line: &str) -> bool {
    let columns: Vec<Column> =
        line.split(separator(line)).map(|text| column(text.trim().trim_matches('"')).0).collect();
    let names = columns.iter().any(|column| matches!(column, Column::Name | Column::Node));
    names && columns.iter().any(|column| !matches!(column, Column::Name | Column::Node | Column::Other))
}

/// Reads the file.
pub fn read(text: &str, found: &mut Found) {
    let (rows, unclosed) = rows(text, separator(header(text)));
    if let Some(line) = unclosed {
        found.mistake(line, "unclosed \"", "close the field");
    }
    let Some(((first_line, heads), rows)) = rows.split_first() else {
        return found.mistake(1, "there is nothing in it", "begin with a line such as name,mac,address,rack");
    };
    let mut columns: Vec<Column> = Vec::new();
    for head in heads {
        let (column, plain) = column(head);
        if column == Column::Other && !COMPUTED.contains(&plain.as_str()) {
            found.leave_out(*first_line, format!("the column {head:?}"), "it says nothing that a table has");
        }
        columns.push(column);
    }
    // `vmatic plan` writes both: a node's path, and its name.
    let named = columns.contains(&Column::Name);
    if !named && !columns.contains(&Column::Node) {
        let remedy = "begin with a line such as name,mac,address,rack";
        return found.mistake(*first_line, "no column has the hosts' names", remedy);
    }
    for (line, row) in rows {
        if row.len() != columns.len() {
            let message = format!("{} fields, and the first line has {}", row.len(), columns.len());
            found.mistake(*line, message, "write a field for each column; quote those with a separator");
            continue;
        }
        read_row(*line, row, &columns, named, found);
    }
}

fn read_row(line: usize, row: &[String], columns: &[Column], named: bool, found: &mut Found) {
    let fields = || columns.iter().zip(row).filter(|(_, field)| !field.is_empty() && *field != "-");
    let text = |wanted| fields().find(|(column, _)| **column == wanted).map(|(_, field)| field.as_str());
    let name = text(if named { Column::Name } else { Column::Node }).unwrap_or_default();
    if named && text(Column::Node).is_some_and(|node| node.contains('/')) {
        return found.leave_out(line, name, "a guest: guests are computed");
    }
    if name.is_empty() {
        return found.mistake(line, "the row has no name", "write the host's name, or remove the row");
    }
    let mut record = found.record(line, name);
    for (column, field) in fields() {
        match column {
            Column::Mac => record.macs.extend(found.mac(line, field)),
            Column::Address => record.ipv4 = found.ipv4(line, field),
            Column::Rack => record.rack = Some(field.clone()),
            Column::Machine => record.machines.push(field.clone()),
            Column::Name | Column::Node | Column::Other => {}
        }
    }
    found.push(record);
}
