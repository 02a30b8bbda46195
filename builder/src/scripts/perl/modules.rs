//! Follows what a Perl script loads, over what is not Perl's core.

use std::collections::{BTreeSet, VecDeque};

use super::uses::{Asks, asks};
use crate::rootfs::root::Rootfs;
use crate::scripts::commands;
use crate::scripts::need::{SCRIPT_BYTES_MAX, Script, ScriptNeed, Wanted};

/// Most files of one script.
const FILES_MAX: usize = 20_000;

/// Most modules that a file may load by a name that only a run can tell.
const DYNAMIC_MAX: usize = 500;

/// Most folders that a file names, in which a module is looked for that is nowhere else.
const NAMED_FOLDERS_MAX: usize = 50;

/// @INC beside the core: Debian's folders, Fedora's and Arch's.
const FOLDERS: &[&str] = &[
    "/etc/perl",
    "/usr/local/lib/*/perl/5.*",
    "/usr/local/share/perl/5.*",
    "/usr/lib/*/perl5/5.*",
    "/usr/share/perl5",
    "/usr/local/lib/site_perl",
    "/usr/local/lib64/perl5",
    "/usr/local/share/perl5",
    "/usr/lib64/perl5/vendor_perl",
    "/usr/share/perl5/vendor_perl",
    "/usr/lib/perl5/5.*/vendor_perl",
    "/usr/share/perl5/site_perl",
];

/// The core, which the row of the interpreter brings.
const CORE: &[&str] = &[
    "/usr/lib/*/perl-base",
    "/usr/lib/*/perl/5.*",
    "/usr/share/perl/5.*",
    "/usr/lib/perl5",
    "/usr/lib64/perl5",
    "/usr/share/perl5/core_perl",
];

/// Modules that the interpreter has within.
const BUILT_IN: &[&str] = &["attributes.pm", "mro.pm", "re.pm", "utf8.pm", "version.pm", "PerlIO.pm", "Internals.pm"];

/// A file to look into.
struct Task {
    path: String,
    /// Its path below @INC, for what lies beside it.
    below: String,
    guarded: bool,
}

/// What the script needs beside its interpreter.
pub fn needs(root: &dyn Rootfs, script: &Script) -> Vec<ScriptNeed> {
    let there = |patterns: &[&str]| -> Vec<String> { patterns.iter().flat_map(|pattern| root.glob(pattern)).collect() };
    let mut following = Following {
        root,
        folders: there(FOLDERS),
        core: there(CORE),
        made: Vec::new(),
        out: Vec::new(),
        seen: BTreeSet::new(),
        sure: VecDeque::new(),
        guarded: VecDeque::new(),
    };
    let first = asks(&script.text);
    following.take(&first, &script.path, false, true);
    while let Some(task) = following.sure.pop_front().or_else(|| following.guarded.pop_front()) {
        let Some(text) = following.text(&task.path) else { continue };
        let asks = asks(&text);
        following.take(&asks, &task.path, task.guarded, false);
        if asks.dynamic {
            let own = task.below.strip_suffix(".pm").map(str::to_owned);
            for stem in own.into_iter().chain(asks.stems.iter().cloned()) {
                following.below(&stem, &task.path);
            }
        }
    }
    following.out
}

struct Following<'r> {
    root: &'r dyn Rootfs,
    folders: Vec<String>,
    core: Vec<String>,
    /// Folders of modules that a file's texts make.
    made: Vec<String>,
    out: Vec<ScriptNeed>,
    seen: BTreeSet<String>,
    sure: VecDeque<Task>,
    guarded: VecDeque<Task>,
}

