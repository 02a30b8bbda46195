//! Follows the imports of a Python script, over what is not the standard library.

use std::collections::{BTreeSet, VecDeque};

use super::distributions::Distribution;
use super::imports::{Asks, Import, asks};
use super::path::{Module, ModulePath};
use crate::rootfs::root::Rootfs;
use crate::scripts::commands;
use crate::scripts::need::{Script, ScriptNeed, Wanted};

/// Most modules of one script.
const MODULES_MAX: usize = 20_000;

/// Most files of data that one package has beside its modules.
const DATA_FILES_MAX: usize = 500;

/// Most bytes of a compiled module that are looked through, and of a name in it.
const COMPILED_BYTES_MAX: usize = 16 << 20;
const NAME_BYTES_MAX: usize = 128;

/// Modules that are in the interpreter itself: no file has them.
const BUILT_IN: &[&str] = &[
    "__future__",
    "__main__",
    "array",
    "atexit",
    "audioop",
    "binascii",
    "builtins",
    "cmath",
    "errno",
    "faulthandler",
    "fcntl",
    "gc",
    "grp",
    "itertools",
    "marshal",
    "math",
    "mmap",
    "msvcrt",
    "nt",
    "ntpath",
    "posix",
    "pwd",
    "pyexpat",
    "resource",
    "select",
    "spwd",
    "sys",
    "syslog",
    "termios",
    "time",
    "unicodedata",
    "winreg",
    "xxsubtype",
    "zlib",
];

/// A module to look into.
struct Task {
    /// The package that relative imports begin in.
    package: String,
    path: String,
    guarded: bool,
}

/// What the script needs beside its interpreter.
pub fn needs(root: &dyn Rootfs, script: &Script) -> Vec<ScriptNeed> {
    let mut following = Following {
        root,
        path: ModulePath::new(root, &script.interpreter, &script.interpreter_real, script.folder()),
        out: Vec::new(),
        seen: BTreeSet::new(),
        distributions: BTreeSet::new(),
        sure: VecDeque::new(),
        guarded: VecDeque::new(),
    };
    if let Some(settings) = following.path.environment.clone() {
        following.need(
            Wanted::File(settings),
            "what makes a virtual environment one".to_owned(),
            &script.path,
            1,
            false,
        );
    }
    for (file, imports) in std::mem::take(&mut following.path.settings) {
        following.need(Wanted::File(file.clone()), "read when Python starts".to_owned(), &script.path, 1, true);
        following.take(&asks(&imports.join("\n")), "", &file, true, false);
    }
    let first = asks(&script.text);
    following.take(&first, "", &script.path, false, true);
    following.run();
    following.out
}

struct Following<'r> {
    root: &'r dyn Rootfs,
    path: ModulePath<'r>,
    out: Vec<ScriptNeed>,
    seen: BTreeSet<String>,
    distributions: BTreeSet<String>,
    /// What is certain goes first, so that nothing certain is called guarded.
    sure: VecDeque<Task>,
    guarded: VecDeque<Task>,
}

