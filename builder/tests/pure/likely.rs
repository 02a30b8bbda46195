//! What programs name in their own data: folders, helpers, libraries. Each against a root made here, with a dpkg
//! database that says what belongs to whom.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::fixture::{Fixture, LIB, merged_root};
use crate::output::{stderr, stdout};
use vmatic::closure::{Certainty, Closure};
use vmatic::rootfs::sysroot::Sysroot;

/// A root whose dpkg knows these packages: name, more fields, files (made with a word in them if they are not there).
fn installed(lab: &Fixture, packages: &[(&str, &str, &[&str])]) {
    let mut status = String::new();
    for (name, fields, files) in packages {
        status.push_str(&format!("Package: {name}\nStatus: install ok installed\n{fields}\n\n"));
        let mut list = String::from("/.\n/usr\n");
        for path in *files {
            list.push_str(&format!("{path}\n"));
            let place = lab.at(path.trim_start_matches('/'));
            if !place.exists() {
                lab.write(path.trim_start_matches('/'), "data");
            }
        }
        lab.write(&format!("var/lib/dpkg/info/{name}.list"), &list);
    }
    lab.write("var/lib/dpkg/status", &status);
}

const FUNCTIONS: [&str; 4] = ["execvp", "popen", "dlopen", "lt_dlopenext"];

/// A program whose data has these texts, and that calls these functions of a library.
fn program(lab: &Fixture, path: &str, texts: &[&str], calls: &[&str]) {
    let data: String = texts.iter().map(|text| format!("{text:?},")).collect();
    let calls: (String, String) = (
        calls.iter().map(|name| format!("void {name}(void);")).collect(),
        calls.iter().map(|name| format!("{name}();")).collect(),
    );
    let code = format!(
        "{} const char *const texts[] = {{ {data} 0 }}; void _start(void) {{ {} for (;;); }}",
        calls.0, calls.1
    );
    let functions: String = FUNCTIONS.iter().map(|name| format!("void {name}(void) {{}}")).collect();
    let words = ["-shared", "-fPIC", "-nostdlib", "-fno-builtin", "-Wl,-soname,libc.so.9"];
    let libc = lab.gcc(&format!("{LIB}/libc.so.9"), &functions, &words);
    let words = ["-nostdlib", "-nostartfiles", "-pie", "-fPIE", "-fno-builtin", libc.to_str().unwrap()];
    lab.gcc(path, &code, &words);
}

/// The likely files of a program, by path with their reason; what was left out, by path.
fn likely(lab: &Fixture, name: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let sysroot = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&sysroot);
    closure.add(name).unwrap();
    let before = closure.files.clone();
    closure.include_likely();
    closure.check().unwrap();
    let likely = closure.files.iter().filter(|(_, need)| need.certainty == Certainty::Likely);
    let likely: BTreeMap<String, String> = likely.map(|(path, need)| (path.clone(), need.reason.clone())).collect();
    let added = closure.files.keys().filter(|path| !before.contains_key(*path));
    assert!(added.clone().all(|path| likely.contains_key(path)), "{:?}", added.collect::<Vec<_>>());
    (likely, closure.left_out.into_keys().collect())
}

fn paths(lab: &Fixture, name: &str) -> Vec<String> {
    likely(lab, name).0.into_keys().collect()
}

