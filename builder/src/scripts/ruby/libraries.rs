//! Follows what a Ruby script loads, over what is not Ruby's own library.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::gems::{self, Gem};
use super::requires::{Asks, Load, asks};
use crate::rootfs::root::Rootfs;
use crate::scripts::commands;
use crate::scripts::need::{Script, ScriptNeed, Wanted};

/// Most files of one script, gems not counted.
const FILES_MAX: usize = 20_000;

/// Where Ruby's own library lies, which comes with the interpreter.
const STANDARD: &[&str] = &[
    "/usr/lib/ruby/vendor_ruby",
    "/usr/lib/ruby/vendor_ruby/*.*.0",
    "/usr/lib/ruby/*.*.0",
    "/usr/lib/*/ruby/vendor_ruby/*.*.0",
    "/usr/lib/*/ruby/*.*.0",
    "/usr/lib/ruby/gems/*/gems/*/lib",
];

/// Where what is installed beside it lies.
const SITES: &[&str] = &[
    "/usr/local/lib/site_ruby",
    "/usr/local/lib/site_ruby/*",
    "/usr/local/lib/*/site_ruby",
    "/usr/share/ruby/vendor_ruby",
];

/// What the script needs beside its interpreter.
pub fn needs(root: &dyn Rootfs, script: &Script) -> Vec<ScriptNeed> {
    let there = |patterns: &[&str]| patterns.iter().flat_map(|pattern| root.glob(pattern)).collect::<Vec<_>>();
    let mut following = Following {
        root,
        standard: there(STANDARD),
        folders: there(SITES),
        gems: gems::installed(root),
        out: Vec::new(),
        seen: BTreeSet::new(),
        queue: VecDeque::new(),
    };
    following.take(&asks(&script.text), &script.path, false, true);
    while let Some((path, guarded)) = following.queue.pop_front() {
        let Some(text) = root.text(&path) else { continue };
        following.take(&asks(&text), &path, guarded, false);
    }
    following.out
}

struct Following<'r> {
    root: &'r dyn Rootfs,
    standard: Vec<String>,
    folders: Vec<String>,
    gems: BTreeMap<String, Gem>,
    out: Vec<ScriptNeed>,
    seen: BTreeSet<String>,
    /// What is certain is put in front.
    queue: VecDeque<(String, bool)>,
}

impl Following<'_> {
    fn take(&mut self, asks: &Asks, by: &str, guarded: bool, first: bool) {
        let own_folder = by.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        for folder in &asks.folders {
            let folder = format!("{own_folder}/{folder}");
            if !self.folders.contains(&folder) {
                self.folders.insert(0, folder);
            }
        }
        for (load, line, tried) in &asks.loads {
            let sure = !guarded && !tried;
            let (found, name) = match load {
                Load::Gem(name) => (self.gem(name, by, *line, !sure), name),
                Load::Relative(path) => (self.file(&format!("{own_folder}/{path}"), path, by, *line, !sure), path),
                Load::Feature(path) => (self.feature(path, by, *line, !sure), path),
            };
            if first && sure && !found && !BUILT_IN.contains(&name.as_str()) {
                self.need(Wanted::Nothing(name.clone()), format!("library {name}"), by, *line, false);
            }
        }
        for (name, line) in &asks.programs {
            self.need(Wanted::Command(name.clone()), format!("program {name}"), by, *line, guarded || !first);
        }
        for (text, line) in &asks.shell {
            self.out.extend(commands::of_text(text, by, *line, guarded || !first));
        }
        for (path, line) in &asks.paths {
            self.need(Wanted::Data(path.clone()), format!("path {path}"), by, *line, true);
        }
    }

    fn need(&mut self, wanted: Wanted, reason: String, by: &str, line: usize, guarded: bool) {
        self.out.push(ScriptNeed { wanted, reason, needed_by: by.to_owned(), line, guarded });
    }

    /// The names that a feature's file may have.
    fn names(path: &str) -> Vec<String> {
        if path.ends_with(".rb") || path.ends_with(".so") {
            return vec![path.to_owned()];
        }
        vec![format!("{path}.rb"), format!("{path}.so"), path.to_owned()]
    }

    /// A file of this path, by one of the names that Ruby tries.
    fn file(&mut self, path: &str, name: &str, by: &str, line: usize, guarded: bool) -> bool {
        let Some(found) = Self::names(path).into_iter().find(|path| self.root.find_file(path).is_some()) else {
            return false;
        };
        if self.seen.len() < FILES_MAX && self.seen.insert(found.clone()) {
            self.need(Wanted::File(found.clone()), format!("library {name}"), by, line, guarded);
            if guarded {
                self.queue.push_back((found, true));
            } else {
                self.queue.push_front((found, false));
            }
        }
        true
    }

    fn feature(&mut self, path: &str, by: &str, line: usize, guarded: bool) -> bool {
        if path.starts_with('/') {
            return self.file(path, path, by, line, guarded);
        }
        for folder in self.folders.clone() {
            if self.file(&format!("{folder}/{path}"), path, by, line, guarded) {
                return true;
            }
        }
        let names = Self::names(path);
        let has = |folder: &String| names.iter().any(|name| self.root.find_file(&format!("{folder}/{name}")).is_some());
        if self.standard.iter().any(has) {
            return true;
        }
        let gem = self.gems.iter().find(|(_, gem)| gem.require_folders.iter().any(has)).map(|(name, _)| name.clone());
        gem.is_some_and(|name| self.gem(&name, by, line, guarded))
    }

    /// A gem and what it depends on, whole.
    fn gem(&mut self, name: &str, by: &str, line: usize, guarded: bool) -> bool {
        let there = self.gems.contains_key(name);
        let mut todo = vec![name.to_owned()];
        while let Some(name) = todo.pop() {
            let Some(gem) = self.gems.get(&name).cloned() else { continue };
            if !self.seen.insert(gem.specification.clone()) {
                continue;
            }
            for file in gem.files(self.root) {
                self.need(Wanted::File(file), format!("gem {name}"), by, line, guarded);
            }
            todo.extend(gem.dependencies);
        }
        there
    }
}

/// Features that the interpreter has within.
const BUILT_IN: &[&str] = &[
    "rubygems",
    "thread",
    "thread.rb",
    "enumerator",
    "enumerator.so",
    "rational",
    "complex",
    "fiber",
    "ruby2_keywords",
];
