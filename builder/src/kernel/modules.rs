//! Kernel modules from an unpacked kernel package: by name, alias or class, with what they depend on.
//!
//! The package has no modules.dep, so each module's own .modinfo tells its dependencies (`depends=`)
//! and soft dependencies (`softdep=`). Gives the files, a modules.dep that BusyBox's modprobe reads,
//! and the order in which a program without modprobe loads them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::archive::decompress;
use crate::elf;
use crate::error::{Error, PathContext, Result};
use crate::kernel::modalias;
use crate::ui::suggest;

/// What a packed module's name ends with. Images hold modules unpacked: they are packed as a whole.
const PACKED_ENDS: [&str; 3] = [".gz", ".zst", ".xz"];

/// One module that was chosen.
#[derive(Clone, Debug)]
pub struct Module {
    /// Path below /lib/modules/RELEASE, e.g. kernel/drivers/net/tun.ko.
    pub path: String,
    /// Its content, never compressed.
    pub data: Vec<u8>,
    /// Names of the modules it depends on.
    pub depends: Vec<String>,
    /// Firmware files that it may load, below lib/firmware.
    pub firmware: Vec<String>,
    /// The module that asked for it; None for what the spec names.
    pub needed_by: Option<String>,
}

/// The chosen modules of one kernel.
#[derive(Clone, Debug, Default)]
pub struct ChosenModules {
    /// Module names (with `_`), in load order: dependencies first.
    pub order: Vec<String>,
    /// The modules that are files, by their name (with `_`).
    pub modules: BTreeMap<String, Module>,
    /// Names from the spec that are built into the kernel.
    pub builtin: Vec<String>,
}

/// All modules of a package.
pub struct ModuleTree {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl ModuleTree {
    /// Lists the modules under a lib/modules/RELEASE folder.
    pub fn open(folder: &Path) -> Result<ModuleTree> {
        let mut files = BTreeMap::new();
        for entry in WalkDir::new(folder.join("kernel")).sort_by_file_name() {
            let entry = entry.at("list the modules in", folder)?;
            if let Some(name) = entry.file_name().to_str().and_then(module_name) {
                files.insert(name, entry.into_path());
            }
        }
        let list = folder.join("modules.builtin");
        let builtin = fs::read_to_string(&list).at("read", &list)?;
        let builtin = builtin.lines().filter_map(|line| module_name(line.rsplit('/').next()?)).collect();
        Ok(ModuleTree { folder: folder.to_owned(), files, builtin })
    }

    /// Chooses modules, with all they depend on: by name, by `alias:MODALIAS`, by `class:NAME`, or by
    /// `folder:drivers/net/ethernet`.
    pub fn choose(&self, words: &[String]) -> Result<ChosenModules> {
        let mut chosen = ChosenModules::default();
        for name in self.names(words)? {
            if self.builtin.contains(&name) {
                chosen.builtin.push(name);
            } else {
                self.visit(&name, None, &mut chosen, &mut Vec::new())?;
            }
        }
        Ok(chosen)
    }

    /// The modules that the words of a spec mean.
    fn names(&self, words: &[String]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for word in words {
            let found = match word.split_once(':') {
                None => vec![plain(word)],
                Some(("alias", alias)) => self.by_alias(alias)?,
                Some(("folder", folder)) => self.in_folder(folder),
                Some(("class", name)) => match modalias::CLASSES.iter().find(|class| class.name == name) {
                    Some(class) => {
                        let there = |name: &str| self.files.contains_key(name) || self.builtin.contains(name);
                        let modules = class.modules.iter().filter(|name| there(name)).map(|name| (*name).to_owned());
                        class.folders.iter().flat_map(|folder| self.in_folder(folder)).chain(modules).collect()
                    }
                    None => {
                        let known: Vec<_> = modalias::CLASSES.iter().map(|class| class.name).collect();
                        return Err(Error::new(format!("cannot find the class of devices {name:?}"))
                            .help(format!("write one of {}", known.join(", "))));
                    }
                },
                Some((kind, _)) => {
                    return Err(Error::new(format!("cannot choose modules by {kind:?}"))
                        .help("write a module's name, alias:MODALIAS, class:NAME or folder:drivers/…"));
                }
            };
            if found.is_empty() {
                return Err(Error::new(format!("cannot find a kernel module for {word:?}"))
                    .because(format!("no module of {} fits", self.folder.display()))
                    .help("choose a kernel that has one, or remove it from modules"));
            }
            names.extend(found);
        }
        Ok(names)
    }

