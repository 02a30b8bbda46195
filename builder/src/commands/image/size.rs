//! `vmatic size`: what takes the space in an image, by layer, folder and reason.

use std::collections::BTreeMap;

use serde_json::json;

use crate::Exit;
use crate::error::Result;
use crate::manifest::FileRecord;
use crate::names::show;
use crate::output::inspect::{ImageArgs, View};
use crate::ui::print::{print, print_json};

/// Show what takes the space in an image
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    image: ImageArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How many files and folders to show
    #[arg(short, long, default_value_t = 10)]
    count: usize,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let view = args.image.open()?;
    let (layers, folders) = (sums(&view, |file| file.layer.clone()), sums(&view, folder));
    let mut files: Vec<&FileRecord> = view.files.iter().filter(|file| file.size > 0).collect();
    files.sort_by_key(|file| (std::cmp::Reverse(file.size), &file.path));
    files.truncate(args.count);
    if args.json {
        let pairs = |sums: &[(String, u64, usize)]| -> Vec<_> {
            sums.iter().map(|(name, bytes, files)| json!({ "name": name, "bytes": bytes, "files": files })).collect()
        };
        print_json(&json!({
            "image": view.name,
            "packed_bytes": view.packed_bytes,
            "unpacked_bytes": view.unpacked_bytes,
            "layers": pairs(&layers),
            "folders": pairs(&folders),
            "largest": files.iter().map(|file| json!({ "path": file.path, "bytes": file.size })).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = format!(
        "{}: {} bytes on the wire, {} unpacked, {} files\n",
        view.name,
        view.packed_bytes,
        view.unpacked_bytes,
        view.files.len()
    );
    if view.explained {
        text.push_str(&table("LAYER", &layers));
    }
    text.push_str(&table("FOLDER", &folders[..folders.len().min(args.count)]));
    let largest: Vec<_> = files.iter().map(|file| (file.path.clone(), file.size, 1)).collect();
    text.push_str(&table("LARGEST", &largest));
    print(&text)?;
    Ok(Exit::Ok)
}

/// The folder of a file, at most two deep, so that the table stays short.
fn folder(file: &FileRecord) -> String {
    let parts: Vec<&str> = file.path.split('/').skip(1).collect();
    let depth = parts.len().saturating_sub(1).min(2);
    format!("/{}", parts[..depth].join("/"))
}

/// Bytes and files by a key, largest first.
fn sums(view: &View, key: impl Fn(&FileRecord) -> String) -> Vec<(String, u64, usize)> {
    let mut sums: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for file in &view.files {
        let sum = sums.entry(key(file)).or_default();
        sum.0 += file.size;
        sum.1 += 1;
    }
    let mut sums: Vec<_> = sums.into_iter().map(|(name, (bytes, files))| (name, bytes, files)).collect();
    sums.sort_by_key(|(name, bytes, _)| (std::cmp::Reverse(*bytes), name.clone()));
    sums
}

fn table(head: &str, rows: &[(String, u64, usize)]) -> String {
    let mut text = format!("\n{:>12} {:>6} {head}\n", "BYTES", "FILES");
    for (name, bytes, files) in rows {
        text.push_str(&format!("{bytes:>12} {files:>6} {}\n", show(name)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_summed_by_folder() {
        let file = |path: &str, size| FileRecord { path: path.to_owned(), size, ..FileRecord::default() };
        let view = View {
            name: String::new(),
            packed_bytes: 0,
            unpacked_bytes: 0,
            explained: true,
            members: Vec::new(),
            early: Vec::new(),
            files: vec![file("/init", 5), file("/usr/lib/a/b", 7), file("/usr/lib/c", 1), file("/etc/x", 2)],
        };
        let expected = [("/usr/lib".to_owned(), 8, 2), ("/".to_owned(), 5, 1), ("/etc".to_owned(), 2, 1)];
        assert_eq!(sums(&view, folder), expected);
    }
}
