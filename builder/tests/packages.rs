//! Debian packages for real: needs apt's lists and a mirror, as `make test` has them.

#![allow(clippy::unwrap_used)]

use std::fs;

use vmatic::debpkg::Cache;
use vmatic::filetree::FileTree;
use vmatic::layer::{Layer, add_busybox};

#[test]
fn busybox_is_fetched_once_and_has_every_applet_of_the_template() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path(), false);
    let package = cache.package("busybox-static").unwrap();
    assert_eq!(package.sha256.len(), 64);
    let unpacked = cache.folder_of(&package);
    let program =
        ["bin/busybox", "usr/bin/busybox"].iter().find_map(|path| fs::read(unpacked.join(path)).ok()).unwrap();

    // The second time nothing is fetched: a mark in the unpacked folder survives.
    fs::write(unpacked.join("mark"), "").unwrap();
    assert_eq!(cache.package("busybox-static").unwrap(), package);
    assert!(unpacked.join("mark").exists());

    let template = Layer::embedded_template().unwrap();
    let applets = template.applets.clone();
    let mut tree = FileTree::new();
    template.lay(&mut tree).unwrap();
    add_busybox(&mut tree, program, &applets, "busybox-static").unwrap();
    assert_eq!(tree.real_path("/bin/sh").as_deref(), Some("usr/bin/busybox"));
    assert!(tree.real_path("/sbin/udhcpc") == tree.real_path("/bin/busybox"), "links in sbin lead to BusyBox too");
}