    /// The modules below a folder of kernel/.
    fn in_folder(&self, folder: &str) -> Vec<String> {
        let folder = self.folder.join("kernel").join(folder.trim_matches('/'));
        self.files.iter().filter(|(_, file)| file.starts_with(&folder)).map(|(name, _)| name.clone()).collect()
    }

    /// The modules, and drivers built into the kernel, that a device with this alias wants. Every module is read:
    /// a package that was only unpacked has no list of them.
    fn by_alias(&self, alias: &str) -> Result<Vec<String>> {
        let fits = |field: &str| field.strip_prefix("alias=").is_some_and(|pattern| modalias::matches(pattern, alias));
        let mut found = Vec::new();
        let list = fs::read(self.folder.join("modules.builtin.modinfo")).unwrap_or_default();
        for field in fields(&list) {
            if let Some((name, field)) = field.split_once('.')
                && fits(field)
            {
                found.push(plain(name));
            }
        }
        for (name, file) in &self.files {
            let data = read_module(file)?;
            let info = elf::section(&data, ".modinfo").map_err(|cause| unreadable(file, cause))?;
            if fields(info.unwrap_or_default()).any(|field| fits(&field)) {
                found.push(name.clone());
            }
        }
        Ok(found)
    }

    fn visit(&self, name: &str, asker: Option<&str>, chosen: &mut ChosenModules, path: &mut Vec<String>) -> Result<()> {
        if chosen.modules.contains_key(name) || self.builtin.contains(name) || path.iter().any(|above| above == name) {
            return Ok(());
        }
        let file = self.files.get(name).ok_or_else(|| self.missing(name, path))?;
        let data = read_module(file)?;
        let info = elf::section(&data, ".modinfo").map_err(|cause| unreadable(file, cause))?;
        let info = info.ok_or_else(|| unreadable(file, "it has no .modinfo section"))?;
        let Info { depends, soft, firmware } = read_info(info);
        path.push(name.to_owned());
        for dependency in &depends {
            self.visit(dependency, Some(name), chosen, path)?;
        }
        for dependency in soft.before.iter().filter(|dependency| self.files.contains_key(*dependency)) {
            self.visit(dependency, Some(name), chosen, path)?;
        }
        path.pop();
        let inside = file.strip_prefix(&self.folder).unwrap_or(file).to_string_lossy();
        let inside = PACKED_ENDS.iter().find_map(|end| inside.strip_suffix(end)).unwrap_or(&inside).to_owned();
        let module = Module { path: inside, data, depends, firmware, needed_by: asker.map(str::to_owned) };
        chosen.modules.insert(name.to_owned(), module);
        chosen.order.push(name.to_owned());
        for dependency in soft.after.iter().filter(|dependency| self.files.contains_key(*dependency)) {
            self.visit(dependency, Some(name), chosen, path)?;
        }
        Ok(())
    }

    fn missing(&self, name: &str, path: &[String]) -> Error {
        let error = Error::new(format!("cannot find the kernel module {name:?}"));
        let error = match path {
            [] => error.because("the spec names it"),
            path => error.because(format!("asked for by {}", path.join(" -> "))),
        };
        let known = self.files.keys().map(String::as_str);
        let remedy = match suggest::nearest(name, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "choose a kernel that has it, or remove it from modules".to_owned(),
        };
        error.because(format!("{} has no such file", self.folder.display())).help(remedy)
    }
}

impl ChosenModules {
    /// The text of modules.dep: each module with all it needs, the one to load first last.
    pub fn modules_dep(&self) -> String {
        let mut lines: Vec<String> = self
            .modules
            .iter()
            .map(|(name, module)| {
                let needed = self.needed(name);
                let needed = self.order.iter().rev().filter(|name| needed.contains(*name));
                let paths: Vec<_> = needed.map(|name| self.modules[name].path.as_str()).collect();
                format!("{}: {}", module.path, paths.join(" ")).trim_end().to_owned() + "\n"
            })
            .collect();
        lines.sort();
        lines.concat()
    }

