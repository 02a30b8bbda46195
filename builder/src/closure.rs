//! The dependency closure: which files a program needs to run, found as the dynamic loader finds
//! them, without ever running the program or its loader.
//!
//! Takes programs by name or path in a root; gives their files, each with who asked for it, and the
//! links that lead there. Rules of glibc: DT_RPATH counts only where there is no DT_RUNPATH and is
//! inherited by dependencies; DT_RUNPATH serves direct needs only; then ld.so.conf, then the trusted
//! folders. musl: both are inherited, `libc.so` is the loader itself. A library for another machine
//! is passed over. A library that cannot be found is an error that names the chain that asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io::Read;

use crate::elf::{self, Machine, Needs};
use crate::error::{At, Error, Result};
use crate::script;
use crate::sysroot::{Found, Sysroot};

/// One file of a closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Why, e.g. "library libc.so.6".
    pub reason: String,
    /// The file that asked for it; None for what the spec names.
    pub needed_by: Option<String>,
}

/// A closure under construction.
pub struct Closure<'a> {
    root: &'a Sysroot,
    provided: &'a dyn Fn(&str) -> bool,
    configured: Vec<String>,
    /// Real paths in the root, with their reasons.
    pub files: BTreeMap<String, Need>,
    /// Links in the root: path and target.
    pub links: BTreeMap<String, String>,
    /// Links that the root does not have: a library that only ld.so.conf leads to is linked into a
    /// trusted folder, because an image has no ld.so.cache.
    pub added_links: BTreeMap<String, String>,
}

/// An object of one program's loading.
struct Object {
    path: String,
    folder: String,
    needs: Needs,
    /// Index of the object that asked for it.
    parent: Option<usize>,
}

/// What a search can come to.
enum Search {
    Found(Found),
    FoundByConfiguration(Found),
}

impl<'a> Closure<'a> {
    /// An empty closure in a root. `provided` says which paths the image has already (a script's
    /// interpreter may be a BusyBox applet).
    pub fn new(root: &'a Sysroot, provided: &'a dyn Fn(&str) -> bool) -> Closure<'a> {
        Closure {
            root,
            provided,
            configured: root.library_folders_configured(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            added_links: BTreeMap::new(),
        }
    }

    /// Adds a program by name or by absolute path, with all it needs. Gives its path in the root.
    pub fn add(&mut self, program: &str) -> Result<String> {
        let tried = || Error::new(format!("cannot add the binary {program:?}"));
        let path = if program.starts_with('/') {
            program.to_owned()
        } else {
            self.root.find_program(program).ok_or_else(|| {
                tried()
                    .because(format!("no folder for programs under {} has it", self.root.folder().display()))
                    .remedy("install the package that has it, or write its full path")
            })?
        };
        let found = self.root.find_file(&path).ok_or_else(|| {
            tried()
                .because(format!("{} does not exist or is not a file", self.root.on_disk(&path).display()))
                .remedy("correct the path, or install the package that has it")
        })?;
        self.take(found, "binary named in the spec".to_owned(), None)?;
        Ok(path)
    }

    /// Takes a found file, and what it needs in turn.
    fn take(&mut self, found: Found, reason: String, needed_by: Option<String>) -> Result<()> {
        self.links.extend(found.links);
        if self.files.contains_key(&found.real) {
            return Ok(());
        }
        let real = found.real;
        self.files.insert(real.clone(), Need { reason, needed_by });
        let disk = self.root.on_disk(&real);
        let mut file = File::open(&disk).at("open", &disk)?;
        let mut head = Vec::new();
        file.by_ref().take(script::LINE_BYTES_MAX as u64).read_to_end(&mut head).at("read", &disk)?;
        if elf::is_elf(&head) {
            return self.add_elf(&real, &file);
        }
        match script::interpreter(&head) {
            Some(line) => self.add_interpreter(&real, &line),
            None => Ok(()),
        }
    }

    fn add_interpreter(&mut self, script: &str, line: &script::Interpreter) -> Result<()> {
        let mut wanted = vec![line.path.clone()];
        if let Some(program) = &line.program {
            match self.root.find_program(program) {
                Some(path) => wanted.push(path),
                None if provides_program(self.provided, program) => {}
                None => return Err(missing_interpreter(script, program)),
            }
        }
        for path in wanted {
            if (self.provided)(&path) {
                continue;
            }
            let found = self.root.find_file(&path).ok_or_else(|| missing_interpreter(script, &path))?;
            self.take(found, "interpreter of a script".to_owned(), Some(script.to_owned()))?;
        }
        Ok(())
    }

