//! `plan.hosts` as a table: `{ file = "hosts", ... }`, the site's own machines.
//!
//! Takes what the spec says of it; gives the table, and for each of its files the mistakes at their lines, so that they
//! are shown as the spec's own are.

use std::cell::RefCell;
use std::path::Path;

use vmatic_plan::Ipv4Net;

use super::diagnose::{Files, Problems, SpecText};
use super::table::{Located, Table};
use crate::hosts::record::Mistake;
use crate::hosts::site::{ReadFile, SiteTable};
use crate::hosts::{self, Filter, Format, TableSource};
use crate::ui::suggest;

/// Most mistakes of one table that are shown.
const MISTAKES_MAX: usize = 20;

/// What a spec says of its table, each part with its place.
pub fn read(table: &Table, folder: &Path, problems: &RefCell<Problems>) -> Option<TableSource> {
    let wrong = |span, message: String, remedy: &str| problems.borrow_mut().add(span, message, remedy);
    let mut source = TableSource::default();
    let files = table.string_or_strings("file", "/etc/hosts");
    for file in files.unwrap_or_default() {
        let path = folder.join(&file.value);
        if path.is_file() {
            source.files.push(path);
        } else {
            let message = format!("the host table {} does not exist", path.display());
            wrong(file.span, message, "correct the path: it is relative to this file");
        }
    }
    for format in table.string_or_strings("format", "csv").unwrap_or_default() {
        match Format::by_word(&format.value) {
            Some(known) => source.formats.push(known),
            None => {
                let words = Format::ALL.iter().map(|format| format.word());
                let remedy = match suggest::nearest(&format.value, words) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("write one of {}", Format::words()),
                };
                wrong(format.span, format!("unknown format of a host table {:?}", format.value), &remedy);
            }
        }
    }
    let filter = |text: Option<Located<String>>| {
        let text = text?;
        let remedy = "write patterns such as \"n[1-40],login*\"";
        Filter::parse(&text.value).map_err(|why| wrong(text.span, format!("invalid pattern: {why}"), remedy)).ok()
    };
    source.only = filter(table.string("only", "n[1-40]"));
    source.except = filter(table.string("except", "login*"));
    if let Some(router) = table.string("router", "192.168.40.1") {
        source.router = router.value.parse().ok();
        if source.router.is_none() {
            wrong(router.span, format!("{:?} is no IPv4 address", router.value), "write an address, as 192.168.40.1");
        }
    }
    if !table.has("file") {
        wrong(0..0, "plan.hosts is a table, and names no file".to_owned(), "write hosts = { file = \"hosts\" }");
    }
    (!source.files.is_empty()).then_some(source)
}

/// Reads the table; its files come with their mistakes.
pub fn load(
    source: &Located<TableSource>,
    networks: Vec<Ipv4Net>,
    guest_network: Ipv4Net,
    problems: &mut Problems,
) -> (Option<SiteTable>, Files) {
    let table = TableSource { networks, guest_network: Some(guest_network), ..source.value.clone() };
    let reading = match hosts::read(&table) {
        Ok(reading) => reading,
        Err((path, why)) => {
            let message = format!("cannot read the host table {}: {why}", path.display());
            problems.add(source.span.clone(), message, "correct the path, or who may read the file");
            return (None, Files::new());
        }
    };
    let mut shown = reading.mistakes.as_slice();
    if let Some((most, rest)) = shown.split_at_checked(MISTAKES_MAX).filter(|(_, rest)| !rest.is_empty()) {
        let message = format!("the host table has {} more mistakes", rest.len());
        problems.add(source.span.clone(), message, "correct those that are shown first");
        shown = most;
    }
    let files = reading.files.iter().enumerate().map(|(n, file)| {
        let mut problems = Problems::default();
        shown.iter().filter(|mistake| mistake.place.file == n).for_each(|mistake| add(mistake, file, &mut problems));
        (SpecText { path: file.path.clone(), text: text_for(&problems, file) }, problems)
    });
    (reading.site, files.collect())
}

/// The text of a file whose lines are to be shown.
fn text_for(problems: &Problems, file: &ReadFile) -> String {
    if problems.is_empty() { String::new() } else { file.text.clone() }
}

/// Notes a mistake at its line, without what is blank around it.
fn add(mistake: &Mistake, file: &ReadFile, problems: &mut Problems) {
    let start: usize = file.text.split_inclusive('\n').take(mistake.place.line.saturating_sub(1)).map(str::len).sum();
    let line = file.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let begin = start + line.len() - line.trim_start().len();
    problems.add(begin..begin + line.trim().len(), mistake.message.clone(), mistake.remedy.clone());
}
