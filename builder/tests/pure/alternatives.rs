//! Links of alternatives where an image has packages of two roots: one choice over both, and nothing lost by it.

use std::fs;

use vmatic::image::programs;
use vmatic::rootfs::root::Rootfs;
use vmatic::rootfs::tree::{Entry, FileTree, LayerName, Why};
use vmatic::spec::Spec;

use crate::fixture::Fixture;

/// Adds a package that registers a choice to a root: name, files, script.
fn package(lab: &Fixture, root: &str, name: &str, files: &[&str], script: &str) {
    let status = lab.at(&format!("{root}/var/lib/dpkg/status"));
    let before = fs::read_to_string(&status).unwrap_or_default();
    let stanza = format!("{before}Package: {name}\nStatus: install ok unpacked\nArchitecture: amd64\n\n");
    lab.write(&format!("{root}/var/lib/dpkg/status"), &stanza);
    let info = format!("{root}/var/lib/dpkg/info/{name}");
    lab.write(&format!("{info}.list"), &files.iter().map(|file| format!("{file}\n")).collect::<String>());
    lab.write(&format!("{info}.postinst"), script);
    files.iter().for_each(|file| drop(lab.write(&format!("{root}{file}"), name)));
}

/// What a path of a tree is: a link's target, or a file's text.
fn at(tree: &FileTree, path: &str) -> String {
    use vmatic::rootfs::tree::Content;
    match tree.get(path).map(|entry| &entry.content) {
        None => "nothing".to_owned(),
        Some(Content::Symlink(to)) => format!("-> {to}"),
        Some(Content::File { data, .. }) => String::from_utf8_lossy(data).into_owned(),
        Some(_) => "something else".to_owned(),
    }
}

#[test]
fn a_choice_of_two_roots_takes_nothing_away_that_is_not_its_own() {
    let lab = Fixture::with_inputs();
    // Of the own root, the lower priority with two slaves; of the fetched one the higher without.
    let first = "update-alternatives --install /usr/bin/edit edit /usr/bin/small 10 \\\n\
                 --slave /usr/bin/view view /usr/bin/small-view --slave /usr/bin/extra extra /usr/bin/small-extra\n";
    package(&lab, "root", "small", &["/usr/bin/small", "/usr/bin/small-view", "/usr/bin/small-extra"], first);
    let second = "update-alternatives --install /usr/bin/edit edit /usr/bin/large 20\n";
    package(&lab, "fetched", "large", &["/usr/bin/large", "/usr/bin/extra"], second);
    lab.spec("root = \"root\"\npackages = [\"small\", \"large\"]");
    let spec = Spec::load(&lab.at("spec.toml")).unwrap();
    let mut tree = FileTree::default();
    let why = || Why::new(LayerName::Base, "an applet");
    tree.insert("/usr/bin/view", Entry::symlink("busybox", why())).unwrap();
    let remarks = programs::add(&spec.host, Some(&lab.at("fetched")), &mut tree).unwrap();
    assert_eq!(at(&tree, "usr/bin/edit"), "-> /etc/alternatives/edit", "{:?}", remarks.warnings);
    assert_eq!(at(&tree, "etc/alternatives/edit"), "-> /usr/bin/large");
    assert_eq!(at(&tree, "usr/bin/view"), "-> busybox", "the applet is there without the slave");
    assert_eq!(at(&tree, "etc/alternatives/view"), "nothing");
    assert_eq!(at(&tree, "usr/bin/extra"), "large", "a package's file is not a link of alternatives");
    let there: &dyn Rootfs = &tree;
    assert!(there.exists("/usr/bin/edit"));
}
