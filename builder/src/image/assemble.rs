//! One image: base, overlays, binaries, modules, files and vmatic's own files become a tree.
//!
//! Takes a spec's image and the parts that were fetched for it; gives the tree, each entry with its
//! reason. Later layers take precedence, and an overlay's file stays when a binary would bring
//! another one at its path.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use vmatic_plan::host_image;

use crate::elf;
use crate::error::{Error, PathContext, Result};
use crate::image::layer::{self, Layer};
use crate::image::programs::{self, ExtraProgram};
use crate::image::{check, modes};
use crate::kernel::modules::choose::choose;
use crate::kernel::modules::modprobe::ModprobeConfig;
use crate::kernel::modules::tree::{ChosenModules, ModuleTree};
use crate::kernel::{Kernel, firmware};
use crate::names;
use crate::rootfs::sysroot::Sysroot;
use crate::rootfs::tree::{Entry, FileTree, LayerName, Why};
use crate::spec::ImageSpec;

/// A file that vmatic itself puts into an image.
pub struct GeneratedFile {
    /// The path in the image, without the leading slash.
    pub path: Cow<'static, str>,
    /// The bytes of the file.
    pub data: Vec<u8>,
    /// Permission bits, such as 0o644.
    pub mode: u32,
    /// Why it is there.
    pub reason: &'static str,
    /// Where it came from.
    pub origin: String,
}

/// What an image is made of besides its spec.
pub struct ImageParts<'a> {
    /// "host" or "guest".
    pub which: &'static str,
    /// The first layer.
    pub base: Layer,
    /// BusyBox and where it came from, if the base wants it.
    pub busybox: Option<(Vec<u8>, String)>,
    /// The kernel that will run the image.
    pub kernel: &'a Kernel,
    /// The package or folder it came from.
    pub kernel_origin: &'a str,
    /// A root with the packages that the spec's root does not have.
    pub packages: Option<PathBuf>,
    /// A program of VMatic's own choice, with what it needs.
    pub extra: Option<ExtraProgram>,
    /// vmatic's files: /init, the plan and so on.
    pub generated: Vec<GeneratedFile>,
}

/// A finished image.
pub struct Assembled {
    /// The files, folders, links and devices of the image.
    pub tree: FileTree,
    /// The kernel modules that were chosen, in the order in which they are loaded.
    pub modules: ChosenModules,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// What is there to be known, and rarely matters.
    pub notes: Vec<String>,
}

/// Assembles an image.
pub fn assemble(spec: &ImageSpec, parts: ImageParts) -> Result<Assembled> {
    let which = parts.which;
    assemble_inner(spec, parts).map_err(|error| error.while_trying(format!("cannot make the {which} image")))
}

fn assemble_inner(spec: &ImageSpec, parts: ImageParts) -> Result<Assembled> {
    let mut tree = FileTree::new();
    let applets = parts.base.applets.clone();
    parts.base.lay(&mut tree)?;
    let (mut warnings, mut lacking) = (Vec::new(), None);
    if let Some((program, origin)) = parts.busybox {
        let left_out = layer::add_busybox(&mut tree, program, &applets, &origin)?;
        lacking = (!left_out.is_empty())
            .then(|| format!("left out, since {origin} does not have it: {}", left_out.join(", ")));
    }
    for (name, folder) in &spec.overlays {
        let overlay = Layer::overlay(name, folder)?;
        warnings.extend(overlay.warning());
        overlay.lay(&mut tree)?;
    }
    for file in &spec.files {
        let data = fs::read(&file.from).at("read", &file.from)?;
        let (mode, rule) = match file.mode {
            Some(mode) => (mode, modes::BY_SPEC),
            None => modes::of_file(&file.from)?,
        };
        let why = Why::new(LayerName::Files, "file named in the spec").origin(&file.written).mode_rule(rule);
        let to = names::encode(file.to.as_bytes());
        tree.insert(&to, Entry::file(data, mode, why).owned(file.owner.0, file.owner.1))?;
    }
    let programs::Remarks { warnings: said, mut notes } = programs::add(spec, parts.packages.as_deref(), &mut tree)?;
    notes.extend(lacking);
    warnings.extend(said);
    if let Some(extra) = &parts.extra {
        warnings.extend(programs::add_extra(extra, &mut tree)?);
    }
    // Comes after all that may bring modprobe.d.
    let modules = add_modules(spec, parts.kernel, parts.kernel_origin, &mut tree)?;
    warnings.extend_from_slice(&modules.warnings);
    for file in parts.generated {
        let why = Why::new(LayerName::Vmatic, file.reason).origin(file.origin);
        tree.insert(&file.path, Entry::file(file.data, file.mode, why))?;
    }
    warnings.extend(firmware::add(&Sysroot::new(&spec.root), parts.kernel, &modules, &mut tree)?);
    warnings.extend(modprobe_missing(parts.kernel, &tree));
    warnings.extend(check::check(&tree, spec)?);
    Ok(Assembled { tree, modules, warnings, notes })
}

