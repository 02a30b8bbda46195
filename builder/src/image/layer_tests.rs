use std::os::unix::fs::PermissionsExt;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[test]
fn the_embedded_base_makes_a_root() {
    let mut tree = FileTree::new();
    let layer = Layer::embedded_base().unwrap();
    assert_eq!(layer.manifest.busybox.as_deref(), Some("debian:busybox-static"));
    assert!(layer.applets.contains("bin/sh"));
    layer.lay(&mut tree).unwrap();
    assert_eq!(tree.get("/dev/console").unwrap().content, Content::Device { block: false, major: 5, minor: 1 });
    assert_eq!(tree.get("/tmp").unwrap().mode, 0o1777);
    assert_eq!(tree.get("/etc/shadow").unwrap().mode, 0o600);
    assert_eq!(tree.real_path("/lib").as_deref(), Some("usr/lib"));
}

#[test]
fn an_overlay_replaces_removes_and_opens_nothing() {
    let mut tree = FileTree::new();
    Layer::embedded_base().unwrap().lay(&mut tree).unwrap();
    let over = folder(&[("etc/hosts", "new"), ("etc/.wh.services", ""), ("lib/x.so", "x"), ("run.sh", "#!/bin/sh")]);
    fs::set_permissions(over.path().join("etc/hosts"), fs::Permissions::from_mode(0o640)).unwrap();
    // The folder etc is the base's: it stays open, and what this one hid in it is hidden.
    fs::set_permissions(over.path().join("etc"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(over.path().join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    Layer::overlay("x", over.path()).unwrap().lay(&mut tree).unwrap();
    let hosts = tree.get("/etc/hosts").unwrap();
    assert_eq!((hosts.mode, hosts.overrode.clone()), (0o600, vec![LayerName::Base]));
    assert_eq!(tree.get("/etc").unwrap().mode, 0o755);
    assert_eq!(tree.get("/run.sh").unwrap().mode, 0o700);
    assert!(tree.get("/etc/services").is_none());
    assert_eq!(tree.get("/lib").unwrap().kind(), "link", "merged /usr survives an overlay with lib/");
    assert!(tree.get("/usr/lib/x.so").is_some());
}

#[test]
fn folders_close_what_is_in_them_and_nothing_beside() {
    let mut tree = FileTree::new();
    for path in ["a", "a/b", "a-", "ab"] {
        tree.insert(path, Entry::dir(0o755, Why::default())).unwrap();
    }
    let over = folder(&[("a/b/c", ""), ("a/d", ""), ("a-/e", ""), ("ab/f", "")]);
    for (path, mode) in [("a", 0o750), ("a/b", 0o700), ("a/b/c", 0o666), ("a/d", 0o666), ("a-/e", 0o666)] {
        fs::set_permissions(over.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    Layer::overlay("x", over.path()).unwrap().lay(&mut tree).unwrap();
    let modes = ["a", "a/b/c", "a/d", "a-/e", "ab/f"].map(|path| tree.get(path).unwrap().mode & 0o055);
    assert_eq!(modes, [0o055, 0, 0o040, 0o044, 0o044]);
}

#[test]
fn a_closed_folder_of_an_overlay_is_said_where_it_matters() {
    let over = folder(&[("etc/key", "x")]);
    let warning = |mode: u32| {
        fs::set_permissions(over.path(), fs::Permissions::from_mode(mode)).unwrap();
        Layer::overlay("x", over.path()).unwrap().warning()
    };
    assert_eq!((warning(0o755), warning(0o711)), (None, None));
    let said = warning(0o700).unwrap();
    assert!(said.contains("overlay x is closed to others (mode 0700)") && said.contains("2 of its files"), "{said}");
    for path in ["etc/key", "etc"] {
        fs::set_permissions(over.path().join(path), fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(warning(0o700), None, "nothing in it is open");
}

#[test]
fn an_opaque_folder_and_a_manifest_are_obeyed() {
    let mut tree = FileTree::new();
    Layer::embedded_base().unwrap().lay(&mut tree).unwrap();
    let over = folder(&[
        ("etc/.wh..wh..opq", ""),
        ("etc/only", "x"),
        (MANIFEST, "[devices]\n\"/dev/kvm\" = \"c 10 232 0660\"\n[owners]\n\"/etc/only\" = \"1:2\"\n"),
    ]);
    Layer::overlay("x", over.path()).unwrap().lay(&mut tree).unwrap();
    let etc: Vec<_> = tree.iter().map(|(path, _)| path).filter(|path| path.starts_with("etc/")).collect();
    assert_eq!(etc, ["etc/only"]);
    assert_eq!(tree.get("/etc/only").unwrap().gid, 2);
    assert_eq!(tree.get("/dev/kvm").unwrap().kind(), "device");
}

#[test]
fn a_wrong_manifest_is_an_error_of_the_spec() {
    for text in [
        "[devices]\n\"/dev/x\" = \"q 1 2\"",
        "[modes]\n\"/none\" = \"0644\"",
        "unknown = 1",
        "[directories]\n\"/x\" = \"99\"",
    ] {
        let over = folder(&[(MANIFEST, text)]);
        let result = Layer::overlay("x", over.path()).and_then(|layer| layer.lay(&mut FileTree::new()));
        assert!(result.is_err(), "{text}");
    }
}

#[test]
fn an_applet_that_busybox_lacks_is_named() {
    let mut tree = FileTree::new();
    let program = b"\x7fELF\0ls\0cat\0".to_vec();
    add_busybox(&mut tree, program.clone(), "bin/ls\nusr/bin/cat\n", "b").unwrap();
    assert_eq!(tree.get("bin/ls").unwrap().content, Content::Symlink("busybox".to_owned()));
    assert_eq!(tree.get("usr/bin/cat").unwrap().content, Content::Symlink("/bin/busybox".to_owned()));
    // Versions differ: what may be missing is left out, and said.
    let left_out = add_busybox(&mut tree, program.clone(), "bin/ls?\nbin/dog?\nbin/cat\n", "b").unwrap();
    assert_eq!(left_out, ["bin/dog"]);
    assert!(tree.get("bin/ls").is_some() && tree.get("bin/dog").is_none());
    let error = add_busybox(&mut tree, program, "bin/ls\nbin/dog\n", "b").unwrap_err().to_string();
    assert!(error.contains("does not have bin/dog"), "{error}");
}
