//! One program's loading, as its loader would do it: breadth first, each library once.
//!
//! Takes an ELF file; gives the objects that would be in memory, who asked for whom and how each was
//! found, and what was not found. Rules of glibc (ld.so(8), elf/dl-load.c): a name with a slash is a path;
//! a name, soname or file that is already loaded is not looked for; DT_RPATH counts only where there is no
//! DT_RUNPATH and is inherited along those who loaded each other; then LD_LIBRARY_PATH; DT_RUNPATH serves
//! direct needs only; then ld.so.conf or the cache, then the trusted folders. $ORIGIN is the folder of a
//! program's real path, but of a library the folder where it was found. Rules of musl (ldso/dynlink.c):
//! the search path of a file is inherited, whichever tag it has; libc is the loader itself.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use super::cache::{Tables, WhichRoot};
use super::error::LoadError;
use super::layout::Layout;
use super::missing::Missing;
use crate::elf::dlopen_note::Priority;
use crate::elf::{ElfMachine, Needs, ldcache};
use crate::rootfs::root::Found;

/// A file that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Whether the image or its root has it.
    pub side: WhichRoot,
    /// At which path.
    pub found: Found,
    /// By which rule, in words.
    pub how: String,
}

impl Hit {
    /// As what meets a need.
    fn met(&self) -> Met {
        Met::By { path: self.found.real.clone(), rule: self.how.clone() }
    }
}

/// An object of one program's loading.
#[derive(Clone, Debug)]
pub struct Object {
    /// The file that was loaded.
    pub hit: Hit,
    /// Why it is loaded, in words.
    pub reason: String,
    /// What $ORIGIN means to it.
    pub(super) origin: String,
    pub(super) needs: Rc<Needs>,
    /// Index of the object that loaded it.
    pub parent: Option<usize>,
}

/// One need and how it was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The name that was asked for.
    pub name: String,
    /// What meets it.
    pub met: Met,
}

/// What meets a need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    /// A file that was looked for.
    By {
        /// Its real path.
        path: String,
        /// The rule by which it was found, e.g. "ld.so.conf".
        rule: String,
    },
    /// A file that was loaded before.
    Loaded {
        /// Its real path.
        path: String,
    },
    /// The loader itself, which is musl's library too.
    Loader,
    /// Nothing.
    Nothing,
}

impl Met {
    /// The real path of the file that meets the need.
    pub fn path(&self) -> Option<&str> {
        match self {
            Met::By { path, .. } | Met::Loaded { path } => Some(path),
            Met::Loader | Met::Nothing => None,
        }
    }

    /// How it was met, in words.
    pub fn how(&self) -> &str {
        match self {
            Met::By { rule, .. } => rule,
            Met::Loaded { .. } => "already loaded",
            Met::Loader => "the loader itself",
            Met::Nothing => "not found",
        }
    }
}

/// What one program's loading comes to.
#[derive(Debug, Default)]
pub struct Loading {
    /// The objects, the program first.
    pub objects: Vec<Object>,
    /// By object: its needs, in order.
    pub edges: BTreeMap<usize, Vec<Edge>>,
    /// What was not found.
    pub missing: Vec<Missing>,
    /// Libraries that would be opened if they were there: who asks, name, what for.
    pub suggested: Vec<(usize, String, String)>,
    /// Libraries found through ld.so.conf: name and flags, and path.
    pub configured: ldcache::LdCache,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// A loading under way.
pub(super) struct Loader<'t, 'a> {
    pub(super) tables: &'t mut Tables<'a>,
    pub(super) machine: ElfMachine,
    pub(super) layout: Layout,
    pub(super) musl: Option<String>,
    /// Names and sonames that are loaded: index of their object.
    pub(super) names: HashMap<String, usize>,
    /// Files that are loaded.
    files: HashMap<(WhichRoot, (u64, u64)), usize>,
    queue: VecDeque<usize>,
    pub(super) out: Loading,
}

/// The rule of the folders that the spec gives.
pub(super) const LIBRARY_PATH: &str = "library_path";

/// Whether a need must be met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    Be,
    MayBe,
}

/// Loads the ELF file `hit`.
pub fn load(tables: &mut Tables, hit: Hit, reason: &str) -> Result<Loading, LoadError> {
    let mut loading = Loader::begin(tables, hit, reason)?;
    let interpreter = loading.out.objects[0].needs.interpreter.clone();
    if let Some(path) = interpreter {
        let found = loading.tables.find_file(&path);
        loading.enter_loader(&path, found);
    }
    loading.run();
    loading.check_versions();
    Ok(loading.out)
}

