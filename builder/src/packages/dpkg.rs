//! The package database of a root, as dpkg keeps it: what is installed, which files it has, what it needs.
//!
//! Takes a root folder with var/lib/dpkg (a Debian system, or a root that `debroot` unpacked); gives the
//! packages that a named one stands for. The formats are deb-control(5) and dpkg's status and list files.
//! Nothing of a package is ever run: what its maintainer scripts would make is read off them (`setup`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::packages::diversions::{self, Diversions};
use crate::spec::values::{Depth, PackageName};
use crate::ui::suggest;

/// An installed package.
#[derive(Clone, Debug, Default)]
struct Package {
    architecture: String,
    section: String,
    essential: bool,
    /// Whether its scripts ran: what they make is there.
    configured: bool,
    /// Each need with its alternatives.
    depends: Vec<Vec<String>>,
}

/// The packages of a root.
#[derive(Debug)]
pub struct Database {
    folder: PathBuf,
    packages: BTreeMap<String, Package>,
    provides: BTreeMap<String, Vec<String>>,
    diversions: Diversions,
}

/// Most bytes of a maintainer script.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

/// Packages that only serve the installation or the running of a Debian system: the image's base does their
/// part, or nobody does. Essential packages (BusyBox stands in for them) count among these too; what a
/// script or program needs of them comes by the closure.
const BASE: &[&str] = &[
    "adduser",
    "apt",
    "cdebconf",
    "debconf",
    "dpkg",
    "dbus",
    "init-system-helpers",
    "install-info",
    "libpam-runtime",
    "libpam-systemd",
    "logrotate",
    "lsb-base",
    "mount",
    "passwd",
    "perl-base",
    "systemd",
    "systemd-sysv",
    "sysvinit-utils",
    "tar",
    "ucf",
    "udev",
    "usrmerge",
    "util-linux",
    "usr-is-merged",
];

/// Parts of paths that an image never takes from a package: what people read, and what only Debian's own
/// start and upkeep use.
const NOT_WANTED: &[&str] = &[
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/share/lintian/",
    "/usr/share/bug/",
    "/usr/share/doc-base/",
    "/usr/share/bash-completion/",
    "/usr/share/zsh/",
    "/usr/share/fish/",
    "/usr/share/menu/",
    "/usr/share/applications/",
    "/usr/share/pixmaps/",
    "/usr/share/icons/",
    "/usr/share/debconf/",
    "/usr/share/gdb/auto-load/",
    "/usr/share/gtk-doc/",
    "/usr/share/metainfo/",
    "/usr/share/apport/",
    "/lib/systemd/",
    "/usr/lib/systemd/",
    "/usr/lib/tmpfiles.d/",
    "/usr/lib/sysusers.d/",
    "/etc/init.d/",
    "/etc/cron.",
    "/etc/logrotate.d/",
    "/etc/apparmor.d/",
    "/etc/apport/",
    "/etc/bash_completion.d/",
    "/etc/ufw/",
    "/__pycache__/",
];

impl Database {
    /// Reads the database of a root; one without dpkg has no packages.
    pub fn open(root: &Path) -> Database {
        let folder = root.join("var/lib/dpkg");
        let text = fs::read(folder.join("status")).unwrap_or_default();
        let diverted = fs::read(folder.join(diversions::FILE)).unwrap_or_default();
        let diversions = Diversions::read(&String::from_utf8_lossy(&diverted));
        let mut database = Database { folder, packages: BTreeMap::new(), provides: BTreeMap::new(), diversions };
        for stanza in String::from_utf8_lossy(&text).split("\n\n") {
            database.read_stanza(stanza);
        }
        database
    }

    fn read_stanza(&mut self, stanza: &str) {
        let field = |name: &str| {
            let line = stanza.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
            line.split_once(':').map(|(_, value)| value.trim())
        };
        // Files of dpkg have it in their names.
        let Some(name) = field("Package").filter(|name| !name.contains('/')) else { return };
        let there =
            field("Status").is_some_and(|status| status.ends_with(" installed") || status.ends_with(" unpacked"));
        if !there {
            return;
        }
        let depends = ["Pre-Depends", "Depends"].into_iter().filter_map(field).flat_map(alternatives).collect();
        let provided = field("Provides").map(alternatives).unwrap_or_default();
        for other in provided.into_iter().flatten() {
            self.provides.entry(other).or_default().push(name.to_owned());
        }
        let package = Package {
            architecture: field("Architecture").unwrap_or_default().to_owned(),
            section: field("Section").unwrap_or_default().to_owned(),
            essential: field("Essential") == Some("yes"),
            configured: field("Status").is_some_and(|status| status.ends_with(" installed")),
            depends,
        };
        self.packages.insert(name.to_owned(), package);
    }

