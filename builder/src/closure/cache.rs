//! What the closure has looked up, kept for the whole of it: a thousand programs share a few hundred
//! libraries, and each is opened and parsed once.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::error::LoadError;
use super::layout::{self, Configured};
use crate::elf::ldcache::{self, LdCache};
use crate::elf::{self, ElfMachine, Needs};
use crate::rootfs::root::{EntryKind, Found, Rootfs};

/// In which of the two places a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WhichRoot {
    /// The image has it already.
    Image,
    /// The root has it.
    Root,
}

/// The places, and what is known of them.
pub struct Tables<'a> {
    /// Where files are taken from.
    pub root: &'a dyn Rootfs,
    /// What the image has already; it is looked at first.
    pub image: Option<&'a dyn Rootfs>,
    /// Folders that count as LD_LIBRARY_PATH.
    pub library_path: Vec<String>,
    configured: Configured,
    image_cache: LdCache,
    root_cache: OnceCell<LdCache>,
    found: HashMap<String, Option<(WhichRoot, Found)>>,
    needs: HashMap<(WhichRoot, String), Result<Rc<Needs>, LoadError>>,
    levels: HashMap<String, Vec<String>>,
    compiled_in: HashMap<(WhichRoot, String), Vec<String>>,
    nss: Option<Vec<String>>,
}

impl<'a> Tables<'a> {
    /// Nothing is known yet.
    pub fn new(root: &'a dyn Rootfs, configured: Configured) -> Tables<'a> {
        Tables {
            root,
            image: None,
            library_path: Vec::new(),
            configured,
            image_cache: LdCache::new(),
            root_cache: OnceCell::new(),
            found: HashMap::new(),
            needs: HashMap::new(),
            levels: HashMap::new(),
            compiled_in: HashMap::new(),
            nss: None,
        }
    }

    /// Says what the image has already.
    pub fn on_top_of(&mut self, image: &'a dyn Rootfs) {
        self.image_cache = Configured::of_cache(image).cache;
        self.image = Some(image);
    }

    /// The place of a side.
    pub fn place(&self, side: WhichRoot) -> &'a dyn Rootfs {
        match (side, self.image) {
            (WhichRoot::Image, Some(image)) => image,
            _ => self.root,
        }
    }

    /// A regular file: of the image if it has it, else of the root.
    pub fn find_file(&mut self, path: &str) -> Option<(WhichRoot, Found)> {
        if let Some(known) = self.found.get(path) {
            return known.clone();
        }
        let image = self.image.and_then(|image| image.find_file(path)).map(|found| (WhichRoot::Image, found));
        let found = image.or_else(|| Some((WhichRoot::Root, self.root.find_file(path)?)));
        self.found.insert(path.to_owned(), found.clone());
        found
    }

    /// What the ELF file at this real path needs.
    pub fn needs(&mut self, side: WhichRoot, real: &str) -> Result<Rc<Needs>, LoadError> {
        let key = (side, real.to_owned());
        if let Some(known) = self.needs.get(&key) {
            return known.clone();
        }
        let needs = self.read_needs(side, real);
        self.needs.insert(key, needs.clone());
        needs
    }

    fn read_needs(&self, side: WhichRoot, real: &str) -> Result<Rc<Needs>, LoadError> {
        let source = self.place(side).open(real)?;
        Ok(Rc::new(elf::needs(&*source)?))
    }

    /// Equal for two names of one file.
    pub fn id(&self, side: WhichRoot, real: &str) -> Option<(u64, u64)> {
        match self.place(side).kind(real) {
            Some(EntryKind::File { id, .. }) => Some(id),
            _ => None,
        }
    }

    /// The loader that a machine's glibc has in this root, for files that name none.
    pub fn usual_loader(&mut self, machine: ElfMachine) -> Option<(WhichRoot, Found)> {
        let path = match (machine.machine, machine.class) {
            (62, 2) => "/lib64/ld-linux-x86-64.so.2",
            (62, _) => "/libx32/ld-linux-x32.so.2",
            (3, _) => "/lib/ld-linux.so.2",
            (183, _) => "/lib/ld-linux-aarch64.so.1",
            (40, _) => "/lib/ld-linux-armhf.so.3",
            (243, _) => "/lib/ld-linux-riscv64-lp64d.so.1",
            (21, _) => "/lib64/ld64.so.2",
            (22, _) => "/lib/ld64.so.1",
            _ => return None,
        };
        self.find_file(path)
    }

    /// The folders that the loader at this path was compiled to search.
    pub fn compiled_in(&mut self, side: WhichRoot, real: &str) -> Vec<String> {
        const LOADER_BYTES_MAX: usize = 4 << 20;
        let key = (side, real.to_owned());
        if let Some(known) = self.compiled_in.get(&key) {
            return known.clone();
        }
        let bytes = self.place(side).head(real, LOADER_BYTES_MAX).unwrap_or_default();
        let folders = layout::compiled_in(&bytes);
        self.compiled_in.insert(key, folders.clone());
        folders
    }