/// The modules with what modprobe reads, and the list in load order.
fn add_modules(spec: &ImageSpec, kernel: &Kernel, origin: &str, tree: &mut FileTree) -> Result<ChosenModules> {
    let chosen = choose(&ModuleTree::open(kernel)?, &spec.modules, &ModprobeConfig::of(tree))?;
    let folder = format!("/lib/modules/{}", kernel.release);
    for name in &chosen.order {
        let module = &chosen.modules[name];
        let mut why = Why::new(LayerName::Modules, format!("kernel module {name}")).origin(origin);
        why.needed_by = module.needed_by.as_ref().map(|asker| format!("{folder}/{}", chosen.modules[asker].path));
        tree.insert(&format!("{folder}/{}", module.path), Entry::file(&module.data[..], 0o644, why))?;
    }
    let why = |reason| Why::new(LayerName::Modules, reason);
    for (name, text, reason) in [
        ("modules.dep", chosen.modules_dep(), "dependencies, for modprobe"),
        ("modules.alias", chosen.modules_alias(), "what the kernel asks modprobe for"),
        ("modules.softdep", chosen.modules_softdep(), "soft dependencies, for modprobe"),
        ("modules.weakdep", chosen.modules_weakdep(), "weak dependencies, for modprobe"),
        ("modules.builtin", chosen.modules_builtin(), "what modprobe need not load"),
    ] {
        if !text.is_empty() {
            tree.insert(&format!("{folder}/{name}"), Entry::file(text.into_bytes(), 0o644, why(reason)))?;
        }
    }
    let list = chosen.load_list(&folder)?.into_bytes();
    tree.insert(host_image::MODULES, Entry::file(list, 0o644, why("modules in the order to load them")))?;
    Ok(chosen)
}

/// A kernel that asks another program for modules than the image has gets none while it runs.
fn modprobe_missing(kernel: &Kernel, tree: &FileTree) -> Option<String> {
    let path = kernel.config.value("CONFIG_MODPROBE_PATH").filter(|path| !path.is_empty())?;
    let busybox = tree.real_path("/sbin/modprobe").is_some();
    (busybox && tree.real_path(path).is_none()).then(|| {
        format!("the kernel {} asks {path} for modules, which is not there: link it to /sbin/modprobe", kernel.release)
    })
}

/// A program that runs before there is any library must be static, and for this machine.
pub fn check_static(program: &[u8], name: &str) -> Result<()> {
    let tried = || Error::new(format!("cannot use {name} as process 1 of an image"));
    let needs = elf::needs(program).map_err(|cause| tried().because(cause).help("build it with `make build`"))?;
    if needs.machine.machine != 62 || needs.machine.class != 2 {
        return Err(tried().because("it is not for x86-64").help("build it with `make build`"));
    }
    if needs.interpreter.is_some() || !needs.libraries.is_empty() {
        return Err(tried().because("it is not static: it needs a loader").help("build it with `make build`"));
    }
    Ok(())
}
