//! Installed gems: where they lie, what of them is loaded, what they depend on. A gem comes whole, its tests and
//! documents left out: its code loads its own files by names that only a run can tell.

use std::collections::BTreeMap;

use super::tokens::tokens;
use crate::rootfs::root::Rootfs;
use crate::scripts::token::{Lexeme, inside};

/// Folders with gems/, specifications/ and extensions/ in them.
const HOMES: &[&str] = &[
    "/var/lib/gems/*",
    "/usr/local/lib/ruby/gems/*",
    "/usr/local/share/gems",
    "/usr/lib/ruby/gems/*",
    "/usr/share/gems",
    "/usr/share/rubygems-integration/*",
    "/usr/lib/*/rubygems-integration/*",
    "/usr/local/share/ruby/gems/*",
];

/// Folders of a gem that no program loads.
const NOT_WANTED: &[&str] =
    &["/test/", "/tests/", "/spec/", "/doc/", "/docs/", "/features/", "/examples/", "/benchmark/", "/.git"];

/// Most files of one gem.
const FILES_MAX: usize = 10_000;

/// A gem.
#[derive(Clone, Debug)]
pub struct Gem {
    /// Its specification.
    pub specification: String,
    /// The folder of its files, which need not be there.
    pub folder: String,
    /// Its folders that are searched.
    pub require_folders: Vec<String>,
    /// Those of its compiled parts, too.
    extensions: Vec<String>,
    /// Names of gems that it needs.
    pub dependencies: Vec<String>,
}

/// All gems of a root, by name.
pub fn installed(root: &dyn Rootfs) -> BTreeMap<String, Gem> {
    let mut gems = BTreeMap::new();
    for home in HOMES.iter().flat_map(|pattern| root.glob(pattern)) {
        for specification in root.glob(&format!("{home}/specifications/*.gemspec")) {
            let file = specification.rsplit('/').next().unwrap_or_default();
            let full = file.strip_suffix(".gemspec").unwrap_or(file).to_owned();
            let text = root.text(&specification).unwrap_or_default();
            let name = full.rsplit_once('-').map_or(full.as_str(), |(name, _)| name).to_owned();
            let folder = format!("{home}/gems/{full}");
            let (paths, dependencies) = read(&text);
            let mut require_folders: Vec<String> = paths.iter().map(|path| format!("{folder}/{path}")).collect();
            let extensions = root.glob(&format!("{home}/extensions/*/*/{full}"));
            require_folders.extend(extensions.iter().cloned());
            gems.insert(name, Gem { specification, folder, require_folders, extensions, dependencies });
        }
    }
    gems
}

/// require_paths and dependencies of a specification, which is a Ruby program: it is read, not run.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let spots = tokens(text);
    let (mut paths, mut dependencies) = (Vec::new(), Vec::new());
    for at in 0..spots.len() {
        match spots[at].name() {
            Some("require_paths") if spots.get(at + 1).is_some_and(|spot| spot.is('=')) => {
                paths.extend(inside(&spots, at + 2).iter().filter_map(Lexeme::text).map(str::to_owned));
            }
            Some("add_runtime_dependency" | "add_dependency") => {
                dependencies.extend(inside(&spots, at + 1).iter().find_map(Lexeme::text).map(str::to_owned));
            }
            _ => {}
        }
    }
    if paths.is_empty() {
        paths.push("lib".to_owned());
    }
    dependencies.sort();
    dependencies.dedup();
    (paths, dependencies)
}

impl Gem {
    /// Its files.
    pub fn files(&self, root: &dyn Rootfs) -> Vec<String> {
        let folders = [&self.folder].into_iter().chain(&self.extensions);
        let below = folders.flat_map(|folder| root.walk(folder));
        let wanted = |path: &String| !NOT_WANTED.iter().any(|part| format!("{path}/").contains(part));
        let files = below.filter(wanted).filter(|path| root.find_file(path).is_some());
        [self.specification.clone()].into_iter().chain(files.take(FILES_MAX)).collect()
    }
}
