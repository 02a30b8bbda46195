//! The metadata of installed distributions (PEP 376, setuptools' egg-info): which one a name means, what it asks for.

use super::imports::distribution;
use super::path::ModulePath;
use crate::rootfs::root::Rootfs;

/// An installed distribution's metadata: a folder, or one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The path of its .dist-info or .egg-info.
    pub path: String,
}

/// An entry point: its group, its name, its module.
pub type EntryPoint = (String, String, String);

impl Distribution {
    /// The one of this name.
    pub fn find(path: &mut ModulePath, name: &str) -> Option<Distribution> {
        let wanted = normal(name);
        for site in path.sites.clone() {
            for entry in path.names(&site) {
                let Some(stem) = stem(&entry) else { continue };
                let own = stem.split('-').next().unwrap_or_default();
                if normal(own) == wanted || normal(stem) == wanted {
                    return Some(Distribution { path: format!("{site}/{entry}") });
                }
            }
        }
        None
    }

    /// All that are there.
    pub fn all(path: &mut ModulePath) -> Vec<Distribution> {
        let sites = path.sites.clone();
        let of = |site: String| {
            let names = path.names(&site).into_iter().filter(|entry| stem(entry).is_some());
            names.map(|entry| Distribution { path: format!("{site}/{entry}") }).collect::<Vec<_>>()
        };
        sites.into_iter().flat_map(of).collect()
    }

    /// The files of its metadata.
    pub fn files(&self, root: &dyn Rootfs) -> Vec<String> {
        match root.find_file(&self.path) {
            Some(_) => vec![self.path.clone()],
            None => {
                let names = root.find(&self.path).map(|found| root.list(&found.real)).unwrap_or_default();
                names
                    .into_iter()
                    .map(|name| format!("{}/{name}", self.path))
                    .filter(|path| root.find_file(path).is_some())
                    .collect()
            }
        }
    }

    /// What it is loaded by.
    pub fn entry_points(&self, root: &dyn Rootfs) -> Vec<EntryPoint> {
        let text = root.text(&format!("{}/entry_points.txt", self.path)).unwrap_or_default();
        let mut group = String::new();
        let mut points = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                group = name.to_owned();
            } else if let Some((name, target)) = line.split_once('=') {
                let module = target.split([':', '[']).next().unwrap_or_default().trim();
                points.push((group.clone(), name.trim().to_owned(), module.to_owned()));
            }
        }
        points
    }

    /// The distributions that it needs on this system, extras left out.
    pub fn requires(&self, root: &dyn Rootfs) -> Vec<String> {
        let metadata = ["METADATA", "PKG-INFO"].iter().find_map(|name| root.text(&format!("{}/{name}", self.path)));
        let metadata = metadata.or_else(|| root.text(&self.path)).unwrap_or_default();
        let head = metadata.split("\n\n").next().unwrap_or_default();
        let lines = head.lines().filter_map(|line| line.strip_prefix("Requires-Dist:"));
        let mut names: Vec<String> =
            lines.filter(|line| !line.contains("extra")).map(|line| distribution(line.trim())).collect();
        // setuptools' own list, up to the first section.
        let list = root.text(&format!("{}/requires.txt", self.path)).unwrap_or_default();
        names.extend(list.lines().take_while(|line| !line.starts_with('[')).map(|line| distribution(line.trim())));
        names.retain(|name| !name.is_empty());
        names
    }
}

/// The name and version of a metadata folder.
fn stem(entry: &str) -> Option<&str> {
    entry.strip_suffix(".dist-info").or_else(|| entry.strip_suffix(".egg-info"))
}

/// Equal for all spellings of a name (PEP 503).
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '.'], "_")
}
