//! How a system lays out its libraries: what $LIB and $PLATFORM stand for, which folders its loader
//! trusts, and which folders ld.so.conf adds.
//!
//! The loader was compiled with these names. Its own place tells them: Debian's lies in
//! lib/TRIPLET, Fedora's in lib64, Arch's in lib.

use crate::elf::ElfMachine;
use crate::elf::ldcache::{self, LdCache};
use crate::rootfs::root::Rootfs;

/// A loader's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What $LIB stands for.
    pub lib: String,
    /// The folders that the loader searches without being told, in order.
    pub trusted: Vec<String>,
    /// What $PLATFORM may stand for: any processor's word first, then those of newer ones (before glibc 2.37).
    pub platforms: &'static [&'static str],
}

impl Layout {
    /// The layout of a loader at this real path, with what `compiled_in` found in it; None for a program without
    /// one.
    pub fn of(loader: Option<&str>, compiled_in: &[String], machine: ElfMachine) -> Layout {
        let folder = match compiled_in.first() {
            Some(first) => Some(first.as_str()),
            None => loader.and_then(|path| path.rsplit_once('/')).map(|(folder, _)| folder),
        };
        let lib = folder.and_then(|folder| folder.strip_prefix("/usr").unwrap_or(folder).strip_prefix('/'));
        let usual = |lib: &&str| lib.split('/').next().is_some_and(|first| first.starts_with("lib"));
        let triplet = triplet(machine).map(|triplet| format!("lib/{triplet}"));
        let lib = lib.filter(usual).map(str::to_owned).or(triplet).unwrap_or_else(|| "lib".to_owned());
        let mut names = vec![lib.as_str()];
        if lib.contains('/') {
            // Debian's loader knows the folders of before multiarch too.
            names.push("lib");
        }
        let mut trusted = compiled_in.to_vec();
        if trusted.is_empty() {
            trusted = names.iter().flat_map(|name| [format!("/{name}"), format!("/usr/{name}")]).collect();
        }
        Layout { trusted, platforms: platforms(machine), lib }
    }

    /// Expands $ORIGIN, $LIB and $PLATFORM in every way that a processor may.
    pub fn expand(&self, text: &str, origin: &str) -> Vec<String> {
        if !text.contains('$') {
            return vec![text.to_owned()];
        }
        let put = |text: &str, name: &str, value: &str| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        };
        let text = put(&put(text, "ORIGIN", origin), "LIB", &self.lib);
        if !text.contains("PLATFORM") {
            return vec![text];
        }
        self.platforms.iter().map(|platform| put(&text, "PLATFORM", platform)).collect()
    }
}

/// The folders that glibc's loader was compiled to search, as they stand in its bytes: absolute paths that end
/// in a slash, one after the other. Empty when there are none.
pub fn compiled_in(loader: &[u8]) -> Vec<String> {
    let mut run: Vec<String> = Vec::new();
    for text in loader.split(|byte| *byte == 0) {
        let folder = text.len() > 2 && text.starts_with(b"/") && text.ends_with(b"/") && text.is_ascii();
        if folder {
            run.push(String::from_utf8_lossy(&text[..text.len() - 1]).into_owned());
        } else if run.len() > 1 {
            return run;
        } else {
            run.clear();
        }
    }
    Vec::new()
}

fn platforms(machine: ElfMachine) -> &'static [&'static str] {
    match machine.machine {
        62 => &["x86_64", "haswell", "xeon_phi"],
        3 => &["i686", "i586", "i486", "i386"],
        183 => &["aarch64"],
        40 => &["v7l", "v6l"],
        243 => &["riscv64"],
        22 => &["z900"],
        _ => &["unknown"],
    }
}

/// Debian's name for a machine's library folder.
pub fn triplet(machine: ElfMachine) -> Option<&'static str> {
    match (machine.machine, machine.class) {
        (62, 2) => Some("x86_64-linux-gnu"),
        (62, 1) => Some("x86_64-linux-gnux32"),
        (3, _) => Some("i386-linux-gnu"),
        (183, _) => Some("aarch64-linux-gnu"),
        (40, _) => Some("arm-linux-gnueabihf"),
        (243, 2) => Some("riscv64-linux-gnu"),
        (21, 2) if machine.data == 1 => Some("powerpc64le-linux-gnu"),
        (22, 2) => Some("s390x-linux-gnu"),
        _ => None,
    }
}