    /// Loads a program as its loader would: breadth first, each soname once.
    fn add_elf(&mut self, real: &str, file: &File) -> Result<()> {
        let needs = read_needs(self.root, real, file)?;
        let musl = needs.interpreter.as_deref().is_some_and(|path| path.contains("/ld-musl-"));
        let mut loaded: HashMap<String, String> = HashMap::new();
        if let Some(interpreter) = needs.interpreter.clone() {
            let found = self.root.find_file(&interpreter).ok_or_else(|| {
                Error::new(format!("cannot add {real}"))
                    .because(format!("its loader {interpreter} does not exist under {}", self.root.folder().display()))
                    .remedy("install the C library of that program, or set root = to a folder that has it")
            })?;
            if let Some(name) = interpreter.rsplit('/').next() {
                loaded.insert(name.to_owned(), found.real.clone());
            }
            self.links.extend(found.links.clone());
            self.note_file(&found.real, format!("loader {interpreter}"), real);
        }
        let mut objects = vec![Object::new(real, needs, None)];
        let mut queue = VecDeque::from([0]);
        while let Some(at) = queue.pop_front() {
            for name in objects[at].needs.libraries.clone() {
                if loaded.contains_key(&name) || (musl && is_musl_libc(&name)) {
                    continue;
                }
                let found = self.find_library(&objects, at, &name, musl)?;
                loaded.insert(name.clone(), found.real.clone());
                self.links.extend(found.links);
                let asker = objects[at].path.clone();
                self.note_file(&found.real, format!("library {name}"), &asker);
                if objects.iter().any(|object| object.path == found.real) {
                    continue;
                }
                let disk = self.root.on_disk(&found.real);
                let needs = read_needs(self.root, &found.real, &File::open(&disk).at("open", &disk)?)?;
                if let Some(soname) = &needs.soname {
                    loaded.insert(soname.clone(), found.real.clone());
                }
                queue.push_back(objects.len());
                objects.push(Object::new(&found.real, needs, Some(at)));
            }
        }
        Ok(())
    }

    fn note_file(&mut self, real: &str, reason: String, needed_by: &str) {
        self.files.entry(real.to_owned()).or_insert_with(|| Need { reason, needed_by: Some(needed_by.to_owned()) });
    }

    fn find_library(&mut self, objects: &[Object], at: usize, name: &str, musl: bool) -> Result<Found> {
        let machine = objects[0].needs.machine;
        let mut tried = Vec::new();
        let result = if name.contains('/') {
            let path = expand(name, &objects[at].folder, machine);
            self.accept(&path, machine, &mut tried).map(Search::Found)
        } else {
            self.search(objects, at, name, musl, &mut tried)
        };
        match result {
            Some(Search::Found(found)) => Ok(found),
            Some(Search::FoundByConfiguration(found)) => {
                let folder = trusted_folders(machine)[0].clone();
                self.added_links.insert(format!("{folder}/{name}"), found.real.clone());
                Ok(found)
            }
            None => Err(missing_library(objects, at, name, &tried)),
        }
    }

    /// The folders in the loader's order.
    fn search(&self, objects: &[Object], at: usize, name: &str, musl: bool, tried: &mut Vec<String>) -> Option<Search> {
        let machine = objects[0].needs.machine;
        let mut folders = Vec::new();
        let chain = std::iter::successors(Some(at), |index| objects[*index].parent);
        if musl {
            for object in chain.map(|index| &objects[index]) {
                folders.extend(object.search_folders(&object.needs.rpath));
                folders.extend(object.search_folders(&object.needs.runpath));
            }
            folders.extend(self.musl_folders(objects));
        } else {
            if objects[at].needs.runpath.is_empty() {
                for object in chain.map(|index| &objects[index]).filter(|object| object.needs.runpath.is_empty()) {
                    folders.extend(object.search_folders(&object.needs.rpath));
                }
            }
            folders.extend(objects[at].search_folders(&objects[at].needs.runpath));
        }
        for folder in folders {
            if let Some(found) = self.accept_in(&folder, name, machine, tried) {
                return Some(Search::Found(found));
            }
        }
        if musl {
            return None;
        }
        let trusted = trusted_folders(machine);
        // ld.so.conf comes first, as the cache does; what lies in a trusted folder needs no new link.
        for folder in &self.configured {
            if let Some(found) = self.accept_in(folder, name, machine, tried) {
                let known = trusted.contains(folder);
                return Some(if known { Search::Found(found) } else { Search::FoundByConfiguration(found) });
            }
        }
        trusted.iter().find_map(|folder| self.accept_in(folder, name, machine, tried)).map(Search::Found)
    }

    fn musl_folders(&self, objects: &[Object]) -> Vec<String> {
        let interpreter = objects[0].needs.interpreter.as_deref().unwrap_or("");
        let name = interpreter.rsplit('/').next().unwrap_or("");
        let architecture = name.strip_prefix("ld-musl-").and_then(|rest| rest.split('.').next()).unwrap_or("x86_64");
        let file = self.root.find_file(&format!("/etc/ld-musl-{architecture}.path"));
        let text = file.and_then(|found| std::fs::read_to_string(self.root.on_disk(&found.real)).ok());
        let text = text.unwrap_or_else(|| "/lib:/usr/local/lib:/usr/lib".to_owned());
        text.split([':', '\n']).filter(|folder| folder.starts_with('/')).map(str::to_owned).collect()
    }

