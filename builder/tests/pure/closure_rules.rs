//! The finer rules of the closure, each against a fixture made here: what comes beside a library, who is asked
//! first, what scripts and plug-ins bring, what the image has already.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use crate::fixture::{Fixture, LIB, LOADER, merged_root as root, run};
use vmatic::closure::{BinaryKind, Closure};
use vmatic::elf::ldcache;
use vmatic::rootfs::sysroot::Sysroot;
use vmatic::rootfs::tree::{Entry, FileTree, LayerName, Why};

/// What a closure of these programs says, each missing need as its error.
struct Surveyed {
    files: BTreeSet<String>,
    missing: Vec<String>,
    notes: String,
    left_out: Vec<String>,
    suggested: Vec<String>,
}

fn survey_with(lab: &Fixture, programs: &[&str], library_path: &[&str]) -> Surveyed {
    let sysroot = Sysroot::new(lab.folder.path());
    let folders: Vec<String> = library_path.iter().map(|folder| (*folder).to_owned()).collect();
    let mut closure = Closure::new(&sysroot).library_path(&folders);
    for program in programs {
        closure.survey(program).unwrap();
    }
    Surveyed {
        files: closure.files.keys().cloned().collect(),
        missing: closure.missing.iter().map(|missing| missing.error().to_string()).collect(),
        notes: closure.notes.iter().cloned().collect(),
        left_out: closure.left_out.into_iter().map(|(path, why)| format!("{path}: {why}")).collect(),
        suggested: closure.suggested.into_iter().map(|(name, what)| format!("{name}: {what}")).collect(),
    }
}

fn survey(lab: &Fixture, program: &str) -> Surveyed {
    survey_with(lab, &[program], &[])
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn lib(name: &str) -> String {
    format!("/{LIB}/{name}")
}

fn patch(path: &std::path::Path, at: usize, byte: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] = byte;
    fs::write(path, bytes).unwrap();
}

#[test]
fn copies_for_newer_processors_come_beside_the_plain_library() {
    let lab = root();
    let plain = lab.library(LIB, "liba.so", &[]);
    lab.library(&format!("{LIB}/glibc-hwcaps/x86-64-v3"), "liba.so", &[]);
    lab.library(&format!("{LIB}/glibc-hwcaps/x86-64-v4"), "liba.so", &[]);
    lab.program("usr/bin/prog", &[plain.to_str().unwrap()]);
    let said = survey(&lab, "prog");
    let variant = |level: &str| lib(&format!("glibc-hwcaps/{level}/liba.so"));
    let expected = ["/usr/bin/prog", LOADER, &lib("liba.so"), &variant("x86-64-v3"), &variant("x86-64-v4")];
    assert_eq!(said.files, set(&expected));
    fs::remove_file(plain).unwrap();
    let said = survey(&lab, "prog");
    assert!(said.missing.is_empty() && said.notes.contains("found only as"), "{}", said.notes);
}

#[test]
fn the_first_who_asks_breadth_first_decides() {
    let lab = root();
    let one = lab.library("opt/one", "libx.so", &[]);
    let two = lab.library("opt/two", "libx.so", &[]);
    let new = "-Wl,--enable-new-dtags";
    let a = lab.library("opt/one", "liba.so", &[two.to_str().unwrap(), "-Wl,-rpath,/opt/two", new]);
    // liba comes first and would find the libx of /opt/two; prog itself asks for libx before liba does.
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), one.to_str().unwrap(), "-Wl,-rpath,/opt/one", new]);
    assert_eq!(survey(&lab, "prog").files, set(&["/usr/bin/prog", LOADER, "/opt/one/liba.so", "/opt/one/libx.so"]));
}

#[test]
fn decoys_of_another_class_or_system_are_passed_over() {
    let lab = root();
    let a = lab.library(LIB, "liba.so", &[]);
    let search = ["-Wl,-rpath,/opt/one:/opt/two:/opt/three:/opt/four", a.to_str().unwrap()];
    lab.program("usr/bin/prog", &search);
    patch(&lab.library("opt/one", "liba.so", &[]), 4, 1); // 32 bits
    patch(&lab.library("opt/two", "liba.so", &[]), 7, 9); // FreeBSD
    patch(&lab.library("opt/three", "liba.so", &[]), 18, 183); // aarch64
    lab.write("opt/four/liba.so", "/* GNU ld script */ GROUP ( liba.so.1 )");
    assert_eq!(survey(&lab, "prog").files, set(&["/usr/bin/prog", LOADER, &lib("liba.so")]));
    fs::remove_file(a).unwrap();
    let missing = survey(&lab, "prog").missing.remove(0);
    for reason in ["for another machine", "no library for Linux", "not an ELF file"] {
        assert!(missing.contains(reason), "{missing}");
    }
}