/// Libraries that were looked for by name.
pub struct Opened {
    /// Those that were found.
    pub hits: Vec<Hit>,
    /// Of these, what the cache must say.
    pub configured: ldcache::LdCache,
}

/// Looks for libraries that the file `hit` opens by name, as dlopen(3) does. None if it cannot be loaded.
pub fn find_by_name(tables: &mut Tables, hit: Hit, names: &[&String]) -> Option<Opened> {
    if names.is_empty() {
        return None;
    }
    let mut loading = Loader::begin(tables, hit, "").ok()?;
    let mut hits = Vec::new();
    for name in names {
        let mut variants = Vec::new();
        hits.extend(loading.search(0, name, &mut Vec::new(), &mut variants));
        hits.append(&mut variants);
    }
    Some(Opened { hits, configured: loading.out.configured })
}

impl<'t, 'a> Loader<'t, 'a> {
    /// A loading of which only the file itself is there.
    fn begin(tables: &'t mut Tables<'a>, hit: Hit, reason: &str) -> Result<Loader<'t, 'a>, LoadError> {
        let needs = tables.needs(hit.side, &hit.found.real)?;
        let interpreter = needs.interpreter.as_deref();
        let musl = match interpreter {
            Some(path) => path.contains("/ld-musl-"),
            None => needs.libraries.iter().any(|name| name == "libc.so" || name.starts_with("libc.musl-")),
        };
        let machine = needs.machine;
        let found = interpreter.and_then(|path| tables.find_file(path)).or_else(|| tables.usual_loader(machine));
        let folders = match &found {
            Some((side, found)) if !musl => tables.compiled_in(*side, &found.real),
            _ => Vec::new(),
        };
        let real = found.map(|(_, found)| found.real);
        let mut loading = Loader {
            layout: Layout::of(real.as_deref(), &folders, machine),
            musl: musl.then(|| tables.musl_path(interpreter.unwrap_or_default())),
            tables,
            machine,
            names: HashMap::new(),
            files: HashMap::new(),
            queue: VecDeque::new(),
            out: Loading::default(),
        };
        let origin = folder_of(&hit.found.real);
        loading.enter(Object { hit, reason: reason.to_owned(), origin, needs, parent: None });
        Ok(loading)
    }

    fn enter(&mut self, object: Object) -> usize {
        let at = self.out.objects.len();
        if let Some(soname) = &object.needs.soname {
            self.names.entry(soname.clone()).or_insert(at);
        }
        if let Some(id) = self.tables.id(object.hit.side, &object.hit.found.real) {
            self.files.entry((object.hit.side, id)).or_insert(at);
        }
        self.out.objects.push(object);
        self.queue.push_back(at);
        at
    }

    fn enter_loader(&mut self, path: &str, found: Option<(WhichRoot, Found)>) {
        let Some((side, found)) = found else {
            return self.miss(
                0,
                path,
                vec![self.tables.describe(path)],
                "install the C library of that program, or set root = to a folder that has it".to_owned(),
            );
        };
        let hit = Hit { side, found, how: "PT_INTERP".to_owned() };
        self.edge(0, path, hit.met());
        // A loader that cannot be read is taken as it is: it brings no needs.
        let needs = self.tables.needs(side, &hit.found.real);
        let needs = needs.unwrap_or_else(|_| Rc::new(Needs::none(self.machine)));
        let origin = folder_of(&hit.found.asked);
        let at = self.enter(Object { hit, reason: format!("loader {path}"), origin, needs, parent: Some(0) });
        self.names.insert(path.rsplit('/').next().unwrap_or(path).to_owned(), at);
        if self.musl.is_some() {
            for name in self.out.objects[0].needs.libraries.iter().filter(|name| is_musl_libc(name)) {
                self.names.insert(name.clone(), at);
            }
        }
    }

    fn run(&mut self) {
        let mut opened = 0;
        loop {
            while let Some(at) = self.queue.pop_front() {
                for name in self.out.objects[at].needs.libraries.clone() {
                    self.need(at, &name, "library", Must::Be);
                }
            }
            if opened == self.out.objects.len() {
                return;
            }
            self.open_later(opened);
            opened += 1;
        }
    }

