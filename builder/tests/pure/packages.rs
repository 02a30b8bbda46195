//! Debian packages for real: needs apt's lists and a mirror, as `make test` has them.

use std::fs;

use vmatic::image::layer::{Layer, add_busybox};
use vmatic::packages::cache::Cache;
use vmatic::rootfs::tree::FileTree;
use vmatic::spec::values::PackageName;

#[test]
fn busybox_is_fetched_once_and_has_every_applet_of_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path(), false);
    let name = PackageName::known("busybox-static");
    let package = cache.package(&name).unwrap();
    assert_eq!(package.sha256.len(), 64);
    let unpacked = cache.folder_of(&package);
    let program =
        ["bin/busybox", "usr/bin/busybox"].iter().find_map(|path| fs::read(unpacked.join(path)).ok()).unwrap();

    // The second time nothing is fetched: a mark in the unpacked folder survives.
    fs::write(unpacked.join("mark"), "").unwrap();
    assert_eq!(cache.package(&name).unwrap(), package);
    assert!(unpacked.join("mark").exists());

    let base = Layer::embedded_base().unwrap();
    let applets = base.applets.clone();
    let mut tree = FileTree::new();
    base.lay(&mut tree).unwrap();
    add_busybox(&mut tree, program, &applets, "busybox-static").unwrap();
    assert_eq!(tree.real_path("/bin/sh").as_deref(), Some("usr/bin/busybox"));
    assert!(tree.real_path("/sbin/udhcpc") == tree.real_path("/bin/busybox"), "links in sbin lead to BusyBox too");
}

/// An apt of its own for another architecture: this machine's lists and packages stay as they are.
fn foreign_root(lab: &std::path::Path, architecture: &str, package: &str) -> std::path::PathBuf {
    for folder in ["lists/partial", "archives/partial", "root"] {
        fs::create_dir_all(lab.join(folder)).unwrap();
    }
    fs::write(lab.join("status"), "").unwrap();
    let apt = |words: &[&str]| {
        let at = |name: &str| lab.join(name).display().to_string();
        let mut command = std::process::Command::new("apt-get");
        for option in [
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache::archives={}", at("archives")),
            format!("Dir::Cache::pkgcache={}", at("pkgcache")),
            format!("Dir::Cache::srcpkgcache={}", at("srcpkgcache")),
            "APT::Sandbox::User=root".to_owned(),
            "Debug::NoLocking=1".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        let output = command.args(["-q", "-y", "--no-install-recommends"]).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    apt(&["update"]);
    apt(&["--download-only", "install", package]);
    for entry in fs::read_dir(lab.join("archives")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "deb") {
            let words = ["-x", path.to_str().unwrap(), lab.join("root").to_str().unwrap()].map(str::to_owned);
            assert!(std::process::Command::new("dpkg-deb").args(words).status().unwrap().success());
        }
    }
    lab.join("root")
}

#[test]
fn the_closure_of_another_architecture_comes_from_its_own_root() {
    let folder = tempfile::tempdir().unwrap();
    let root = vmatic::rootfs::sysroot::Sysroot::new(foreign_root(folder.path(), "arm64", "bash"));
    let mut closure = vmatic::closure::Closure::new(&root);
    closure.add("bash").unwrap();
    let names: Vec<&str> = closure.files.keys().filter_map(|path| path.rsplit('/').next()).collect();
    for wanted in ["bash", "ld-linux-aarch64.so.1", "libc.so.6", "libgcc_s.so.1", "libtinfo.so.6.4"] {
        assert!(names.contains(&wanted), "{wanted} is missing among {names:?}");
    }
    for path in closure.files.keys().filter(|path| path.contains(".so")) {
        let needs = vmatic::elf::needs(&fs::File::open(root.on_disk(path)).unwrap()).unwrap();
        assert_eq!(needs.machine.machine, 183, "{path}");
    }
}