#[test]
fn origin_of_a_library_is_the_folder_where_it_was_found() {
    // glibc takes the path as it was found, links and all: measured with its loader.
    let lab = root();
    let b = lab.library("opt/real/sub", "libb.so", &[]);
    let a = lab.library("opt/real", "liba.so", &[b.to_str().unwrap(), "-Wl,-rpath,$ORIGIN/sub"]);
    fs::create_dir_all(lab.at("opt/link")).unwrap();
    symlink("../real/liba.so", lab.at("opt/link/liba.so")).unwrap();
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,-rpath,/opt/link", "-Wl,--enable-new-dtags"]);
    let missing = survey(&lab, "prog").missing.remove(0);
    assert!(missing.contains("/opt/link/sub/libb.so"), "{missing}");
    lab.library("opt/link/sub", "libb.so", &[]);
    assert!(survey(&lab, "prog").files.contains("/opt/link/sub/libb.so"));
}

#[test]
fn a_loader_of_its_own_comes_under_its_own_name_and_static_pie_needs_none() {
    let lab = root();
    lab.library("opt/app", "ld-app.so.1", &[]);
    symlink("ld-app.so.1", lab.at("opt/app/ld.so")).unwrap();
    let a = lab.library(LIB, "liba.so", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,--dynamic-linker,/opt/app/ld.so"]);
    assert_eq!(survey(&lab, "prog").files, set(&["/usr/bin/prog", "/opt/app/ld-app.so.1", &lib("liba.so")]));
    lab.program("usr/bin/pie", &["-static-pie", "-fPIE"]);
    assert_eq!(survey(&lab, "pie").files, set(&["/usr/bin/pie"]));
}

#[test]
fn an_object_may_refuse_the_usual_folders() {
    let lab = root();
    let a = lab.library(LIB, "liba.so", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), "-Wl,-z,nodefaultlib"]);
    assert!(survey(&lab, "prog").missing[0].contains("liba.so"));
    let said = survey_with(&lab, &["prog"], &[&format!("/{LIB}")]);
    assert!(said.missing.is_empty() && said.files.contains(&lib("liba.so")));
}

#[test]
fn musl_inherits_runpath_and_reads_its_own_path_file() {
    let lab = root();
    lab.library("usr/lib", "ld-musl-x86_64.so.1", &[]);
    let c = lab.library("opt/c", "libmine.so", &[]);
    let b = lab.library("opt/b", "libb.so", &[c.to_str().unwrap()]);
    let a = lab.library("opt/a", "liba.so", &[b.to_str().unwrap()]);
    let musl = "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1";
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), musl, "-Wl,-rpath,/opt/a:/opt/b", "-Wl,--enable-new-dtags"]);
    assert!(survey(&lab, "prog").missing[0].contains("libmine.so"));
    lab.write("etc/ld-musl-x86_64.path", "/lib:/opt/c\n");
    let said = survey(&lab, "prog");
    assert!(said.missing.is_empty() && said.files.contains("/opt/c/libmine.so"));
}

#[test]
fn interpreters_may_be_scripts_but_not_without_end() {
    let lab = root();
    lab.program("usr/bin/lang", &["-static"]);
    lab.script("usr/bin/outer", "#!/usr/bin/middle -x -y\n");
    lab.script("usr/bin/middle", "#! /usr/bin/lang\n");
    assert_eq!(survey(&lab, "outer").files, set(&["/usr/bin/outer", "/usr/bin/middle", "/usr/bin/lang"]));
    for depth in 0..8 {
        lab.script(&format!("usr/bin/s{depth}"), &format!("#!/usr/bin/s{}\n", depth + 1));
    }
    lab.program("usr/bin/s8", &["-static"]);
    assert!(survey(&lab, "s0").missing[0].contains("so deep"));
    assert!(survey(&lab, "s5").missing.is_empty());
    lab.script("usr/bin/dos", "#!/usr/bin/lang\r\n");
    assert!(survey(&lab, "dos").missing[0].contains("carriage return"));
}