    /// The names of all packages that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.keys().map(String::as_str)
    }

    /// Whether a package is there.
    pub fn has(&self, name: &str) -> bool {
        self.packages.contains_key(name)
    }

    /// Whether the root was made by a package manager that this knows.
    pub fn exists(&self) -> bool {
        self.folder.join("status").is_file()
    }

    /// Whether a package's scripts ran in this root: what they make is there.
    pub fn is_configured(&self, name: &str) -> bool {
        self.packages.get(name).is_some_and(|package| package.configured)
    }

    /// A maintainer script of a package, if it has this one; what is no text in it is shown as such.
    pub fn script(&self, name: &str, script: &str) -> Option<String> {
        let mut text = Vec::new();
        let file = self.info(name, script).into_iter().find_map(|path| fs::File::open(path).ok())?;
        file.take(SCRIPT_BYTES_MAX).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Where dpkg keeps something of a package: with its architecture, where others of it may be there, too.
    fn info(&self, name: &str, what: &str) -> [PathBuf; 2] {
        let architecture = self.packages.get(name).map(|package| package.architecture.as_str()).unwrap_or_default();
        let info = self.folder.join("info");
        [info.join(format!("{name}.{what}")), info.join(format!("{name}:{architecture}.{what}"))]
    }

    /// The packages whose files go into an image for `names`: these, and what they depend on, without what
    /// the image's base does and without libraries, which the ELF closure finds one by one. Each with who
    /// asked for it.
    pub fn chosen(&self, names: &[PackageName], depth: Depth) -> Result<Vec<(String, Option<String>)>> {
        let mut chosen: Vec<(String, Option<String>, usize)> = Vec::new();
        for name in names {
            if !self.has(name.as_str()) {
                return Err(self.absent(name.as_str()));
            }
            chosen.push((name.to_string(), None, 0));
        }
        let mut passed: Vec<String> = names.iter().map(PackageName::to_string).collect();
        let mut at = 0;
        let mut order = chosen.clone();
        while let Some((name, _, steps)) = order.get(at).cloned() {
            at += 1;
            if !depth.reaches(steps + 1) {
                continue;
            }
            let depends = self.packages.get(&name).map(|package| package.depends.clone()).unwrap_or_default();
            for alternatives in depends {
                let Some(next) = alternatives.iter().find_map(|name| self.real(name)) else { continue };
                let base = BASE.contains(&next.as_str()) || self.packages[&next].essential;
                if base || passed.contains(&next) {
                    continue;
                }
                passed.push(next.clone());
                order.push((next.clone(), Some(name.clone()), steps + 1));
                if !self.packages[&next].section.ends_with("libs") {
                    chosen.push((next, Some(name.clone()), steps + 1));
                }
            }
        }
        Ok(chosen.into_iter().map(|(name, by, _)| (name, by)).collect())
    }

    fn real(&self, name: &str) -> Option<String> {
        if self.has(name) {
            return Some(name.to_owned());
        }
        self.provides.get(name)?.first().cloned()
    }

    /// Whether a path is diverted to another.
    pub fn diverts(&self, path: &str, to: &str) -> bool {
        self.diversions.has(path, to)
    }

    /// dpkg's list of a package's files, those that are diverted where they lie.
    pub fn list(&self, name: &str) -> Result<String> {
        let lists = self.info(name, "list");
        let list = lists.iter().find_map(|path| fs::read_to_string(path).ok()).ok_or_else(|| {
            Error::new(format!("cannot read the list of files of the package {name}"))
                .because(format!("{} does not exist", lists[0].display()))
                .help("install the package again")
        })?;
        Ok(self.diversions.list(name, &list).into_owned())
    }

    fn absent(&self, name: &str) -> Error {
        let error = Error::new(format!("cannot find the package {name}"))
            .because(format!("{} does not list it as installed", self.folder.join("status").display()));
        match suggest::nearest(name, self.packages.keys().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean {near:?}?")),
            None => error.help("correct the name: `apt-cache policy NAME` shows what there is"),
        }
    }

    /// Which package has each of these paths.
    pub fn owners<'p>(&self, paths: impl Iterator<Item = &'p String>) -> BTreeMap<String, String> {
        let wanted: std::collections::BTreeSet<&str> = paths.map(String::as_str).collect();
        let mut owners = BTreeMap::new();
        for name in self.packages.keys() {
            let Ok(files) = self.list(name) else { continue };
            for path in files.lines() {
                // A package of before merged /usr lists /lib for what lies in /usr/lib.
                let merged = format!("/usr{path}");
                for path in [path, merged.as_str()].into_iter().filter(|path| wanted.contains(path)) {
                    owners.insert(path.to_owned(), name.clone());
                }
            }
        }
        owners
    }

    /// The paths of a package that an image wants.
    pub fn files(&self, name: &str) -> Result<Vec<String>> {
        let text = self.list(name)?;
        Ok(text.lines().filter(|path| is_wanted(path)).map(str::to_owned).collect())
    }
}

