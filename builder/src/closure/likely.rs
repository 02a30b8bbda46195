//! Likely needs: what the data of a program names, and its package or one that it relies on has.
//!
//! Works on a closure whose certain files are known. Of each program, and of each library that it brought, the texts
//! are read once (`elf::texts`); what they name is held against `home`, which knows what belongs to the program.
//! What is found is brought as a plug-in: left out, and said, when its own needs are not there.
//!
//! Files that a row of `plugins` brought are not read: the row knows better; nor are folders entered that a row has
//! decided about. libc and its kind serve everybody, so that what they name is nobody's.

use std::collections::BTreeSet;

use super::cache::WhichRoot;
use super::home::{FOLDER_BYTES_MAX, FOLDER_FILES_MAX, Home, Standing};
use super::load::{self, Hit};
use super::{BinaryKind, Certainty, Closure};
use crate::elf::shapes::Shapes;
use crate::elf::texts::{self, Texts};
use crate::elf::{self, script};
use crate::packages::files::{short, stem};
use crate::rootfs::root::{EntryKind, Found, Rootfs};

/// Most files read at a time: the packages of these are looked up together.
const BATCH_FILES: usize = 64;
/// Largest script whose text is read.
const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// What system(3) and popen(3) start.
const SHELL: &str = "/bin/sh";

/// Libraries that serve everybody, by the beginning of their names. What OpenSSL's name, rows know.
const SHARED: [&str; 16] = [
    "libcrypto.",
    "libssl.",
    "ld-",
    "libc.",
    "libc-",
    "libm.",
    "libm-",
    "libmvec",
    "libpthread.",
    "libdl.",
    "librt.",
    "libresolv.",
    "libnss_",
    "libgcc_s",
    "libstdc++",
    "libanl.",
];

/// Folders that no program has for itself, without /usr in front.
const EVERYBODYS: [&str; 22] = [
    "/local",
    "/local/bin",
    "/local/sbin",
    "/local/lib",
    "/local/libexec",
    "/local/share",
    "/local/etc",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libexec",
    "/share",
    "/games",
    "/X11R6",
    "/etc",
    "/var/lib",
    "/var/cache",
    "/var/log",
    "/var/spool",
    "/etc/default",
];

/// Folders that are made while a machine runs, or hold what is the operator's.
const ELSEWHERES: [&str; 11] =
    ["/proc", "/sys", "/dev", "/run", "/var/run", "/tmp", "/var/tmp", "/home", "/root", "/mnt", "/media"];

/// Programs whose names are words of every program's messages: they count only where a shell would start them.
const COMMON: [&str; 38] = [
    "arch", "bridge", "chat", "clear", "comm", "cut", "date", "device", "diff", "env", "file", "find", "free",
    "groups", "head", "host", "join", "kill", "last", "line", "link", "login", "look", "mount", "paste", "patch",
    "script", "select", "sort", "split", "tail", "test", "time", "top", "users", "watch", "which", "write",
];

/// Parts of paths that no program needs to run.
const UNWANTED: [&str; 29] = [
    "/__pycache__/",
    "/share/doc/",
    "/share/man/",
    "/share/info/",
    "/share/locale/",
    "/share/lintian/",
    "/share/doc-base/",
    "/share/bug/",
    "/share/bash-completion/",
    "/share/applications/",
    "/share/pixmaps/",
    "/share/icons/",
    "/share/metainfo/",
    "/share/gtk-doc/",
    "/share/help/",
    "/include/",
    "/src/",
    "/pkgconfig/",
    "/cmake/",
    "/share/aclocal/",
    "/etc/init.d/",
    "/etc/cron.",
    "/etc/logrotate.d/",
    "/etc/apparmor.d/",
    "/lib/systemd/",
    "/lib/tmpfiles.d/",
    "/lib/sysusers.d/",
    "/share/zoneinfo/",
    ".a/",
];

/// A file whose texts are read.
struct Reader {
    real: String,
    texts: Texts,
    /// Whether it names paths that are there.
    paths: bool,
}

