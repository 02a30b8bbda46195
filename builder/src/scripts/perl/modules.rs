//! Follows what a Perl script loads, over what is not Perl's core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::uses::{Asks, asks};
use crate::rootfs::root::{Found, Rootfs};
use crate::scripts::commands;
use crate::scripts::need::{SCRIPT_BYTES_MAX, Script, ScriptNeed, Wanted};

/// Most files of one script.
const FILES_MAX: usize = 20_000;

/// Most modules that a file may load by a name that only a run can tell.
const DYNAMIC_MAX: usize = 500;

/// Most times that the root is asked for one script's sake; a large program with all its modules takes some ten
/// thousand.
const STEPS_MAX: usize = 1_000_000;

/// Most folders of @INC.
const FOLDERS_MAX: usize = 200;

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

/// Parts of paths that stand in no program's own folder when they are its last.
const SHARED_PARTS: [&str; 7] = ["bin", "sbin", "lib", "lib64", "libexec", "share", "local"];

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
    needs_within(root, script, STEPS_MAX)
}

/// The same, with this many questions to the root.
fn needs_within(root: &dyn Rootfs, script: &Script, steps: usize) -> Vec<ScriptNeed> {
    let there = |patterns: &[&str]| -> Vec<String> { patterns.iter().flat_map(|pattern| root.glob(pattern)).collect() };
    let (folders, core) = (there(FOLDERS), there(CORE));
    let mut following = Following {
        root,
        steps,
        gave_up: false,
        everybodys: folders.iter().chain(&core).cloned().collect(),
        folders,
        core,
        missed: BTreeSet::new(),
        made: BTreeMap::new(),
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
    if following.steps == 0 && !following.gave_up {
        let module = "of its modules, which are too many to look for all,".to_owned();
        following.need(Wanted::Nothing(module), "modules".to_owned(), &script.path, 1, false);
    }
    following.out
}

struct Following<'r> {
    root: &'r dyn Rootfs,
    /// How often the root may still be asked.
    steps: usize,
    /// Whether it was said that it may be asked no more.
    gave_up: bool,
    /// The folders of @INC that all programs share, and the core's.
    everybodys: Vec<String>,
    folders: Vec<String>,
    core: Vec<String>,
    /// Modules that are in none of those folders.
    missed: BTreeSet<String>,
    /// Folders of modules that a file's texts make, each with what is below it by name: that is walked once.
    made: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    out: Vec<ScriptNeed>,
    seen: BTreeSet<String>,
    sure: VecDeque<Task>,
    guarded: VecDeque<Task>,
}

/// Where modules of one file may be that are nowhere in @INC.
#[derive(Default)]
struct Places {
    /// Folders that are there, once they were looked for.
    folders: Option<Vec<String>>,
    /// Modules that are not there either.
    missed: BTreeSet<String>,
}