#[test]
fn folders_that_a_program_names_bring_what_its_packages_have_there() {
    let lab = merged_root();
    let texts =
        ["/usr/share/tool", "/etc/tool.conf", "/usr/lib/tool/%s.so", "/usr/share", "/usr/share/other", "/etc/passwd"];
    program(&lab, "usr/bin/tool", &texts, &[]);
    lab.write("usr/share/tool/nobodys", "left by somebody");
    lab.write("etc/passwd", "root:x:0:0::/:/bin/sh");
    let own = ["/usr/bin/tool", "/usr/share/tool", "/usr/share/tool/a", "/etc/tool.conf", "/usr/share/doc/tool/b"];
    installed(
        &lab,
        &[
            ("tool", "Depends: tool-data, libc6", &own),
            ("tool-data", "", &["/usr/share/tool/more/c", "/usr/lib/tool/d.so", "/usr/share/tool-2/e"]),
            ("other", "", &["/usr/share/other/f", "/usr/share/tool/others"]),
        ],
    );
    let expected = ["/etc/tool.conf", "/usr/lib/tool/d.so", "/usr/share/tool/a", "/usr/share/tool/more/c"];
    assert_eq!(paths(&lab, "tool"), expected);
    assert_eq!(likely(&lab, "tool").0["/usr/share/tool/a"], "below /usr/share/tool, which its data names");
}

#[test]
fn what_nobody_knows_belongs_to_its_prefix() {
    let lab = merged_root();
    program(
        &lab,
        "opt/app/bin/run",
        &["/opt/app/share/words", "../lib/boot", "share/maps/%d", "/opt/other"],
        &["execvp"],
    );
    program(&lab, "opt/app/libexec/helper", &["/opt/app/etc/helper.conf"], &[]);
    for path in ["share/words/a", "lib/boot/b", "share/maps/c", "etc/helper.conf", "src/d"] {
        lab.write(&format!("opt/app/{path}"), "x");
    }
    lab.write("opt/other/e", "x");
    let base = ["lib/boot/b", "share/maps/c", "share/words/a"].map(|path| format!("/opt/app/{path}"));
    assert_eq!(paths(&lab, "/opt/app/bin/run"), base);
    program(&lab, "opt/app/bin/run", &["helper"], &["execvp"]);
    assert_eq!(paths(&lab, "/opt/app/bin/run"), ["/opt/app/etc/helper.conf", "/opt/app/libexec/helper"]);
    // A library that is bundled with it starts things as well.
    program(&lab, "opt/app/lib/libown.so", &["helper"], &["execvp"]);
    program(&lab, "opt/app/bin/run", &["/opt/app/lib/libown.so"], &[]);
    let all = ["/opt/app/etc/helper.conf", "/opt/app/lib/libown.so", "/opt/app/libexec/helper"].map(str::to_owned);
    let found: Vec<String> =
        paths(&lab, "/opt/app/bin/run").into_iter().filter(|path| path.starts_with("/opt/")).collect();
    assert_eq!(found, all);
    program(&lab, "usr/local/bin/mine", &["/usr/local/share/mine", "/usr/local/share"], &[]);
    lab.write("usr/local/share/mine/a", "x");
    lab.write("usr/local/share/yours/a", "x");
    assert_eq!(paths(&lab, "mine"), ["/usr/local/share/mine/a"]);
}

