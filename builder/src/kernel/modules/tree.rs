//! The modules of a kernel as they lie on disk: each name's file, in depmod's order, and what the file says.
//!
//! Takes a kernel; gives for a name, a folder or an alias the modules that it means. Reads a module when it is asked
//! for, and all of them once, when the first alias is.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::depmod::SearchOrder;
use super::info::{ModuleInfo, fields, plain};
use super::modalias::AliasIndex;
use crate::archive::decompress;
use crate::elf;
use crate::error::{Error, PathContext, Result};
use crate::kernel::Kernel;
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;

/// What a packed module's name ends with. Images hold modules unpacked: they are packed as a whole.
const PACKED_ENDS: [&str; 3] = [".gz", ".zst", ".xz"];
/// Folders of a kernel's headers and source, in which depmod does not look either.
const NO_MODULES: [&str; 2] = ["build", "source"];
/// Largest module that is unpacked.
const MODULE_BYTES_MAX: u64 = 256 << 20;

/// One module that was chosen.
#[derive(Clone, Debug)]
pub struct Module {
    /// Path below /lib/modules/RELEASE, e.g. kernel/drivers/net/tun.ko.
    pub path: String,
    /// Its content, never compressed.
    pub data: Vec<u8>,
    /// What it says of itself.
    pub info: ModuleInfo,
    /// Whether it is loaded when the image starts; otherwise it is there for who asks for it.
    pub load: bool,
    /// The module that asked for it; None for what the spec names.
    pub needed_by: Option<String>,
}

/// The chosen modules of one kernel.
#[derive(Clone, Debug, Default)]
pub struct ChosenModules {
    /// Module names (with `_`), dependencies first.
    pub order: Vec<String>,
    /// The modules that are files, by their name (with `_`).
    pub modules: BTreeMap<String, Module>,
    /// What the spec or another module names and the kernel has built in, with its line of modules.builtin.
    pub builtin: BTreeMap<String, String>,
    /// The parameters of modules, by modprobe.d.
    pub options: BTreeMap<String, String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// A module's file on the building machine.
#[derive(Clone, Debug)]
pub(super) struct ModuleFile {
    disk: PathBuf,
    /// Its path below lib/modules/RELEASE, with its packing's end.
    pub(super) inside: String,
}

/// All modules of a kernel.
pub struct ModuleTree {
    pub(super) release: String,
    pub(super) folder: PathBuf,
    pub(super) files: BTreeMap<String, ModuleFile>,
    pub(super) builtin: BTreeMap<String, String>,
    /// Whether there is a list of what is built in.
    pub(super) builtin_known: bool,
    pub(super) aliases: OnceCell<Aliases>,
}

/// The aliases of a kernel's modules, and what could not be read for them.
pub(super) struct Aliases {
    pub(super) index: AliasIndex,
    pub(super) unreadable: Vec<String>,
}

impl ModuleTree {
    /// Lists a kernel's modules.
    pub fn open(kernel: &Kernel) -> Result<ModuleTree> {
        let folder = &kernel.modules;
        let root = Sysroot::new(&kernel.root);
        let order = SearchOrder::of(&root, &kernel.release);
        let mut files: BTreeMap<String, (usize, ModuleFile)> = BTreeMap::new();
        let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
        let ours = |entry: &walkdir::DirEntry| {
            entry.depth() != 1 || !entry.file_name().to_str().is_some_and(|name| NO_MODULES.contains(&name))
        };
        for entry in walk.filter_entry(ours) {
            let entry = entry.at("list the modules in", folder)?;
            let Some(name) = entry.file_name().to_str().and_then(module_name) else { continue };
            let Some(inside) = entry.path().strip_prefix(folder).ok().and_then(Path::to_str) else { continue };
            let inside = inside.to_owned();
            let Some(disk) = real_file(&root, &entry) else { continue };
            let rank = order.rank(&inside);
            if files.get(&name).is_none_or(|(other, _)| rank < *other) {
                files.insert(name, (rank, ModuleFile { disk, inside }));
            }
        }
        let builtin = fs::read(folder.join("modules.builtin")).ok();
        let builtin_known = builtin.is_some();
        Ok(ModuleTree {
            release: kernel.release.clone(),
            folder: folder.clone(),
            files: files.into_iter().map(|(name, (_, file))| (name, file)).collect(),
            builtin: read_builtin(&builtin.unwrap_or_default()),
            builtin_known,
            aliases: OnceCell::new(),
        })
    }

