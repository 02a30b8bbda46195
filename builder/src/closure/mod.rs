//! The dependency closure: which files a program needs to run, found as the dynamic loader finds
//! them, without ever running the program or its loader.
//!
//! Takes programs, scripts, packages and folders in a root; gives their files, each with who asked for it,
//! and the links that lead there. `load` follows libraries, `scripts` interpreters, `follow` brings what scripts
//! import and call, `plugins` knows what
//! programs open or start by themselves. What the image has already is not brought again. What cannot be
//! found is an error that names the chain that asked, except for what only a plug-in needs: such a plug-in
//! is left out, and said.

mod cache;
pub mod certainty;
pub mod error;
mod follow;
pub mod home;
mod known;
pub mod layout;
mod likely;
pub mod load;
pub mod missing;
pub mod plugin_rules;
pub mod plugins;
mod scripts;
mod search;
mod versions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::elf::ldcache::LdCache;
use crate::elf::{self, script};
use crate::error::{Error, Result};
use crate::rootfs::root::{EntryKind, Found, Rootfs};
pub use cache::{Tables, WhichRoot};
pub use certainty::Certainty;
use error::LoadError;
use known::{Followed, Known};
use layout::Configured;
use load::{Edge, Hit, Loading};
use missing::Missing;

/// One file of a closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Why, e.g. "library libc.so.6".
    pub reason: String,
    /// The file that asked for it; None for what the spec names.
    pub needed_by: Option<String>,
    /// How sure that is.
    pub certainty: Certainty,
}

/// How much a file that is brought must work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BinaryKind {
    /// A program or script: what it needs must be there.
    Program,
    /// A library of a package: what it needs must be there, or in the hands of whoever loads it.
    Library,
    /// A plug-in: left out when what it needs is not there.
    Plugin,
}

/// A file to look into.
struct Task {
    side: WhichRoot,
    found: Found,
    reason: String,
    needed_by: Option<String>,
    kind: BinaryKind,
    certainty: Certainty,
    /// How many scripts deep an interpreter is.
    depth: usize,
}

/// A file that has to wait until it is known what else comes.
struct Waiting {
    task: Task,
    missing: Vec<Missing>,
}

/// A closure under construction.
pub struct Closure<'a> {
    tables: Tables<'a>,
    /// Real paths in the root, with their reasons.
    pub files: BTreeMap<String, Need>,
    /// Links in the root: path and target.
    pub links: BTreeMap<String, String>,
    /// Empty folders of the root that a program wants.
    pub folders: BTreeMap<String, Need>,
    /// Files that the installation of packages would make, with their text: what services of PAM include.
    pub made: BTreeMap<String, String>,
    /// What /etc/ld.so.cache must say: libraries that ld.so.conf leads to.
    pub cache: LdCache,
    /// By real path: its needs and how each was met.
    pub edges: BTreeMap<String, Vec<Edge>>,
    /// What nothing meets.
    pub missing: Vec<Missing>,
    /// Plug-ins that are left out, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// Those of them that were only likely.
    pub likely_left_out: BTreeSet<String>,
    /// What a program might use besides: name or path, and what for.
    pub suggested: BTreeMap<String, String>,
    /// What the operator should know.
    pub notes: BTreeSet<String>,
    seen: BTreeSet<(WhichRoot, String)>,
    tasks: VecDeque<Task>,
    waiting: Vec<Waiting>,
    followed: Followed,
    rules_done: BTreeSet<String>,
    finished: bool,
    libraries_only: bool,
    /// How sure what is pushed now is.
    certainty: Certainty,
    known: Known<'a>,
}