/// Images are served to everybody.
#[test]
fn what_others_may_not_read_is_not_brought_by_guess() {
    let lab = merged_root();
    program(&lab, "opt/app/bin/run", &["/opt/app/files", "/opt/app/libexec"], &["execvp"]);
    let closed = ["files/closed/b", "files/closed/c/d"];
    let files = [("files/a", 0o644), ("files/key", 0o600), ("files/.env", 0o644), ("files/.git/config", 0o644)];
    for (path, mode) in files.into_iter().chain(closed.map(|path| (path, 0o644))) {
        lab.write(&format!("opt/app/{path}"), "x");
        fs::set_permissions(lab.at(&format!("opt/app/{path}")), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(lab.at("opt/app/files/closed"), fs::Permissions::from_mode(0o750)).unwrap();
    program(&lab, "opt/app/libexec/own", &[], &[]);
    fs::set_permissions(lab.at("opt/app/libexec/own"), fs::Permissions::from_mode(0o700)).unwrap();
    let (brought, left_out) = likely(&lab, "/opt/app/bin/run");
    assert_eq!(brought.into_keys().collect::<Vec<_>>(), ["/opt/app/files/a"]);
    let private = ["files/.env", "files/.git/config", "files/key", "libexec/own"];
    let private = private.into_iter().chain(closed).map(|path| format!("/opt/app/{path}"));
    assert!(private.into_iter().collect::<Vec<_>>().iter().all(|path| left_out.contains(path)), "{left_out:?}");
}

#[test]
fn what_a_program_writes_and_what_is_too_large_stays_out() {
    let lab = merged_root();
    program(&lab, "opt/app/bin/run", &["/opt/app", "/opt/app/large", "share/words"], &[]);
    for path in ["share/words/a", "data/b", "log/c", "var/d", "home/e", "share/cache/f", "tmp/g", "large/i"] {
        lab.write(&format!("opt/app/{path}"), "x");
    }
    // A file without any bytes on disk, longer than a folder may be.
    let file = fs::File::create(lab.at("opt/app/large/h")).unwrap();
    file.set_len(200 << 20).unwrap();
    let sysroot = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&sysroot);
    closure.add("/opt/app/bin/run").unwrap();
    closure.include_likely();
    let own: Vec<&String> = closure.files.keys().filter(|path| path.starts_with("/opt/app/")).collect();
    assert_eq!(own, ["/opt/app/bin/run", "/opt/app/share/words/a"]);
    let said = &closure.suggested["/opt/app/large"];
    assert!(said.contains("2 files with 200 MiB"), "{said}");
    // Without it all but what is written comes.
    file.set_len(1).unwrap();
    let own: Vec<String> =
        paths(&lab, "/opt/app/bin/run").into_iter().filter(|path| path.starts_with("/opt/")).collect();
    assert_eq!(own, ["large/h", "large/i", "share/words/a"].map(|path| format!("/opt/app/{path}")));
}

#[test]
fn a_path_behind_a_prefix_that_is_found_out_later_is_looked_for_there() {
    let lab = merged_root();
    program(&lab, "usr/bin/tool", &["/share/tool-3.25", "/libexec"], &[]);
    let own = ["/usr/bin/tool", "/usr/share/tool-3.25/Modules/a", "/usr/libexec/b"];
    installed(&lab, &[("tool", "", &own), ("other", "", &["/usr/share/other/c"])]);
    assert_eq!(paths(&lab, "tool"), ["/usr/share/tool-3.25/Modules/a"]);
    program(&lab, "opt/app/bin/run", &["/share/words"], &[]);
    lab.write("opt/app/share/words/d", "x");
    assert_eq!(paths(&lab, "/opt/app/bin/run"), ["/opt/app/share/words/d"]);
}

#[test]
fn helpers_are_started_by_name_where_a_package_says_so() {
    let lab = merged_root();
    let helpers = ["usr/bin/mangle", "usr/bin/tool-agent", "usr/lib/tool/worker", "usr/bin/wished", "usr/bin/foreign"];
    for helper in helpers.into_iter().chain(["usr/bin/sort", "usr/bin/side"]) {
        lab.program(helper, &["-static"]);
    }
    let words = ["mangle -dc %s", "/tool-agent", "%s/worker", "wished", "foreign", "sort", "side"];
    let packages: [(&str, &str, &[&str]); 6] = [
        (
            "tool",
            "Depends: mangle\nRecommends: wished | gone",
            &["/usr/bin/tool", "/usr/bin/side", "/usr/lib/tool/worker"],
        ),
        ("tool-agent", "Source: tool (1.2)", &["/usr/bin/tool-agent"]),
        ("mangle", "", &["/usr/bin/mangle", "/usr/bin/sort"]),
        ("wished", "", &["/usr/bin/wished"]),
        ("foreign", "", &["/usr/bin/foreign"]),
        ("shell", "Essential: yes", &[]),
    ];
    lab.program("usr/bin/sh", &["-static"]);
    let expect = |calls: &[&str], expected: &[&str]| {
        program(&lab, "usr/bin/tool", &words, calls);
        installed(&lab, &packages);
        assert_eq!(paths(&lab, "tool"), expected, "{calls:?}");
    };
    expect(&[], &[]);
    expect(&["execvp"], &["/usr/bin/side", "/usr/bin/tool-agent", "/usr/bin/wished", "/usr/lib/tool/worker"]);
    let shell = ["/usr/bin/mangle", "/usr/bin/sh"];
    let all =
        [&shell[..], &["/usr/bin/side", "/usr/bin/tool-agent", "/usr/bin/wished", "/usr/lib/tool/worker"]].concat();
    expect(&["popen"], &all);
}

#[test]
fn libraries_are_opened_by_name_as_the_loader_finds_them() {
    let lab = merged_root();
    lab.library(LIB, "libopened.so.2", &[]);
    lab.library("opt/odd", "libodd.so", &[]);
    lab.library("usr/lib/tool", "module.so", &[]);
    let gone = lab.library("opt/gone", "libgone.so", &[]);
    lab.library("usr/lib/tool", "broken.so", &[gone.to_str().unwrap()]);
    fs::remove_file(gone).unwrap();
    lab.write("etc/ld.so.conf", "/opt/odd\n");
    let texts = ["libopened.so.2", "libodd.so", "libnowhere.so.1", "module.so", "broken.so"];
    program(&lab, "usr/bin/tool", &texts, &[]);
    let own = ["/usr/bin/tool", "/usr/lib/tool/module.so", "/usr/lib/tool/broken.so"];
    installed(&lab, &[("tool", "", &own)]);
    assert!(paths(&lab, "tool").is_empty());
    program(&lab, "usr/bin/tool", &texts, &["dlopen"]);
    let (files, left_out) = likely(&lab, "tool");
    let expected =
        ["/opt/odd/libodd.so".to_owned(), "/usr/lib/tool/module.so".to_owned(), format!("/{LIB}/libopened.so.2")];
    assert_eq!(files.into_keys().collect::<Vec<_>>(), expected);
    assert_eq!(left_out, ["/usr/lib/tool/broken.so"]);
    program(&lab, "usr/bin/tool", &["module"], &["lt_dlopenext"]);
    assert_eq!(paths(&lab, "tool"), ["/usr/lib/tool/module.so"]);
}

#[test]
fn libraries_name_what_their_own_package_has() {
    let lab = merged_root();
    let code = "const char *const text = \"/usr/share/words\"; const char *const other = \"/usr/share/tool\";";
    let words = ["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libwords.so.1"];
    let library = lab.gcc(&format!("{LIB}/libwords.so.1"), code, &words);
    lab.program("usr/bin/tool", &[library.to_str().unwrap()]);
    installed(
        &lab,
        &[
            ("tool", "Depends: libwords1", &["/usr/bin/tool", "/usr/share/tool/a"]),
            ("libwords1", "Depends: words-data", &[&format!("/{LIB}/libwords.so.1")]),
            ("words-data", "", &["/usr/share/words/list"]),
        ],
    );
    assert_eq!(paths(&lab, "tool"), ["/usr/share/words/list"]);
}

#[test]
fn scripts_name_folders_too() {
    let lab = merged_root();
    lab.program("usr/bin/sh", &["-static"]);
    lab.script("usr/bin/tool", "#!/bin/sh\n# see /usr/share/tool-doc\nROOT=/usr/lib/tool\nexec $ROOT/run\n");
    let own = ["/usr/bin/tool", "/usr/lib/tool/run", "/usr/lib/tool/boot/start", "/usr/share/tool-doc/a"];
    installed(&lab, &[("tool", "", &own)]);
    // What it calls is certain.
    assert_eq!(paths(&lab, "tool"), ["/usr/lib/tool/boot/start"]);
}

#[test]
fn likely_needs_are_shown_apart_and_a_strict_image_does_without() {
    let root = merged_root();
    program(&root, "usr/bin/tool", &["/usr/share/tool"], &[]);
    installed(&root, &[("tool", "", &["/usr/bin/tool", "/usr/share/tool/a"])]);
    let output = root.vmatic(&["deps", "--root", ".", "tool"]);
    assert!(
        stdout(&output).contains("└─ likely: below /usr/share/tool, which its data names: 1 file"),
        "{}",
        stdout(&output)
    );
    assert!(stderr(&output).contains("1 of them likely"), "{}", stderr(&output));
    let output = root.vmatic(&["deps", "--json", "--root", ".", "tool"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let certainty = |path: &str| {
        value["files"].as_array().unwrap().iter().find(|file| file["path"] == path).unwrap()["certainty"].clone()
    };
    assert_eq!((certainty("/usr/share/tool/a"), certainty("/usr/bin/tool")), ("likely".into(), "certain".into()));
    for words in [
        &["deps", "--strict", "--list", "--root", ".", "tool"][..],
        &["deps", "--libraries", "--list", "--root", ".", "tool"],
    ] {
        assert!(!stdout(&root.vmatic(words)).contains("/usr/share/tool/a"), "{words:?}");
    }
    let lab = Fixture::with_inputs();
    let place = root.folder.path().display();
    for (strict, there) in [("", true), ("strict = true", false), ("strict = false", true)] {
        lab.spec(&format!("root = \"{place}\"\nbinaries = [\"tool\"]\n{strict}"));
        let output = lab.build();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&lab.vmatic(&["list"])).contains("/usr/share/tool/a"), there, "{strict}");
    }
    let said = stdout(&lab.vmatic(&["why", "/usr/share/tool/a"]));
    assert!(
        said.contains("likely: below /usr/share/tool, which its data names")
            && said.contains("needed by /usr/bin/tool"),
        "{said}"
    );
    lab.spec("strict = 1");
    assert!(stderr(&lab.build()).contains("strict"));
}

#[test]
fn what_was_only_likely_and_is_left_out_is_one_note() {
    let root = merged_root();
    let gone = root.library("opt/gone", "libgone.so", &[]);
    let names: Vec<String> = (0..9).map(|at| format!("part{at}.so")).collect();
    for name in &names {
        root.library("usr/lib/tool", name, &[gone.to_str().unwrap()]);
    }
    fs::remove_file(&gone).unwrap();
    program(&root, "usr/bin/tool", &["/usr/lib/tool"], &[]);
    let own: Vec<String> = names.iter().map(|name| format!("/usr/lib/tool/{name}")).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).chain(["/usr/bin/tool"]).collect();
    installed(&root, &[("tool", "", &own)]);
    let lab = Fixture::with_inputs();
    lab.spec(&format!("root = \"{}\"\nbinaries = [\"tool\"]", root.folder.path().display()));
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("left out")).collect();
    let [line] = &lines[..] else { panic!("{said}") };
    let start = "note: host image: 9 files are likely to be used, but left out, each because it needs libgone.so: \
        /usr/lib/tool/part0.so, ";
    assert!(line.starts_with(start) && line.contains(" more"), "{line}");
}

#[test]
fn what_the_image_has_already_is_not_brought_again() {
    let root = merged_root();
    program(&root, "usr/bin/tool", &["/etc/hosts", "/usr/share/tool/a"], &[]);
    installed(&root, &[("tool", "", &["/usr/bin/tool", "/etc/hosts", "/usr/share/tool/a"])]);
    symlink("share", root.at("usr/data")).unwrap();
    let lab = Fixture::with_inputs();
    lab.spec(&format!("root = \"{}\"\nbinaries = [\"tool\"]", root.folder.path().display()));
    let output = lab.build();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&lab.vmatic(&["cat", "/etc/hosts"])), "127.0.0.1 localhost\n");
    assert!(stdout(&lab.vmatic(&["list"])).contains("/usr/share/tool/a"));
}
