//! Follows what a script of Node loads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::package::Package;
use super::requires::{Asks, asks};
use crate::rootfs::links;
use crate::rootfs::root::{EntryKind, Rootfs};
use crate::scripts::commands;
use crate::scripts::need::{Script, ScriptNeed, Wanted};

/// Most modules of one script.
const MODULES_MAX: usize = 50_000;

/// Most modules of one package that loads them by names that only a run can tell.
const DYNAMIC_MAX: usize = 3_000;

/// Folders that Node searches last; Debian's patched Node, and /usr/lib/node_modules of others.
const GLOBAL: &[&str] = &[
    "/usr/local/lib/node_modules",
    "/usr/lib/*/nodejs",
    "/usr/share/nodejs",
    "/usr/lib/nodejs",
    "/usr/share/javascript",
];

/// Folders that are no package's, whatever lies in them.
const SHARED: &[&str] = &[
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/share",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/share",
];

/// Modules that are in Node itself; some have parts, as fs/promises.
const BUILT_IN: &[&str] = &[
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// What the script needs beside its interpreter.
pub fn needs(root: &dyn Rootfs, script: &Script) -> Vec<ScriptNeed> {
    let mut following = Following {
        root,
        global: GLOBAL.iter().flat_map(|pattern| root.glob(pattern)).collect(),
        out: Vec::new(),
        seen: BTreeSet::new(),
        packages: BTreeMap::new(),
        sure: VecDeque::new(),
        guarded: VecDeque::new(),
    };
    following.package_of(script.folder(), &script.path, false);
    let first = asks(&script.text);
    following.take(&first, &script.path, false, true);
    while let Some((path, guarded)) = following
        .sure
        .pop_front()
        .map(|path| (path, false))
        .or_else(|| following.guarded.pop_front().map(|path| (path, true)))
    {
        let Some(text) = root.text(&path) else { continue };
        let asks = asks(&text);
        following.take(&asks, &path, guarded, false);
        if asks.dynamic {
            following.whole_package(&path);
        }
    }
    following.out
}

struct Following<'r> {
    root: &'r dyn Rootfs,
    global: Vec<String>,
    out: Vec<ScriptNeed>,
    seen: BTreeSet<String>,
    packages: BTreeMap<String, Option<Package>>,
    sure: VecDeque<String>,
    guarded: VecDeque<String>,
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path without `.` and `..`.
fn plain(path: &str) -> String {
    links::follow(path, |_| Ok::<_, ()>(None)).map_or_else(|_| path.to_owned(), |path| format!("/{path}"))
}

impl Following<'_> {
    fn take(&mut self, asks: &Asks, by: &str, guarded: bool, first: bool) {
        let folder = folder_of(by).to_owned();
        for (name, line, tried) in &asks.modules {
            let found = self.load(name, &folder, by, *line, guarded || *tried);
            if first && !tried && !found {
                self.need(Wanted::Nothing(name.clone()), format!("module {name}"), by, *line, false);
            }
        }
        for (path, line) in &asks.own_paths {
            let path = plain(&format!("{folder}/{path}"));
            self.need(Wanted::Data(path.clone()), format!("path {path}"), by, *line, true);
            self.file(&path, by, *line, true);
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

    fn package(&mut self, folder: &str) -> Option<Package> {
        let root = self.root;
        self.packages.entry(folder.to_owned()).or_insert_with(|| Package::read(root, folder)).clone()
    }

    /// The package that a folder is in; its package.json says how its modules are read.
    fn package_of(&mut self, folder: &str, by: &str, guarded: bool) -> Option<Package> {
        let mut folder = folder;
        loop {
            if let Some(package) = self.package(folder) {
                let path = format!("{}/package.json", package.folder);
                if self.seen.insert(path.clone()) {
                    let name = package.name().unwrap_or("without a name").to_owned();
                    self.need(Wanted::File(path), format!("package {name}"), by, 1, guarded);
                }
                return Some(package);
            }
            if folder.is_empty() || folder.ends_with("/node_modules") {
                return None;
            }
            folder = folder_of(folder);
        }
    }

    /// Brings what a name loads; whether there is such a module.
    fn load(&mut self, name: &str, folder: &str, by: &str, line: usize, guarded: bool) -> bool {
        let first = name.split('/').next().unwrap_or_default();
        if name.starts_with("node:") || BUILT_IN.contains(&first) && self.package_named(name, folder).is_none() {
            return true;
        }
        if name.starts_with('/') || name.starts_with("./") || name.starts_with("../") || name == "." || name == ".." {
            let path = if name.starts_with('/') { plain(name) } else { plain(&format!("{folder}/{name}")) };
            return self.file(&path, by, line, guarded) || self.folder(&path, by, line, guarded);
        }
        if name.starts_with('#') {
            let Some(package) = self.package_of(folder, by, guarded) else { return false };
            return self.targets(&package.folder, &package.imports(name), folder, by, line, guarded);
        }
        let Some((place, rest)) = self.package_named(name, folder) else { return false };
        // Its map is read even where its modules have a package.json nearer to them.
        self.package_of(&place, by, guarded);
        match self.package(&place) {
            Some(package) if package.has_exports() => {
                let name = if rest.is_empty() { ".".to_owned() } else { format!("./{rest}") };
                let found = self.targets(&place, &package.exports(&name), folder, by, line, guarded);
                found || self.inner(&place, &rest, by, line, guarded)
            }
            _ => self.inner(&place, &rest, by, line, guarded),
        }
    }

    fn inner(&mut self, place: &str, rest: &str, by: &str, line: usize, guarded: bool) -> bool {
        if rest.is_empty() {
            return self.folder(place, by, line, guarded) || self.file(place, by, line, guarded);
        }
        let path = plain(&format!("{place}/{rest}"));
        self.file(&path, by, line, guarded) || self.folder(&path, by, line, guarded)
    }

    /// What a package's map says: its own paths, or other packages.
    fn targets(&mut self, place: &str, targets: &[String], folder: &str, by: &str, line: usize, guarded: bool) -> bool {
        let mut found = false;
        for target in targets {
            found |= match target.strip_prefix("./") {
                Some(path) => self.file(&plain(&format!("{place}/{path}")), by, line, guarded),
                // Not again through a map: a map that names itself would have no end.
                None => match self.package_named(target, folder) {
                    Some((place, rest)) => self.inner(&place, &rest, by, line, guarded),
                    None => false,
                },
            };
        }
        found
    }

    /// The folder of the package that a bare name means, and what is left of the name.
    fn package_named(&self, name: &str, folder: &str) -> Option<(String, String)> {
        let parts = if name.starts_with('@') { 2 } else { 1 };
        let package: Vec<&str> = name.splitn(parts + 1, '/').collect();
        let rest = package.get(parts).copied().unwrap_or_default().to_owned();
        let package = package[..parts.min(package.len())].join("/");
        let mut places = Vec::new();
        let mut here = folder;
        loop {
            if !here.ends_with("/node_modules") {
                places.push(format!("{here}/node_modules/{package}"));
            }
            if here.is_empty() {
                break;
            }
            here = folder_of(here);
        }
        places.extend(self.global.iter().map(|global| format!("{global}/{package}")));
        let there =
            |place: &String| self.root.find(place).is_some() || self.root.find_file(&format!("{place}.js")).is_some();
        places.into_iter().find(there).map(|place| (place, rest))
    }

    /// A file, by the endings that Node tries.
    fn file(&mut self, path: &str, by: &str, line: usize, guarded: bool) -> bool {
        let found = ["", ".js", ".json", ".node", ".mjs", ".cjs"].iter().map(|end| format!("{path}{end}"));
        let Some(found) =
            found.map(|path| (self.root.find_file(&path), path)).find_map(|(found, path)| Some((found?, path)))
        else {
            return false;
        };
        // Node works with real paths: what lies beside a link's target is what is found.
        let (real, asked) = (found.0.real, found.1);
        if self.seen.len() < MODULES_MAX && self.seen.insert(real.clone()) {
            self.need(Wanted::File(asked), "module of Node".to_owned(), by, line, guarded);
            self.package_of(folder_of(&real), by, guarded);
            if [".js", ".mjs", ".cjs"].iter().any(|end| real.ends_with(end))
                || !real.rsplit('/').next().unwrap_or_default().contains('.')
            {
                let queue = if guarded { &mut self.guarded } else { &mut self.sure };
                queue.push_back(real);
            }
        }
        true
    }

    /// A folder as a module: what its package.json says, or its index.
    fn folder(&mut self, path: &str, by: &str, line: usize, guarded: bool) -> bool {
        let kind = self.root.find(path).and_then(|found| self.root.kind(&found.real));
        if kind != Some(EntryKind::Dir) {
            return false;
        }
        if let Some(package) = self.package(path) {
            self.package_of(path, by, guarded);
            if let Some(main) = package.main().filter(|main| !main.is_empty()) {
                let main = plain(&format!("{path}/{main}"));
                if self.file(&main, by, line, guarded) || self.file(&format!("{main}/index"), by, line, guarded) {
                    return true;
                }
            }
        }
        self.file(&format!("{path}/index"), by, line, guarded)
    }

    /// Whether a package is one that was installed as such, and no package.json that lies somewhere above a script: it
    /// has a name, and lies where packages do or has the script among what it says of itself.
    fn is_installed(&self, package: &Package) -> bool {
        let folder = package.folder.as_str();
        let above = folder_of(folder);
        // @scope/name
        let above =
            if above.rsplit('/').next().is_some_and(|name| name.starts_with('@')) { folder_of(above) } else { above };
        let placed = above.ends_with("/node_modules") || self.global.iter().any(|global| global == above);
        let shared = folder.matches('/').count() < 2 || self.global.iter().any(|global| global == folder);
        let described = package.main().is_some() || package.has_exports() || package.has_programs();
        package.name().is_some() && !shared && !SHARED.contains(&folder) && (placed || described)
    }

    /// All modules of the package of one that loads what only a run can tell.
    fn whole_package(&mut self, by: &str) {
        let Some(package) = self.package_of(folder_of(by), by, true) else { return };
        if !self.is_installed(&package) || !self.seen.insert(format!("whole {}", package.folder)) {
            return;
        }
        let own = |path: &&String| {
            let rest = &path[package.folder.len().min(path.len())..];
            let ends = [".js", ".mjs", ".cjs", ".json", ".node"].iter().any(|end| path.ends_with(end));
            ends && !["/node_modules/", "/test/", "/tests/", "/__tests__/"].iter().any(|part| rest.contains(part))
        };
        let below = self.root.walk(&package.folder);
        for path in below.iter().filter(own).take(DYNAMIC_MAX) {
            self.file(path, by, 1, true);
        }
    }
}
