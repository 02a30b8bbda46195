//! The ELF closure against fixtures made here with gcc and patchelf, each a kind that other tools get
//! wrong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use crate::fixture::{Fixture, LIB, LOADER, merged_root as root, run};
use crate::output::stderr;
use vmatic::closure::Closure;
use vmatic::elf::ldcache::Key;
use vmatic::rootfs::sysroot::Sysroot;
use vmatic::rootfs::tree::{Entry, FileTree, Why};

/// The real paths of a program's closure, or the error.
fn closure(lab: &Fixture, program: &str) -> Result<BTreeSet<String>, String> {
    let root = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&root);
    closure.add(program).map_err(|error| error.to_string())?;
    Ok(closure.files.keys().cloned().collect())
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn path(lab: &Fixture, path: &str) -> String {
    lab.at(path).to_str().unwrap().to_owned()
}

#[test]
fn libraries_are_found_transitively_and_links_are_kept() {
    let lab = root();
    lab.library(LIB, "libb.so.1.2", &[]);
    run("patchelf", &["--set-soname", "libb.so.1", &path(&lab, &format!("{LIB}/libb.so.1.2"))]);
    symlink("libb.so.1.2", lab.at(&format!("{LIB}/libb.so.1"))).unwrap();
    let b = path(&lab, &format!("{LIB}/libb.so.1.2"));
    let a = lab.library(LIB, "liba.so.1", &[&b]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap()]);
    let root = Sysroot::new(lab.folder.path());
    let mut found = Closure::new(&root);
    assert_eq!(found.add("prog").unwrap(), "/usr/bin/prog");
    let files: BTreeSet<String> = found.files.keys().cloned().collect();
    let lib = |name: &str| format!("/{LIB}/{name}");
    assert_eq!(files, set(&["/usr/bin/prog", LOADER, &lib("liba.so.1"), &lib("libb.so.1.2")]));
    assert_eq!(found.files[&lib("libb.so.1.2")].needed_by.as_deref(), Some(&*lib("liba.so.1")));
    assert_eq!(found.links[&lib("libb.so.1")], "libb.so.1.2");
    assert_eq!(found.links["/usr/lib64/ld-linux-x86-64.so.2"], "/lib/x86_64-linux-gnu/ld-real.so.2");
    assert_eq!(found.links["/lib64"], "usr/lib64");
}

#[test]
fn a_missing_library_names_the_chain() {
    let lab = root();
    let b = lab.library(LIB, "libb.so", &[]);
    let a = lab.library(LIB, "liba.so", &[b.to_str().unwrap()]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap()]);
    fs::remove_file(b).unwrap();
    let error = closure(&lab, "prog").unwrap_err();
    let chain = format!("/usr/bin/prog -> /{LIB}/liba.so -> libb.so");
    assert!(error.contains(&chain) && error.contains("help: "), "{error}");
}

/// prog -> liba (found by its own search path) -> libb (only in prog's search path).
fn inherited(tag: &str) -> Result<BTreeSet<String>, String> {
    let lab = root();
    let b = lab.library("opt/deep", "libb.so", &[]);
    let a = lab.library("opt/deep", "liba.so", &[b.to_str().unwrap()]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,-rpath,/opt/deep", tag]);
    closure(&lab, "prog")
}

#[test]
fn rpath_is_inherited_and_runpath_is_not() {
    let found = inherited("-Wl,--disable-new-dtags").unwrap();
    assert_eq!(found, set(&["/usr/bin/prog", LOADER, "/opt/deep/liba.so", "/opt/deep/libb.so"]));
    let error = inherited("-Wl,--enable-new-dtags").unwrap_err();
    assert!(error.contains("cannot find the library libb.so"), "{error}");
}

#[test]
fn a_runpath_switches_off_the_rpath_above_it() {
    let lab = root();
    let b = lab.library("opt/deep", "libb.so", &[]);
    let runpath = ["-Wl,-rpath,/opt/nowhere", "-Wl,--enable-new-dtags"];
    let a = lab.library("opt/deep", "liba.so", &[b.to_str().unwrap(), runpath[0], runpath[1]]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,-rpath,/opt/deep", "-Wl,--disable-new-dtags"]);
    assert!(closure(&lab, "prog").unwrap_err().contains("libb.so"));
}

#[test]
fn origin_is_the_folder_of_the_real_file() {
    let lab = root();
    let a = lab.library("opt/app/lib", "liba.so", &[]);
    lab.program("opt/app/bin/prog", &[a.to_str().unwrap(), "-Wl,-rpath,$ORIGIN/../lib"]);
    symlink("/opt/app/bin/prog", lab.at("usr/bin/prog")).unwrap();
    assert_eq!(closure(&lab, "prog").unwrap(), set(&["/opt/app/bin/prog", LOADER, "/opt/app/lib/liba.so"]));
}

#[test]
fn lib_and_platform_are_expanded() {
    let lab = root();
    let a = lab.library("opt/lib/x86_64-linux-gnu/x86_64", "liba.so", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,-rpath,/opt/${LIB}/$PLATFORM"]);
    assert!(closure(&lab, "prog").unwrap().contains("/opt/lib/x86_64-linux-gnu/x86_64/liba.so"));
}

#[test]
fn a_library_for_another_machine_is_passed_over() {
    let lab = root();
    let a = lab.library(LIB, "liba.so", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,-rpath,/opt/decoy"]);
    let decoy = lab.library("opt/decoy", "liba.so", &[]);
    let mut bytes = fs::read(&decoy).unwrap();
    bytes[18] = 183;
    fs::write(&decoy, bytes).unwrap();
    assert!(closure(&lab, "prog").unwrap().contains(&format!("/{LIB}/liba.so")));
}

#[test]
fn a_needed_name_with_a_slash_is_a_path() {
    let lab = root();
    let a = lab.library("opt/odd", "liba.so", &[]);
    let program = lab.program("usr/bin/prog", &[a.to_str().unwrap()]);
    run("patchelf", &["--replace-needed", "liba.so", "/opt/odd/liba.so", program.to_str().unwrap()]);
    assert!(closure(&lab, "prog").unwrap().contains("/opt/odd/liba.so"));
}

#[test]
fn no_section_headers_are_needed() {
    let lab = root();
    let a = lab.library(LIB, "liba.so", &[]);
    let program = lab.program("usr/bin/prog", &[a.to_str().unwrap()]);
    let mut bytes = fs::read(&program).unwrap();
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    fs::write(&program, bytes).unwrap();
    assert!(closure(&lab, "prog").unwrap().contains(&format!("/{LIB}/liba.so")));
}

#[test]
fn a_soname_already_loaded_is_not_looked_for_again() {
    let lab = root();
    let early = lab.library("opt/one", "libx.so", &[]);
    let a = lab.library("opt/one", "liba.so", &[early.to_str().unwrap()]);
    // prog needs liba and libx; libx comes from prog's own search path, liba's need is then met.
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), early.to_str().unwrap(), "-Wl,-rpath,/opt/one"]);
    let found = closure(&lab, "prog").unwrap();
    assert_eq!(found, set(&["/usr/bin/prog", LOADER, "/opt/one/liba.so", "/opt/one/libx.so"]));
}

#[test]
fn what_only_ld_so_conf_finds_goes_into_the_cache() {
    let lab = root();
    lab.write("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n");
    lab.write("etc/ld.so.conf.d/odd.conf", "/opt/odd\n");
    let a = lab.library("opt/odd", "liba.so", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap()]);
    let root = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&root);
    closure.add("prog").unwrap();
    let cache: Vec<_> = closure.cache.into_iter().collect();
    assert_eq!(cache, [(Key::of("liba.so", 0x303, None), "/opt/odd/liba.so".to_owned())]);
}

