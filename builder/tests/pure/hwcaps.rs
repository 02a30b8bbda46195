//! Libraries that only newer processors have, and libraries that only a cache leads to.

use std::fs;

use crate::fixture::{Fixture, LIB, merged_root, unshare_words};
use vmatic::closure::Closure;
use vmatic::elf::ldcache::{self, Key, LdCache};
use vmatic::rootfs::sysroot::Sysroot;

const FLAGS: u32 = 0x303;

fn closure_of(lab: &Fixture, program: &str) -> (Vec<String>, LdCache, usize) {
    let sysroot = Sysroot::new(lab.folder.path());
    let mut closure = Closure::new(&sysroot);
    closure.survey(program).unwrap();
    (closure.files.into_keys().collect(), closure.cache, closure.missing.len())
}

#[test]
fn copies_of_a_configured_folder_come_with_their_entries() {
    let lab = merged_root();
    let plain = lab.library("opt/odd", "liba.so.1", &[]);
    lab.library("opt/odd/glibc-hwcaps/x86-64-v3", "liba.so.1", &[]);
    lab.write("etc/ld.so.conf", "/opt/odd\n");
    lab.program("usr/bin/prog", &[plain.to_str().unwrap()]);
    let copy = || "/opt/odd/glibc-hwcaps/x86-64-v3/liba.so.1".to_owned();
    let level = || Key::of("liba.so.1", FLAGS, Some("x86-64-v3"));
    let both: LdCache =
        [(Key::of("liba.so.1", FLAGS, None), "/opt/odd/liba.so.1".to_owned()), (level(), copy())].into();
    let (files, cache, missing) = closure_of(&lab, "prog");
    assert_eq!((cache, missing), (both, 0));
    assert!(files.contains(&copy()));
    fs::remove_file(plain).unwrap();
    let (files, cache, missing) = closure_of(&lab, "prog");
    assert_eq!((cache, missing), ([(level(), copy())].into(), 0));
    assert!(files.contains(&copy()));
}

#[test]
fn what_only_the_cache_of_the_root_knows_is_found() {
    let lab = merged_root();
    let a = lab.library("opt/odd", "liba.so.1", &[]);
    let b = lab.library("opt/odd/glibc-hwcaps/x86-64-v2", "libb.so.1", &[]);
    lab.program("usr/bin/prog", &[a.to_str().unwrap(), b.to_str().unwrap()]);
    assert_eq!(closure_of(&lab, "prog").2, 2);
    let old: LdCache = [
        (Key::of("liba.so.1", FLAGS, None), "/opt/odd/liba.so.1".to_owned()),
        (Key::of("libb.so.1", FLAGS, Some("x86-64-v2")), "/opt/odd/glibc-hwcaps/x86-64-v2/libb.so.1".to_owned()),
        (Key::of("libc.so.9", FLAGS, None), "/opt/gone/libc.so.9".to_owned()),
    ]
    .into();
    lab.write("etc/ld.so.conf", "/opt/other\n");
    fs::write(lab.at("etc/ld.so.cache"), ldcache::write(&old, true)).unwrap();
    let (files, cache, missing) = closure_of(&lab, "prog");
    assert_eq!((files.len(), missing), (4, 0), "{files:?}");
    assert_eq!(cache.into_iter().collect::<Vec<_>>(), old.into_iter().take(2).collect::<Vec<_>>());
    // What a trusted folder has by now comes before what an old cache says.
    lab.library(LIB, "liba.so.1", &[]);
    assert!(closure_of(&lab, "prog").0.contains(&format!("/{LIB}/liba.so.1")));
}

#[test]
fn the_real_loader_takes_a_copy_by_the_written_cache() {
    let lab = Fixture::new();
    for path in ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"] {
        fs::create_dir_all(lab.at(path).parent().unwrap()).unwrap();
        fs::copy(path, lab.at(path)).unwrap();
    }
    lab.write("etc/ld.so.conf", "/opt/odd\n");
    let words = ["-shared", "-fPIC", "-Wl,-soname,liba.so.1"];
    let copy = lab.gcc("opt/odd/glibc-hwcaps/x86-64-v2/liba.so.1", "int a(void) { return 42; }", &words);
    lab.gcc("usr/bin/prog", "int a(void); int main(void) { return a(); }", &[copy.to_str().unwrap()]);
    let (files, cache, missing) = closure_of(&lab, "prog");
    assert_eq!((missing, cache.len()), (0, 1), "{files:?}");
    let status = || {
        let mut command = std::process::Command::new("unshare");
        command.args(unshare_words("-m")).arg("chroot").arg(lab.folder.path()).arg("/usr/bin/prog");
        command.output().unwrap().status.code()
    };
    assert_eq!(status(), Some(127), "without the cache the loader does not find it");
    fs::write(lab.at("etc/ld.so.cache"), ldcache::write(&cache, true)).unwrap();
    let level = std::process::Command::new("/lib64/ld-linux-x86-64.so.2").arg("--help").output().unwrap();
    if String::from_utf8_lossy(&level.stdout).contains("x86-64-v2 (supported") {
        assert_eq!(status(), Some(42));
    } else {
        assert_eq!(status(), Some(127), "this processor must not take it");
    }
}
