//! Which package a file belongs to, and which packages that one may rely on.
//!
//! Takes a root with dpkg's database, and reads of it only what is asked for: the closure asks for a few programs
//! among a thousand packages. Packages that are built from one source count as one; what a package depends on or
//! recommends is what its programs may use. A root without dpkg owns nothing.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use memchr::{memchr, memmem};

use super::diversions::{self, Diversions};
use super::dpkg::alternatives;
use super::files::{Files, short, stem};
use crate::elf::shapes::Shapes;
use crate::rootfs::root::Rootfs;

/// Largest status file read; one of 4,000 packages has 5 MB.
const STATUS_BYTES_MAX: usize = 64 << 20;
/// Largest list of one package's files; a kernel's headers have 2 MB.
const LIST_BYTES_MAX: usize = 32 << 20;

/// Where dpkg keeps its lists. A package's database holds no links.
const INFO: &str = "/var/lib/dpkg/info";

/// What the status file says of an installed package.
#[derive(Clone, Debug, Default)]
struct Package {
    architecture: String,
    source: String,
    essential: bool,
    /// Whether its list has the architecture in its name.
    many: bool,
    depends: String,
    recommends: String,
}

/// The packages that a file's own package may rely on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kin {
    /// The package itself and those of the same source.
    pub own: Vec<String>,
    /// What these depend on, without what every system has.
    pub depends: Vec<String>,
    /// Of what every system has, what it names all the same: dpkg's tar.
    pub essential: Vec<String>,
    /// What these recommend.
    pub recommends: Vec<String>,
}

/// The packages of a root, as far as they were asked for.
pub struct Ownership<'a> {
    root: &'a dyn Rootfs,
    packages: Option<Rc<BTreeMap<String, Package>>>,
    provides: HashMap<String, String>,
    lists: HashMap<String, Rc<Vec<u8>>>,
    files: HashMap<String, Rc<Files>>,
    owners: HashMap<String, Option<String>>,
    diversions: Diversions,
}

