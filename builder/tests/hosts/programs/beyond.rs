//! The check on what the builder chose: the program runs once more with the whole root below its image, watched as
//! `vmatic trace` watches, and whatever it opens or starts that only the root has was left out by mistake.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{cases::Case, in_a_root, unpack};
use crate::folder::Folder;
use crate::output::succeed;
use vmatic::rootfs::root::Rootfs;
use vmatic::rootfs::stacked::Stacked;
use vmatic::rootfs::sysroot::Sysroot;
use vmatic::rootfs::tree::FileTree;
use vmatic::trace;

/// What a program may read beyond its closure, and why it does without.
const ALLOWED: &[(&str, &str)] = &[
    ("/proc/", "the kernel's"),
    ("/sys/", "the kernel's"),
    ("/dev/", "the kernel's"),
    ("/tmp/", "made while it runs"),
    ("/run/", "made while it runs"),
    ("/var/cache/", "made while it runs"),
    ("/var/tmp/", "made while it runs"),
    ("/usr/lib/locale/", "the language of the session; without it there is C"),
    ("/usr/share/locale/", "the language of the session; without it there is C"),
    ("/usr/share/i18n/", "the language of the session; without it there is C"),
    ("/usr/share/locale-langpack/", "the language of the session; without it there is C"),
    ("/gconv/", "character sets, which are suggested; without them there are the common ones"),
    ("/terminfo/", "another terminal's; common ones come"),
    ("/usr/share/zoneinfo/", "the time zone; without it there is UTC"),
    ("/etc/localtime", "the time zone; without it there is UTC"),
    ("/__pycache__/", "compiled again from the source that is there"),
    ("/etc/ld.so.cache", "made for each image"),
    ("/etc/ld.so.conf", "a machine's own; what it leads to stands in the image's cache"),
    ("/etc/locale.alias", "the language of the session; without it there is C"),
    ("/etc/ld.so.preload", "a machine's own"),
    ("/entry_points.txt", "Python looks for entry points in all distributions of the root of all cases"),
    (".pth", "Python reads those of all distributions of the root of all cases"),
    ("/_distutils_hack/", "a .pth of another distribution starts it"),
];

/// What is left out of a program that runs without it: the case, a part of the paths, and what is missed.
const MISSED: &[(&str, &str, &str)] = &[
    ("git", "/hooks/fsmonitor-watchman.sample", "a template in Perl, copied and not run, is left out without Perl"),
    ("gdb", "/usr/bin/iconv", "is asked for character sets; without it gdb knows its own"),
    ("postgres", "/usr/bin/locale", "is asked for collations; without it there are the common ones"),
    ("apt-file", "/etc/apt/apt.conf.d/", "settings that other packages put there"),
    ("dpkg-dev", "/usr/share/dpkg/", "tables of dpkg's, by a path that is joined while it runs"),
    ("dpkg-dev", "-linux-gnu-gcc-", "is asked for its target; without it there is dpkg's own"),
    ("hg", "/etc/mercurial/", "settings of the machine; without them there are its own"),
    ("lynx", "/etc/mime.types", "more types of files; without it there are its own"),
    ("meson", "/", "looks for compilers and asks dpkg-architecture"),
];

/// Whether it is known that a case runs without this file.
pub fn is_known(case: &str, path: &str) -> bool {
    MISSED.iter().any(|(name, part, _)| *name == case && path.contains(part))
}

/// Runs the case over image and root; gives what it used that only the root has.
pub fn beyond(lab: &Folder, tree: &FileTree, root: &Path, case: &Case) -> Result<BTreeSet<String>, String> {
    let [image, cover, merged] = ["again", "cover", "merged"].map(|name| lab.at(name));
    unpack(tree, &image);
    [&cover, &merged].iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    // What is written goes to memory: no overlay lies upon another one, as those of containers are.
    succeed(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&cover));
    let [upper, work] = ["upper", "work"].map(|name| cover.join(name));
    [&upper, &work].iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let lower = format!("lowerdir={}:{},", image.display(), root.display());
    let options = format!("{lower}upperdir={},workdir={}", upper.display(), work.display());
    succeed(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged));
    let traced = trace::run(&in_a_root(&merged, case));
    succeed(Command::new("umount").arg("-l").args([&merged, &cover]));
    let traced = traced.map_err(|error| error.to_string())?;
    if let Some(cause) = traced.failed {
        return Err(format!("with the whole root it ends with {cause}"));
    }
    let sysroot = Sysroot::new(root);
    let both = Stacked { upper: Some(tree), lower: &sysroot };
    let (both, own): (&dyn Rootfs, &dyn Rootfs) = (&both, tree);
    let prefix = merged.to_string_lossy().into_owned();
    let paths = traced.opened.iter().chain(&traced.executed);
    let inside = paths.map(|path| path.strip_prefix(&prefix).unwrap_or(path));
    let real = inside.filter_map(|path| Some(both.find_file(path)?.real));
    let allowed = |path: &String| ALLOWED.iter().any(|(part, _)| path.contains(part));
    Ok(real.filter(|path| own.kind(path).is_none() && !allowed(path)).collect())
}

#[test]
fn each_exception_has_its_reason() {
    assert!(ALLOWED.iter().all(|(part, reason)| part.len() > 3 && reason.len() > 5));
    assert!(MISSED.iter().all(|(case, part, reason)| !part.is_empty() && !case.is_empty() && reason.len() > 5));
}
