//! `vmatic diff`: what differs between two images.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::Exit;
use crate::error::Result;
use crate::manifest::FileRecord;
use crate::names::show;
use crate::output::inspect::{ImageArgs, View};
use crate::ui::print::{print, print_json};

/// Show what differs between two images
///
/// Compared are kind, mode, owner, content, a link's target, a device's number, which names are one file's, and whether
/// the kernel finds a file before it unpacks anything; not times, and not the order or the packing of the archive.
///
/// Exits with 0 if nothing differs, with 6 if something does, and with 1 if it could not be found out.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Output folder or image file
    old: PathBuf,
    /// Output folder or image file
    new: PathBuf,
    /// The guest images instead of the hosts'
    #[arg(short, long)]
    guest: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// One path that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    path: String,
    /// "added", "removed" or "changed".
    state: &'static str,
    /// What changed: kind, mode, owner, target, device, hard link, early, content; with the values before and after.
    what: Vec<String>,
    /// Bytes more, or less.
    bytes: i64,
    /// The layer that has it now, or had it.
    layer: String,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let open = |image: PathBuf| ImageArgs { image: Some(image), guest: args.guest }.open();
    let (old, new) = (open(args.old)?, open(args.new)?);
    let differences = differences(&old, &new);
    if args.json {
        print_json(&differences)?;
    } else {
        print(&text(&differences, &old, &new))?;
    }
    Ok(if differences.is_empty() { Exit::Ok } else { Exit::Differs })
}

fn differences(old_view: &View, new_view: &View) -> Vec<Difference> {
    let by_path = |view: &View| view.files.iter().map(|file| (file.path.clone(), file.clone())).collect();
    let (old, new): (BTreeMap<String, FileRecord>, BTreeMap<String, FileRecord>) =
        (by_path(old_view), by_path(new_view));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let difference = |path: &String| {
        let size = |file: Option<&FileRecord>| file.map_or(0, |file| file.size as i64);
        let (before, after) = (old.get(path), new.get(path));
        let (state, what) = match (before, after) {
            (Some(before), Some(after)) => {
                let early = |view: &View| if view.early.contains(path) { "yes" } else { "no" };
                let early = (early(old_view), early(new_view));
                ("changed", changes(before, after, early))
            }
            (None, _) => ("added", Vec::new()),
            (_, None) => ("removed", Vec::new()),
        };
        let layer = after.or(before).map_or_else(String::new, |file| file.layer.clone());
        let same = state == "changed" && what.is_empty();
        (!same).then(|| Difference { path: path.clone(), state, what, bytes: size(after) - size(before), layer })
    };
    paths.into_iter().filter_map(difference).collect()
}

fn changes(old: &FileRecord, new: &FileRecord, early: (&str, &str)) -> Vec<String> {
    let owner = |file: &FileRecord| format!("{}:{}", file.uid, file.gid);
    let name = |name: &Option<String>| name.as_deref().map_or("none".into(), show).into_owned();
    let device = |file: &FileRecord| file.device.clone().unwrap_or_else(|| "none".to_owned());
    let hard_link = |file: &FileRecord| match &file.hard_link {
        Some(first) => format!("to {}", show(first)),
        None => "none".to_owned(),
    };
    let values = [
        ("kind", old.kind.clone(), new.kind.clone()),
        ("mode", old.mode.clone(), new.mode.clone()),
        ("owner", owner(old), owner(new)),
        ("target", name(&old.target), name(&new.target)),
        ("device", device(old), device(new)),
        ("hard link", hard_link(old), hard_link(new)),
        ("early", early.0.to_owned(), early.1.to_owned()),
    ];
    let mut what: Vec<String> = values
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| format!("{name} {old} -> {new}"))
        .collect();
    if old.sha256 != new.sha256 && old.kind == new.kind {
        what.push("content".to_owned());
    }
    what
}

fn text(differences: &[Difference], old: &View, new: &View) -> String {
    let line = |difference: &Difference| {
        let sign = match difference.state {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        let what = difference.what.join(", ");
        let layer = if difference.layer.is_empty() { String::new() } else { format!("  [{}]", difference.layer) };
        format!(
            "{sign} {:>+10} {}{}{what}{layer}\n",
            difference.bytes,
            show(&difference.path),
            if what.is_empty() { "" } else { ": " }
        )
    };
    let mut text: String = differences.iter().map(line).collect();
    let count = |state| differences.iter().filter(|difference| difference.state == state).count();
    let (added, removed, changed) = (count("added"), count("removed"), count("changed"));
    let unpacked = new.unpacked_bytes as i64 - old.unpacked_bytes as i64;
    let packed = new.packed_bytes as i64 - old.packed_bytes as i64;
    text += &format!(
        "{added} added, {removed} removed, {changed} changed; {unpacked:+} bytes unpacked, {packed:+} packed\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(files: &[(&str, &str, &str)]) -> View {
        let file = |(path, mode, sha256): &(&str, &str, &str)| FileRecord {
            path: (*path).to_owned(),
            kind: "file".to_owned(),
            mode: (*mode).to_owned(),
            sha256: Some((*sha256).to_owned()),
            size: 5,
            ..FileRecord::default()
        };
        View {
            name: "x".to_owned(),
            packed_bytes: 1,
            unpacked_bytes: 2,
            explained: false,
            members: Vec::new(),
            early: Vec::new(),
            files: files.iter().map(file).collect(),
        }
    }

    #[test]
    fn what_is_new_gone_or_changed_is_named_and_the_rest_is_not() {
        let old = view(&[("/a", "0644", "1"), ("/b", "0644", "2"), ("/same", "0644", "3")]);
        let new = view(&[("/b", "0755", "9"), ("/c", "0644", "4"), ("/same", "0644", "3")]);
        let found = differences(&old, &new);
        let short: Vec<_> = found.iter().map(|d| (d.path.as_str(), d.state, d.bytes)).collect();
        assert_eq!(short, [("/a", "removed", -5), ("/b", "changed", 0), ("/c", "added", 5)]);
        assert_eq!(found[1].what, ["mode 0644 -> 0755", "content"]);
        assert!(differences(&old, &old).is_empty());
    }
}
