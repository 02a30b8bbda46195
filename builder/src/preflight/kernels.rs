//! What only the kernel tells: whether it has the modules, and can unpack the image.

use super::part::Part;
use crate::error::{Error, Kind, Result};
use crate::kernel::choice;
use crate::kernel::modules::choose::choose;
use crate::kernel::modules::modprobe::ModprobeConfig;
use crate::kernel::modules::tree::ModuleTree;
use crate::packages::cache::Cache;
use crate::packages::inputs::Inputs;
use crate::rootfs::sysroot::Sysroot;
use crate::spec::reading::Reading;
use crate::spec::values::{Input, KernelChoice};

/// Notes modules that the image's kernel does not have, and a kernel that is none; gives why they could not be looked
/// for: the cache does not have the kernel.
pub fn look(part: &Part, reading: &mut Reading, cache: &Cache) -> Result<Option<String>> {
    let key = |name: &str| format!("{}.{name}", part.table);
    let kernel = match choice::choose(&part.spec.kernels, &mut Inputs::new(cache)) {
        Ok(chosen) => chosen.kernel,
        Err(error) if error.kind() == Kind::NotAtHand => {
            let why = "the kernel is not in the cache: `vmatic check --fetch` fetches it";
            return Ok(Some(format!("the modules of [{}]: {why}", part.table)));
        }
        Err(error) if part.spec.kernels.iter().any(is_package) => return Err(error),
        Err(error) => {
            note(reading, &key("kernel"), "", &error);
            return Ok(None);
        }
    };
    if let Err(error) = kernel.check_unpacks(part.spec.compression) {
        note(reading, &key("compression"), part.spec.compression.name(), &error);
    }
    let tree = match ModuleTree::open(&kernel) {
        Ok(tree) => tree,
        Err(error) => {
            note(reading, &key("kernel"), "", &error);
            return Ok(None);
        }
    };
    // Overlays have settings of modprobe's, and with them other names.
    let overlays = part.spec.overlays.iter().map(|(_, folder)| ModprobeConfig::of(&Sysroot::new(folder)));
    let configs: Vec<ModprobeConfig> = std::iter::once(ModprobeConfig::default()).chain(overlays).collect();
    for word in &part.spec.modules {
        // One by one: each that is missing has its own line.
        let mut tries = configs.iter().map(|config| choose(&tree, std::slice::from_ref(word), config));
        if let Some(Err(error)) = tries.next()
            && tries.all(|chosen| chosen.is_err())
        {
            note(reading, &key("modules"), word, &error);
        }
    }
    Ok(None)
}

fn is_package(choice: &KernelChoice) -> bool {
    matches!(choice, KernelChoice::Input(Input::Debian(_)))
}

fn note(reading: &mut Reading, key: &str, value: &str, error: &Error) {
    reading.note(key, value, error.cause(), error.help_text().unwrap_or("correct it, or leave it out"));
}
