//! Where a loader looks for a library: the order of folders, and which file there counts.
//!
//! Takes a name and who asks for it; gives the file that the loader would take, copies for newer processors
//! beside it, and all places where it looked. The rules are those that `load` names.

use super::load::{Hit, LIBRARY_PATH, Loader, Object};
use crate::elf::ldcache::{self, Key};

impl Loader<'_, '_> {
    /// The file that the loader would take for a name. `variants` gets copies for newer processors.
    pub(super) fn search(
        &mut self,
        at: usize,
        name: &str,
        tried: &mut Vec<String>,
        variants: &mut Vec<Hit>,
    ) -> Option<Hit> {
        if name.contains('/') {
            let paths = self.layout.expand(name, &self.out.objects[at].origin);
            return paths.into_iter().find_map(|path| {
                if !path.starts_with('/') {
                    tried.push(format!("{path} (it depends on the working directory)"));
                    return None;
                }
                self.accept(&path, "a path", tried)
            });
        }
        for (folder, how) in self.folders(at) {
            // LD_LIBRARY_PATH may not be set where the image runs.
            let cached = how == LIBRARY_PATH && self.musl.is_none();
            variants.extend(self.variants(&folder, name, cached));
            if let Some(hit) = self.accept(&format!("{folder}/{name}"), &how, tried) {
                if cached {
                    self.cache(name, None, &hit);
                }
                return Some(hit);
            }
        }
        if self.musl.is_some() {
            return None;
        }
        let default = !self.out.objects[at].needs.no_default_folders;
        if let Some(hit) = self.search_configured(name, default, tried, variants) {
            return Some(hit);
        }
        let trusted = if default { self.layout.trusted.clone() } else { Vec::new() };
        let trusted = trusted.into_iter().find_map(|folder| {
            variants.extend(self.variants(&folder, name, false));
            self.accept(&format!("{folder}/{name}"), "trusted folder", tried)
        });
        trusted.or_else(|| if variants.is_empty() { self.search_old_cache(name, variants) } else { None })
    }

    /// By the root's own cache, which may know folders that ld.so.conf does not name.
    fn search_old_cache(&mut self, name: &str, variants: &mut Vec<Hit>) -> Option<Hit> {
        let mut plain = None;
        for (level, path) in self.tables.cached_of_root(name, ldcache::flags(self.machine)) {
            let Some(hit) = self.accept(&path, "ld.so.cache of the root", &mut Vec::new()) else { continue };
            self.cache(name, level.as_deref(), &hit);
            match level {
                None => plain = Some(hit),
                Some(_) => variants.push(hit),
            }
        }
        plain
    }

    /// Notes that the image's cache must lead to a library.
    fn cache(&mut self, name: &str, level: Option<&str>, hit: &Hit) {
        let key = Key::of(name, ldcache::flags(self.machine), level);
        self.out.configured.insert(key, hit.found.asked.clone());
    }

    /// By ld.so.conf, or by the cache.
    fn search_configured(
        &mut self,
        name: &str,
        default: bool,
        tried: &mut Vec<String>,
        variants: &mut Vec<Hit>,
    ) -> Option<Hit> {
        let mut cached = None;
        for (level, path) in self.tables.cached(name, ldcache::flags(self.machine)) {
            match level {
                None => cached = Some(path),
                Some(level) => {
                    variants.extend(self.accept(&path, &format!("glibc-hwcaps {level}"), &mut Vec::new()));
                }
            }
        }
        if let Some(path) = cached {
            return self.accept(&path, "ld.so.cache", tried);
        }
        for folder in self.tables.configured_folders() {
            let known = self.layout.trusted.contains(&folder);
            if known && !default {
                continue;
            }
            variants.extend(self.variants(&folder, name, !known));
            let how = if known { "trusted folder" } else { "ld.so.conf" };
            let Some(hit) = self.accept(&format!("{folder}/{name}"), how, tried) else { continue };
            if !known {
                self.cache(name, None, &hit);
            }
            return Some(hit);
        }
        None
    }

    /// The folders that come before the system's, each with the rule that names it.
    fn folders(&self, at: usize) -> Vec<(String, String)> {
        let objects = &self.out.objects;
        let mut folders = Vec::new();
        let mut add = |object: &Object, paths: &[String], tag: &str| {
            for path in paths.iter().flat_map(|path| self.layout.expand(path, &object.origin)) {
                folders.push((path, format!("{tag} of {}", object.hit.found.real)));
            }
        };
        let chain = std::iter::successors(Some(at), |index| objects[*index].parent);
        if let Some(system) = &self.musl {
            for object in chain.map(|index| &objects[index]) {
                let needs = &object.needs;
                let runpath = !needs.runpath.is_empty();
                add(
                    object,
                    if runpath { &needs.runpath } else { &needs.rpath },
                    if runpath { "RUNPATH" } else { "RPATH" },
                );
            }
            let given = self.tables.library_path.iter().map(|folder| (folder.clone(), LIBRARY_PATH.to_owned()));
            let mut all: Vec<_> = given.chain(folders).collect();
            all.extend(
                system
                    .split([':', '\n'])
                    .filter(|folder| folder.starts_with('/'))
                    .map(|folder| (folder.to_owned(), "musl's path".to_owned())),
            );
            return all;
        }
        if objects[at].needs.runpath.is_empty() {
            for object in chain.map(|index| &objects[index]).filter(|object| object.needs.runpath.is_empty()) {
                add(object, &object.needs.rpath, "RPATH");
            }
        }
        let before = folders.len();
        let object = &objects[at];
        for path in object.needs.runpath.iter().flat_map(|path| self.layout.expand(path, &object.origin)) {
            folders.push((path, format!("RUNPATH of {}", object.hit.found.real)));
        }
        let given = self.tables.library_path.iter().map(|folder| (folder.clone(), LIBRARY_PATH.to_owned()));
        folders.splice(before..before, given);
        folders
    }

    /// The copies of a library for newer processors in one folder; `cached` are those of a folder that the loader
    /// knows by its cache alone.
    fn variants(&mut self, folder: &str, name: &str, cached: bool) -> Vec<Hit> {
        let levels = if self.musl.is_some() { Vec::new() } else { self.tables.levels(folder) };
        let paths = levels.into_iter().map(|level| (format!("{folder}/glibc-hwcaps/{level}/{name}"), level));
        let paths: Vec<_> = paths.collect();
        let mut hits = Vec::new();
        for (path, level) in paths {
            let Some(hit) = self.accept(&path, &format!("glibc-hwcaps {level}"), &mut Vec::new()) else { continue };
            if cached {
                self.cache(name, Some(&level), &hit);
            }
            hits.push(hit);
        }
        hits
    }

    /// A file counts only if it is a library for the same machine.
    fn accept(&mut self, path: &str, how: &str, tried: &mut Vec<String>) -> Option<Hit> {
        let Some((side, found)) = self.tables.find_file(path) else {
            tried.push(path.to_owned());
            return None;
        };
        let why_not = match self.tables.needs(side, &found.real) {
            Ok(needs) if needs.machine != self.machine => "for another machine".to_owned(),
            Ok(needs) if !needs.loadable => "no library for Linux".to_owned(),
            Ok(_) => return Some(Hit { side, found, how: how.to_owned() }),
            Err(cause) => cause.to_string(),
        };
        tried.push(format!("{path} ({why_not})"));
        None
    }
}