    /// Whether there is a module of this name, as a file or built in.
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.builtin.contains_key(name)
    }

    /// The modules below a folder, of kernel/ or beside it.
    pub(super) fn in_folder(&self, folder: &str) -> Vec<String> {
        let folder = folder.trim_matches('/');
        let below = |inside: &str| inside.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        let ours = |file: &ModuleFile| below(&file.inside) || file.inside.strip_prefix("kernel/").is_some_and(below);
        self.files.iter().filter(|(_, file)| ours(file)).map(|(name, _)| name.clone()).collect()
    }

    /// The aliases of all modules, files and built in. Every file is read once, when the first alias is asked for.
    pub(super) fn aliases(&self) -> &Aliases {
        self.aliases.get_or_init(|| {
            let mut index = AliasIndex::default();
            let mut unreadable = Vec::new();
            let list = fs::read(self.folder.join("modules.builtin.modinfo")).unwrap_or_default();
            for field in fields(&list) {
                if let Some((name, field)) = field.split_once('.')
                    && let Some(alias) = field.strip_prefix("alias=")
                {
                    index.insert(alias, &plain(name));
                }
            }
            for (name, file) in &self.files {
                match self.read(name, file) {
                    Ok((_, info)) => info.aliases.iter().for_each(|alias| index.insert(alias, name)),
                    Err(_) => unreadable.push(file.inside.clone()),
                }
            }
            Aliases { index, unreadable }
        })
    }

    /// The modules, files and built in, that have an alias.
    pub(super) fn by_alias(&self, alias: &str) -> BTreeSet<String> {
        self.aliases().index.find(alias)
    }

    /// A module's unpacked bytes, and what it says of itself.
    pub(super) fn read(&self, name: &str, file: &ModuleFile) -> Result<(Vec<u8>, ModuleInfo)> {
        let tried = || format!("cannot read the kernel module {name} ({})", file.disk.display());
        let unreadable = |cause: Box<dyn StdError + Send + Sync>| {
            Error::new(tried()).because(cause).help("unpack the kernel again, or remove the module from modules")
        };
        let data = fs::read(&file.disk).map_err(|cause| unreadable(cause.into()))?;
        let unpacked = decompress::unpack(&data, MODULE_BYTES_MAX).map_err(|cause| unreadable(cause.into()))?;
        let data = unpacked.map_or(data, |unpacked| unpacked.data);
        let section = elf::section(&data, ".modinfo").map_err(|cause| unreadable(cause.into()))?;
        let info = ModuleInfo::read(section.ok_or_else(|| unreadable("it has no .modinfo section".into()))?);
        Ok((data, info))
    }
}

/// The file behind an entry; a link is followed inside the root that the kernel lies in.
fn real_file(root: &Sysroot, entry: &walkdir::DirEntry) -> Option<PathBuf> {
    if entry.file_type().is_file() {
        return Some(entry.path().to_owned());
    }
    let inside = entry.path().strip_prefix(root.folder()).ok()?.to_str()?;
    let place: &dyn Rootfs = root;
    place.find_file(&format!("/{inside}")).map(|found| root.on_disk(&found.real))
}

/// The modules of a modules.builtin, each with its line.
pub fn read_builtin(text: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(str::trim);
    lines.filter_map(|line| Some((module_name(line.rsplit('/').next()?)?, line.to_owned()))).collect()
}

/// The module that a file name stands for.
fn module_name(file: &str) -> Option<String> {
    unpacked_name(file).strip_suffix(".ko").filter(|name| !name.is_empty()).map(plain)
}

/// A file's name without its packing's end.
pub(super) fn unpacked_name(file: &str) -> &str {
    PACKED_ENDS.iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_module_names() {
        assert_eq!(module_name("kvm-amd.ko").as_deref(), Some("kvm_amd"));
        assert_eq!(module_name("tun.ko.xz").as_deref(), Some("tun"));
        assert_eq!((module_name("modules.dep"), module_name(".ko")), (None, None));
        let builtin = read_builtin(b"kernel/fs/ext4/ext4.ko\n\nkernel/x/a-b.ko\nnothing\n");
        assert_eq!(builtin.keys().collect::<Vec<_>>(), ["a_b", "ext4"]);
        assert_eq!(builtin["a_b"], "kernel/x/a-b.ko");
    }
}