impl Closure<'_> {
    /// Brings what the programs so far are likely to open, start or load by name.
    pub fn include_likely(&mut self) {
        if self.libraries_only || self.finished {
            return;
        }
        self.certainty = Certainty::Likely;
        loop {
            let known = &self.known.read;
            let new = self.files.keys().filter(|path| !known.contains(*path)).take(BATCH_FILES).cloned();
            let new: Vec<String> = new.collect();
            if new.is_empty() {
                break;
            }
            self.known.read.extend(new.iter().cloned());
            let mut readers: Vec<Reader> = new.into_iter().filter_map(|real| self.read_texts(real)).collect();
            // Of the system's libraries most only might start or load something: all lists are not read for their sake.
            let known = &mut self.known.ownership;
            let systems = |path: &str| elf::is_library(path) && short(path).starts_with("/lib");
            readers.retain(|reader| reader.paths || !systems(&reader.real) || known.guess(&reader.real));
            self.known.ownership.learn(readers.iter().map(|reader| reader.real.as_str()));
            for reader in readers.iter().filter(|reader| !elf::is_library(&reader.real)) {
                self.known.programs.extend(self.known.ownership.owner(&reader.real));
            }
            for reader in readers {
                self.follow(reader);
            }
            self.run();
        }
        self.certainty = Certainty::Certain;
    }

    /// The texts of a program, library or script, if they name anything that might matter.
    fn read_texts(&self, real: String) -> Option<Reader> {
        let root = self.tables.root;
        let name = real.rsplit('/').next().unwrap_or_default();
        if !(root.runs(&real) || real.contains(".so")) || SHARED.iter().any(|shared| name.starts_with(shared)) {
            return None;
        }
        let head = root.head(&real, script::LINE_BYTES_MAX).ok()?;
        let texts = if elf::is_elf(&head) {
            texts::texts(&*root.open(&real).ok()?).ok()?
        } else if head.starts_with(b"#!") {
            Texts::of_script(&root.head(&real, SCRIPT_BYTES_MAX).ok()?)
        } else {
            return None;
        };
        let names = texts.starts || texts.opens;
        let there = |path: &String| {
            let behind = || is_behind_prefix(path) && root.exists(&format!("/usr{path}"));
            self.concerns(path) && (root.exists(path) || behind())
        };
        let paths = texts.paths.iter().any(there);
        (names || paths || !texts.relative.is_empty()).then_some(Reader { real, texts, paths })
    }

    fn follow(&mut self, mut reader: Reader) {
        let certain = self.files.get(&reader.real).is_some_and(|need| need.certainty == Certainty::Certain);
        let reach = match (elf::is_library(&reader.real), certain) {
            (true, _) => Standing::Library,
            (false, true) => Standing::Program,
            (false, false) => Standing::Helper,
        };
        let home = Home::of(&mut self.known.ownership, &reader.real, reach, &self.known.programs);
        self.follow_paths(&reader, &home);
        self.read_words(&mut reader, &home);
        if reader.texts.starts {
            self.follow_programs(&reader, &home);
        }
        if reader.texts.opens {
            self.follow_libraries(&reader, &home, certain);
        }
    }

    /// The words of its data that may be names of what belongs to it.
    fn read_words(&self, Reader { real, texts, .. }: &mut Reader, home: &Home) {
        let root = self.tables.root;
        if (texts.searches || texts.opens_ltdl)
            && let Ok(source) = root.open(real)
        {
            let modules = texts.opens_ltdl;
            // What cannot be read to its end has named what it has so far.
            let _ = texts::words(&*source, texts, &home.shapes(root, modules));
        }
    }

    /// Whether a path may be some program's own.
    fn concerns(&self, path: &str) -> bool {
        let plain = short(path);
        let inside =
            |folder: &str| plain.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        plain.len() > 1
            && (plain.len() < path.len() || plain[1..].contains('/'))
            && !EVERYBODYS.contains(&plain)
            && !is_library_folder(plain)
            && !ELSEWHERES.iter().any(|folder| inside(folder))
            && self.is_wanted(path)
    }

    /// Whether a path is neither of those that no program needs to run, nor one that a row has decided about.
    fn is_wanted(&self, path: &str) -> bool {
        let below = format!("{}/", short(path));
        !UNWANTED.iter().any(|part| below.contains(part))
            && !self.known.decided.iter().any(|folder| below.starts_with(folder.as_str()))
    }

    fn follow_paths(&mut self, reader: &Reader, home: &Home) {
        let root = self.tables.root;
        let folder = reader.real.rsplit_once('/').map_or("", |(folder, _)| folder);
        let joined = reader.texts.relative.iter().flat_map(|path| {
            let base = if path.starts_with("..") { folder } else { home.prefix() };
            [format!("{base}/{path}")]
        });
        // "/share/x" is put behind a prefix that is found out at run time.
        let behind = reader.texts.paths.iter().filter(|path| is_behind_prefix(path) && !root.exists(path));
        let behind = behind.map(|path| format!("{}{path}", home.prefix()));
        let paths: BTreeSet<String> = reader.texts.paths.iter().cloned().chain(joined).chain(behind).collect();
        for path in paths {
            let Some(found) = Some(&path).filter(|path| self.concerns(path)).and_then(|path| root.find(path)) else {
                continue;
            };
            if !self.concerns(&found.real) {
                continue;
            }
            match root.kind(&found.real) {
                Some(EntryKind::File { .. }) if home.has(&found) => {
                    self.bring(found, "named in its data", &reader.real);
                }
                Some(EntryKind::Dir) => self.follow_folder(&found, reader, home),
                _ => {}
            }
        }
    }

    fn follow_folder(&mut self, folder: &Found, reader: &Reader, home: &Home) {
        let root = self.tables.root;
        let files = home.below(folder, root);
        let reason = format!("below {}, which its data names", folder.real);
        let bytes: u64 = files.iter().map(|found| bytes_of(root, &found.real)).sum();
        if files.len() > FOLDER_FILES_MAX || bytes > FOLDER_BYTES_MAX {
            let (many, mib) = (files.len(), bytes >> 20);
            let what = format!("{many} files with {mib} MiB that {} might read", reader.real);
            self.suggested.insert(folder.real.clone(), what);
            return;
        }
        if home.has(folder) && !self.folder_is_there(&folder.real) {
            self.include(&folder.real, &reason, Some(&reader.real), BinaryKind::Plugin);
        }
        for found in files {
            if !self.concerns(&found.real) || !self.concerns(&found.asked) {
                continue;
            }
            match root.kind(&found.real) {
                Some(EntryKind::File { .. }) => self.bring(found, &reason, &reader.real),
                Some(EntryKind::Dir) if !self.folder_is_there(&found.real) => {
                    self.include(&found.real, &reason, Some(&reader.real), BinaryKind::Plugin);
                }
                _ => {}
            }
        }
    }

    fn folder_is_there(&self, path: &str) -> bool {
        self.tables.image.is_some_and(|image| image.find(path).is_some())
    }

    /// Programs by name: its package's own, wherever they lie, and those on the path of what it relies on.
    fn follow_programs(&mut self, reader: &Reader, home: &Home) {
        let texts = &reader.texts;
        let shapes: Shapes = texts.words.iter().chain(&texts.commands).collect();
        let named = |name: &str| {
            if !shapes.may_have(name.as_bytes()) {
                return false;
            }
            let common = name.len() < 3 || COMMON.contains(&name);
            texts.commands.contains(name) || !common && texts.words.contains(name)
        };
        let root = self.tables.root;
        for found in home.programs(root, &named) {
            if root.runs(&found.real) && self.concerns_program(&found) {
                self.bring(found, "program that its data names", &reader.real);
            }
        }
        if texts.runs_shell
            && let Some(found) = root.find_file(SHELL)
        {
            self.bring(found, "the shell that system(3) starts", &reader.real);
        }
    }

    fn concerns_program(&self, found: &Found) -> bool {
        self.is_wanted(&found.asked) && self.is_wanted(&found.real)
    }

    /// Libraries by name: as the loader finds them, and modules of its own package.
    fn follow_libraries(&mut self, reader: &Reader, home: &Home, certain: bool) {
        let texts = &reader.texts;
        let root = self.tables.root;
        let library = |name: &&String| name.starts_with("lib") && elf::is_library(name);
        let mut names: Vec<&String> = texts.words.iter().filter(library).collect();
        names.sort_unstable();
        let hit = |found: Found| Hit { side: WhichRoot::Root, found, how: String::new() };
        let own = Found { asked: reader.real.clone(), real: reader.real.clone(), links: Default::default() };
        if let Some(opened) = load::find_by_name(&mut self.tables, hit(own), &names) {
            self.cache.extend(opened.configured);
            for hit in opened.hits.into_iter().filter(|hit| hit.side == WhichRoot::Root) {
                if home.is_own_program() && certain || home.has(&hit.found) {
                    self.bring(hit.found, "library that its data names", &reader.real);
                }
            }
        }
        let named = |name: &str| {
            let module = elf::is_library(name) || name.ends_with(".la");
            module && (texts.words.contains(name) || texts.opens_ltdl && texts.words.contains(stem(name)))
        };
        for found in home.modules(root, &named) {
            if self.concerns_program(&found) {
                self.bring(found, "module that its data names", &reader.real);
            }
        }
    }

    /// Brings a file, unless the image has one there. BusyBox stands in for a shell, and for nothing else that a
    /// package names: its tar knows half of what dpkg asks of it.
    fn bring(&mut self, found: Found, reason: &str, by: &str) {
        let there = |image: &dyn Rootfs| {
            let known = image.find_file(&found.asked).or_else(|| image.find_file(&found.real));
            known.is_some_and(|known| found.asked == SHELL || !known.real.ends_with("/busybox"))
        };
        if found.real != by && !self.tables.image.is_some_and(there) {
            self.push(WhichRoot::Root, found, reason, Some(by), BinaryKind::Plugin);
        }
    }
}

/// Whether a path begins as those below a prefix do, and names something in a folder there.
fn is_behind_prefix(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    parts.next().is_some_and(|first| ["share", "lib", "libexec"].contains(&first)) && parts.next().is_some()
}

/// How long a file is; nothing else counts.
pub(super) fn bytes_of(root: &dyn Rootfs, real: &str) -> u64 {
    match root.kind(real) {
        Some(EntryKind::File { bytes, .. }) => bytes,
        _ => 0,
    }
}

/// Whether a folder is one where the loader looks: /lib/x86_64-linux-gnu.
fn is_library_folder(plain: &str) -> bool {
    let name = plain.strip_prefix("/lib/").unwrap_or_default();
    !name.contains('/') && name.contains("-linux-")
}