impl<'a> Closure<'a> {
    /// An empty closure in a root whose libraries are where its ld.so.conf says.
    pub fn new(root: &'a dyn Rootfs) -> Closure<'a> {
        Closure::with(root, Configured::of_conf(root))
    }

    /// An empty closure in a root whose loader looks where `configured` says.
    pub fn with(root: &'a dyn Rootfs, configured: Configured) -> Closure<'a> {
        Closure {
            tables: Tables::new(root, configured),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            folders: BTreeMap::new(),
            made: BTreeMap::new(),
            cache: LdCache::new(),
            edges: BTreeMap::new(),
            missing: Vec::new(),
            left_out: BTreeMap::new(),
            likely_left_out: BTreeSet::new(),
            suggested: BTreeMap::new(),
            notes: BTreeSet::new(),
            seen: BTreeSet::new(),
            tasks: VecDeque::new(),
            waiting: Vec::new(),
            followed: Followed::default(),
            rules_done: BTreeSet::new(),
            finished: false,
            libraries_only: false,
            certainty: Certainty::Certain,
            known: Known::new(root),
        }
    }

    /// Says what the image has already: it is looked at first, and nothing of it is brought again.
    pub fn on_top_of(mut self, image: &'a dyn Rootfs) -> Closure<'a> {
        self.tables.on_top_of(image);
        self
    }

    /// Says which folders count as LD_LIBRARY_PATH.
    pub fn library_path(mut self, folders: &[String]) -> Closure<'a> {
        self.tables.library_path = folders.to_vec();
        self
    }

    /// Says that the root is a finished image: all of it is there on purpose, also languages.
    pub fn finished(mut self) -> Closure<'a> {
        self.finished = true;
        self
    }

    /// Leaves out what no ELF file names: only what the loader loads.
    pub fn libraries_only(mut self) -> Closure<'a> {
        self.libraries_only = true;
        self
    }

    /// Adds a program by name or by absolute path, with all it needs. Gives its path in the root.
    pub fn add(&mut self, program: &str) -> Result<String> {
        let path = self.survey(program)?;
        self.check().map_err(|error| error.while_trying(format!("cannot add the binary {program:?}")))?;
        Ok(path)
    }

    /// As `add`, but what is missing is only noted in `missing`.
    pub fn survey(&mut self, program: &str) -> Result<String> {
        let tried = || Error::new(format!("cannot add the binary {program:?}"));
        let root = self.tables.root;
        let found = if program.starts_with('/') {
            root.find_file(program).ok_or_else(|| {
                tried()
                    .because(format!("{} does not exist or is not a file", root.describe(program)))
                    .help("correct the path, or install the package that has it")
            })?
        } else {
            root.find_program(program).ok_or_else(|| {
                tried()
                    .because(format!("not in PATH of {}", root.describe("/")))
                    .help("install the package that has it, or write its full path")
            })?
        };
        let path = found.asked.clone();
        self.push(WhichRoot::Root, found, "binary named in the spec", None, BinaryKind::Program);
        self.run();
        Ok(path)
    }

    /// Adds a path of the root and, of a folder, all below it. Links are taken with what they lead to.
    pub fn include(&mut self, path: &str, reason: &str, needed_by: Option<&str>, kind: BinaryKind) {
        let root = self.tables.root;
        let Some(found) = root.find(path) else {
            // A link that leads nowhere is kept as it is: what it means may come later.
            if let Some(EntryKind::Link(target)) = root.kind(path) {
                self.links.insert(path.to_owned(), target);
            }
            return;
        };
        match root.kind(&found.real) {
            Some(EntryKind::File { .. }) => self.push(WhichRoot::Root, found, reason, needed_by, kind),
            Some(EntryKind::Dir) => {
                self.links.extend(found.links.clone());
                let (reason, needed_by) = (reason.to_owned(), needed_by.map(str::to_owned));
                let certainty = self.certainty;
                let need = || Need { reason, needed_by, certainty };
                self.folders.entry(found.real.clone()).or_insert_with(need);
            }
            _ => {}
        }
    }

    /// Looks into programs and libraries that the image has already: what they need comes too.
    pub fn complete_image(&mut self, programs: Vec<(String, BinaryKind)>) {
        for (path, kind) in programs {
            let Some(found) = self.tables.image.and_then(|image| image.find_file(&path)) else { continue };
            self.push(WhichRoot::Image, found, "file of the image", None, kind);
        }
        self.run();
    }

