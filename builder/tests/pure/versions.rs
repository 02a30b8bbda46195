//! Symbol versions: a library that is there and lacks the version that a program asks of it.

use crate::fixture::{Fixture, LIB, merged_root};
use crate::output::{stderr, stdout};

/// prog asks libacme for what its version V2 has; LIB has a libacme with V1 alone, /opt/new one with both.
fn root(weak: bool) -> Fixture {
    let lab = merged_root();
    lab.write("one.map", "V1 { global: f1; local: *; };\n");
    lab.write("two.map", "V1 { global: f1; local: *; }; V2 { global: f2; } V1;\n");
    let map = |name: &str| format!("-Wl,--version-script={}", lab.at(name).display());
    let words = ["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libacme.so.1"];
    let code = "int f1(void) { return 1; } int f2(void) { return 2; }";
    lab.gcc(&format!("{LIB}/libacme.so.1"), code, &[&words[..], &[&map("one.map")]].concat());
    let new = lab.gcc("opt/new/libacme.so.1", code, &[&words[..], &[&map("two.map")]].concat());
    let attribute = if weak { "__attribute__((weak))" } else { "" };
    let code = format!("int f2(void) {attribute}; void _start(void) {{ f2(); for (;;); }}");
    lab.gcc("usr/bin/prog", &code, &["-nostdlib", "-nostartfiles", "-pie", "-fPIE", new.to_str().unwrap()]);
    // As a program that was built elsewhere: it names the library by its soname.
    lab.script("usr/bin/start", "#!/usr/bin/prog\n");
    lab
}

#[test]
fn a_version_that_the_library_lacks_is_named_with_who_asks() {
    let lab = root(false);
    for words in [&["deps", "--root", ".", "prog"][..], &["deps", "--libraries", "--root", ".", "start"]] {
        let output = lab.vmatic(words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot find version V2 of libacme.so.1"), "{said}");
        assert!(said.contains("/usr/bin/prog") && said.contains(&format!("/{LIB}/libacme.so.1")), "{said}");
    }
    let output = lab.vmatic(&["deps", "--json", "--root", ".", "prog"]);
    assert!(stdout(&output).contains("version V2 of libacme.so.1"));
    let output = lab.vmatic(&["deps", "--root", ".", "--library-path", "/opt/new", "prog"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_version_that_may_be_missing_is_no_error() {
    let lab = root(true);
    let output = lab.vmatic(&["deps", "--root", ".", "prog"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_library_without_versions_is_asked_for_none() {
    let lab = root(false);
    lab.library(LIB, "libacme.so.1", &[]);
    let output = lab.vmatic(&["deps", "--root", ".", "prog"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_build_stops_at_a_version_that_is_not_there() {
    let root = root(false);
    let lab = Fixture::with_inputs();
    lab.spec(&format!("root = \"{}\"\nbinaries = [\"prog\"]", root.folder.path().display()));
    let output = lab.build();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("version V2 of libacme.so.1") && said.contains("help: "), "{said}");
}