    /// Paths in load order, below the folder of the release.
    pub fn load_order(&self) -> Vec<&str> {
        self.order.iter().map(|name| self.modules[name].path.as_str()).collect()
    }

    fn needed(&self, name: &str) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            for dependency in self.modules.get(name).map_or(&[][..], |module| &module.depends) {
                if self.modules.contains_key(dependency) && needed.insert(dependency.clone()) {
                    todo.push(dependency);
                }
            }
        }
        needed
    }
}

#[derive(Default)]
struct Soft {
    before: Vec<String>,
    after: Vec<String>,
}

/// What a .modinfo section tells.
#[derive(Default)]
struct Info {
    depends: Vec<String>,
    soft: Soft,
    firmware: Vec<String>,
}

/// The fields `KEY=VALUE` of a .modinfo section.
fn fields(info: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    info.split(|byte| *byte == 0).map(String::from_utf8_lossy)
}

fn read_info(info: &[u8]) -> Info {
    let mut found = Info::default();
    for field in fields(info) {
        if let Some(list) = field.strip_prefix("depends=") {
            found.depends.extend(list.split(',').filter(|name| !name.is_empty()).map(plain));
        } else if let Some(name) = field.strip_prefix("firmware=") {
            found.firmware.push(name.to_owned());
        } else if let Some(list) = field.strip_prefix("softdep=") {
            let mut after = false;
            for word in list.split_whitespace() {
                match word {
                    "pre:" => after = false,
                    "post:" => after = true,
                    name if after => found.soft.after.push(plain(name)),
                    name => found.soft.before.push(plain(name)),
                }
            }
        }
    }
    found
}

/// A module's name: `-` and `_` are the same.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// The module that a file name stands for.
fn module_name(file: &str) -> Option<String> {
    let file = PACKED_ENDS.iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file);
    file.strip_suffix(".ko").map(plain)
}

fn unreadable(file: &Path, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(format!("cannot read the kernel module {}", file.display()))
        .because(cause)
        .help("unpack the kernel package again: delete it from the cache")
}

fn read_module(file: &Path) -> Result<Vec<u8>> {
    const MODULE_BYTES_MAX: u64 = 256 << 20;
    let data = fs::read(file).at("read", file)?;
    let unpacked = decompress::unpack(&data, MODULE_BYTES_MAX).at("unpack", file)?;
    Ok(unpacked.map_or(data, |unpacked| unpacked.data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_tells_hard_and_soft_dependencies() {
        let info =
            b"license=GPL\0depends=mii,usb-net\0softdep=pre: crc32c x-y post: late\0\0firmware=a/b.fw\0depends=\0";
        let Info { depends, soft, firmware } = read_info(info);
        assert_eq!(firmware, ["a/b.fw"]);
        assert_eq!(depends, ["mii", "usb_net"]);
        assert_eq!(soft.before, ["crc32c", "x_y"]);
        assert_eq!(soft.after, ["late"]);
    }

    #[test]
    fn file_names_are_module_names() {
        assert_eq!(module_name("kvm-amd.ko").as_deref(), Some("kvm_amd"));
        assert_eq!(module_name("tun.ko.xz").as_deref(), Some("tun"));
        assert_eq!(module_name("modules.dep"), None);
    }

    #[test]
    fn modules_dep_lists_the_first_to_load_last() {
        let module = |path: &str, depends: &[&str]| Module {
            path: path.to_owned(),
            data: Vec::new(),
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            firmware: Vec::new(),
            needed_by: None,
        };
        let chosen = ChosenModules {
            order: ["c", "b", "a"].map(str::to_owned).to_vec(),
            modules: BTreeMap::from([
                ("a".to_owned(), module("kernel/a.ko", &["b"])),
                ("b".to_owned(), module("kernel/b.ko", &["c"])),
                ("c".to_owned(), module("kernel/c.ko", &[])),
            ]),
            builtin: Vec::new(),
        };
        assert_eq!(
            chosen.modules_dep(),
            "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\n"
        );
        assert_eq!(chosen.load_order(), ["kernel/c.ko", "kernel/b.ko", "kernel/a.ko"]);
    }
}
