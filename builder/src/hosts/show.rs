//! A table as people read it: what was read, folded by what is regular, and what was left out.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use vmatic_plan::{HostId, Mac, RangeSet};

use super::site::{SiteHost, SiteTable};
use crate::ui::size::count;

/// Most rows that are shown unless each is asked for.
const ROWS_MAX: usize = 64;
/// Most lines of what was left out, likewise.
const LEFT_OUT_MAX: usize = 32;
/// Longest pattern of names that is shown whole.
const NAMES_MAX: usize = 48;

type Cells = [String; 5];

/// Writes it; with `each`, a row for each host.
pub fn write(site: &SiteTable, out: &mut dyn Write, each: bool) -> io::Result<()> {
    for (path, format, said) in &site.formats {
        let how = if *said { "as the spec says" } else { "by its content" };
        writeln!(out, "{}: {}, {how}", path.display(), format.word())?;
    }
    let networks: Vec<String> = site.networks.iter().map(ToString::to_string).collect();
    let networks = if networks.is_empty() { "addresses computed".to_owned() } else { networks.join(", ") };
    let names = match site.names.is_listed() {
        true => "names as a list".to_owned(),
        false if site.names.to_string().len() <= NAMES_MAX => format!("names by the pattern {}", site.names),
        false => "names by a pattern".to_owned(),
    };
    let hosts = count(site.hosts.len() as u64, "host");
    writeln!(out, "{hosts} ({networks}); {names}; {} bytes of table in the image", site.bytes())?;
    let mut spans = spans(site, each);
    let more = spans.len().saturating_sub(if each { usize::MAX } else { ROWS_MAX });
    if more > 0 {
        spans = by_rack(site);
        spans.truncate(ROWS_MAX);
    }
    let mut rows = vec![["HOST", "NAME", "ADDRESS", "MAC", "RACK"].map(str::to_owned)];
    rows.extend(spans.iter().map(|span| cells(site, *span)));
    let widths: [usize; 5] = std::array::from_fn(|n| rows.iter().map(|row| row[n].len()).max().unwrap_or_default());
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    if more > 0 {
        writeln!(out, "(nothing to fold further: --each shows every host)")?;
    }
    let shown = if each { usize::MAX } else { LEFT_OUT_MAX };
    if !site.left_out.is_empty() {
        writeln!(out, "left out:")?;
    }
    for left in site.left_out.iter().take(shown) {
        let path =
            site.formats.get(left.place.file).map_or_else(String::new, |(path, _, _)| path.display().to_string());
        writeln!(out, "{path}:{}: {}: {}", left.place.line, left.what, left.why)?;
    }
    match site.left_out.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more: --each shows them"),
    }
}

/// The same as one value.
pub fn json(site: &SiteTable) -> Value {
    let path = |file: usize| site.formats.get(file).map(|(path, _, _)| path.display().to_string());
    let host = |(n, host): (usize, &SiteHost)| {
        json!({
            "host": n + 1,
            "name": host.name,
            "mac": host.mac.map(|mac| mac.to_string()),
            "more_macs": host.more_macs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "ipv4": host.ipv4,
            "rack": host.rack,
            "machine": host.machines,
            "file": path(host.place.file),
            "line": host.place.line,
        })
    };
    let left = site.left_out.iter().map(
        |left| json!({ "file": path(left.place.file), "line": left.place.line, "what": left.what, "why": left.why }),
    );
    json!({
        "files": site.formats.iter().map(|(path, format, _)| json!({ "file": path, "format": format.word() })).collect::<Vec<_>>(),
        "networks": site.networks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "table_bytes": site.bytes(),
        "hosts": site.hosts.iter().enumerate().map(host).collect::<Vec<_>>(),
        "left_out": left.collect::<Vec<_>>(),
    })
}

/// Ranges of hosts, from 0, of which each is the one before and one more in all that is shown.
fn spans(site: &SiteTable, each: bool) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for n in 0..site.hosts.len() {
        match spans.last_mut().filter(|span| !each && follows(site, span.0, n)) {
            Some(span) => span.1 = n,
            None => spans.push((n, n)),
        }
    }
    spans
}

fn follows(site: &SiteTable, first: usize, n: usize) -> bool {
    let (begin, before, host) = (&site.hosts[first], &site.hosts[n - 1], &site.hosts[n]);
    let next = |a: Option<u64>, b: Option<u64>, step: Option<u64>| match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => b.checked_sub(a) == step,
        _ => false,
    };
    let address = |host: &SiteHost| host.ipv4.map(|address| u64::from(u32::from(address)));
    let mac = |host: &SiteHost| host.mac.map(mac_number);
    // The step of a range's MACs is that of its first two.
    let second = &site.hosts[first + 1];
    let step = mac(begin).zip(mac(second)).and_then(|(a, b)| b.checked_sub(a));
    let names = vmatic_plan::fold_list([&before.name, &host.name].into_iter().cloned());
    before.rack == host.rack
        && names.contains("]")
        && !names.contains(',')
        && next(address(before), address(host), Some(1))
        && next(mac(before), mac(host), step.filter(|step| *step > 0))
}

fn by_rack(site: &SiteTable) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for n in 0..site.hosts.len() {
        match spans.last_mut().filter(|span| site.hosts[span.0].rack == site.hosts[n].rack) {
            Some(span) => span.1 = n,
            None => spans.push((n, n)),
        }
    }
    spans
}

fn mac_number(Mac([a, b, c, d, e, f]): Mac) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn cells(site: &SiteTable, (first, last): (usize, usize)) -> Cells {
    let hosts = &site.hosts[first..=last];
    let numbers = RangeSet::span(first as u32 + 1, last as u32 + 1);
    let folded = vmatic_plan::fold_list(hosts.iter().map(|host| host.name.clone()));
    let ends = |first: String, last: String| if first == last { first } else { format!("{first} to {last}") };
    let (a, b) = (&hosts[0], &hosts[hosts.len() - 1]);
    let names = if folded.len() <= NAMES_MAX { folded } else { ends(a.name.clone(), b.name.clone()) };
    let least = |addresses: &mut dyn Iterator<Item = Ipv4Addr>| {
        let all: Vec<Ipv4Addr> = addresses.collect();
        match (all.iter().min(), all.iter().max()) {
            (Some(low), Some(high)) => ends(low.to_string(), high.to_string()),
            _ => "-".to_owned(),
        }
    };
    let mut macs: Vec<u64> = hosts.iter().filter_map(|host| host.mac).map(mac_number).collect();
    macs.sort_unstable();
    let text = |number: u64| {
        let [_, _, mac @ ..] = number.to_be_bytes();
        Mac(mac).to_string()
    };
    let mut mac = match (macs.first(), macs.last()) {
        (Some(low), Some(high)) => ends(text(*low), text(*high)),
        _ => "-".to_owned(),
    };
    if !macs.is_empty() && macs.len() < hosts.len() {
        let _ = write!(mac, ", {} without", hosts.len() - macs.len());
    }
    let addresses = least(&mut hosts.iter().filter_map(|host| host.ipv4));
    [numbers.to_string(), names, addresses, mac, a.rack.clone().unwrap_or_else(|| "-".to_owned())]
}

/// Where a host's row stands, for a sentence.
pub fn line_of(site: &SiteTable, host: HostId) -> Option<String> {
    let host = site.hosts.get(host.0.checked_sub(1)? as usize)?;
    let (path, _, _) = site.formats.get(host.place.file)?;
    Some(format!("{}:{}", path.display(), host.place.line))
}