impl Following<'_> {
    /// A file's text; old modules are Latin-1.
    fn text(&self, path: &str) -> Option<String> {
        let found = self.root.find_file(path)?;
        if self.root.open(&found.real).ok()?.len() > SCRIPT_BYTES_MAX {
            return None;
        }
        let bytes = self.root.head(&found.real, SCRIPT_BYTES_MAX as usize).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn take(&mut self, asks: &Asks, by: &str, guarded: bool, first: bool) {
        let own_folder = by.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (own, path) in &asks.folders {
            let folder = if *own { format!("{own_folder}{path}") } else { path.clone() };
            if !self.folders.contains(&folder) {
                self.folders.insert(0, folder);
            }
        }
        for used in &asks.uses {
            let mut found = self.load(&used.path, by, used.line, guarded || used.guarded);
            if !found && self.find_folder(asks, &used.path) {
                found = self.load(&used.path, by, used.line, guarded || used.guarded);
            }
            let module = used.path.strip_suffix(".pm").filter(|_| first && !used.guarded && !found);
            if let Some(module) = module.map(|path| path.replace('/', "::")) {
                let need = Wanted::Nothing(module.clone());
                self.need(need, format!("module {module}"), by, used.line, false);
            }
        }
        if asks.dynamic {
            for path in &asks.named {
                self.load(path, by, 1, true);
            }
        }
        for (name, line, tried) in &asks.programs {
            self.need(Wanted::Command(name.clone()), format!("program {name}"), by, *line, guarded || *tried || !first);
        }
        for (text, line, tried) in &asks.shell {
            self.out.extend(commands::of_text(text, by, *line, guarded || *tried || !first));
        }
        for (path, line) in &asks.paths {
            self.need(Wanted::Data(path.clone()), format!("path {path}"), by, *line, true);
        }
    }

    /// Looks for a module that is nowhere in @INC where the file's own texts may lead: in a folder that it names, or
    /// makes of one that it names and of another text, as `catdir($datadir, $package)` does. That folder is in @INC
    /// then.
    fn find_folder(&mut self, asks: &Asks, path: &str) -> bool {
        let root = self.root;
        let has = |folder: &String| root.find_file(&format!("{folder}/{path}")).is_some();
        let named: BTreeSet<&str> = asks.paths.iter().map(|(path, _)| path.trim_end_matches('/')).collect();
        let named = named.into_iter().take(NAMED_FOLDERS_MAX).filter(|folder| root.exists(folder));
        let parts: BTreeSet<&String> = asks.parts.iter().collect();
        let mut folders = named.flat_map(|folder| {
            let joined = parts.iter().map(move |part| format!("{folder}/{part}"));
            [folder.to_owned()].into_iter().chain(joined)
        });
        // What is bundled with a program lies below its own folder of modules, in one more for each bundle.
        let bundled = |own: &String| {
            let below = format!("/{path}");
            let files = root.walk(own).into_iter().take(FILES_MAX);
            files.into_iter().find_map(|file| file.strip_suffix(&below).map(str::to_owned))
        };
        let found = folders.find(has).or_else(|| self.made.iter().find_map(bundled));
        let Some(found) = found else { return false };
        if !self.made.iter().any(|own| found.starts_with(own)) {
            self.made.push(found.clone());
        }
        self.folders.insert(0, found);
        true
    }

    fn need(&mut self, wanted: Wanted, reason: String, by: &str, line: usize, guarded: bool) {
        self.out.push(ScriptNeed { wanted, reason, needed_by: by.to_owned(), line, guarded });
    }

    /// Brings what `require` of this path loads; whether there is such a file.
    fn load(&mut self, path: &str, by: &str, line: usize, guarded: bool) -> bool {
        if path.starts_with('/') || path.starts_with("./") || path.starts_with("../") {
            let own_folder = by.rsplit_once('/').map_or("", |(folder, _)| folder);
            let full = if path.starts_with('/') { path.to_owned() } else { format!("{own_folder}/{path}") };
            return self.bring(&full, path, by, line, guarded);
        }
        // The core's own copy goes before a vendor's only where the vendor has none: @INC has the core last.
        for folder in self.folders.clone() {
            if self.bring(&format!("{folder}/{path}"), path, by, line, guarded) {
                self.extension(path, by, line, guarded);
                return true;
            }
        }
        let core = |folder: &String| self.root.find_file(&format!("{folder}/{path}")).is_some();
        BUILT_IN.contains(&path) || self.core.iter().any(core)
    }

    fn bring(&mut self, full: &str, below: &str, by: &str, line: usize, guarded: bool) -> bool {
        let Some(found) = self.root.find_file(full) else { return false };
        if self.seen.len() < FILES_MAX && self.seen.insert(found.real.clone()) {
            let name = below.strip_suffix(".pm").unwrap_or(below).replace('/', "::");
            self.need(Wanted::File(full.to_owned()), format!("module {name}"), by, line, guarded);
            let queue = if guarded { &mut self.guarded } else { &mut self.sure };
            queue.push_back(Task { path: full.to_owned(), below: below.to_owned(), guarded });
        }
        true
    }

    /// The compiled part of a module, and what AutoSplit made of it.
    fn extension(&mut self, path: &str, by: &str, line: usize, guarded: bool) {
        let Some(stem) = path.strip_suffix(".pm") else { return };
        for folder in self.folders.clone() {
            let auto = format!("{folder}/auto/{stem}");
            let Some(found) = self.root.find(&auto) else { continue };
            for name in self.root.list(&found.real) {
                let file = format!("{auto}/{name}");
                if self.root.find_file(&file).is_some() && self.seen.insert(file.clone()) {
                    self.need(
                        Wanted::File(file),
                        format!("compiled part of {}", stem.replace('/', "::")),
                        by,
                        line,
                        guarded,
                    );
                }
            }
        }
    }

    /// All modules below Foo/ for a module that loads what only a run can tell: of Foo.pm, or of "Foo::$name".
    fn below(&mut self, stem: &str, by: &str) {
        for folder in self.folders.clone() {
            let paths = self.root.walk(&format!("{folder}/{stem}"));
            for path in paths.iter().filter(|path| path.ends_with(".pm")).take(DYNAMIC_MAX) {
                let name = path.split_once(&format!("/{stem}/")).map_or("", |(_, name)| name);
                let below = format!("{stem}/{name}");
                if self.bring(&format!("{folder}/{below}"), &below, by, 1, true) {
                    self.extension(&below, by, 1, true);
                }
            }
        }
    }
}