impl Following<'_> {
    /// Takes so many steps; false when there are no more.
    fn step(&mut self, count: usize) -> bool {
        self.steps = self.steps.saturating_sub(count);
        self.steps > 0
    }

    /// A file of the root, if it may still be asked.
    fn find_file(&mut self, path: &str) -> Option<Found> {
        if self.step(1) { self.root.find_file(path) } else { None }
    }

    /// Puts a folder first into @INC, once.
    fn add_folder(&mut self, folder: String) {
        if self.folders.len() < FOLDERS_MAX && !self.folders.contains(&folder) {
            self.folders.insert(0, folder);
            self.missed.clear();
        }
    }

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
            self.add_folder(if *own { format!("{own_folder}{path}") } else { path.clone() });
        }
        let mut places = Places::default();
        for used in &asks.uses {
            let mut found = self.load(&used.path, by, used.line, guarded || used.guarded);
            if !found && self.find_folder(asks, &used.path, &mut places) {
                found = self.load(&used.path, by, used.line, guarded || used.guarded);
            }
            let module = used.path.strip_suffix(".pm").filter(|_| first && !used.guarded && !found && !self.gave_up);
            if let Some(mut module) = module.map(|path| path.replace('/', "::")) {
                if self.steps == 0 {
                    self.gave_up = true;
                    module += " and others after it, which are too many to look for,";
                }
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
    fn find_folder(&mut self, asks: &Asks, path: &str, places: &mut Places) -> bool {
        if places.missed.contains(path) {
            return false;
        }
        let folders = places.folders.get_or_insert_with(|| self.named_folders(asks));
        let named = folders.iter().find(|folder| self.find_file(&format!("{folder}/{path}")).is_some()).cloned();
        let Some(found) = named.or_else(|| self.bundled(path)) else {
            places.missed.insert(path.to_owned());
            return false;
        };
        places.missed.clear();
        let below = |own: &String| found.strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with('/'));
        if self.is_a_programs(&found) && !self.made.contains_key(&found) && !self.made.keys().any(below) {
            let files = self.root.walk(&found);
            self.step(files.len());
            let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for file in files.into_iter().take(FILES_MAX) {
                let name = file.rsplit('/').next().unwrap_or_default().to_owned();
                by_name.entry(name).or_default().push(file);
            }
            self.made.insert(found.clone(), by_name);
        }
        self.add_folder(found);
        true
    }

    /// The folders that a file's texts name or make, those that are there.
    fn named_folders(&mut self, asks: &Asks) -> Vec<String> {
        let named: BTreeSet<&str> = asks.paths.iter().map(|(path, _)| path.trim_end_matches('/')).collect();
        let parts: BTreeSet<&String> = asks.parts.iter().collect();
        let mut out = Vec::new();
        let mut count = 0;
        for folder in named {
            if count == NAMED_FOLDERS_MAX || !self.step(1) {
                break;
            }
            if !self.root.exists(folder) {
                continue;
            }
            count += 1;
            out.push(folder.to_owned());
            for joined in parts.iter().map(|part| format!("{folder}/{part}")) {
                if self.step(1) && self.root.exists(&joined) {
                    out.push(joined);
                }
            }
        }
        out
    }

    /// The folder of a module that is bundled with a program: it lies below the program's own folder of modules, in one
    /// more for each bundle.
    fn bundled(&mut self, path: &str) -> Option<String> {
        let below = format!("/{path}");
        let name = path.rsplit('/').next().unwrap_or(path);
        let files = self.made.values().filter_map(|by_name| by_name.get(name)).flatten();
        let mut looked = 0;
        let found = files.inspect(|_| looked += 1).find_map(|file| file.strip_suffix(&below).map(str::to_owned));
        self.step(looked);
        found
    }

    /// Whether a folder is some program's own, not one that programs share such as /usr/share.
    fn is_a_programs(&self, folder: &str) -> bool {
        let holds =
            |shared: &String| shared.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let last = folder.rsplit('/').next().unwrap_or_default();
        let shared = (SHARED_PARTS.contains(&last) || last.contains("-linux-")) && folder.starts_with("/usr/");
        let shared = shared && folder.matches('/').count() <= 3;
        folder.matches('/').count() >= 2 && !shared && !self.everybodys.iter().any(holds)
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
        if self.missed.contains(path) {
            return false;
        }
        // The core's own copy goes before a vendor's only where the vendor has none: @INC has the core last.
        for at in 0..self.folders.len() {
            let full = format!("{}/{path}", self.folders[at]);
            if self.bring(&full, path, by, line, guarded) {
                self.extension(path, by, line, guarded);
                return true;
            }
        }
        if BUILT_IN.contains(&path) {
            return true;
        }
        for at in 0..self.core.len() {
            let full = format!("{}/{path}", self.core[at]);
            if self.find_file(&full).is_some() {
                return true;
            }
        }
        self.missed.insert(path.to_owned());
        false
    }

    fn bring(&mut self, full: &str, below: &str, by: &str, line: usize, guarded: bool) -> bool {
        let Some(found) = self.find_file(full) else { return false };
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
            if !self.step(1) {
                return;
            }
            let auto = format!("{folder}/auto/{stem}");
            let Some(found) = self.root.find(&auto) else { continue };
            for name in self.root.list(&found.real) {
                let file = format!("{auto}/{name}");
                if self.find_file(&file).is_some() && self.seen.insert(file.clone()) {
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
            if !self.step(1) {
                return;
            }
            let paths = self.root.walk(&format!("{folder}/{stem}"));
            self.step(paths.len());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::tree::{Entry, FileTree, Why};
    use crate::scripts::need::Language;

    /// What a script of these modules misses in a root with one folder of @INC, with so many steps.
    fn missed(modules: &[&str], steps: usize) -> Vec<String> {
        let mut root = FileTree::new();
        root.insert("/usr/share/perl5/There.pm", Entry::file(b"1;".to_vec(), 0o644, Why::default())).unwrap();
        let perl = "/usr/bin/perl".to_owned();
        let text = modules.iter().map(|module| format!("use {module};\n")).collect();
        let (interpreter, interpreter_real) = (perl.clone(), perl);
        let path = "/usr/bin/tool".to_owned();
        let script = Script { path, text, language: Language::Perl, interpreter, interpreter_real };
        let needs = needs_within(&root, &script, steps);
        let nothing = |need: ScriptNeed| match need.wanted {
            Wanted::Nothing(name) => Some(name),
            _ => None,
        };
        needs.into_iter().filter_map(nothing).collect()
    }

    #[test]
    fn a_script_that_asks_for_too_much_is_told_where_that_ends() {
        // A step for each module, and one for the end.
        assert_eq!(missed(&["One", "Two", "Three"], 4), ["One", "Two", "Three"]);
        let cut = "Three and others after it, which are too many to look for,";
        assert_eq!(missed(&["One", "Two", "Three"], 3), ["One", "Two", cut]);
        assert_eq!(missed(&["One", "Two", "Three", "Four"], 3), ["One", "Two", cut]);
        assert_eq!(missed(&["One", "One", "One"], 2), ["One", "One", "One"], "what is known costs nothing");
    }
}
