//! What belongs to a program: its package and those that it relies on, or the folder that it was installed into.
//!
//! Takes a program's real path; answers whether a file may be meant by what the program's data says. Where dpkg
//! knows the program, its lists decide. Where nobody does (a tarball in /opt or /usr/local, a root of another
//! kind), the same prefix does: all of a prefix of its own but what it writes there while it runs, and of a prefix that
//! many share only what bears the program's name.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::elf::shapes::Shapes;
use crate::packages::files::{Files, stem};
use crate::packages::ownership::Ownership;
use crate::rootfs::root::{Found, PROGRAM_FOLDERS, Rootfs};

/// Most files that one folder may bring.
pub const FOLDER_FILES_MAX: usize = 10_000;
/// Most bytes that one folder may bring: an image lies in memory.
pub const FOLDER_BYTES_MAX: u64 = 128 << 20;

/// Parts of paths before which a prefix ends.
const PARTS: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libexec", "share"];
/// Prefixes that many programs share.
const SHARED: [&str; 5] = ["/usr", "/usr/local", "/usr/pkg", "/opt", "/srv"];
/// Folders that hold what a program writes while it runs, wherever they are.
const WRITTEN: [&str; 6] = ["tmp", "temp", "log", "logs", "cache", ".cache"];
/// Those that do so right below a prefix of its own.
const OWN_WRITTEN: [&str; 7] = ["data", "var", "run", "home", "spool", "backup", "backups"];

/// What a file is to the closure: how far its package is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A program that is certain: all packages of its source, what they depend on and recommend.
    Program,
    /// A program that is only likely itself: without what is recommended.
    Helper,
    /// A library: its own package and what that depends on, unless it is of a program's source.
    Library,
}

/// What belongs to one program or library.
pub enum Home {
    /// dpkg knows it.
    Packages {
        /// The lists of its own package, or of all of the same source.
        own: Vec<Rc<Files>>,
        /// The lists of what it depends on.
        depends: Vec<Rc<Files>>,
        /// The lists of what it recommends, and of what every system has and it names: their programs alone count.
        recommends: Vec<Rc<Files>>,
        /// Whether it is a program, or a library of a program's source.
        program: bool,
    },
    /// Nobody knows it: its prefix, the folder that it lies in, and its name.
    Prefix {
        /// Where it was installed, such as /opt/app.
        prefix: String,
        /// The folder that it lies in.
        folder: String,
        /// Its name.
        name: String,
    },
}

impl Home {
    /// The home of the file at this real path. `programs` are the packages of programs of the closure.
    pub fn of(ownership: &mut Ownership, real: &str, standing: Standing, programs: &BTreeSet<String>) -> Home {
        let Some(package) = ownership.owner(real) else { return Home::prefix_of(real) };
        let kin = ownership.kin(&package);
        let program = standing != Standing::Library || kin.own.iter().any(|name| programs.contains(name));
        let mut lists = |names: &[String]| names.iter().map(|name| ownership.files(name)).collect::<Vec<_>>();
        let own = if program { lists(&kin.own) } else { lists(&[package]) };
        let depends = lists(&kin.depends);
        let recommends =
            if standing == Standing::Program { lists(&[kin.essential, kin.recommends].concat()) } else { Vec::new() };
        Home::Packages { own, depends, recommends, program }
    }