impl<'a> Ownership<'a> {
    /// Of a root; nothing is read yet.
    pub fn of(root: &'a dyn Rootfs) -> Ownership<'a> {
        let diverted = root.text(&format!("/var/lib/dpkg/{}", diversions::FILE)).unwrap_or_default();
        Ownership {
            diversions: Diversions::read(&diverted),
            root,
            packages: None,
            provides: HashMap::new(),
            lists: HashMap::new(),
            files: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    fn packages(&mut self) -> Rc<BTreeMap<String, Package>> {
        if let Some(known) = &self.packages {
            return known.clone();
        }
        let found = self.root.find_file("/var/lib/dpkg/status");
        let bytes = found.and_then(|found| self.root.head(&found.real, STATUS_BYTES_MAX).ok()).unwrap_or_default();
        let (mut packages, mut rest) = (BTreeMap::new(), bytes.as_slice());
        while !rest.is_empty() {
            let end = memmem::find(rest, b"\n\n").unwrap_or(rest.len());
            if let Some((name, package, provides)) = read_stanza(&rest[..end]) {
                for other in alternatives(&provides).into_iter().flatten() {
                    self.provides.entry(other).or_insert_with(|| name.clone());
                }
                packages.insert(name, package);
            }
            rest = rest.get(end + 2..).unwrap_or_default();
        }
        self.packages.insert(Rc::new(packages)).clone()
    }

    /// The files of a package; none when its list is not there.
    pub fn files(&mut self, name: &str) -> Rc<Files> {
        if let Some(known) = self.files.get(name) {
            return known.clone();
        }
        let list = self.list(name);
        let paths: Vec<String> = String::from_utf8_lossy(&list).lines().map(|path| short(path).to_owned()).collect();
        let files = Rc::new(Files::of(paths));
        self.files.insert(name.to_owned(), files.clone());
        files
    }

    /// dpkg's list of a package's files.
    fn list(&mut self, name: &str) -> Rc<Vec<u8>> {
        if let Some(known) = self.lists.get(name) {
            return known.clone();
        }
        let packages = self.packages();
        let (architecture, many) =
            packages.get(name).map_or(("", false), |package| (package.architecture.as_str(), package.many));
        let mut paths = [format!("{INFO}/{name}.list"), format!("{INFO}/{name}:{architecture}.list")];
        // Only a package that can be there for many architectures has one of them in its name.
        if many {
            paths.reverse();
        }
        let bytes = paths.iter().find_map(|path| self.root.head(path, LIST_BYTES_MAX).ok()).unwrap_or_default();
        let list = if self.diversions.may_concern(name, &bytes) {
            Rc::new(self.diversions.list(name, &String::from_utf8_lossy(&bytes)).into_owned().into_bytes())
        } else {
            Rc::new(bytes)
        };
        self.lists.insert(name.to_owned(), list.clone());
        list
    }

    /// Whether the package of a real path is known, or found by its name, without a look at all lists.
    pub fn guess(&mut self, path: &str) -> bool {
        let path = short(path);
        if let Some(known) = self.owners.get(path) {
            return known.is_some();
        }
        let packages = self.packages();
        let mut guesses = guesses(path, &packages).into_iter();
        let found = guesses.find(|name| lines(&self.list(name)).any(|line| line == path.as_bytes()));
        let known = found.is_some();
        if known {
            self.owners.insert(path.to_owned(), found);
        }
        known
    }

    /// The package of each of these real paths. One pass over the lists serves all that are not known yet.
    pub fn learn<'p>(&mut self, paths: impl Iterator<Item = &'p str>) {
        let paths: BTreeSet<&str> = paths.map(short).filter(|path| !self.owners.contains_key(*path)).collect();
        let mut wanted = Wanted::default();
        for path in paths {
            if !self.guess(path) {
                wanted.add(path);
            }
        }
        // The package is often one that was asked for before, or its name is near; else all are looked into.
        let packages = self.packages();
        let before: BTreeSet<String> = self.lists.keys().cloned().collect();
        let near: BTreeSet<String> = wanted.paths.iter().flat_map(|path| neighbours(path, &packages)).collect();
        for name in before.iter().chain(&near).chain(packages.keys()) {
            if wanted.paths.is_empty() {
                break;
            }
            let list = self.list(name);
            for path in lines(&list) {
                if let Some(path) = wanted.take(path) {
                    self.owners.insert(path.to_owned(), Some(name.clone()));
                }
            }
        }
        self.owners.extend(wanted.paths.into_iter().map(|path| (path.to_owned(), None)));
    }

    /// The package of a real path.
    pub fn owner(&mut self, path: &str) -> Option<String> {
        self.learn([path].into_iter());
        self.owners.get(short(path)).cloned().flatten()
    }

    /// The packages that a package's programs may use.
    pub fn kin(&mut self, name: &str) -> Kin {
        let packages = self.packages();
        let Some(package) = packages.get(name) else { return Kin::default() };
        let mut kin = Kin { own: vec![name.to_owned()], ..Kin::default() };
        let others = packages.iter().filter(|(other, of)| of.source == package.source && *other != name);
        kin.own.extend(others.map(|(other, _)| other.clone()));
        let real = |names: &str| -> Vec<String> {
            let needs = alternatives(names);
            let found = needs.iter().filter_map(|names| {
                let known = names.iter().find(|name| packages.contains_key(*name));
                known.or_else(|| names.iter().find_map(|name| self.provides.get(name)))
            });
            found.filter(|name| !kin.own.contains(*name)).cloned().collect()
        };
        let usual = |name: &String| !is_everybodys(&packages[name]);
        let (depends, essential) = real(&package.depends).into_iter().partition(usual);
        let recommends = real(&package.recommends).into_iter().filter(usual).collect();
        (kin.depends, kin.essential, kin.recommends) = (depends, essential, recommends);
        kin
    }
}

/// Paths that are looked for in all lists; most lines are passed over by their shape.
#[derive(Default)]
struct Wanted<'p> {
    paths: BTreeSet<&'p str>,
    shapes: Shapes,
}

impl<'p> Wanted<'p> {
    fn add(&mut self, path: &'p str) {
        self.shapes.add(path.as_bytes());
        self.paths.insert(path);
    }

    fn take(&mut self, line: &[u8]) -> Option<&'p str> {
        if !self.shapes.may_have(line) {
            return None;
        }
        self.paths.take(std::str::from_utf8(line).ok()?)
    }
}

/// The lines of a list, without /usr in front.
fn lines(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    all_lines(list).map(|line| match line.strip_prefix(b"/usr") {
        Some(short) if short.starts_with(b"/") => short,
        _ => line,
    })
}

fn all_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let line = &rest[..memchr(b'\n', rest).unwrap_or(rest.len())];
        let more = rest.get(line.len() + 1..);
        if more.is_none() && line.is_empty() {
            return None;
        }
        rest = more.unwrap_or_default();
        Some(line)
    })
}

/// Packages that may have a path, by their names: that of its program or of a folder that it lies in, also with more
/// behind it (dnsmasq-base), or as Debian names a library's (libcap.so.2.66 is libcap2's).
fn guesses(path: &str, packages: &BTreeMap<String, Package>) -> Vec<String> {
    const LONGER_MAX: usize = 4;
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut names: Vec<String> = path.rsplit('/').take(3).map(str::to_owned).collect();
    if let Some((base, version)) = name.split_once(".so.") {
        let base = base.to_lowercase().replace('_', "-");
        let mut parts = version.splitn(3, '.');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for between in ["", "-"] {
            names.extend(["", "t64"].map(|end| format!("{base}{between}{first}{end}")));
        }
        names.extend([format!("{base}{first}.{second}"), base]);
    } else if !name.is_empty() {
        let longer = packages.range(format!("{name}-")..).take(LONGER_MAX).map(|(other, _)| other);
        names.extend(longer.filter(|other| other.starts_with(name)).cloned());
    }
    names.retain(|name| packages.contains_key(name));
    names
}