impl Following<'_> {
    fn run(&mut self) {
        while let Some(task) = self.sure.pop_front().or_else(|| self.guarded.pop_front()) {
            if task.path.ends_with(".so") {
                self.compiled(&task.package, &task.path);
                continue;
            }
            let Some(text) = self.root.text(&task.path) else { continue };
            let asks = asks(&text);
            self.take(&asks, &task.package, &task.path, task.guarded, false);
            if asks.dynamic {
                self.siblings(&task.package, &task.path);
            }
        }
    }

    fn need(&mut self, wanted: Wanted, reason: String, by: &str, line: usize, guarded: bool) {
        self.out.push(ScriptNeed { wanted, reason, needed_by: by.to_owned(), line, guarded });
    }

    /// What one module asks for.
    fn take(&mut self, asks: &Asks, package: &str, by: &str, guarded: bool, first: bool) {
        let own_folder = by.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        for (up, rest) in &asks.folders {
            let folder = match up {
                None => rest.clone(),
                Some(up) => {
                    let base =
                        (0..*up).fold(own_folder.as_str(), |folder, _| folder.rsplit_once('/').map_or("", |(f, _)| f));
                    format!("{base}/{rest}").trim_end_matches('/').to_owned()
                }
            };
            if !self.path.folders.contains(&folder) {
                self.path.folders.insert(0, folder);
            }
        }
        for import in &asks.imports {
            let found = self.import(import, package, by, guarded);
            if !found && first && !import.guarded && import.level == 0 {
                let reason = format!("module {}", import.module);
                self.need(Wanted::Nothing(import.module.clone()), reason, by, import.line, false);
            }
        }
        for name in &asks.distributions {
            let own = package.split('.').next().unwrap_or_default();
            let deep = asks.imports.iter().any(|import| import.module == "pkg_resources");
            self.distribution(if name.is_empty() { own } else { name }, by, guarded, deep);
        }
        for package in &asks.packages {
            self.import(&plain(package.clone()), "", by, true);
            self.siblings(package, by);
        }
        for (distribution, group, name) in &asks.entry_points {
            let found = Distribution::find(&mut self.path, distribution);
            let points = found.map(|found| found.entry_points(self.root)).unwrap_or_default();
            for (_, _, module) in points.into_iter().filter(|(own, point, _)| own == group && point == name) {
                self.import(&plain(module), "", by, guarded);
            }
        }
        for group in &asks.groups {
            self.group(group, by);
        }
        for (name, line, tried) in asks.programs.iter().filter(|(name, ..)| !name.is_empty()) {
            self.need(Wanted::Command(name.clone()), format!("program {name}"), by, *line, guarded || *tried || !first);
        }
        for (text, line) in &asks.shell {
            self.out.extend(commands::of_text(text, by, *line, guarded || !first));
        }
        for (path, line) in &asks.paths {
            self.need(Wanted::Data(path.clone()), format!("path {path}"), by, *line, true);
        }
    }

    /// Brings what an import loads; whether there is such a module.
    fn import(&mut self, import: &Import, package: &str, by: &str, guarded: bool) -> bool {
        let guarded = guarded || import.guarded;
        let mut parts: Vec<&str> = Vec::new();
        if import.level > 0 {
            parts = package.split('.').filter(|part| !part.is_empty()).collect();
            let keep = (parts.len() + 1).saturating_sub(import.level);
            parts.truncate(keep);
        }
        parts.extend(import.module.split('.').filter(|part| !part.is_empty()));
        let mut folders = self.path.folders.clone();
        let mut name = String::new();
        for part in &parts {
            if name.is_empty() && BUILT_IN.contains(part) {
                return true;
            }
            // Modules of the interpreter's own use have a line in front.
            let Some(module) = self.path.find(&folders, part) else { return part.starts_with('_') };
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(part);
            match self.bring(module, &name, by, import.line, guarded) {
                Some(inner) => folders = inner,
                None => return true,
            }
        }
        // `from a import b`: b is a module, or an attribute of a.
        for part in &import.names {
            if let Some(module) = self.path.find(&folders, part).filter(|_| !parts.is_empty()) {
                self.bring(module, &format!("{name}.{part}"), by, import.line, guarded);
            }
        }
        true
    }

    /// Brings a module; gives the folders of a package, in which others may lie.
    fn bring(&mut self, module: Module, name: &str, by: &str, line: usize, guarded: bool) -> Option<Vec<String>> {
        let (file, package, inner) = match module {
            Module::File(file) => {
                let package = name.rsplit_once('.').map_or("", |(package, _)| package).to_owned();
                (Some(file), package, None)
            }
            Module::Package { init, folders, .. } => (init, name.to_owned(), Some(folders)),
        };
        let Some(file) = file else { return inner };
        if self.path.is_standard(&file) {
            return inner;
        }
        if self.seen.len() < MODULES_MAX && self.seen.insert(file.clone()) {
            self.need(Wanted::File(file.clone()), format!("module {name}"), by, line, guarded);
            let queue = if guarded { &mut self.guarded } else { &mut self.sure };
            if file.ends_with(".py") || file.ends_with(".so") {
                queue.push_back(Task { package, path: file.clone(), guarded });
            }
            if inner.is_some() {
                self.data(&file);
            }
        }
        inner
    }

    /// What a package has beside modules: certificates, tables, templates.
    fn data(&mut self, init: &str) {
        let Some((folder, _)) = init.rsplit_once('/') else { return };
        let mut left = DATA_FILES_MAX;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let names = self.path.names(&folder);
            let own =
                |name: &&String| !SOURCES.iter().any(|end| name.ends_with(end)) && !name.starts_with("__pycache__");
            for name in names.iter().filter(own) {
                let path = format!("{folder}/{name}");
                if self.root.find_file(&path).is_some() {
                    let Some(fewer) = left.checked_sub(1) else { return };
                    left = fewer;
                    self.need(Wanted::Data(path), "data of a package".to_owned(), init, 1, true);
                } else if !self.path.names(&path).iter().any(|name| name.ends_with(".py")) {
                    folders.push(path);
                }
            }
        }
    }

    /// All modules of a package, of which a module imports some by names that only a run can tell.
    fn siblings(&mut self, package: &str, by: &str) {
        if package.is_empty() {
            return;
        }
        let mut folders = self.path.folders.clone();
        for part in package.split('.') {
            match self.path.find(&folders, part) {
                Some(Module::Package { folders: inner, .. }) => folders = inner,
                _ => return,
            }
        }
        if folders.iter().any(|folder| self.path.is_standard(&format!("{folder}/x"))) {
            return;
        }
        let names: Vec<String> = folders.iter().flat_map(|folder| self.path.names(folder)).collect();
        for name in names {
            let part = name.split('.').next().unwrap_or_default();
            if ["", "__pycache__", "tests", "test"].contains(&part) {
                continue;
            }
            let Some(module) = self.path.find(&folders, part) else { continue };
            if !matches!(module, Module::Package { init: None, .. }) {
                let inner = self.bring(module, &format!("{package}.{part}"), by, 1, true);
                self.extensions(&inner.unwrap_or_default(), &format!("{package}.{part}"), by);
            }
        }
    }

    /// The compiled modules of a package: where a module is chosen while it runs, it is often one of these.
    fn extensions(&mut self, folders: &[String], package: &str, by: &str) {
        let names: Vec<String> = folders.iter().flat_map(|folder| self.path.names(folder)).collect();
        for name in names.iter().filter(|name| name.ends_with(".so")) {
            let part = name.split('.').next().unwrap_or_default();
            if let Some(module) = self.path.find(folders, part) {
                self.bring(module, &format!("{package}.{part}"), by, 1, true);
            }
        }
    }

    /// What a compiled module imports of the folder that it lies in: the names of those beside it are texts in it.
    fn compiled(&mut self, package: &str, path: &str) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let own = stem(path.rsplit('/').next().unwrap_or_default());
        let beside: BTreeSet<String> = self.path.names(&folder).iter().map(|name| stem(name)).collect();
        let Some(found) = self.root.find_file(path) else { return };
        let bytes = self.root.head(&found.real, COMPILED_BYTES_MAX).unwrap_or_default();
        let texts = bytes.split(|byte| *byte == 0).filter(|text| (3..=NAME_BYTES_MAX).contains(&text.len()));
        let names = texts.filter_map(|text| std::str::from_utf8(text).ok()?.rsplit('.').next());
        let named: BTreeSet<String> = names.filter_map(|name| beside.get(name).cloned()).collect();
        for part in named.into_iter().filter(|part| *part != own && !part.starts_with("__")) {
            if let Some(module) = self.path.find(std::slice::from_ref(&folder), &part) {
                let name = if package.is_empty() { part } else { format!("{package}.{part}") };
                self.bring(module, &name, path, 1, true);
            }
        }
    }

    /// The metadata of a distribution, and of those that it needs where they are checked.
    fn distribution(&mut self, name: &str, by: &str, guarded: bool, deep: bool) {
        let mut todo = vec![name.to_owned()];
        while let Some(name) = todo.pop() {
            let Some(found) = Distribution::find(&mut self.path, &name) else { continue };
            if !self.distributions.insert(found.path.clone()) {
                continue;
            }
            for file in found.files(self.root) {
                self.need(Wanted::File(file), format!("metadata of {name}"), by, 1, guarded);
            }
            if deep {
                todo.extend(found.requires(self.root));
            }
        }
    }

    /// All entry points of a group: plug-ins that are looked up.
    fn group(&mut self, group: &str, by: &str) {
        for found in Distribution::all(&mut self.path) {
            let points = found.entry_points(self.root);
            let modules: Vec<String> =
                points.into_iter().filter(|(own, ..)| own == group).map(|(_, _, module)| module).collect();
            if modules.is_empty() || group == "console_scripts" || !self.distributions.insert(found.path.clone()) {
                continue;
            }
            for file in found.files(self.root) {
                self.need(Wanted::File(file), format!("entry points of {group}"), by, 1, true);
            }
            for module in modules {
                self.import(&plain(module), "", by, true);
            }
        }
    }
}

/// What is source, or made of it: no data.
const SOURCES: &[&str] = &[".py", ".pyc", ".pyi", ".pyx", ".pxd", ".so", ".c", ".h", ".cpp", ".egg-info", ".dist-info"];

fn plain(module: String) -> Import {
    Import { level: 0, module, names: Vec::new(), line: 1, guarded: false }
}