    /// The folders that musl's loader searches: /etc/ld-musl-ARCH.path, beside the loader's own /lib.
    pub fn musl_path(&self, loader: &str) -> String {
        let name = loader.rsplit('/').next().unwrap_or_default();
        let machine = name.strip_prefix("ld-musl-").and_then(|rest| rest.split('.').next()).unwrap_or("x86_64");
        let prefix = loader.split("/lib/").next().filter(|_| loader.contains("/lib/")).unwrap_or_default();
        let path = format!("{prefix}/etc/ld-musl-{machine}.path");
        let text = self.image.and_then(|image| image.text(&path)).or_else(|| self.root.text(&path));
        text.unwrap_or_else(|| "/lib:/usr/local/lib:/usr/lib".to_owned())
    }

    /// A path of the root as the operator would call it.
    pub fn describe(&self, path: &str) -> String {
        self.root.describe(path)
    }

    /// The folders of ld.so.conf.
    pub fn configured_folders(&self) -> Vec<String> {
        self.configured.folders.clone()
    }

    /// What a cache says of a library, by the processors that it is for: the image's own, or that of a root that is
    /// looked at as it is.
    pub fn cached(&self, name: &str, flags: u32) -> Vec<(Option<String>, String)> {
        let image = ldcache::entries(&self.image_cache, name, flags);
        if image.is_empty() { ldcache::entries(&self.configured.cache, name, flags) } else { image }
    }

    /// What the root's own cache says of a library: it may be out of date, and is asked last.
    pub fn cached_of_root(&self, name: &str, flags: u32) -> Vec<(Option<String>, String)> {
        let cache = self.root_cache.get_or_init(|| Configured::of_cache(self.root).cache);
        ldcache::entries(cache, name, flags)
    }

    /// The processor levels for which a folder has copies.
    pub fn levels(&mut self, folder: &str) -> Vec<String> {
        if let Some(known) = self.levels.get(folder) {
            return known.clone();
        }
        let path = format!("{folder}/glibc-hwcaps");
        let mut levels = Vec::new();
        for place in self.image.into_iter().chain([self.root]) {
            levels.extend(place.find(&path).map(|found| place.list(&found.real)).unwrap_or_default());
        }
        levels.sort();
        levels.dedup();
        self.levels.insert(folder.to_owned(), levels.clone());
        levels
    }

    /// The modules by which this libc looks up names. Without an nsswitch.conf glibc takes files and dns.
    pub fn nss_modules(&mut self, libc: &Needs) -> Vec<String> {
        if self.nss.is_none() {
            let text = match self.image {
                Some(image) => image.text("/etc/nsswitch.conf"),
                None => self.root.text("/etc/nsswitch.conf"),
            };
            let text = text.unwrap_or_else(|| "passwd: files\nhosts: files dns\n".to_owned());
            self.nss = Some(nss_services(&text));
        }
        let built_in = |name: &String| libc.names_built_in && (name == "files" || name == "dns");
        self.nss.iter().flatten().filter(|name| !built_in(name)).cloned().collect()
    }
}

/// The services of an nsswitch.conf, each once, in order.
fn nss_services(text: &str) -> Vec<String> {
    let mut services: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((_, rest)) = line.split_once(':') else { continue };
        let mut inside = false;
        for word in rest.split_whitespace() {
            // [NOTFOUND=return] and the like are no services.
            inside |= word.starts_with('[');
            let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !inside && plain && !services.iter().any(|known| known == word) {
                services.push(word.to_owned());
            }
            inside &= !word.ends_with(']');
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ElfError;
    use crate::rootfs::error::RootError;
    use crate::rootfs::tree::{Entry, FileTree, Why};

    #[test]
    fn why_a_file_cannot_be_loaded_is_remembered_as_it_was_found() {
        let mut tree = FileTree::new();
        tree.insert("etc/x", Entry::file(&b"text"[..], 0o644, Why::default())).unwrap();
        let mut tables = Tables::new(&tree, Configured::of_cache(&tree));
        for _ in 0..2 {
            let mut needs = |path| tables.needs(WhichRoot::Root, path);
            assert!(matches!(needs("/nothing"), Err(LoadError::Root(RootError::NoFile))));
            let error = needs("/etc/x").unwrap_err();
            assert!(matches!(error, LoadError::Elf(ElfError::NotElf)), "{error}");
            assert_eq!(error.to_string(), "it is not an ELF file");
        }
    }

    #[test]
    fn services_are_named_once_and_reactions_are_none() {
        let text = "# x\npasswd: files systemd\nhosts: files [!UNAVAIL=return success=continue] dns # y\ngroup:files\n";
        assert_eq!(nss_services(text), ["files", "systemd", "dns"]);
    }
}
