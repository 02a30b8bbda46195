//! `vmatic deps`, `vmatic trace` and what a build says of its finished images, as the operator sees them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::fixture::{Fixture, LIB, merged_root};
use crate::output::{stderr, stdout};

/// prog -> liba -> libb, and a script.
fn root() -> Fixture {
    let lab = merged_root();
    let b = lab.library(LIB, "libb.so", &[]);
    let a = lab.library("opt/app", "liba.so", &[b.to_str().unwrap()]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,-rpath,/opt/app", "-Wl,--enable-new-dtags"]);
    lab.script("usr/bin/script", "#!/usr/bin/prog -x\n");
    lab
}

#[test]
fn the_tree_shows_each_need_once_with_its_rule() {
    let lab = root();
    let output = lab.vmatic(&["deps", "--root", ".", "script"]);
    let expected = "\
/usr/bin/script
└─ /usr/bin/prog /usr/bin/prog (interpreter of a script)
   ├─ /lib64/ld-linux-x86-64.so.2 /usr/lib/x86_64-linux-gnu/ld-real.so.2 (PT_INTERP)
   └─ liba.so /opt/app/liba.so (RUNPATH of /usr/bin/prog)
      └─ libb.so /usr/lib/x86_64-linux-gnu/libb.so (trusted folder)
";
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).starts_with("5 files, "), "{}", stderr(&output));
}

