//! The firmware that an image's kernel modules may load, from the root's lib/firmware.
//!
//! Modules name more files than any one machine loads, some by patterns; so what is not there is said, folded by
//! module, and is no error. Links stay links where they lead within lib/firmware. A packed file goes in as it is if the
//! kernel unpacks it (CONFIG_FW_LOADER_COMPRESS), else unpacked.

use std::collections::BTreeMap;
use std::fs;

use crate::archive::decompress;
use crate::error::{PathContext, Result};
use crate::kernel::Kernel;
use crate::kernel::modules::tree::ChosenModules;
use crate::rootfs::root::{Found, Rootfs};
use crate::rootfs::sysroot::Sysroot;
use crate::rootfs::tree::{Entry, FileTree, LayerName, Why};

/// Where the kernel looks, and where a root with merged /usr, or an unpacked package, has it.
const FOLDER: &str = "/lib/firmware/";
const FOLDERS: [&str; 2] = [FOLDER, "/usr/lib/firmware/"];
/// The packings of firmware, after the file as it is, each with the kernel's option.
const PACKINGS: [(&str, &str); 3] =
    [("", ""), (".zst", "CONFIG_FW_LOADER_COMPRESS_ZSTD"), (".xz", "CONFIG_FW_LOADER_COMPRESS_XZ")];
/// Largest file that is unpacked.
const FIRMWARE_BYTES_MAX: u64 = 256 << 20;
/// Most modules of a warning, and most names of each.
const MODULES_MAX: usize = 5;
const NAMES_MAX: usize = 3;

/// Adds what the root has of the modules' firmware; gives a warning for what it has not.
pub fn add(root: &Sysroot, kernel: &Kernel, modules: &ChosenModules, tree: &mut FileTree) -> Result<Option<String>> {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (module, name) in
        modules.modules.iter().flat_map(|(module, all)| all.info.firmware.iter().map(move |n| (module, n)))
    {
        let there = is_sound(name) && (have(tree, name) || bring(root, kernel, module, name, tree)?);
        if !there {
            missing.entry(module).or_default().push(name);
        }
    }
    Ok((!missing.is_empty()).then(|| warning(&missing)))
}

/// The kernel takes no other names either; this one came from a file that anyone may have made.
fn is_sound(name: &str) -> bool {
    name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

fn have(tree: &FileTree, name: &str) -> bool {
    let place: &dyn Rootfs = tree;
    PACKINGS.iter().any(|(end, _)| !place.glob(&format!("{FOLDER}{name}{end}")).is_empty())
}

/// Brings the files of a name or pattern; whether there were any.
fn bring(root: &Sysroot, kernel: &Kernel, module: &str, name: &str, tree: &mut FileTree) -> Result<bool> {
    let place: &dyn Rootfs = root;
    let mut brought: Vec<String> = Vec::new();
    for (end, option) in PACKINGS {
        for folder in FOLDERS {
            for path in place.glob(&format!("{folder}{name}{end}")) {
                let Some(plain) = path.strip_prefix(folder).and_then(|inside| inside.strip_suffix(end)) else {
                    continue;
                };
                let Some(found) = place.find_file(&path) else { continue };
                if brought.iter().any(|other| other == plain) {
                    continue;
                }
                let why = Why::new(LayerName::Modules, format!("firmware of {module}")).origin(&found.real);
                if end.is_empty() || unpacks(kernel, option) {
                    insert(root, &found, why, tree)?;
                } else {
                    let data = unpacked(root, &found)?;
                    tree.insert(&format!("{FOLDER}{plain}"), Entry::file(data, 0o644, why))?;
                }
                brought.push(plain.to_owned());
            }
        }
    }
    Ok(!brought.is_empty())
}

/// Whether the kernel unpacks firmware so. Before Linux 5.19 there was one option, for xz.
fn unpacks(kernel: &Kernel, option: &str) -> bool {
    let has = |option: &str| kernel.config.has(option) == Some(true);
    let one_option = !kernel.config.text().unwrap_or_default().contains("CONFIG_FW_LOADER_COMPRESS_");
    has("CONFIG_FW_LOADER_COMPRESS") && (has(option) || option.ends_with("_XZ") && one_option)
}

fn unpacked(root: &Sysroot, found: &Found) -> Result<Vec<u8>> {
    let disk = root.on_disk(&found.real);
    let data = fs::read(&disk).at("read the firmware", &disk)?;
    let unpacked = decompress::unpack(&data, FIRMWARE_BYTES_MAX).at("unpack the firmware", &disk)?;
    Ok(unpacked.map_or(data, |unpacked| unpacked.data))
}

/// The path below the folder of firmware.
fn inside(path: &str) -> Option<&str> {
    FOLDERS.iter().find_map(|folder| path.strip_prefix(folder))
}

/// Puts in a file as the root has it, with the links that lead to it.
fn insert(root: &Sysroot, found: &Found, why: Why, tree: &mut FileTree) -> Result<()> {
    let disk = root.on_disk(&found.real);
    let data = fs::read(&disk).at("read the firmware", &disk)?;
    let Some(asked) = inside(&found.asked) else { return Ok(()) };
    let Some(real) = inside(&found.real) else {
        // It lies elsewhere: the name is what counts.
        return tree.insert(&format!("{FOLDER}{asked}"), Entry::file(data, 0o644, why));
    };
    let ours: Vec<_> = found.links.iter().filter_map(|(link, target)| Some((inside(link)?, target))).collect();
    if !ours.iter().all(|(link, target)| stays(link, target)) {
        return tree.insert(&format!("{FOLDER}{asked}"), Entry::file(data, 0o644, why));
    }
    for (link, target) in ours {
        let path = format!("{FOLDER}{link}");
        let target = inside(target).map_or(target.clone(), |inside| format!("{FOLDER}{inside}"));
        if tree.get(&path).is_none() {
            tree.insert(&path, Entry::symlink(target, why.clone()))?;
        }
    }
    tree.insert(&format!("{FOLDER}{real}"), Entry::file(data, 0o644, why))
}

/// Whether a link's target lies within the folder of firmware, and no way to it leads out.
fn stays(link: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return inside(target).is_some_and(is_sound);
    }
    let mut depth = link.matches('/').count();
    target.split('/').all(|part| {
        let next = if part == ".." { depth.checked_sub(1) } else { Some(depth + 1) };
        next.map(|next| depth = next).is_some()
    })
}

fn warning(missing: &BTreeMap<&str, Vec<&str>>) -> String {
    let folded = |(module, names): (&&str, &Vec<&str>)| {
        let more = names.len().saturating_sub(NAMES_MAX);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{module} ({}{rest})", names[..names.len() - more].join(", "))
    };
    let shown: Vec<_> = missing.iter().take(MODULES_MAX).map(folded).collect();
    let more = missing.len().saturating_sub(MODULES_MAX);
    let rest = if more > 0 { format!(" and of {more} more modules") } else { String::new() };
    format!(
        "firmware that modules may load is not there: of {}{rest} (packages = [\"firmware-…\"] brings it; many cards \
         work without)",
        shown.join(", ")
    )
}