    fn prefix_of(real: &str) -> Home {
        let (folder, name) = real.rsplit_once('/').unwrap_or(("", real));
        let mut prefix = String::new();
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            if PARTS.contains(&part) {
                break;
            }
            prefix = prefix + "/" + part;
        }
        let prefix = if prefix.is_empty() { "/usr".to_owned() } else { prefix };
        Home::Prefix { prefix, folder: folder.to_owned(), name: name.to_owned() }
    }

    /// Where it was installed.
    pub fn prefix(&self) -> &str {
        match self {
            Home::Packages { .. } => "/usr",
            Home::Prefix { prefix, .. } => prefix,
        }
    }

    /// Whether it is a program, or a library that a program has for itself.
    pub fn is_own_program(&self) -> bool {
        match self {
            Home::Packages { program, .. } => *program,
            Home::Prefix { .. } => true,
        }
    }

    /// Whether a file or folder belongs to it.
    pub fn has(&self, found: &Found) -> bool {
        match self {
            Home::Packages { own, depends, .. } => {
                own.iter().chain(depends).any(|list| list.has(&found.asked) || list.has(&found.real))
            }
            Home::Prefix { prefix, name, .. } => match below(&found.real, prefix) {
                _ if SHARED.contains(&prefix.as_str()) => bears_name(&found.real, prefix, name),
                rest => rest.is_some(),
            },
        }
    }

    /// What belongs to it below a folder.
    pub fn below(&self, folder: &Found, root: &dyn Rootfs) -> Vec<Found> {
        match self {
            Home::Packages { own, depends, .. } => {
                let lists = || own.iter().chain(depends);
                let mut paths: BTreeSet<&str> = lists().flat_map(|list| list.below(&folder.real)).collect();
                paths.extend(lists().flat_map(|list| list.below(&folder.asked)));
                // A folder with something in it comes with that.
                let inner = |path: &str| {
                    let below = format!("{path}/");
                    paths.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below))
                };
                paths.iter().filter(|path| !inner(path)).filter_map(|path| find(root, path)).collect()
            }
            Home::Prefix { prefix, .. } if self.has(folder) => {
                let own = |path: &String| !is_written(path, prefix);
                let paths = root.walk(&folder.real).into_iter().filter(own).take(FOLDER_FILES_MAX + 1);
                paths.filter_map(|path| root.find(&path)).collect()
            }
            Home::Prefix { .. } => Vec::new(),
        }
    }

    /// The shapes of the names of its programs, and of its modules where `modules` matter.
    pub fn shapes(&self, root: &dyn Rootfs, modules: bool) -> Shapes {
        match self {
            Home::Packages { own, depends, recommends, .. } => {
                let mut shapes = Shapes::default();
                own.iter().for_each(|list| shapes.merge(list.helper_shapes()));
                if modules {
                    own.iter().for_each(|list| shapes.merge(list.module_shapes()));
                }
                depends.iter().chain(recommends).for_each(|list| shapes.merge(list.program_shapes()));
                shapes
            }
            Home::Prefix { .. } => {
                let shapes = RefCell::new(Shapes::default());
                let note = |name: &str| {
                    [name, stem(name)].iter().for_each(|name| shapes.borrow_mut().add(name.as_bytes()));
                    false
                };
                self.programs(root, &note);
                if modules {
                    self.modules(root, &note);
                }
                shapes.into_inner()
            }
        }
    }

    /// Programs that belong to it and are named.
    pub fn programs(&self, root: &dyn Rootfs, named: &dyn Fn(&str) -> bool) -> Vec<Found> {
        match self {
            Home::Packages { own, depends, recommends, .. } => {
                let own = own.iter().flat_map(|list| list.all());
                let others = depends.iter().chain(recommends).flat_map(|list| list.programs());
                own.chain(others).filter(|path| named(name_of(path))).filter_map(|path| find(root, path)).collect()
            }
            Home::Prefix { prefix, folder, .. } => {
                let own = ["bin", "sbin", "libexec"].map(|part| format!("{prefix}/{part}"));
                let folders: BTreeSet<String> = own.into_iter().chain([folder.clone()]).collect();
                let folders = folders.into_iter().filter(|folder| !PROGRAM_FOLDERS.contains(&folder.as_str()));
                self.named_in(folders, root, named)
            }
        }
    }

    /// Modules that are its own and are named.
    pub fn modules(&self, root: &dyn Rootfs, named: &dyn Fn(&str) -> bool) -> Vec<Found> {
        match self {
            Home::Packages { own, program, .. } if *program => {
                let paths = own.iter().flat_map(|list| list.all()).filter(|path| named(name_of(path)));
                paths.filter_map(|path| find(root, path)).collect()
            }
            Home::Packages { .. } => Vec::new(),
            Home::Prefix { folder, .. } => self.named_in([folder.clone()].into_iter(), root, named),
        }
    }

    fn named_in(
        &self,
        folders: impl Iterator<Item = String>,
        root: &dyn Rootfs,
        named: &dyn Fn(&str) -> bool,
    ) -> Vec<Found> {
        let paths = folders.filter_map(|folder| root.find(&folder)).flat_map(|folder| {
            let names = root.list(&folder.real).into_iter().filter(|name| named(name));
            names.map(move |name| format!("{}/{name}", folder.real)).collect::<Vec<_>>()
        });
        paths.filter_map(|path| root.find_file(&path)).collect()
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// A path of a list, as the root has it: below /usr or beside it.
fn find(root: &dyn Rootfs, path: &str) -> Option<Found> {
    root.find(path).or_else(|| root.find(&format!("/usr{path}")))
}

/// What of a path is below a prefix; empty for the prefix itself.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Whether a path lies where a program of this prefix writes while it runs.
fn is_written(path: &str, prefix: &str) -> bool {
    let rest = below(path, prefix).unwrap_or(path);
    let folders = rest.rsplit_once('/').map_or("", |(folders, _)| folders);
    let first = folders.split('/').next().unwrap_or_default();
    !SHARED.contains(&prefix) && OWN_WRITTEN.contains(&first) || folders.split('/').any(|part| WRITTEN.contains(&part))
}

/// Whether two names begin alike: erl and erlang, python3 and python. A short one is too easily the beginning of
/// another.
fn same_stem(one: &str, two: &str) -> bool {
    const STEM_BYTES_MIN: usize = 3;
    let stem = |name: &str| name.split(['.', '-']).next().unwrap_or(name).to_owned();
    let (one, two) = (stem(one), stem(two));
    let alike = one.starts_with(&two) || two.starts_with(&one);
    one == two || one.len().min(two.len()) >= STEM_BYTES_MIN && alike
}

/// Whether a path names a program's own folder: /usr/lib/erlang is erl's, /opt/erlang too, and /usr/local/share/erlang.
fn bears_name(path: &str, prefix: &str, name: &str) -> bool {
    let rest = below(path, prefix).or_else(|| below(path, "/etc")).or_else(|| below(path, "/opt"));
    let mut parts = rest.unwrap_or_default().split('/').filter(|part| !part.is_empty());
    let own = match parts.next() {
        Some(part) if PARTS.contains(&part) || matches!(part, "etc" | "games" | "var") => parts.next(),
        own => own,
    };
    own.is_some_and(|own| same_stem(own, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_shared_prefix_only_what_bears_the_name_is_a_programs() {
        for (path, prefix, name, wanted) in [
            ("/usr/lib/erlang/x", "/usr", "erl", true),
            ("/etc/erlang", "/usr", "erl", true),
            ("/opt/erlang", "/usr", "erl", true),
            ("/usr/local/share/mine", "/usr/local", "mine", true),
            ("/usr/local/share/yours", "/usr/local", "mine", false),
            ("/opt/other/lib", "/opt", "run", false),
            ("/usr/share/lsb", "/usr", "ls", false),
            ("/usr/share/mc", "/usr", "mc", true),
            ("/usr/share", "/usr", "share", false),
            ("/usrx/share/mc", "/usr", "mc", false),
        ] {
            assert_eq!(bears_name(path, prefix, name), wanted, "{path} of {name}");
        }
    }

    #[test]
    fn what_a_program_writes_is_known_by_its_folders() {
        for (path, prefix, wanted) in [
            ("/opt/app/data/a", "/opt/app", true),
            ("/opt/app/share/data/a", "/opt/app", false),
            ("/opt/app/share/cache/a", "/opt/app", true),
            ("/opt/app/cache", "/opt/app", false),
            ("/usr/share/app/data/a", "/usr", false),
            ("/usr/share/app/log/a", "/usr", true),
        ] {
            assert_eq!(is_written(path, prefix), wanted, "{path}");
        }
    }
}
