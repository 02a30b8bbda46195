//! The choice of an image's modules: from the words of a spec to files, with all that these want.
//!
//! What a module depends on has to be there; what it names softly is taken if there is such a module, by its name or
//! by an alias, as modprobe does, and if that one is whole. Weak dependencies come along for who asks for them later,
//! and are not loaded.

use std::collections::{BTreeSet, VecDeque};

use super::info::plain;
use super::modalias;
use super::modprobe::ModprobeConfig;
use super::tree::{ChosenModules, Module, ModuleTree, unpacked_name};
use crate::error::{Error, Result};
use crate::ui::suggest;

/// Longest chain of modules of which each wants the next: real ones have fewer than ten.
const DEPTH_MAX: usize = 100;

/// Most modules that an error names one by one.
const ASKERS_MAX: usize = 8;

/// The forms that a word of a spec may have.
const FORMS: &str =
    "write a module's name, an alias such as fs-btrfs or pci:v00008086d*, class:NAME or folder:drivers/…";

/// A choice while it is made.
struct Choice<'a> {
    tree: &'a ModuleTree,
    config: &'a ModprobeConfig,
    chosen: ChosenModules,
    /// What may be asked for later, and by whom.
    weak: VecDeque<(String, String)>,
}

/// Chooses modules, with all they depend on: by name or alias, by `alias:MODALIAS`, by `class:NAME`, or by
/// `folder:drivers/net/ethernet`. `config` is what the image's modprobe.d says.
pub fn choose(tree: &ModuleTree, words: &[String], config: &ModprobeConfig) -> Result<ChosenModules> {
    let mut choice = Choice { tree, config, chosen: ChosenModules::default(), weak: VecDeque::new() };
    for word in words {
        for name in choice.names(word)? {
            choice.visit(&name, None, true, &mut Vec::new())?;
        }
    }
    while let Some((asker, word)) = choice.weak.pop_front() {
        for name in choice.resolve(&word) {
            if choice.is_whole(&name, &format!("which {asker} may ask for later"), 0) {
                choice.visit(&name, Some(&asker), false, &mut Vec::new())?;
            }
        }
    }
    if let Some(aliases) = tree.aliases.get()
        && let Some(first) = aliases.unreadable.first()
    {
        let count = aliases.unreadable.len();
        let text =
            format!("{count} kernel modules cannot be read, so that their aliases do not count: {first} and so on");
        choice.chosen.warnings.push(text);
    }
    choice.chosen.warnings.extend_from_slice(&config.warnings);
    Ok(choice.chosen)
}