#[test]
fn the_list_is_paths_and_json_says_all() {
    let lab = root();
    let output = lab.vmatic(&["deps", "--list", "--root", ".", "prog"]);
    let listed = stdout(&output);
    assert!(listed.lines().all(|line| line.starts_with('/') && lab.at(line).symlink_metadata().is_ok()), "{listed}");
    assert!(listed.contains("/lib64\n") && listed.contains("/opt/app/liba.so\n"), "links too: {listed}");
    let output = lab.vmatic(&["deps", "--json", "--root", ".", "prog"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let a = value["files"].as_array().unwrap().iter().find(|file| file["path"] == "/opt/app/liba.so").unwrap();
    assert_eq!((&a["needed_by"], &a["needs"][0]["name"]), (&"/usr/bin/prog".into(), &"libb.so".into()));
}

#[test]
fn what_is_missing_is_one_chain_each_and_status_1() {
    let lab = root();
    fs::remove_file(lab.at(&format!("{LIB}/libb.so"))).unwrap();
    let output = lab.vmatic(&["deps", "--root", ".", "prog"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("└─ libb.so not found"), "{}", stdout(&output));
    assert!(stderr(&output).contains("/usr/bin/prog -> /opt/app/liba.so -> libb.so"), "{}", stderr(&output));
    assert_eq!(lab.vmatic(&["deps"]).status.code(), Some(2));
    assert_eq!(lab.vmatic(&["deps", "--root", ".", "nothing"]).status.code(), Some(1));
}

#[test]
fn a_trace_proposes_what_the_closure_would_not_bring() {
    let lab = Fixture::new();
    let (here, other) = (tempfile::tempdir_in("/var/tmp").unwrap(), tempfile::tempdir_in("/var/tmp").unwrap());
    fs::write(here.path().join("settings"), "x\n").unwrap();
    let foreign = other.path().join("foreign");
    fs::write(&foreign, "x\n").unwrap();
    let inner = format!("cat settings {}; exit 7", foreign.display());
    let output = lab
        .command(&["trace", "--", "/bin/sh", "-c", &inner])
        .env("HOME", "/nowhere")
        .current_dir(here.path())
        .output()
        .unwrap();
    let said = stdout(&output);
    let table: toml::Table = said.parse().unwrap();
    let binaries = table["binaries"].to_string();
    assert!(binaries.contains("/bin/sh") && binaries.contains("cat\""), "{said}");
    assert!(table["files"].to_string().contains(foreign.to_str().unwrap()), "{said}");
    assert!(said.contains(&format!("# input? {}/settings", here.path().display())), "{said}");
    assert!(stderr(&output).contains("exit status 7"), "{}", stderr(&output));
}

#[test]
fn a_gap_in_the_finished_image_fails_the_build_with_the_chain() {
    let lab = Fixture::with_inputs();
    lab.script("over/usr/libexec/tool", "#!/opt/lang\n");
    lab.spec("root = \"empty\"\noverlays = [\"over\"]");
    fs::create_dir_all(lab.at("empty")).unwrap();
    let output = lab.build();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/usr/libexec/tool -> /opt/lang") && said.contains("help: "), "{said}");
    lab.script("over/opt/lang", "not a script\n");
    assert!(lab.build().status.success());
}

#[test]
fn special_bits_and_broken_links_are_warned_of_and_noted() {
    let lab = Fixture::with_inputs();
    lab.write("over/layer.toml", "[links]\n\"/etc/gone\" = \"/etc/nothing\"\n[modes]\n\"/bin/up\" = \"4755\"\n");
    lab.write("over/bin/up", "x");
    lab.spec("overlays = [\"over\"]");
    let output = lab.build();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let manifest = fs::read_to_string(lab.at("out/lab/manifest.json")).unwrap();
    for warning in ["/bin/up (4755)", "/etc/gone -> /etc/nothing"] {
        assert!(said.contains(warning) && manifest.contains(warning), "{warning}: {said}");
    }
}

#[test]
fn a_package_of_the_root_brings_its_files_and_what_they_need() {
    let lab = Fixture::with_inputs();
    let root = merged_root();
    let a = root.library(LIB, "liba.so", &[]);
    root.program("usr/bin/tool", &[a.to_str().unwrap()]);
    root.write("usr/share/tool/data", "x");
    root.write("usr/share/doc/tool/copyright", "x");
    root.write("usr/share/helper/data", "x");
    root.write("etc/tool.conf", "x");
    fs::set_permissions(root.at("etc/tool.conf"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir_all(root.at("var/lib/tool")).unwrap();
    let status = "Package: tool\nStatus: install ok installed\nDepends: helper, debconf\n
Package: helper\nStatus: install ok installed\n";
    root.write("var/lib/dpkg/status", status);
    let list =
        "/.\n/usr\n/usr/bin/tool\n/usr/share/tool/data\n/usr/share/doc/tool/copyright\n/etc/tool.conf\n/var/lib/tool\n";
    root.write("var/lib/dpkg/info/tool.list", list);
    root.write("var/lib/dpkg/info/helper.list", "/usr/share/helper/data\n");
    let place = root.folder.path().display();
    for (depth, helper) in [("", true), ("package_depth = 0", false), ("package_depth = \"all\"", true)] {
        lab.spec(&format!("root = \"{place}\"\npackages = [\"tool\"]\n{depth}"));
        let output = lab.build();
        assert!(output.status.success(), "{}", stderr(&output));
        let listed = stdout(&lab.vmatic(&["list"]));
        let has = |path: &str| listed.lines().any(|line| line.ends_with(&format!(" {path}")));
        for path in ["/usr/bin/tool", "/usr/lib/x86_64-linux-gnu/liba.so", "/usr/share/tool/data", "/var/lib/tool"] {
            assert!(has(path), "{path}: {listed}");
        }
        assert!(!has("/usr/share/doc/tool/copyright"));
        assert_eq!(has("/usr/share/helper/data"), helper, "{depth}");
        assert!(listed.contains("-0640"), "settings keep their mode: {listed}");
    }
    assert!(stdout(&lab.vmatic(&["why", "/usr/share/helper/data"])).contains("package helper, which tool depends on"));
    lab.spec("package_depth = \"deep\"\npackages = [\"NO\"]");
    let said = stderr(&lab.build());
    assert!(said.contains("invalid package depth \"deep\"") && said.contains("invalid package name \"NO\""), "{said}");
}