/// Packages whose names stand beside that of a path's file or of a folder above it.
fn neighbours(path: &str, packages: &BTreeMap<String, Package>) -> Vec<String> {
    const PARTS: usize = 4;
    const NEAR: usize = 3;
    // Folders of every package.
    const COMMON: [&str; 8] = ["", "bin", "sbin", "lib", "libexec", "share", "games", "etc"];
    let parts = path.rsplit('/').take(PARTS).filter(|part| !COMMON.contains(part) && !part.contains("-linux-gnu"));
    let names = parts.map(|part| stem(part).to_lowercase().replace('_', "-"));
    names
        .flat_map(|name| [format!("lib{name}"), name])
        .flat_map(|name| {
            let after = packages.range(name.clone()..).take(NEAR);
            after.chain(packages.range(..name).rev().take(NEAR)).map(|(other, _)| other.clone()).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether every system has a package: essential ones, and the libraries of C and of the compiler.
fn is_everybodys(package: &Package) -> bool {
    package.essential || package.source == "glibc" || package.source.starts_with("gcc-")
}

/// Name, fields and what it provides, of a package that is there. Most of a stanza is of no concern here.
fn read_stanza(stanza: &[u8]) -> Option<(String, Package, Cow<'_, str>)> {
    let (mut name, mut there, mut provides) = (None, false, Cow::default());
    let mut package = Package::default();
    for line in all_lines(stanza) {
        if !matches!(line.first(), Some(b'A' | b'D' | b'E' | b'M' | b'P' | b'R' | b'S')) {
            continue;
        }
        let Some(colon) = memchr(b':', line) else { continue };
        let value = || String::from_utf8_lossy(line[colon + 1..].trim_ascii());
        match &line[..colon] {
            b"Package" => name = Some(value().into_owned()),
            b"Status" => there = value().ends_with(" installed") || value().ends_with(" unpacked"),
            b"Architecture" => package.architecture = value().into_owned(),
            b"Source" => package.source = value().split(' ').next().unwrap_or_default().to_owned(),
            b"Multi-Arch" => package.many = value() == "same",
            b"Essential" => package.essential = value() == "yes",
            b"Depends" | b"Pre-Depends" => package.depends = format!("{},{}", package.depends, value()),
            b"Recommends" => package.recommends = value().into_owned(),
            b"Provides" => provides = value(),
            _ => {}
        }
    }
    // Its list is a file of this name.
    let name = name.filter(|name| there && !name.is_empty() && !name.contains('/'))?;
    if package.source.is_empty() {
        package.source.clone_from(&name);
    }
    Some((name, package, provides))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::tree::{Entry, FileTree, Why};
    use proptest::prelude::*;

    fn tree() -> FileTree {
        let mut tree = FileTree::new();
        let status = "\
Package: tool\nStatus: install ok installed\nArchitecture: amd64\nPre-Depends: libx1
Depends: data | gone, tar
Recommends: helper\n
Package: libx1\nStatus: install ok installed\nSource: tool (1.2)\n
Package: data\nStatus: install ok unpacked\n
Package: helper-two\nStatus: install ok installed\nProvides: helper (= 1), other\n
Package: tar\nStatus: install ok installed\nEssential: yes\n
Package: gone\nStatus: deinstall ok config-files\n";
        for (path, text) in [
            ("status", status),
            ("info/tool:amd64.list", "/.\n/usr/bin/tool\n/lib/tool\n/lib/tool/b\n/lib/tool/a\n/lib/tools\n"),
            ("info/helper-two.list", "/usr/bin/x"),
        ] {
            let entry = Entry::file(text.as_bytes(), 0o644, Why::default());
            tree.insert(&format!("/var/lib/dpkg/{path}"), entry).unwrap();
        }
        tree
    }

    #[test]
    fn a_file_has_one_package_below_usr_or_beside_it() {
        let tree = tree();
        let mut ownership = Ownership::of(&tree);
        for (path, owner) in [
            ("/usr/lib/tool/a", Some("tool")),
            ("/bin/tool", Some("tool")),
            ("/bin/x", Some("helper-two")),
            ("/x", None),
        ] {
            assert_eq!(ownership.owner(path).as_deref(), owner, "{path}");
        }
        let files = ownership.files("tool");
        assert!(files.has("/usr/lib/tool/a") && !files.has("/usr/lib/tool/c"));
        assert_eq!(files.below("/usr/lib/tool/").collect::<Vec<_>>(), ["/lib/tool/a", "/lib/tool/b"]);
    }

    #[test]
    fn kin_are_of_one_source_or_asked_for() {
        let tree = tree();
        let kin = Ownership::of(&tree).kin("tool");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = Kin {
            own: names(&["tool", "libx1"]),
            depends: names(&["data"]),
            essential: names(&["tar"]),
            recommends: names(&["helper-two"]),
        };
        assert_eq!(kin, expected);
        assert_eq!(Ownership::of(&FileTree::new()).kin("tool"), Kin::default());
    }

    proptest! {
        #[test]
        fn any_status_is_read(text in "[A-Za-z:,|() \n-]{0,200}") {
            let _ = read_stanza(format!("Package: x\nStatus: a installed\n{text}").as_bytes());
        }
    }
}