/// Whether an image takes this path from a package.
pub fn is_wanted(path: &str) -> bool {
    path.starts_with('/') && !NOT_WANTED.iter().any(|part| format!("{path}/").contains(part))
}

/// "a (>= 1) | b:any, c" as [[a, b], [c]].
pub(super) fn alternatives(text: &str) -> Vec<Vec<String>> {
    let name = |part: &str| {
        let name = part.trim().split([' ', '(', '[', '<', ':']).next().unwrap_or_default();
        (!name.is_empty()).then(|| name.to_owned())
    };
    text.split(',')
        .map(|item| item.split('|').filter_map(name).collect())
        .filter(|list: &Vec<_>| !list.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let info = root.path().join("var/lib/dpkg/info");
        fs::create_dir_all(&info).unwrap();
        let status = "\
Package: tool\nStatus: install ok installed\nArchitecture: amd64\nDepends: libtool1 (>= 1), helper | other, debconf\n
Package: libtool1\nStatus: install ok installed\nSection: libs\nDepends: tool-data\n
Package: helper-two\nStatus: install ok unpacked\nProvides: helper (= 1)\n
Package: tool-data\nStatus: install ok installed\nSection: net\n
Package: debconf\nStatus: install ok installed\n
Package: ../gone\nStatus: install ok installed\n
Package: gone\nStatus: deinstall ok config-files\n";
        fs::write(root.path().join("var/lib/dpkg/status"), status).unwrap();
        fs::write(info.join("tool:amd64.list"), "/.\n/usr/bin/tool\n/usr/share/doc/tool/copyright\n").unwrap();
        root
    }

    #[test]
    fn dependencies_come_without_libraries_and_base() {
        let root = root();
        let database = Database::open(root.path());
        let names = |depth| -> Vec<String> {
            let chosen = database.chosen(&[PackageName::known("tool")], depth).unwrap();
            chosen.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(Depth::All), ["tool", "helper-two", "tool-data"]);
        assert_eq!(names(Depth::Steps(1)), ["tool", "helper-two"]);
        assert_eq!(names(Depth::Steps(0)), ["tool"]);
        assert_eq!(database.files("tool").unwrap(), ["/.", "/usr/bin/tool"]);
    }

    #[test]
    fn what_is_not_installed_is_an_error_with_a_guess() {
        let root = root();
        let error =
            Database::open(root.path()).chosen(&[PackageName::known("tooll")], Depth::All).unwrap_err().to_string();
        assert!(error.contains("did you mean \"tool\"?"), "{error}");
        assert!(!Database::open(root.path()).has("gone") && !Database::open(root.path()).has("../gone"));
    }

    proptest! {
        #[test]
        fn any_status_is_read(text in "[A-Za-z:,|() \n-]{0,200}") {
            let mut database = Database::open(Path::new("/nowhere"));
            database.read_stanza(&text);
            database.read_stanza(&format!("Package: xx\nStatus: a installed\nDepends: {text}"));
            let _ = database.chosen(&[PackageName::known("xx")], Depth::All);
        }
    }
}