    /// The library in one folder: the baseline first, else a variant for newer processors.
    fn accept_in(&self, folder: &str, name: &str, machine: Machine, tried: &mut Vec<String>) -> Option<Found> {
        self.accept(&format!("{folder}/{name}"), machine, tried).or_else(|| {
            ["x86-64-v2", "x86-64-v3", "x86-64-v4"].iter().filter(|_| machine.machine == 62).find_map(|level| {
                self.accept(&format!("{folder}/glibc-hwcaps/{level}/{name}"), machine, &mut Vec::new())
            })
        })
    }

    /// A file counts only if it is an object for the same machine.
    fn accept(&self, path: &str, machine: Machine, tried: &mut Vec<String>) -> Option<Found> {
        let Some(found) = self.root.find_file(path) else {
            tried.push(path.to_owned());
            return None;
        };
        let file = File::open(self.root.on_disk(&found.real)).ok()?;
        match elf::needs(&file) {
            Ok(needs) if needs.machine == machine => Some(found),
            Ok(_) => {
                tried.push(format!("{path} (for another machine)"));
                None
            }
            Err(cause) => {
                tried.push(format!("{path} ({cause})"));
                None
            }
        }
    }
}

impl Object {
    fn new(path: &str, needs: Needs, parent: Option<usize>) -> Object {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Object { path: path.to_owned(), folder: folder.to_owned(), needs, parent }
    }

    fn search_folders(&self, folders: &[String]) -> Vec<String> {
        folders.iter().map(|folder| expand(folder, &self.folder, self.needs.machine)).collect()
    }
}

/// Expands $ORIGIN, $LIB and $PLATFORM.
fn expand(text: &str, origin: &str, machine: Machine) -> String {
    let lib = triplet(machine).map_or_else(|| "lib".to_owned(), |triplet| format!("lib/{triplet}"));
    let platform = match machine.machine {
        183 => "aarch64",
        _ => "x86_64",
    };
    let mut text = text.to_owned();
    for (name, value) in [("ORIGIN", origin), ("LIB", lib.as_str()), ("PLATFORM", platform)] {
        text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    text
}

/// Debian's name for a machine's library folder.
fn triplet(machine: Machine) -> Option<&'static str> {
    match (machine.machine, machine.class) {
        (62, 2) => Some("x86_64-linux-gnu"),
        (62, 1) => Some("x86_64-linux-gnux32"),
        (3, _) => Some("i386-linux-gnu"),
        (183, _) => Some("aarch64-linux-gnu"),
        (40, _) => Some("arm-linux-gnueabihf"),
        (243, 2) => Some("riscv64-linux-gnu"),
        _ => None,
    }
}

/// The folders that the loader searches without being told.
fn trusted_folders(machine: Machine) -> Vec<String> {
    let mut folders = Vec::new();
    if let Some(triplet) = triplet(machine) {
        folders.extend([format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")]);
    }
    let wide: &[&str] = if machine.class == 2 {
        &["/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    } else {
        &["/lib32", "/usr/lib32", "/lib", "/usr/lib"]
    };
    folders.extend(wide.iter().map(|folder| (*folder).to_owned()));
    folders
}

fn is_musl_libc(name: &str) -> bool {
    name == "libc.so" || name.starts_with("libc.musl-")
}

fn provides_program(provided: &dyn Fn(&str) -> bool, program: &str) -> bool {
    ["/bin", "/sbin", "/usr/bin", "/usr/sbin"].iter().any(|folder| provided(&format!("{folder}/{program}")))
}

fn read_needs(root: &Sysroot, real: &str, file: &File) -> Result<Needs> {
    elf::needs(file).map_err(|cause| {
        Error::new(format!("cannot read {}", root.on_disk(real).display()))
            .because(cause)
            .remedy("the file is damaged: install its package again")
    })
}

fn missing_interpreter(script: &str, interpreter: &str) -> Error {
    Error::new(format!("cannot add the script {script}"))
        .because(format!("its interpreter {interpreter} exists neither in the root nor in the image"))
        .remedy("install the interpreter's package, or remove the script from the spec")
}

fn missing_library(objects: &[Object], at: usize, name: &str, tried: &[String]) -> Error {
    let mut chain: Vec<&str> = std::iter::successors(Some(at), |index| objects[*index].parent)
        .map(|index| objects[index].path.as_str())
        .collect();
    chain.reverse();
    Error::new(format!("cannot find the library {name}"))
        .because(format!("asked for by {} -> {name}", chain.join(" -> ")))
        .because(format!("looked at {}", if tried.is_empty() { "no folder".to_owned() } else { tried.join(", ") }))
        .remedy(format!("install the package that has {name}, or add its folder to /etc/ld.so.conf.d of that root"))
}