/// Where the loader of a root looks by configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// The folders of ld.so.conf, its includes followed, in order.
    pub folders: Vec<String>,
    /// What ld.so.cache says, where it is read instead of ld.so.conf.
    pub cache: LdCache,
}

impl Configured {
    /// What ld.so.conf says: for a root whose cache may be out of date, or was never made.
    pub fn of_conf(place: &dyn Rootfs) -> Configured {
        let mut folders = Vec::new();
        read_conf(place, "/etc/ld.so.conf", 0, &mut folders);
        Configured { folders, cache: LdCache::new() }
    }

    /// What ld.so.cache says, which is all that a loader reads: for a finished image.
    pub fn of_cache(place: &dyn Rootfs) -> Configured {
        const CACHE_BYTES_MAX: usize = 64 << 20;
        let found = place.find_file("/etc/ld.so.cache");
        let bytes = found.and_then(|found| place.head(&found.real, CACHE_BYTES_MAX).ok());
        let cache = bytes.and_then(|bytes| ldcache::read(&bytes)).unwrap_or_default();
        Configured { folders: Vec::new(), cache }
    }
}

fn read_conf(place: &dyn Rootfs, path: &str, depth: usize, folders: &mut Vec<String>) {
    const INCLUDE_DEPTH_MAX: usize = 8;
    let Some(text) = place.text(path) else { return };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if word == "include" && depth < INCLUDE_DEPTH_MAX {
            for pattern in rest.split_whitespace() {
                let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("/etc/{pattern}") };
                for file in place.glob(&pattern) {
                    read_conf(place, &file, depth + 1, folders);
                }
            }
        } else if line.starts_with('/') {
            // libc5's "FOLDER=TYPE" is still allowed.
            let folder = word.split('=').next().unwrap_or(word);
            folders.push(folder.trim_end_matches('/').to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sysroot::Sysroot;
    use std::fs;

    const X86_64: ElfMachine = ElfMachine { class: 2, data: 1, machine: 62 };

    #[test]
    fn the_loaders_place_tells_the_distribution() {
        let layout = |loader| Layout::of(Some(loader), &[], X86_64);
        let debian = layout("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
        let folders = ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"];
        assert_eq!(
            (debian.lib.as_str(), &debian.trusted[..]),
            ("lib/x86_64-linux-gnu", &folders.map(str::to_owned)[..])
        );
        assert_eq!(layout("/usr/lib64/ld-linux-x86-64.so.2").trusted, ["/lib64", "/usr/lib64"]);
        assert_eq!(layout("/usr/lib/ld-linux-x86-64.so.2").trusted, ["/lib", "/usr/lib"]);
        assert_eq!(layout("/opt/app/ld.so").lib, "lib/x86_64-linux-gnu");
        assert_eq!(
            debian.expand("/x/${LIB}/$PLATFORM", ""),
            ["/x/lib/x86_64-linux-gnu/x86_64", "/x/lib/x86_64-linux-gnu/haswell", "/x/lib/x86_64-linux-gnu/xeon_phi"]
        );
    }

    #[test]
    fn the_real_loader_says_where_it_looks() {
        let loader = fs::read("/lib64/ld-linux-x86-64.so.2").unwrap();
        let folders = compiled_in(&loader);
        assert!(folders.iter().any(|folder| folder == "/usr/lib") || folders.contains(&"/usr/lib64".to_owned()));
        assert_eq!(compiled_in(b"x\0/only/\0y"), Vec::<String>::new());
        let nix = ["/store/glibc/lib".to_owned(), "/store/glibc/lib64".to_owned()];
        assert_eq!(Layout::of(None, &nix, X86_64).trusted, nix);
    }

    #[test]
    fn ld_so_conf_includes_are_followed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/ld.so.conf.d")).unwrap();
        fs::write(root.path().join("etc/ld.so.conf"), "include /etc/ld.so.conf.d/*.conf\n/last/\n").unwrap();
        fs::write(root.path().join("etc/ld.so.conf.d/b.conf"), "# comment\n/b\n").unwrap();
        fs::write(root.path().join("etc/ld.so.conf.d/a.conf"), "/a # why\n").unwrap();
        fs::write(root.path().join("etc/ld.so.conf.d/c.txt"), "/c\n").unwrap();
        assert_eq!(Configured::of_conf(&Sysroot::new(root.path())).folders, ["/a", "/b", "/last"]);
    }
}