    /// The error for what is missing, if anything is.
    pub fn check(&self) -> Result<()> {
        let Some(first) = self.missing.first() else { return Ok(()) };
        let error = first.error();
        Err(match self.missing.len() {
            1 => error,
            more => error.because(format!("and {} more are missing", more - 1)),
        })
    }

    /// The root in which files are looked for.
    pub fn root(&self) -> &'a dyn Rootfs {
        self.tables.root
    }

    /// The path of the root in its own words.
    pub fn describe(&self, path: &str) -> String {
        self.tables.describe(path)
    }

    fn push(&mut self, side: WhichRoot, found: Found, reason: &str, needed_by: Option<&str>, kind: BinaryKind) {
        self.push_deep(side, found, reason, needed_by, kind, 0);
    }

    fn push_deep(
        &mut self,
        side: WhichRoot,
        found: Found,
        reason: &str,
        by: Option<&str>,
        kind: BinaryKind,
        depth: usize,
    ) {
        if self.certainty == Certainty::Likely && side == WhichRoot::Root && !self.tables.root.is_public(&found.real) {
            return self.leave_private(&found.real);
        }
        let (reason, needed_by) = (reason.to_owned(), by.map(str::to_owned));
        self.tasks.push_back(Task { side, found, reason, needed_by, kind, certainty: self.certainty, depth });
    }

    /// What is not everybody's to read is brought for those alone who name it.
    pub(super) fn leave_private(&mut self, real: &str) {
        if !self.files.contains_key(real) {
            self.left_out.insert(real.to_owned(), "it is not everybody's to read, or hidden".to_owned());
            self.likely_left_out.insert(real.to_owned());
        }
    }

    /// Works off the tasks, then what waited for them, until nothing new comes.
    pub fn run(&mut self) {
        loop {
            while let Some(task) = self.tasks.pop_front() {
                self.look_into(task, false);
            }
            self.include_what_files_name();
            if !self.tasks.is_empty() {
                continue;
            }
            let before = self.files.len();
            for Waiting { task, .. } in std::mem::take(&mut self.waiting) {
                self.look_into(task, true);
            }
            if self.tasks.is_empty() && self.files.len() == before {
                break;
            }
        }
        for Waiting { task, missing } in std::mem::take(&mut self.waiting) {
            if task.kind == BinaryKind::Library || task.side == WhichRoot::Image {
                self.missing.extend(missing);
            } else {
                let names: Vec<_> = missing.iter().map(|missing| missing.name.as_str()).collect();
                if task.certainty == Certainty::Likely {
                    self.likely_left_out.insert(task.found.real.clone());
                }
                self.left_out.insert(task.found.real, format!("it needs {}", names.join(", ")));
            }
        }
    }

    fn look_into(&mut self, task: Task, again: bool) {
        let key = (task.side, task.found.real.clone());
        if !again && !self.seen.insert(key) {
            self.links.extend(if task.side == WhichRoot::Root { task.found.links } else { BTreeMap::new() });
            return;
        }
        let runs = self.tables.place(task.side).runs(&task.found.real);
        // Among what comes along, data is neither executable nor named as a library: it is not even opened.
        if task.kind == BinaryKind::Plugin && !runs && !task.found.real.contains(".so") {
            return self.note(&task);
        }
        let head = match self.tables.place(task.side).head(&task.found.real, script::LINE_BYTES_MAX) {
            Ok(head) => head,
            Err(cause) => return self.unreadable(&task, cause.into()),
        };
        if elf::is_elf(&head) {
            self.look_into_elf(task);
        } else if let Some(line) = script::interpreter(&head).filter(|_| runs) {
            self.look_into_script(task, &line);
        } else {
            self.note(&task);
        }
    }

    fn unreadable(&mut self, task: &Task, cause: LoadError) {
        if task.certainty == Certainty::Likely {
            self.left_out.insert(task.found.real.clone(), format!("it cannot be read: {cause}"));
            self.likely_left_out.insert(task.found.real.clone());
            return;
        }
        let path = self.tables.place(task.side).describe(&task.found.real);
        let chain = task.needed_by.iter().cloned().collect();
        self.missing.push(Missing {
            name: task.found.real.clone(),
            chain,
            tried: vec![format!("{path} ({cause})")],
            remedy: "the file is damaged or may not be read: install its package again".to_owned(),
        });
    }

    fn note(&mut self, task: &Task) {
        if task.side == WhichRoot::Image {
            return;
        }
        self.links.extend(task.found.links.clone());
        // A row says all of what it brings: its texts are not read.
        if task.kind == BinaryKind::Plugin && task.certainty == Certainty::Certain {
            self.known.read.insert(task.found.real.clone());
        }
        self.note_file(&task.found.real, &task.reason, task.needed_by.as_deref(), task.certainty);
    }

    fn note_file(&mut self, real: &str, reason: &str, needed_by: Option<&str>, certainty: Certainty) {
        if !self.files.contains_key(real) {
            let (reason, needed_by) = (reason.to_owned(), needed_by.map(str::to_owned));
            let need = Need { reason, needed_by, certainty };
            self.files.insert(real.to_owned(), need);
            if real.contains(".so") || self.tables.root.runs(real) {
                self.apply_rules(real);
            }
        }
    }

    fn look_into_elf(&mut self, task: Task) {
        // What is loaded by a program already is known to find what it needs.
        if task.kind > BinaryKind::Program && self.files.contains_key(&task.found.real) {
            return self.note(&task);
        }
        let hit = Hit { side: task.side, found: task.found.clone(), how: task.reason.clone() };
        let loading = match load::load(&mut self.tables, hit, &task.reason) {
            Ok(loading) => loading,
            // Among data there are ELF files for other tools; only what is to run must be whole.
            Err(_) if task.kind == BinaryKind::Plugin => return self.note(&task),
            Err(cause) => return self.unreadable(&task, cause),
        };
        let missing: Vec<Missing> =
            loading.missing.iter().filter(|missing| !self.has_name(&missing.name)).cloned().collect();
        let missing = if task.kind == BinaryKind::Program { loading.missing.clone() } else { missing };
        if missing.is_empty() {
            self.commit(&task, loading);
        } else if task.kind == BinaryKind::Program {
            self.missing.extend(missing);
            self.commit(&task, loading);
        } else {
            self.waiting.push(Waiting { task, missing });
        }
    }

    /// Whether some file of the closure has this name: whoever loads a plug-in has loaded it by then.
    fn has_name(&self, name: &str) -> bool {
        let ends = |path: &str| path.strip_suffix(name).is_some_and(|rest| rest.ends_with('/'));
        self.files.keys().chain(self.links.keys()).any(|path| ends(path))
    }

    fn commit(&mut self, task: &Task, loading: Loading) {
        let path = |at: usize| loading.objects[at].hit.found.real.clone();
        for (at, edges) in &loading.edges {
            self.edges.entry(path(*at)).or_insert_with(|| edges.clone());
        }
        for (at, name, what) in &loading.suggested {
            let what = if what.is_empty() { "opened when it is there" } else { what };
            self.suggested.insert(name.clone(), format!("{what} ({})", path(*at)));
        }
        self.cache.extend(loading.configured.clone());
        self.notes.extend(loading.notes.iter().cloned());
        self.note(task);
        for object in &loading.objects[1..] {
            self.seen.insert((object.hit.side, object.hit.found.real.clone()));
            if object.hit.side == WhichRoot::Root {
                self.links.extend(object.hit.found.links.clone());
                let parent = object.parent.map(path);
                self.note_file(&object.hit.found.real, &object.reason, parent.as_deref(), task.certainty);
            }
        }
    }
}
