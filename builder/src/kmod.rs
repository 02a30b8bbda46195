//! Kernel modules from an unpacked kernel package: by name, with what they depend on.
//!
//! The package has no modules.dep, so each module's own .modinfo tells its dependencies (`depends=`)
//! and soft dependencies (`softdep=`). Gives the files, a modules.dep that BusyBox's modprobe reads,
//! and the order in which a program without modprobe loads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::elf;
use crate::error::{At, Error, Result};
use crate::suggest;

/// One module that was chosen.
#[derive(Clone, Debug)]
pub struct Module {
    /// Path below /lib/modules/RELEASE, e.g. kernel/drivers/net/tun.ko.
    pub path: String,
    /// Its content, never compressed.
    pub data: Vec<u8>,
    /// Names of the modules it depends on.
    pub depends: Vec<String>,
    /// The module that asked for it; None for what the spec names.
    pub needed_by: Option<String>,
}

/// The chosen modules of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// Module names (with `_`), in load order: dependencies first.
    pub order: Vec<String>,
    /// By name.
    pub modules: BTreeMap<String, Module>,
    /// Names from the spec that are built into the kernel.
    pub builtin: Vec<String>,
}

/// All modules of a package.
pub struct Package {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl Package {
    /// Lists the modules under a lib/modules/RELEASE folder.
    pub fn open(folder: &Path) -> Result<Package> {
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
        Ok(Package { folder: folder.to_owned(), files, builtin })
    }

    /// Chooses modules by name, with all they depend on.
    pub fn choose(&self, names: &[String]) -> Result<Chosen> {
        let mut chosen = Chosen::default();
        for name in names {
            let name = plain(name);
            if self.builtin.contains(&name) {
                chosen.builtin.push(name);
            } else {
                self.visit(&name, None, &mut chosen, &mut Vec::new())?;
            }
        }
        Ok(chosen)
    }

    fn visit(&self, name: &str, asker: Option<&str>, chosen: &mut Chosen, path: &mut Vec<String>) -> Result<()> {
        if chosen.modules.contains_key(name) || self.builtin.contains(name) || path.iter().any(|above| above == name) {
            return Ok(());
        }
        let file = self.files.get(name).ok_or_else(|| self.missing(name, path))?;
        let data = read_module(file)?;
        let info = elf::section(&data, ".modinfo").map_err(|cause| unreadable(file, &cause))?;
        let info = info.ok_or_else(|| unreadable(file, "it has no .modinfo section"))?;
        let (depends, soft) = dependencies(info);
        path.push(name.to_owned());
        for dependency in &depends {
            self.visit(dependency, Some(name), chosen, path)?;
        }
        for dependency in soft.before.iter().filter(|dependency| self.files.contains_key(*dependency)) {
            self.visit(dependency, Some(name), chosen, path)?;
        }
        path.pop();
        let inside = file.strip_prefix(&self.folder).unwrap_or(file).to_string_lossy();
        let inside = inside.trim_end_matches(".zst").trim_end_matches(".gz").to_owned();
        let module = Module { path: inside, data, depends, needed_by: asker.map(str::to_owned) };
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
        error.because(format!("{} has no such file", self.folder.display())).remedy(remedy)
    }
}

impl Chosen {
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

/// `depends=` and `softdep=` of a .modinfo section.
fn dependencies(info: &[u8]) -> (Vec<String>, Soft) {
    let mut depends = Vec::new();
    let mut soft = Soft::default();
    for field in info.split(|byte| *byte == 0) {
        let field = String::from_utf8_lossy(field);
        if let Some(list) = field.strip_prefix("depends=") {
            depends.extend(list.split(',').filter(|name| !name.is_empty()).map(plain));
        } else if let Some(list) = field.strip_prefix("softdep=") {
            let mut after = false;
            for word in list.split_whitespace() {
                match word {
                    "pre:" => after = false,
                    "post:" => after = true,
                    name if after => soft.after.push(plain(name)),
                    name => soft.before.push(plain(name)),
                }
            }
        }
    }
    (depends, soft)
}

/// A module's name: `-` and `_` are the same.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// The module that a file name stands for.
fn module_name(file: &str) -> Option<String> {
    [".ko", ".ko.gz", ".ko.zst", ".ko.xz"].iter().find_map(|end| file.strip_suffix(end)).map(plain)
}

fn unreadable(file: &Path, cause: &str) -> Error {
    Error::new(format!("cannot read the kernel module {}", file.display()))
        .because(cause)
        .remedy("unpack the kernel package again: delete it from the cache")
}

fn read_module(file: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    const MODULE_BYTES_MAX: u64 = 256 << 20;
    let data = fs::read(file).at("read", file)?;
    let mut plain = Vec::new();
    match file.extension().and_then(|end| end.to_str()) {
        Some("gz") => {
            flate2::read::GzDecoder::new(&data[..])
                .take(MODULE_BYTES_MAX)
                .read_to_end(&mut plain)
                .at("unpack", file)?;
        }
        Some("zst") => {
            let decoder = zstd::stream::Decoder::with_buffer(&data[..]).at("unpack", file)?;
            decoder.take(MODULE_BYTES_MAX).read_to_end(&mut plain).at("unpack", file)?;
        }
        Some("xz") => return Err(unreadable(file, "modules packed with xz cannot be read yet")),
        _ => plain = data,
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_tells_hard_and_soft_dependencies() {
        let info = b"license=GPL\0depends=mii,usb-net\0softdep=pre: crc32c x-y post: late\0\0depends=\0";
        let (depends, soft) = dependencies(info);
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
            needed_by: None,
        };
        let chosen = Chosen {
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
