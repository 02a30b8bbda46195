//! `vmatic import`: a topology of another tool as a spec, or as a spec and a table of links.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Exit;
use crate::error::{Error, PathContext, Result};
use crate::fs::write_file;
use crate::import::options::Options;
use crate::import::topology::{Kind, LeftOut, Topology};
use crate::import::{self, FILE_BYTES_MAX, Format, label, write};
use crate::ui::escape::escape_control;
use crate::ui::print::print;
use crate::ui::say;

/// Take a topology of another tool over into a spec
///
/// Reads the files of GraphML (Topology Zoo), GML (Shadow), containerlab, CORE, GNS3, CML, EVE-NG, Kathará, phenix,
/// minimega, BRITE, Inet, OPNET, CAIDA's AS relations, Mininet's `net` and `dump`, and lists of links. Writes a spec,
/// and a table of links beside it where there are more than 64 or where they have addresses. What was left out is said,
/// with its lines. Names become lower case, with hyphens for all that is no letter or digit; equal ones get their id
/// behind them.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file of the other tool
    file: PathBuf,
    /// What it is [default: told by its content]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The spec to write [default: the file's name with .toml, here]
    #[arg(short, long = "out", visible_alias = "output", value_name = "SPEC")]
    output: Option<PathBuf>,
    /// Keep a part: core:N keeps N nodes, taking out the one of the fewest links again and again
    #[arg(long, value_name = "core:N", value_parser = core_size)]
    keep: Option<usize>,
    /// Leave out nodes that the file says are outside of its network
    #[arg(long)]
    no_external: bool,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
}

fn core_size(text: &str) -> std::result::Result<usize, String> {
    let number = text.strip_prefix("core:").and_then(|number| number.parse().ok()).filter(|number| *number > 1);
    number.ok_or_else(|| "write core:N, with N at least 2".to_owned())
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let text = read_text(&args.file)?;
    let shown = escape_control(args.file.to_string_lossy().as_bytes());
    let format = args.format.or_else(|| Format::of(&text)).ok_or_else(|| {
        Error::new(format!("cannot import {shown}"))
            .because("its content is of no format that is known")
            .help("say which it is with --format (`vmatic import --help` lists them)")
    })?;
    let beside = if format == Format::Kathara { startups(&args.file)? } else { BTreeMap::new() };
    let options = Options { no_external: args.no_external, keep_core: args.keep, beside };
    let topology = import::read(&text, format, &options).map_err(|error| {
        let place = if error.line > 0 { format!("{shown}:{}", error.line) } else { shown.clone() };
        let told = if args.format.is_some() { "" } else { "; another --format, if it is no such file" };
        let help = format!("{}{told}", error.help.unwrap_or("correct that line"));
        Error::new(format!("cannot import {place} as {}", format.title()))
            .because(escape_control(error.message.as_bytes()))
            .help(help)
    })?;
    write_out(&args, &topology, format, &shown)
}

/// The whole file, if it is a text of a size that is read.
fn read_text(path: &Path) -> Result<String> {
    let size = fs::metadata(path).at("read", path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Error::new(format!("cannot read {}", path.display()))
            .because(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20))
            .help("import a part of it"));
    }
    let bytes = fs::read(path).at("read", path)?;
    // What old tools wrote in Latin-1 is only names.
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|byte| char::from(*byte)).collect()))
}

/// The `.startup` files beside a lab.conf.
fn startups(file: &Path) -> Result<BTreeMap<String, String>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).at("read", folder)? {
        let entry = entry.at("read", folder)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".startup") && entry.path().is_file() {
            all.insert(name, read_text(&entry.path())?);
        }
    }
    Ok(all)
}

fn write_out(args: &Args, topology: &Topology, format: Format, shown: &str) -> Result<Exit> {
    let stem = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.trim_end_matches(".clab").to_owned();
    let spec = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.toml", label::name(&stem))));
    let table = spec.with_extension("links");
    let file = table.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if file.contains(['"', '\\']) || file.chars().any(char::is_control) {
        return Err(Error::new(format!("cannot write {}", escape_control(file.as_bytes())))
            .because("its name has characters that a spec does not take")
            .help("name another file with --out"));
    }
    let name = label::name(topology.title.as_deref().unwrap_or(&stem));
    let base = args.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let heading = format!("Imported from {base} ({}): {}.", format.title(), counts(topology));
    let written = write::write(topology, &name, &file, &heading);
    let mut files = vec![(&spec, &written.spec)];
    // The table first: a spec is never there without what it names.
    files.splice(0..0, written.table.iter().map(|text| (&table, text)));
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists() && !args.force) {
        return Err(Error::new(format!("cannot write {}", path.display()))
            .because("it exists")
            .help("name another with --out, or overwrite it with --force"));
    }
    for (path, text) in &files {
        write_file(path, text.as_bytes(), 0o666)?;
    }
    topology.left_out.iter().for_each(|left_out| say::note(sentence(left_out, shown)));
    say::line(format!("{shown}: {}: {}", format.title(), counts(topology)));
    for (path, _) in files.iter().rev() {
        print(&format!("{}\n", path.display()))?;
    }
    Ok(Exit::Ok)
}

fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How many nodes of which kind, links, and parts.
fn counts(topology: &Topology) -> String {
    let of = |kind: Kind| topology.nodes.iter().filter(|node| node.kind == kind).count();
    let words = [
        (Kind::Guest, "guest", "guests"),
        (Kind::Router, "router", "routers"),
        (Kind::Switch, "switch", "switches"),
        (Kind::Cloud, "cloud", "clouds"),
    ];
    let kinds = words.into_iter().map(|(kind, one, many)| (of(kind), one, many)).filter(|(count, ..)| *count > 0);
    let mut all: Vec<String> = kinds.map(|(count, one, many)| plural(count, one, many)).collect();
    all.push(plural(topology.links.len(), "link", "links"));
    let parts = topology.components();
    if parts > 1 {
        all.push(format!("in {parts} parts that no link joins"));
    }
    all.join(", ")
}

/// `lab.yml:3, 5 and 12 more: left out KEY: REASON`.
fn sentence(left_out: &LeftOut, shown: &str) -> String {
    let lines: Vec<String> = left_out.lines.iter().filter(|line| **line > 0).map(usize::to_string).collect();
    let more = left_out.count.saturating_sub(left_out.lines.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let place = if lines.is_empty() { shown.to_owned() } else { format!("{shown}:{}{more}", lines.join(", ")) };
    let (key, reason) = (escape_control(left_out.key.as_bytes()), escape_control(left_out.reason.as_bytes()));
    format!("{place}: left out {}: {}", key.replace('\n', " "), reason.replace('\n', " "))
}
