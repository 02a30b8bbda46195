//! `vmatic trace`: lines of a spec for what a program, which is run here, uses beyond its closure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::closure::Closure;
use crate::elf;
use crate::error::{Error, Result};
use crate::packages::dpkg::Database;
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;
use crate::ui::escape::escape_control;
use crate::ui::print::print;
use crate::ui::say;
use crate::{Exit, trace};

/// Run a program here and propose spec lines for what it uses
///
/// Prints what it started and opened that the builder would not bring for it, as lines for its host or guest.
/// The program runs for real, with your rights; its output goes to standard error.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What every machine has of its own, or makes while it runs.
const OWN: [&str; 7] = ["/proc/", "/sys/", "/dev/", "/tmp/", "/run/", "/var/run/", "/etc/ld.so.cache"];

/// What programs read for the language of the user's session, and do without.
const LANGUAGE: [&str; 4] = [
    "/usr/lib/locale/",
    "/usr/share/locale/",
    "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
    "/usr/share/i18n/",
];

/// Most lines of guessed input.
const INPUT_MAX: usize = 10;

/// From so many files on, a package is proposed whole.
const FILES_MAX: usize = 3;

/// The lines to propose.
#[derive(Debug, Default, PartialEq, Eq)]
struct Proposal {
    /// Programs and libraries.
    binaries: BTreeSet<String>,
    /// Packages with many of the opened files, and those files.
    packages: BTreeMap<String, Vec<String>>,
    /// Other files.
    files: BTreeSet<String>,
    /// Files for the language of the session.
    language: usize,
    /// Files below the working folder or the home: most likely the program's input.
    input: BTreeSet<String>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit> {
    let traced = trace::run(&args.command)?;
    let root = Sysroot::new("/");
    let mut closure = Closure::new(&root);
    let first = which(&args.command[0], &root)?;
    closure.survey(&first)?;
    closure.include_likely();
    let mut proposal = Proposal { binaries: [first].into(), ..Proposal::default() };
    for program in traced.executed.iter().filter(|path| !is_own(path)) {
        propose_binary(&mut closure, program, &mut proposal);
    }
    for path in traced.opened.iter().filter(|path| !is_own(path) && elf::is_library(path)) {
        propose_binary(&mut closure, path, &mut proposal);
    }
    propose_files(&closure, &root, &traced.opened, &mut proposal);
    print(&lines(&args.command, &proposal))?;
    if let Some(cause) = &traced.failed {
        say::warn(format!("{} ended with {cause}: it may not have used all it needs", args.command[0]));
    }
    Ok(Exit::Ok)
}

fn is_own(path: &str) -> bool {
    OWN.iter().any(|own| path.starts_with(own))
}

/// The program's path, as the shell would find it.
fn which(program: &str, root: &Sysroot) -> Result<String> {
    let place: &dyn Rootfs = root;
    if program.contains('/') {
        let path = std::path::absolute(program);
        return Ok(path.map_or_else(|_| program.to_owned(), |path| path.to_string_lossy().into_owned()));
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::split_paths(&folders).map(|folder| folder.join(program).to_string_lossy().into_owned());
    let mut paths = paths.filter(|path| place.find_file(path).is_some());
    paths.next().ok_or_else(|| {
        Error::new(format!("cannot find {program}")).because("no folder of PATH has it").help("name it by its path")
    })
}

fn propose_binary(closure: &mut Closure, path: &str, proposal: &mut Proposal) {
    let root: &dyn Rootfs = closure.root();
    let Some(found) = root.find_file(path) else { return };
    if !closure.files.contains_key(&found.real) && closure.survey(path).is_ok() {
        proposal.binaries.insert(path.to_owned());
    }
}

fn propose_files(closure: &Closure, root: &Sysroot, opened: &BTreeSet<String>, proposal: &mut Proposal) {
    let place: &dyn Rootfs = root;
    let here = std::env::current_dir().unwrap_or_default();
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home != Path::new("/"));
    let mut left: BTreeMap<String, String> = BTreeMap::new();
    for path in opened.iter().filter(|path| !is_own(path)) {
        let Some(found) = place.find_file(path) else { continue };
        let inside = |folder: &Path| folder != Path::new("/") && Path::new(path).starts_with(folder);
        if closure.files.contains_key(&found.real) || is_own(&found.real) {
            continue;
        }
        if LANGUAGE.iter().any(|part| path.starts_with(part)) {
            proposal.language += 1;
        } else if inside(&here) || home.as_deref().is_some_and(inside) {
            proposal.input.insert(path.clone());
        } else {
            left.insert(found.real, path.clone());
        }
    }
    let owners = Database::open(Path::new("/")).owners(left.keys().chain(left.values()));
    let mut by_package: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (real, path) in &left {
        match owners.get(real).or_else(|| owners.get(path)) {
            Some(package) => by_package.entry(package.clone()).or_default().push(path.clone()),
            None => drop(proposal.files.insert(path.clone())),
        }
    }
    for (package, paths) in by_package {
        if paths.len() > FILES_MAX {
            proposal.packages.insert(package, paths);
        } else {
            proposal.files.extend(paths);
        }
    }
}

/// A list as TOML, one value a line when it is long.
fn list(key: &str, values: &[String]) -> String {
    match values {
        [] => String::new(),
        [one] => format!("{key} = [{one}]\n"),
        many => format!("{key} = [\n{}]\n", many.iter().map(|value| format!("    {value},\n")).collect::<String>()),
    }
}

fn lines(command: &[String], proposal: &Proposal) -> String {
    let quoted = |text: &String| toml::Value::String(text.clone()).to_string();
    let mut text = format!("# what `{}` uses, for [host] or [guest]\n", escape_control(command.join(" ").as_bytes()));
    text.push_str("# started, or opened as a library\n");
    text.push_str(&list("binaries", &proposal.binaries.iter().map(quoted).collect::<Vec<_>>()));
    if !proposal.packages.is_empty() {
        for (package, paths) in &proposal.packages {
            text.push_str(&format!("# {package}: {} of its files were opened, such as {}\n", paths.len(), paths[0]));
        }
        text.push_str(&list("packages", &proposal.packages.keys().map(quoted).collect::<Vec<_>>()));
    }
    if !proposal.files.is_empty() {
        text.push_str("# opened; from is this machine's\n");
        let file = |path: &String| format!("{{ from = {}, to = {} }}", quoted(path), quoted(path));
        text.push_str(&list("files", &proposal.files.iter().map(file).collect::<Vec<_>>()));
    }
    for path in proposal.input.iter().take(INPUT_MAX) {
        text.push_str(&format!("# input? {}\n", escape_control(path.as_bytes())));
    }
    if proposal.input.len() > INPUT_MAX {
        text.push_str(&format!("# input? and {} more files like these\n", proposal.input.len() - INPUT_MAX));
    }
    if proposal.language > 0 {
        text.push_str(&format!("# not proposed: {} files for the language of this session\n", proposal.language));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_toml_that_a_spec_takes() {
        let proposal = Proposal {
            binaries: ["/usr/bin/a".to_owned(), "/usr/bin/b \"c\"".to_owned()].into(),
            packages: [("tzdata".to_owned(), vec!["/usr/share/zoneinfo/UTC".to_owned()])].into(),
            files: ["/etc/x".to_owned()].into(),
            language: 2,
            input: ["/home/me/input".to_owned()].into(),
        };
        let table: toml::Table = lines(&["a".to_owned()], &proposal).parse().unwrap();
        assert_eq!(table["binaries"].as_array().unwrap().len(), 2);
        assert_eq!(table["packages"][0].as_str(), Some("tzdata"));
        assert_eq!(table["files"][0]["to"].as_str(), Some("/etc/x"));
    }
}
