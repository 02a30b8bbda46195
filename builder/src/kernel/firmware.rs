//! The firmware that an image's kernel modules may load, from the root's lib/firmware.
//!
//! Modules name more files than any one machine loads, so what is not there is said and is no error.

use std::collections::BTreeSet;
use std::fs;

use crate::error::{PathContext, Result};
use crate::kernel::modules::ChosenModules;
use crate::rootfs::root::Rootfs;
use crate::rootfs::sysroot::Sysroot;
use crate::rootfs::tree::{Entry, FileTree, LayerName, Why};

/// What the kernel may unpack by itself (CONFIG_FW_LOADER_COMPRESS), after the file as it is.
const ENDS: [&str; 3] = ["", ".zst", ".xz"];
/// Most names of a warning.
const NAMES_MAX: usize = 5;

/// Adds what the root has of the modules' firmware; gives a warning for what it has not.
pub fn add(root: &Sysroot, modules: &ChosenModules, tree: &mut FileTree) -> Result<Option<String>> {
    let mut missing = BTreeSet::new();
    for (module, name) in
        modules.modules.values().flat_map(|module| module.firmware.iter().map(move |name| (module, name)))
    {
        let paths = ENDS.map(|end| format!("/lib/firmware/{name}{end}"));
        if paths.iter().any(|path| tree.real_path(path).is_some()) {
            continue;
        }
        let place: &dyn Rootfs = root;
        // A root with merged /usr has the first as a link to the second; an unpacked package may have only the second.
        let there = |path: &String| place.find_file(path).or_else(|| place.find_file(&format!("/usr{path}")));
        let Some((path, found)) = paths.iter().find_map(|path| Some((path, there(path)?))) else {
            missing.insert(name.as_str());
            continue;
        };
        let disk = root.on_disk(&found.real);
        let asker = modules.modules.iter().find(|(_, other)| other.path == module.path).map_or("", |(name, _)| name);
        let why = Why::new(LayerName::Modules, format!("firmware of {asker}")).origin(&found.real);
        tree.insert(path, Entry::file(fs::read(&disk).at("read the firmware", &disk)?, 0o644, why))?;
    }
    if missing.is_empty() {
        return Ok(None);
    }
    let shown: Vec<_> = missing.iter().take(NAMES_MAX).copied().collect();
    let more = missing.len().saturating_sub(NAMES_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok(Some(format!(
        "firmware that modules may load is not there: {}{rest} (packages = [\"firmware-…\"] brings it; many cards work \
         without)",
        shown.join(", ")
    )))
}