#[test]
fn a_library_only_in_hwcaps_is_found() {
    let lab = root();
    let a = lab.library(&format!("{LIB}/glibc-hwcaps/x86-64-v3"), "liba.so", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap()]);
    assert!(closure(&lab, "prog").unwrap().contains(&format!("/{LIB}/glibc-hwcaps/x86-64-v3/liba.so")));
}

#[test]
fn a_musl_program_finds_its_libraries_beside_glibc() {
    let lab = root();
    lab.library("usr/lib", "ld-musl-x86_64.so.1", &[]);
    let libc = lab.library("opt/build", "libc.so", &[]);
    let a = lab.library("usr/lib", "liba.so", &[libc.to_str().unwrap()]);
    lab.library(LIB, "liba.so", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1"]);
    let expected = set(&["/usr/bin/prog", "/usr/lib/ld-musl-x86_64.so.1", "/usr/lib/liba.so"]);
    assert_eq!(closure(&lab, "prog").unwrap(), expected, "libc.so is the loader itself");
}

#[test]
fn a_static_program_needs_nothing_and_a_missing_loader_is_named() {
    let lab = root();
    lab.program("usr/bin/static", &["-static"]);
    assert_eq!(closure(&lab, "static").unwrap(), set(&["/usr/bin/static"]));
    lab.program("usr/bin/odd", &["-pie", "-Wl,--dynamic-linker,/lib/ld-odd.so"]);
    assert!(closure(&lab, "odd").unwrap_err().contains("cannot find /lib/ld-odd.so"));
}

#[test]
fn scripts_bring_their_interpreters_unless_the_image_has_them() {
    use std::os::unix::fs::PermissionsExt;
    let lab = root();
    lab.program("usr/bin/python3", &["-static"]);
    lab.program("usr/bin/env", &["-static"]);
    let script = lab.write("usr/bin/script", "#!/usr/bin/env -S python3 -u\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let shell = lab.write("usr/bin/shell", "#!/bin/sh\n");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(closure(&lab, "script").unwrap(), set(&["/usr/bin/script", "/usr/bin/env", "/usr/bin/python3"]));
    assert!(closure(&lab, "shell").unwrap_err().contains("interpreter \"/bin/sh\""));
    let sysroot = Sysroot::new(lab.folder.path());
    let mut image = FileTree::new();
    image.insert("/bin/sh", Entry::file(&b"\x7fELF"[..], 0o755, Why::default())).unwrap();
    let mut with_busybox = Closure::new(&sysroot).on_top_of(&image);
    with_busybox.survey("shell").unwrap();
    assert_eq!(with_busybox.files.len(), 1);
}

#[test]
fn real_programs_run_in_a_root_of_only_their_closure() {
    let sysroot = Sysroot::new("/");
    let mut closure = Closure::new(&sysroot);
    let place = tempfile::tempdir().unwrap();
    for program in ["ls", "gcc", "patchelf"] {
        closure.add(program).unwrap();
    }
    for (link, target) in &closure.links {
        let at = place.path().join(&link[1..]);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, at).unwrap();
    }
    for real in closure.files.keys() {
        let at = place.path().join(&real[1..]);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(real, at).unwrap();
    }
    // As root in a chroot; else in a user namespace that makes it possible.
    for program in ["ls", "gcc", "patchelf"] {
        let mut command = std::process::Command::new("unshare");
        let output = command
            .args(crate::fixture::unshare_words("-m"))
            .arg("chroot")
            .arg(place.path())
            .args([program, "--version"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{program}: {}", stderr(&output));
    }
}
