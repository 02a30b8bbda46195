//! `vmatic deps`: what a program or script needs, as the builder sees it, without running anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Exit;
use crate::closure::load::{Edge, Met};
use crate::closure::{Certainty, Closure};
use crate::error::{PathContext, Result};
use crate::rootfs::sysroot::Sysroot;
use crate::ui::print::{print, print_json};
use crate::ui::say;
use crate::ui::size::mb;

/// Show all that a program or script needs, without running it
///
/// The tree shows libraries under who asks for them, each once, with the rule that found it; then what
/// the program opens or starts by itself, and what it is likely to: names in its data that its packages have.
/// Exit status 1 when something is missing.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Programs, scripts or libraries, by path or name
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// One path a line, links included, to feed cpio or tar
    #[arg(short, long)]
    list: bool,
    /// Only what the loader loads, without plug-ins and what a program starts
    #[arg(long)]
    libraries: bool,
    /// Only what is certain, without what programs seem to need by names in their data
    #[arg(long)]
    strict: bool,
    /// Look in this root instead of /; nothing outside it is used
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Folders of the root that count as LD_LIBRARY_PATH
    #[arg(long, value_name = "DIR", value_delimiter = ':')]
    library_path: Vec<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "list")]
    json: bool,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    fs::read_dir(&args.root).at("read the root", &args.root)?;
    let root = Sysroot::new(&args.root);
    let mut closure = Closure::new(&root).library_path(&args.library_path).strict(args.strict);
    if args.libraries {
        closure = closure.libraries_only();
    }
    let mut programs = Vec::new();
    for file in &args.files {
        programs.push(closure.survey(&inside(file, &args.root)?)?);
    }
    if !args.strict {
        closure.include_likely();
    }
    if args.json {
        print_json(&value(&closure, &root))?;
    } else if args.list {
        let paths: BTreeSet<&String> =
            closure.files.keys().chain(closure.links.keys()).chain(closure.folders.keys()).collect();
        print(&paths.into_iter().map(|path| format!("{path}\n")).collect::<String>())?;
    } else {
        print(&Drawing::new(&closure, &root).draw(&programs))?;
    }
    for note in &closure.notes {
        say::warn(note);
    }
    for missing in &closure.missing {
        say::error(&missing.error());
    }
    if !args.list && !args.json {
        say::line(summary(&closure, &root));
    }
    Ok(if closure.missing.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// A path as the root has it: on this machine's own root, a relative path starts at the working folder.
fn inside(file: &str, root: &Path) -> Result<String> {
    if !file.contains('/') || file.starts_with('/') {
        return Ok(file.to_owned());
    }
    if root != Path::new("/") {
        return Ok(format!("/{file}"));
    }
    let path = std::path::absolute(file).at("find", file)?;
    Ok(path.to_string_lossy().into_owned())
}

fn bytes_of(root: &Sysroot, path: &str) -> u64 {
    fs::metadata(root.on_disk(path)).map_or(0, |metadata| metadata.len())
}

fn summary(closure: &Closure, root: &Sysroot) -> String {
    let bytes = closure.files.keys().map(|path| bytes_of(root, path)).sum();
    let mut text = format!("{} files, {} links, {}", closure.files.len(), closure.links.len(), mb(bytes));
    let likely = closure.files.iter().filter(|(_, need)| need.certainty == Certainty::Likely);
    let likely: Vec<u64> = likely.map(|(path, _)| bytes_of(root, path)).collect();
    if !likely.is_empty() {
        text.push_str(&format!(", {} of them likely ({})", likely.len(), mb(likely.iter().sum())));
    }
    for (count, what) in [
        (closure.missing.len(), "missing"),
        (closure.left_out.len(), "plug-ins left out"),
        (closure.suggested.len(), "suggested (see --json)"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn value(closure: &Closure, root: &Sysroot) -> serde_json::Value {
    let edges = |path: &str| -> Vec<_> {
        let edges = closure.edges.get(path).map(Vec::as_slice).unwrap_or_default();
        edges
            .iter()
            .map(|edge| json!({ "name": edge.name, "path": edge.met.path(), "found": edge.met.how() }))
            .collect()
    };
    let files = closure.files.iter().map(|(path, need)| {
        json!({
            "path": path, "bytes": bytes_of(root, path), "reason": need.reason, "needed_by": need.needed_by,
            "certainty": need.certainty.word(),
            "needs": edges(path),
        })
    });
    let missing = closure.missing.iter();
    json!({
        "files": files.collect::<Vec<_>>(),
        "links": closure.links,
        "folders": closure.folders.keys().collect::<Vec<_>>(),
        "missing": missing.map(|m| json!({ "name": m.name, "chain": m.chain, "tried": m.tried })).collect::<Vec<_>>(),
        "left_out": closure.left_out,
        "suggested": closure.suggested,
        "notes": closure.notes,
    })
}

/// Files and bytes by how sure they are, and by the reason for them.
type Sums<'a> = BTreeMap<(Certainty, &'a str), (usize, u64)>;

/// A tree under construction.
struct Drawing<'a> {
    closure: &'a Closure<'a>,
    root: &'a Sysroot,
    colour: bool,
    shown: BTreeSet<String>,
    /// By who asks: reason, files and bytes of what comes without being named in an ELF file.
    groups: BTreeMap<&'a str, Sums<'a>>,
    text: String,
}

/// One line below another.
enum Branch<'a> {
    Edge(&'a Edge),
    Group(Certainty, &'a str, usize, u64),
}

impl<'a> Drawing<'a> {
    fn new(closure: &'a Closure<'a>, root: &'a Sysroot) -> Drawing<'a> {
        let colour =
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal();
        let mut groups: BTreeMap<&str, Sums> = BTreeMap::new();
        let named: BTreeSet<&str> = closure.edges.values().flatten().filter_map(|edge| edge.met.path()).collect();
        for (path, need) in &closure.files {
            let Some(by) = need.needed_by.as_deref().filter(|_| !named.contains(path.as_str())) else { continue };
            let sum = groups.entry(by).or_default().entry((need.certainty, need.reason.as_str())).or_default();
            *sum = (sum.0 + 1, sum.1 + bytes_of(root, path));
        }
        Drawing { closure, root, colour, shown: BTreeSet::new(), groups, text: String::new() }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn draw(mut self, programs: &[String]) -> String {
        for program in programs {
            let place: &dyn crate::rootfs::root::Rootfs = self.root;
            let Some(found) = place.find(program) else { continue };
            let via = if found.real == *program { String::new() } else { format!(" -> {}", found.real) };
            let line = format!("{}{}\n", self.paint("1", program), self.paint("2", &via));
            self.text.push_str(&line);
            self.below(&found.real, "");
        }
        self.text
    }

    /// What a file asks for that is not shown yet, under it.
    fn below(&mut self, real: &str, indent: &str) {
        if !self.shown.insert(real.to_owned()) {
            return;
        }
        let closure = self.closure;
        let edges = closure.edges.get(real).map(Vec::as_slice).unwrap_or_default();
        let groups = self.groups.remove(real).into_iter().flatten();
        // Each library stands where it is first asked for; a program's own list comes before theirs.
        let new: Vec<Branch> = edges
            .iter()
            .filter(|edge| match &edge.met {
                Met::By { path, .. } => !self.shown.contains(path),
                Met::Loaded { .. } => false,
                Met::Loader | Met::Nothing => true,
            })
            .map(Branch::Edge)
            .chain(groups.map(|((sure, why), (n, bytes))| Branch::Group(sure, why, n, bytes)))
            .collect();
        let count = new.len();
        for (at, branch) in new.into_iter().enumerate() {
            let (twig, more) = if at + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let lead = self.paint("2", &format!("{indent}{twig}"));
            match branch {
                Branch::Group(certainty, why, files, bytes) => {
                    let sure = if certainty == Certainty::Likely { "likely: " } else { "" };
                    let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
                    let line = format!("{lead}{sure}{}: {files}, {}\n", self.paint("35", why), mb(bytes));
                    self.text.push_str(&line);
                }
                Branch::Edge(edge) => {
                    let (name, how) = (&edge.name, self.paint("2", &format!("({})", edge.met.how())));
                    let line = match edge.met.path() {
                        Some(path) => format!("{} {path} {how}", self.paint("36", name)),
                        None if edge.met == Met::Nothing => self.paint("1;31", &format!("{name} not found")),
                        None => format!("{name} {how}"),
                    };
                    self.text.push_str(&format!("{lead}{line}\n"));
                    if let Some(to) = edge.met.path() {
                        self.below(to, &format!("{indent}{more}"));
                    }
                }
            }
        }
    }
}