    /// What an object opens by itself, once all that the program needs is loaded.
    fn open_later(&mut self, at: usize) {
        let needs = self.out.objects[at].needs.clone();
        for wish in &needs.dlopen {
            let Some(first) = wish.soname.first() else { continue };
            if wish.priority == Priority::Suggested {
                let what = format!("{} {}", wish.feature, wish.description);
                self.out.suggested.push((at, wish.soname.join(" or "), what.trim().to_owned()));
                continue;
            }
            let name = wish.soname.iter().find(|name| self.peek(at, name)).unwrap_or(first);
            let must = if wish.priority == Priority::Required { Must::Be } else { Must::MayBe };
            self.need(at, name, "opened by itself (.note.dlopen): library", must);
        }
        if self.musl.is_none() && needs.soname.as_deref() == Some("libc.so.6") {
            let reason = "opened by glibc when a thread is cancelled: library";
            self.need(at, "libgcc_s.so.1", reason, Must::MayBe);
            for module in self.tables.nss_modules(&needs) {
                let reason = "opened by glibc to look up names (nsswitch.conf): library";
                self.need(at, &format!("libnss_{module}.so.2"), reason, Must::MayBe);
            }
        }
    }

    /// Whether a name would be found.
    fn peek(&mut self, at: usize, name: &str) -> bool {
        self.names.contains_key(name) || self.search(at, name, &mut Vec::new(), &mut Vec::new()).is_some()
    }

    /// Meets one need of object `at`.
    fn need(&mut self, at: usize, name: &str, reason: &str, must: Must) {
        if let Some(known) = self.names.get(name).copied() {
            let path = self.out.objects[known].hit.found.real.clone();
            return self.edge(at, name, Met::Loaded { path });
        }
        if self.musl.is_some() && is_musl_libc(name) {
            return self.edge(at, name, Met::Loader);
        }
        let (mut tried, mut variants) = (Vec::new(), Vec::new());
        let hit = self.search(at, name, &mut tried, &mut variants);
        let taken: Vec<usize> = variants.iter().map(|variant| self.take_variant(at, name, variant.clone())).collect();
        let Some(hit) = hit else {
            return match (variants.is_empty(), must) {
                (false, _) => {
                    let path = &variants[0].found.asked;
                    self.out.notes.push(format!("{name} is found only as {path}, for newer processors"));
                    self.names.insert(name.to_owned(), taken[0]);
                }
                (true, Must::Be) => {
                    let remedy = "install the package that has it, or add its folder to library_path of the spec or \
                                  to /etc/ld.so.conf.d of that root";
                    self.miss(at, name, tried, remedy.to_owned());
                }
                (true, Must::MayBe) => {}
            };
        };
        self.edge(at, name, hit.met());
        let id = self.tables.id(hit.side, &hit.found.real);
        if let Some(known) = id.and_then(|id| self.files.get(&(hit.side, id)).copied()) {
            // The same file by another name: the links of this name count too.
            self.out.objects[known].hit.found.links.extend(hit.found.links);
            self.names.insert(name.to_owned(), known);
            return;
        }
        let known = self.take(at, name, hit, reason);
        self.names.insert(name.to_owned(), known);
    }

    fn take(&mut self, at: usize, name: &str, hit: Hit, reason: &str) -> usize {
        let needs = self.tables.needs(hit.side, &hit.found.real);
        let needs = needs.unwrap_or_else(|_| Rc::new(Needs::none(self.machine)));
        let origin = folder_of(&hit.found.asked);
        self.enter(Object { hit, reason: format!("{reason} {name}"), origin, needs, parent: Some(at) })
    }

    /// A copy for newer processors, beside the one for all. Its soname stays free for the plain one.
    fn take_variant(&mut self, at: usize, name: &str, hit: Hit) -> usize {
        self.edge(at, name, hit.met());
        let id = self.tables.id(hit.side, &hit.found.real);
        if let Some(known) = id.and_then(|id| self.files.get(&(hit.side, id)).copied()) {
            return known;
        }
        let new = self.take(at, name, hit, "library for newer processors:");
        self.names.retain(|_, known| *known != new);
        new
    }

    fn edge(&mut self, at: usize, name: &str, met: Met) {
        self.out.edges.entry(at).or_default().push(Edge { name: name.to_owned(), met });
    }

    fn miss(&mut self, at: usize, name: &str, tried: Vec<String>, remedy: String) {
        self.edge(at, name, Met::Nothing);
        self.lack(at, name, tried, remedy);
    }

    /// Notes that object `at` lacks something, with the chain that led to it.
    pub(super) fn lack(&mut self, at: usize, name: &str, tried: Vec<String>, remedy: String) {
        let chain = std::iter::successors(Some(at), |index| self.out.objects[*index].parent);
        let mut chain: Vec<String> = chain.map(|index| self.out.objects[index].hit.found.real.clone()).collect();
        chain.reverse();
        self.out.missing.push(Missing { name: name.to_owned(), chain, tried, remedy });
    }
}

fn folder_of(path: &str) -> String {
    path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()
}

/// The names that musl's loader takes for itself.
fn is_musl_libc(name: &str) -> bool {
    const OWN: [&str; 7] = ["libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."];
    OWN.iter().any(|own| name.starts_with(own))
}
