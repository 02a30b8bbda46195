//! dpkg's database and fields of control files. Oracle: a package that is there can be chosen, with what it depends on,
//! and the choice ends.

use super::texts;
use crate::packages::apt::field;
use crate::packages::diversions::Diversions;
use crate::packages::dpkg::Database;
use crate::spec::values::{Depth, PackageName};
use std::fs;
use std::sync::OnceLock;

pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nDepends: libtool1 (>= 1), helper | other\n\n\
         Package: libtool1\nStatus: install ok installed\nSection: libs\nPre-Depends: tool\n\n\
         Package: helper-two\nStatus: install ok unpacked\nProvides: helper (= 1)\n\n\
         Package: gone\nStatus: deinstall ok config-files\n",
        "/usr/bin/x\n/usr/bin/x.old\nother\n/bin/y\n/bin/y.distrib\n:\n",
        "Package: a\nVersion: 1:2-3\nDescription: x\n y\nEssential: yes\nStatus: a installed\n",
    ])
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for name in ["Package", "Version", "Depends"] {
        assert!(field(&text, name).is_none_or(|value| text.contains(value)));
    }
    let diversions = Diversions::read(&text);
    assert_eq!(Diversions::read(&diversions.text()), diversions);
    for (path, to) in diversions.of_others("tool") {
        assert_eq!(diversions.place("tool", path), to);
        assert!(path.starts_with('/') && to.starts_with('/'));
    }
    static ROOT: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let make = || {
        let root = tempfile::tempdir().ok()?;
        fs::create_dir_all(root.path().join("var/lib/dpkg/info")).ok()?;
        Some(root)
    };
    let Some(root) = ROOT.get_or_init(make) else { return };
    if fs::write(root.path().join("var/lib/dpkg/status"), data).is_err() {
        return;
    }
    let database = Database::open(root.path());
    let named = text.lines().filter_map(|line| line.strip_prefix("Package: ")).take(8);
    for name in named.filter_map(|name| PackageName::parse(name.trim())) {
        for depth in ["0", "1", "all"].iter().filter_map(|depth| Depth::parse(depth)) {
            // Packages have no lists of files here; what is missing is said.
            let chosen = database.chosen(std::slice::from_ref(&name), depth);
            assert!(chosen.is_ok() || chosen.is_err_and(|error| !error.to_string().is_empty()));
        }
    }
}