/// A library with a note as systemd's have it.
fn noted(lab: &Fixture, json: &str) {
    let code = format!(
        "struct {{ int n, d, t; char o[4]; char p[{size}]; }} note __attribute__((section(\".note.dlopen\"), used, aligned(4)))
            = {{ 4, {size}, 0x407c0c0a, \"FDO\", {json:?} }};
         void _start(void) {{ for (;;); }}",
        size = (json.len() + 1).next_multiple_of(4),
    );
    lab.gcc("usr/bin/prog", &code, &["-nostdlib", "-nostartfiles", "-pie", "-fPIE"]);
}

#[test]
fn what_a_program_declares_to_open_itself_comes_too() {
    let lab = root();
    lab.library(LIB, "libnew.so.1", &[]);
    let json = |priority: &str| {
        format!(r#"[{{"soname":["libnew.so.2","libnew.so.1"],"feature":"f","priority":"{priority}"}}]"#)
    };
    noted(&lab, &json("recommended"));
    assert!(survey(&lab, "prog").files.contains(&lib("libnew.so.1")));
    noted(&lab, &json("suggested"));
    let said = survey(&lab, "prog");
    assert!(!said.files.contains(&lib("libnew.so.1")));
    assert!(said.suggested[0].starts_with("libnew.so.2 or libnew.so.1: f"), "{:?}", said.suggested);
    fs::remove_file(lab.at(&format!("{LIB}/libnew.so.1"))).unwrap();
    noted(&lab, &json("recommended"));
    assert!(survey(&lab, "prog").missing.is_empty());
    noted(&lab, &json("required"));
    assert!(survey(&lab, "prog").missing[0].contains("/usr/bin/prog -> libnew.so.2"));
}

#[test]
fn glibc_brings_what_it_opens_itself() {
    let lab = root();
    let libc = lab.library(LIB, "libc.so.6", &[]);
    for name in ["libgcc_s.so.1", "libnss_files.so.2", "libnss_odd.so.2", "libnss_other.so.2"] {
        lab.library(LIB, name, &[]);
    }
    lab.write("etc/nsswitch.conf", "passwd: files odd [NOTFOUND=return] absent\n");
    lab.program("usr/bin/prog", &[libc.to_str().unwrap()]);
    let names = ["libc.so.6", "libgcc_s.so.1", "libnss_files.so.2", "libnss_odd.so.2"].map(lib);
    let mut expected = set(&["/usr/bin/prog", LOADER]);
    expected.extend(names);
    assert_eq!(survey(&lab, "prog").files, expected);
}

#[test]
fn plug_ins_come_with_their_program_and_stay_out_when_they_cannot_work() {
    let lab = root();
    let gone = lab.library("opt", "libgone.so", &[]);
    lab.library("usr/lib/python3.11/lib-dynload", "_good.so", &[]);
    lab.library("usr/lib/python3.11/lib-dynload", "_bad.so", &[gone.to_str().unwrap()]);
    lab.write("usr/lib/python3.11/os.py", "import sys\n");
    lab.script("usr/lib/python3.11/pdb.py", "#!/usr/bin/env python3\n");
    lab.write("usr/lib/python3.11/test/big.py", "x\n");
    lab.program("usr/bin/python3.11", &["-static"]);
    symlink("python3.11", lab.at("usr/bin/python3")).unwrap();
    let said = survey(&lab, "python3");
    let inside = |name: &str| format!("/usr/lib/python3.11/{name}");
    let expected = ["/usr/bin/python3.11", &inside("lib-dynload/_good.so"), &inside("os.py"), &inside("pdb.py")];
    assert_eq!(said.files, set(&expected));
    assert_eq!(said.left_out, [format!("{}: it needs libgone.so", inside("lib-dynload/_bad.so"))]);
}

#[test]
fn pam_services_bring_their_modules() {
    let lab = root();
    let pam = lab.library(LIB, "libpam.so.0", &[]);
    lab.library(&format!("{LIB}/security"), "pam_one.so", &[]);
    lab.library(&format!("{LIB}/security"), "pam_two.so", &[]);
    lab.library(&format!("{LIB}/security"), "pam_unused.so", &[]);
    lab.write("etc/pam.d/login", "auth required pam_one.so # first\n@include common\n");
    lab.write("etc/pam.d/common", "account [default=1 success=ok] pam_two.so\n-session optional pam_gone.so\n");
    lab.write("etc/pam.d/cron", "auth required pam_unused.so\n");
    lab.program("usr/bin/login", &[pam.to_str().unwrap()]);
    let said = survey(&lab, "login");
    let expected = [lib("libpam.so.0"), lib("security/pam_one.so"), lib("security/pam_two.so")];
    let mut expected: BTreeSet<String> = expected.into();
    expected.extend(set(&["/usr/bin/login", LOADER, "/etc/pam.d/login", "/etc/pam.d/common"]));
    assert_eq!(said.files, expected);
    assert_eq!(said.notes, "");
}

#[test]
fn what_the_image_has_is_not_brought_and_gets_what_it_needs() {
    let lab = root();
    let a = lab.library(LIB, "liba.so", &[]);
    let prog = lab.program("opt/elsewhere", &[a.to_str().unwrap()]);
    lab.program("usr/bin/lang", &["-static"]);
    let mut image = FileTree::new();
    let entry = |data: Vec<u8>| Entry::file(data, 0o755, Why::new(LayerName::Overlay("x".to_owned()), "test"));
    image.insert("/usr/lib", Entry::dir(0o755, Why::default())).unwrap();
    image.insert("/lib", Entry::symlink("usr/lib", Why::default())).unwrap();
    image.insert("/bin/tool", entry(fs::read(prog).unwrap())).unwrap();
    image.insert("/bin/script", entry(b"#!/usr/bin/lang\n".to_vec())).unwrap();
    image.insert(&lib("liba.so"), entry(fs::read(a).unwrap())).unwrap();
    let sysroot = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&sysroot).on_top_of(&image);
    closure.complete_image(vec![
        ("/bin/tool".to_owned(), BinaryKind::Program),
        ("/bin/script".to_owned(), BinaryKind::Program),
    ]);
    closure.check().unwrap();
    let files: BTreeSet<String> = closure.files.keys().cloned().collect();
    assert_eq!(files, set(&[LOADER, "/usr/bin/lang"]), "liba.so is there already");
}

#[test]
fn busybox_env_gives_way_to_one_that_knows_how_to_split() {
    let lab = root();
    lab.program("usr/bin/env", &["-static"]);
    lab.program("usr/bin/lang", &["-static"]);
    let mut image = FileTree::new();
    let entry = |data: &[u8]| Entry::file(data, 0o755, Why::new(LayerName::Base, "test"));
    image.insert("/bin/busybox", entry(b"\x7fELF")).unwrap();
    image.insert("/usr/bin/env", Entry::symlink("/bin/busybox", Why::default())).unwrap();
    image.insert("/bin/plain", entry(b"#!/usr/bin/env lang\n")).unwrap();
    image.insert("/bin/split", entry(b"#!/usr/bin/env -S lang -x\n")).unwrap();
    let sysroot = Sysroot::new(lab.folder.path());
    for (script, expected) in
        [("/bin/plain", vec!["/usr/bin/lang"]), ("/bin/split", vec!["/usr/bin/env", "/usr/bin/lang"])]
    {
        let mut closure = Closure::new(&sysroot).on_top_of(&image);
        closure.complete_image(vec![(script.to_owned(), BinaryKind::Program)]);
        assert_eq!(closure.files.keys().collect::<Vec<_>>(), expected, "{script}");
    }
}

#[test]
fn the_written_cache_leads_the_real_loader_to_its_libraries() {
    let lab = Fixture::new();
    for path in ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"] {
        fs::create_dir_all(lab.at(path).parent().unwrap()).unwrap();
        fs::copy(path, lab.at(path)).unwrap();
    }
    lab.write("etc/ld.so.conf", "/opt/odd\n");
    let b = lab.gcc("opt/odd/private/libb.so", "int b(void) { return 42; }", &["-shared", "-fPIC"]);
    let code = "int b(void); int a(void) { return b(); }";
    let words = ["-shared", "-fPIC", "-Wl,-soname,liba10.so.2", b.to_str().unwrap(), "-Wl,-rpath,$ORIGIN/private"];
    let a = lab.gcc("opt/odd/liba10.so.2", code, &words);
    run("patchelf", &["--replace-needed", b.to_str().unwrap(), "libb.so", a.to_str().unwrap()]);
    let words = [a.to_str().unwrap(), "-Wl,--allow-shlib-undefined"];
    lab.gcc("usr/bin/prog", "int a(void); int main(void) { return a(); }", &words);
    run(
        "patchelf",
        &["--replace-needed", a.to_str().unwrap(), "liba10.so.2", lab.at("usr/bin/prog").to_str().unwrap()],
    );
    let sysroot = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&sysroot);
    closure.add("prog").unwrap();
    let place = tempfile::tempdir().unwrap();
    for real in closure.files.keys() {
        let at = place.path().join(&real[1..]);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(sysroot.on_disk(real), at).unwrap();
    }
    let status = || {
        let mut command = std::process::Command::new("unshare");
        command.args(crate::fixture::unshare_words("-m")).arg("chroot").arg(place.path()).arg("/usr/bin/prog");
        command.output().unwrap().status.code()
    };
    assert_eq!(status(), Some(127), "without the cache the loader does not find it");
    fs::create_dir_all(place.path().join("etc")).unwrap();
    fs::write(place.path().join("etc/ld.so.cache"), ldcache::write(&closure.cache, true)).unwrap();
    assert_eq!(status(), Some(42));
}
