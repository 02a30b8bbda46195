//! The imports of our crates, file by file: which module of a crate uses which other.
//!
//! Takes the sources of a crate; gives for each file the modules of the same crate whose items it names, wherever the
//! path stands (`use`, a type, a call, inside a macro). What a `mod.rs` re-exports counts as its owner's: the one who
//! names `room::Thing` uses the file where `Thing` is. Test modules do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use walkdir::WalkDir;

/// A module of a crate, as `["guest", "qemu", "qmp"]`; the crate's root is empty.
pub type Module = Vec<String>;

/// One crate's modules and who uses whom.
pub struct Imports {
    /// For each module the others that it uses.
    pub uses: BTreeMap<Module, BTreeSet<Module>>,
}

/// What one file says of its module.
#[derive(Default)]
struct File {
    /// Whether it is a room's door (`mod.rs`, `lib.rs`), which opens what is behind it by re-exporting.
    door: bool,
    /// Paths that it names, resolved to the crate's root, each possibly longer than a module.
    named: BTreeSet<Module>,
    /// Names that it re-exports, and the paths behind them.
    exported: BTreeMap<String, Module>,
    /// Paths whose every item it re-exports.
    exported_all: Vec<Module>,
}

impl Imports {
    /// Reads every file below a crate's `src`.
    pub fn of(src: &Path) -> Imports {
        let mut texts = BTreeMap::new();
        for entry in WalkDir::new(src).sort_by_file_name().into_iter().flatten() {
            let inside = entry.path().strip_prefix(src).unwrap().display().to_string();
            if let Some(name) = inside.strip_suffix(".rs").filter(|name| !name.ends_with("tests")) {
                let door =
                    ["mod", "lib", "main"].iter().any(|door| name == *door || name.ends_with(&format!("/{door}")));
                let text = fs::read_to_string(entry.path()).unwrap();
                texts.entry(module_of(name)).or_insert_with(Vec::new).push((door, text));
            }
        }
        let modules: BTreeSet<Module> = texts.keys().cloned().collect();
        let mut files = BTreeMap::new();
        for (module, texts) in &texts {
            let mut reader = Reader { module, modules: &modules, file: File::default() };
            for (door, text) in texts {
                reader.file.door |= door;
                reader.visit_file(&syn::parse_file(text).unwrap());
            }
            files.insert(module.clone(), reader.file);
        }
        let uses = files.iter().map(|(module, file)| (module.clone(), users(module, file, &files)));
        Imports { uses: uses.collect() }
    }

    /// Groups of modules that use each other in a circle.
    pub fn circles(&self) -> Vec<Vec<&Module>> {
        let reach: BTreeMap<&Module, BTreeSet<&Module>> = self.uses.keys().map(|m| (m, self.reach(m))).collect();
        let mut circles = Vec::new();
        let mut seen = BTreeSet::new();
        for (module, far) in &reach {
            let mutual = |other: &&&Module| reach.get(**other).is_some_and(|back| back.contains(*module));
            let circle: Vec<&Module> = far.iter().filter(mutual).copied().collect();
            if circle.len() > 1 && !circle.iter().any(|m| seen.contains(m)) {
                seen.extend(circle.iter().copied());
                circles.push(circle);
            }
        }
        circles
    }

    fn reach<'a>(&'a self, from: &'a Module) -> BTreeSet<&'a Module> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for other in self.uses.get(module).into_iter().flatten() {
                if reached.insert(other) {
                    next.push(other);
                }
            }
        }
        reached
    }
}

/// `guest/qemu/mod` is the module guest::qemu; `lib` and `main` are both the root.
fn module_of(name: &str) -> Module {
    let mut parts: Module = name.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// The modules that a file uses: each path that it names, followed through re-exports to the owner.
fn users(module: &Module, file: &File, files: &BTreeMap<Module, File>) -> BTreeSet<Module> {
    let doors = file.exported.values().chain(&file.exported_all);
    // A room's mod.rs opens doors; that is no use of what is behind them.
    let named = file.named.iter().filter(|path| !file.door || !doors.clone().any(|door| door == *path));
    let owners = named.filter_map(|path| owner(path, files, 0));
    owners.filter(|other| other != module).collect()
}

fn owner(path: &Module, files: &BTreeMap<Module, File>, depth: usize) -> Option<Module> {
    let at = (0..=path.len()).rev().find(|len| files.contains_key(&path[..*len]))?;
    let (module, rest) = (path[..at].to_vec(), &path[at..]);
    let Some(name) = rest.first().filter(|_| depth < 8) else { return Some(module) };
    let file = &files[&module];
    if let Some(behind) = file.exported.get(name) {
        let far = behind.iter().chain(&rest[1..]).cloned().collect();
        return owner(&far, files, depth + 1);
    }
    // Behind `pub use room::*` it may be anywhere: the nearest such room counts.
    if let (true, [far, ..]) = (file.door, &file.exported_all[..]) {
        return owner(&far.iter().chain(rest).cloned().collect(), files, depth + 1);
    }
    Some(module)
}

struct Reader<'a> {
    module: &'a Module,
    modules: &'a BTreeSet<Module>,
    file: File,
}

impl Reader<'_> {
    /// A path as it stands, from the crate's root; None where it leads out of the crate.
    fn resolve(&self, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().checked_sub(1)?].to_vec(),
            child => {
                let inner: Module = self.module.iter().cloned().chain([child.to_owned()]).collect();
                return self.modules.contains(&inner).then(|| inner.into_iter().chain(rest.iter().cloned()).collect());
            }
        };
        let mut rest = rest;
        while let Some((first, more)) = rest.split_first().filter(|(first, _)| *first == "super") {
            let _ = first;
            base.pop()?;
            rest = more;
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    fn name(&mut self, path: &[String]) {
        if let Some(path) = self.resolve(path) {
            self.file.named.insert(path);
        }
    }

    fn use_tree(&mut self, tree: &syn::UseTree, before: &[String], public: bool) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&path.tree, &with(path.ident.to_string()), public),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.use_tree(item, before, public)),
            syn::UseTree::Glob(_) => {
                self.name(before);
                if let Some(path) = self.resolve(before).filter(|_| public) {
                    self.file.exported_all.push(path);
                }
            }
            syn::UseTree::Name(_) | syn::UseTree::Rename(_) => {
                let (name, seen) = match tree {
                    syn::UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
                    syn::UseTree::Rename(rename) => (rename.ident.to_string(), rename.rename.to_string()),
                    _ => return,
                };
                let path = if name == "self" { before.to_vec() } else { with(name) };
                self.name(&path);
                if let Some(path) = self.resolve(&path).filter(|_| public) {
                    self.file.exported.insert(seen, path);
                }
            }
        }
    }

    /// Paths inside a macro's words: those that begin with `crate` or `super`.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    let ident = ident.to_string();
                    if ["crate", "super"].contains(&ident.as_str()) && path.last().is_none_or(|last| last != "super") {
                        path.clear();
                        path.push(ident);
                    } else if !path.is_empty() {
                        path.push(ident);
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                other => {
                    self.name(&std::mem::take(&mut path));
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.name(&path);
    }
}

fn only_tests(attributes: &[syn::Attribute]) -> bool {
    let text = |a: &syn::Attribute| a.meta.require_list().map(|l| l.tokens.to_string()).unwrap_or_default();
    attributes.iter().any(|a| a.path().is_ident("cfg") && text(a) == "test")
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !only_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !only_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if !only_tests(&item.attrs) {
            self.use_tree(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if words.len() > 1 {
            self.name(&words);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}
