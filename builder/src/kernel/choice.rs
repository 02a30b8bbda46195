//! The kernel of an image: the first of the spec's choices that is at hand when the image is built.
//!
//! A kernel of our own is taken where `vmatic kernel build` has made it, else the package that stands behind it. That
//! is decided here and nowhere earlier: the spec, the plan and so the cluster's identity are the same whatever lies in
//! a cache.

use std::path::Path;

use vmatic_plan::defaults::GUEST_MEMORY_MIB;

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::kernel::recipe::Recipe;
use crate::manifest::InputRecord;
use crate::packages::inputs::Inputs;
use crate::spec::values::{Input, KernelChoice};

/// RAM of a guest on a kernel of our own, in MiB, if the spec does not say: it boots and joins in 16.
const GUEST_MEMORY_SMALL_MIB: u32 = 24;

/// What sort of kernel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// One that `vmatic kernel build` made.
    Built,
    /// A package's, which was fetched.
    Package,
    /// A folder's, of which nobody knows what it is.
    Folder,
}

/// A kernel, and where it came from.
pub struct ChosenKernel {
    /// The kernel that was chosen.
    pub kernel: Kernel,
    /// The package, folder or build that it came from.
    pub origin: String,
    /// Whether it is a kernel of our own, with all it needs built in.
    pub own: bool,
    /// What sort of kernel it is.
    pub source: Source,
    /// Recipes that the spec would rather have, and that nobody has built here.
    pub not_built: Vec<String>,
    /// What the operator should know of it.
    pub warnings: Vec<String>,
}

impl ChosenKernel {
    /// RAM of a guest that runs it, in MiB, if the spec does not say. Debian's kernel needs 72.
    pub fn guest_memory_mib(&self) -> u32 {
        if self.own { GUEST_MEMORY_SMALL_MIB } else { GUEST_MEMORY_MIB }
    }
}

/// Chooses: the first that needs no building. Where every choice needs that, it is an error.
pub fn choose(choices: &[KernelChoice], inputs: &mut Inputs) -> Result<ChosenKernel> {
    let mut not_built = Vec::new();
    for choice in choices {
        let recipe = match choice {
            KernelChoice::Input(input) => {
                let fetched = inputs.fetch(input)?;
                let kernel = Kernel::open(&fetched.folder)?;
                let source = if matches!(input, Input::Debian(_)) { Source::Package } else { Source::Folder };
                return Ok(ChosenKernel {
                    kernel,
                    origin: fetched.origin,
                    own: false,
                    source,
                    not_built,
                    warnings: Vec::new(),
                });
            }
            KernelChoice::Built(name) => Recipe::find(name, Path::new(""))?,
            KernelChoice::BuiltFrom(file) => Recipe::read(file)?,
        };
        let Some((note, folder)) = recipe.built(inputs.cache) else {
            not_built.push(recipe.name);
            continue;
        };
        let origin = format!("linux-{}", note.release);
        let asked = format!("built:{}", recipe.name);
        inputs.note(InputRecord { asked, file: origin.clone(), sha256: Some(note.image_sha256) });
        return Ok(ChosenKernel {
            kernel: Kernel::open(&folder)?,
            origin,
            own: true,
            source: Source::Built,
            not_built,
            warnings: Vec::new(),
        });
    }
    let name = not_built.pop().unwrap_or_default();
    Err(Error::new(format!("cannot use the kernel built:{name}"))
        .because("it has not been built here, or its recipe has changed since")
        .help(format!("run `vmatic kernel build {name}`")))
}