impl Choice<'_> {
    /// The modules that a word of a spec means.
    fn names(&self, word: &str) -> Result<Vec<String>> {
        let found = match word.split_once(':') {
            // A name is taken even where a blacklist has it, as modprobe does.
            None if self.tree.has(&plain(word)) => vec![plain(word)],
            None => self.resolve(word),
            Some(("alias", alias)) => self.resolve_alias(alias),
            Some(("folder", folder)) => self.allowed(self.tree.in_folder(folder)),
            Some(("class", name)) => self.allowed(self.in_class(name)?),
            Some(_) => self.resolve_alias(word),
        };
        match found.is_empty() {
            false => Ok(found),
            true if word.contains(':') => Err(self.nothing_fits(word)),
            true => Err(self.missing(&plain(word), word, &[])),
        }
    }

    fn in_class(&self, name: &str) -> Result<Vec<String>> {
        let Some(class) = modalias::CLASSES.iter().find(|class| class.name == name) else {
            let known: Vec<_> = modalias::CLASSES.iter().map(|class| class.name).collect();
            return Err(Error::new(format!("cannot find the class of devices {name:?}"))
                .help(format!("write one of {}", known.join(", "))));
        };
        let modules = class.modules.iter().filter(|name| self.tree.has(name)).map(|name| (*name).to_owned());
        Ok(class.folders.iter().flat_map(|folder| self.tree.in_folder(folder)).chain(modules).collect())
    }

    /// What a soft or weak dependency means: modules by an alias of modprobe.d, else by name, else by their own
    /// aliases, as modprobe looks for them.
    fn resolve(&self, word: &str) -> Vec<String> {
        let configured = self.config.by_alias(word);
        if !configured.is_empty() {
            return configured.into_iter().filter(|name| self.tree.has(name)).collect();
        }
        let name = plain(word);
        if self.tree.has(&name) { vec![name] } else { self.allowed(self.tree.by_alias(word)) }
    }

    fn resolve_alias(&self, alias: &str) -> Vec<String> {
        let configured = self.config.by_alias(alias);
        let configured = configured.into_iter().filter(|name| self.tree.has(name));
        let mut found: Vec<String> = configured.chain(self.allowed(self.tree.by_alias(alias))).collect();
        found.dedup();
        found
    }

    /// Without those that a blacklist keeps from being loaded for anything but their own name.
    fn allowed(&self, names: impl IntoIterator<Item = String>) -> Vec<String> {
        names.into_iter().filter(|name| self.config.blacklisted(name).is_none()).collect()
    }

    fn visit(&mut self, name: &str, asker: Option<&str>, load: bool, path: &mut Vec<String>) -> Result<()> {
        if let Some(line) = self.tree.builtin.get(name).filter(|_| !self.tree.files.contains_key(name)) {
            self.chosen.builtin.insert(name.to_owned(), line.clone());
            return Ok(());
        }
        if self.chosen.modules.contains_key(name) || path.iter().any(|above| above == name) {
            return Ok(());
        }
        let file = self.tree.files.get(name).ok_or_else(|| self.missing(name, name, path))?;
        if path.len() >= DEPTH_MAX {
            return Err(Error::new(format!("cannot choose the kernel module {:?}", path[0]))
                .because(format!("more than {DEPTH_MAX} modules depend on each other, up to {name}"))
                .help("unpack the kernel again: real modules have fewer than ten"));
        }
        let (data, info) = self.tree.read(name, file)?;
        let mut soft = info.soft.clone();
        soft.extend(self.config.soft(name));
        path.push(name.to_owned());
        for dependency in &info.depends {
            self.visit(dependency, Some(name), load, path)?;
        }
        self.visit_soft(&soft.before, name, load, path)?;
        path.pop();
        let weak = info.weak.iter().chain(self.config.weak(name));
        self.weak.extend(weak.map(|word| (name.to_owned(), word.clone())));
        self.warn(name, &file.inside, info.release.as_deref());
        let options = self.config.options(name);
        if !options.is_empty() {
            self.chosen.options.insert(name.to_owned(), options.to_owned());
        }
        let inside = unpacked_name(&file.inside).to_owned();
        let module = Module { path: inside, data, info, load, needed_by: asker.map(str::to_owned) };
        self.chosen.modules.insert(name.to_owned(), module);
        self.chosen.order.push(name.to_owned());
        path.push(name.to_owned());
        self.visit_soft(&soft.after, name, load, path)?;
        path.pop();
        Ok(())
    }

    fn visit_soft(&mut self, words: &[String], asker: &str, load: bool, path: &mut Vec<String>) -> Result<()> {
        for word in words {
            for name in self.resolve(word) {
                if self.is_whole(&name, &format!("which {asker} asks for softly"), path.len()) {
                    self.visit(&name, Some(asker), load, path)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a module that is not needed can be had, with all that it depends on; else that is said, and it is left
    /// out.
    fn is_whole(&mut self, name: &str, asked: &str, depth: usize) -> bool {
        let Some(why) = self.lacks(name, depth) else { return true };
        let text = format!("the module {name}, {asked}, is left out: {why}");
        if !self.chosen.warnings.contains(&text) {
            self.chosen.warnings.push(text);
        }
        false
    }

    /// Why a module cannot be had, `depth` modules below the one that the spec names.
    fn lacks(&self, name: &str, depth: usize) -> Option<String> {
        let mut seen = BTreeSet::from([name.to_owned()]);
        let mut todo = vec![(name.to_owned(), depth)];
        while let Some((name, depth)) = todo.pop() {
            if self.chosen.modules.contains_key(&name) {
                continue;
            }
            let Some(file) = self.tree.files.get(&name) else {
                if self.tree.builtin.contains_key(&name) {
                    continue;
                }
                return Some(format!("it needs {name}, which {} does not have", self.tree.folder.display()));
            };
            if depth >= DEPTH_MAX {
                return Some(format!("more than {DEPTH_MAX} modules depend on each other, up to {name}"));
            }
            match self.tree.read(&name, file) {
                Ok((_, info)) => {
                    let new = info.depends.into_iter().filter(|name| seen.insert(name.clone()));
                    todo.extend(new.map(|name| (name, depth + 1)).collect::<Vec<_>>());
                }
                Err(error) => return Some(error.cause()),
            }
        }
        None
    }

    fn warn(&mut self, name: &str, inside: &str, release: Option<&str>) {
        let own = &self.tree.release;
        if let Some(other) = release.filter(|release| release != own) {
            let text = format!("the module {inside} is built for {other}: the kernel {own} refuses it");
            self.chosen.warnings.push(text);
        }
        if let Some(place) = self.config.command(name) {
            let text = format!("{place}: modprobe would run this command; the agent just loads {name}");
            self.chosen.warnings.push(text);
        }
    }

    fn nothing_fits(&self, word: &str) -> Error {
        let error = Error::new(format!("cannot find a kernel module for {word:?}"));
        let (kind, rest) = word.split_once(':').unwrap_or((word, ""));
        let kinds = ["alias", "class", "folder"];
        if !kinds.contains(&kind)
            && let Some(near) = suggest::nearest(kind, kinds.into_iter())
        {
            return error.help(format!("did you mean \"{near}:{rest}\"?"));
        }
        error
            .because(format!("no module of {} fits{}", self.tree.folder.display(), self.because_blacklisted(word)))
            .help(format!("choose a kernel that has one, or remove it from modules; {FORMS}"))
    }

    /// Which modules would fit, were it not for a blacklist.
    fn because_blacklisted(&self, word: &str) -> String {
        let alias = word.strip_prefix("alias:").unwrap_or(word);
        let lines = self.tree.by_alias(alias).into_iter();
        let mut lines =
            lines.filter_map(|name| Some(format!("{name} is blacklisted by {}", self.config.blacklisted(&name)?)));
        lines.next().map_or(String::new(), |line| format!(" ({line})"))
    }

    fn missing(&self, name: &str, word: &str, path: &[String]) -> Error {
        let error = Error::new(format!("cannot find the kernel module {word:?}"));
        let error = match path {
            [] => error.because("the spec names it"),
            [first, .., last] if path.len() > ASKERS_MAX => {
                error.because(format!("asked for by {first} -> … -> {last} ({} modules)", path.len()))
            }
            path => error.because(format!("asked for by {}", path.join(" -> "))),
        };
        let blacklisted = if path.is_empty() { self.because_blacklisted(word) } else { String::new() };
        let aliases = self.tree.aliases.get().into_iter().flat_map(|aliases| aliases.index.names());
        let known = self.tree.files.keys().map(String::as_str).chain(aliases);
        let remedy = match suggest::nearest(name, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None if !self.tree.builtin_known => {
                "remove it from modules if it is built into the kernel: there is no modules.builtin that would say so"
                    .to_owned()
            }
            None => "choose a kernel that has it, or remove it from modules".to_owned(),
        };
        error.because(format!("{} has no such file or alias{blacklisted}", self.tree.folder.display())).help(remedy)
    }
}
