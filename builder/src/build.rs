//! The whole build: from a spec to an output folder, in stages that each say what came of them.
//!
//! Takes the spec, the operator's public key and the two programs; fetches packages, makes the guest
//! image and then the host image that holds it, and writes the folder. Everything is made in memory
//! first: the disk sees only the finished result.

use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;
use vmatic_plan::{Plan, defaults, host_image};

use crate::archive::compress::Effort;
use crate::bootloader::loader::UkiParts;
use crate::bootloader::scripts;
use crate::error::{Context, Error, PathContext, Result};
use crate::image::assemble::{self, Assembled, GeneratedFile};
use crate::image::identity;
use crate::image::layer::Layer;
use crate::image::member::Packer;
use crate::image::programs::{self, ExtraProgram};
use crate::image::qemu;
use crate::kernel::Kernel;
use crate::kernel::choice::{self, ChosenKernel};
use crate::manifest::{self, BootRecord, ImageRecord, Manifest, OutputRecord};
use crate::output::identity::Identity;
use crate::output::plan::{HOST_TABLE_FILE, NETWORK_FILE};
use crate::output::{Output, sbom};
use crate::packages::cache::Cache;
use crate::packages::inputs::Inputs;
use crate::preflight::memory::{self, KernelNeeds};
use crate::rootfs::tree::FileTree;
use crate::spec::values::{Compression, Input};
use crate::spec::{ImageSpec, Spec};
use crate::ui::interrupt;
use crate::ui::say::{self, Stages};
use crate::ui::size::mb;
use crate::{archive, key};

/// What a build needs besides its spec.
pub struct Builder<'a> {
    /// The public half of the cluster's key.
    pub operator: &'a VerifyingKey,
    /// Where packages, kernels and packed members are kept.
    pub cache: &'a Cache,
    /// How hard to pack.
    pub effort: Effort,
    /// The host's process 1.
    pub agent: PathBuf,
    /// The guest's process 1.
    pub leaf: PathBuf,
}

/// A finished build, still in memory.
pub struct Built {
    /// The files of the output folder, manifest included, in order.
    pub files: Vec<(String, Vec<u8>)>,
    /// What was built, file by file; it is among the files.
    pub manifest: Manifest,
    /// The bytes of kernels inside the host image.
    pub guest_kernel_bytes: u64,
    /// RAM of each guest, in MiB.
    pub guest_memory_mib: u32,
    /// The least memory in which a host boots its image, in MiB; what its guests take comes on top.
    pub host_least_mib: u32,
}

/// One image's tree and archive.
struct PackedImage {
    record: ImageRecord,
    bytes: Vec<u8>,
    cached: usize,
}

impl Builder<'_> {
    /// Builds everything in memory: kernels, guest image, host image, boot files, manifest.
    pub fn build(&self, spec: &Spec, stages: &mut Stages) -> Result<Built> {
        let mut inputs = Inputs::new(self.cache);
        let (guest_kernel, host_kernel) = kernels(spec, &mut inputs, stages)?;
        let mut images = Vec::new();
        let (mut for_guests, mut guest_kernel_bytes) = (Vec::new(), 0);
        let mut guest_memory_mib = spec.guest.memory_mib.unwrap_or(defaults::GUEST_MEMORY_MIB);
        if let Some(kernel) = &guest_kernel {
            let guest = self.guest(spec, kernel, &mut inputs, stages)?;
            guest_memory_mib = guest_memory(spec, kernel, &guest.record)?;
            let vmlinux = kernel.kernel.vmlinux()?;
            guest_kernel_bytes = vmlinux.len() as u64;
            let unpacked = format!("{} unpacked for the guests: {}", kernel.kernel.release, mb(guest_kernel_bytes));
            stages.done("kernel", unpacked);
            for_guests.extend(guest_files(kernel, vmlinux, guest.bytes));
            images.push(guest.record);
        }
        let plan = self.plan(spec, guest_memory_mib)?;
        let host = self.host(spec, &plan, &host_kernel, for_guests, &mut inputs, stages)?;
        let host_least_mib = KernelNeeds::of_host(&host_kernel).least_mib(&host.record);
        images.insert(0, host.record);
        let files = self.boot_files(spec, &plan, &host_kernel.kernel, host.bytes, &mut inputs)?;
        let built = finish(spec, images, inputs, files)?;
        Ok(Built { guest_kernel_bytes, guest_memory_mib, host_least_mib, ..built })
    }

    /// The plan that goes into the images: the spec's, with the RAM that guests have. That is no part of the cluster's
    /// identity.
    fn plan(&self, spec: &Spec, guest_memory_mib: u32) -> Result<Plan> {
        let plan = Plan { guest_memory_mib, ..spec.plan(self.operator) };
        plan.check().context("cannot use the plan")?;
        Ok(plan)
    }

    fn guest(
        &self,
        spec: &Spec,
        kernel: &ChosenKernel,
        inputs: &mut Inputs,
        stages: &mut Stages,
    ) -> Result<PackedImage> {
        let leaf = read_program(&self.leaf, "vmatic-leaf")?;
        let items = vec![generated("/init", leaf, 0o755, "the guest's process 1", "vmatic-leaf")];
        let guest = self.image("guest", &for_qemu(spec, kernel), kernel, items, None, inputs)?;
        stages.done("guest", summary(&guest, spec.guest.compression));
        interrupted()?;
        Ok(guest)
    }

    fn host(
        &self,
        spec: &Spec,
        plan: &Plan,
        kernel: &ChosenKernel,
        for_guests: Vec<GeneratedFile>,
        inputs: &mut Inputs,
        stages: &mut Stages,
    ) -> Result<PackedImage> {
        let mut items = self.host_files(plan)?;
        items.extend(for_guests);
        let extra = add_qemu(spec, &mut items, inputs, stages)?;
        let host = self.image("host", &spec.host, kernel, items, extra, inputs)?;
        stages.done("host", summary(&host, spec.host.compression));
        interrupted()?;
        Ok(host)
    }

    /// What only the host image holds: its process 1, the plan, and whose commands count.
    fn host_files(&self, plan: &Plan) -> Result<Vec<GeneratedFile>> {
        let agent = read_program(&self.agent, "vmatic-agent")?;
        let public = key::public_text(self.operator).into_bytes();
        let mut items = vec![
            generated(host_image::AGENT, agent, 0o755, "the host's process 1", "vmatic-agent"),
            generated(host_image::PLAN, plan.encode().into_bytes(), 0o644, "the sealed plan", "the spec"),
            generated(host_image::OPERATOR, public, 0o644, "whose commands to obey", "the operator's public key"),
        ];
        if let Some(table) = table_bytes(plan) {
            let reason = "names, MACs and addresses of the site's machines";
            items.push(generated(host_image::HOST_TABLE, table, 0o644, reason, "the host table of the spec"));
        }
        if let Some(network) = network_bytes(plan) {
            let reason = "the nodes and links that guests make up";
            items.push(generated(host_image::NETWORK, network, 0o644, reason, "the network of the spec"));
        }
        Ok(items)
    }

    /// What machines load: kernel, image, plan, scripts, and the boot loaders that the spec asks for.
    fn boot_files(
        &self,
        spec: &Spec,
        plan: &Plan,
        kernel: &Kernel,
        image: Vec<u8>,
        inputs: &mut Inputs,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let vmlinuz = kernel.read_image()?;
        let cmdline = scripts::words(&spec.host.cmdline);
        let parts = UkiParts {
            name: &spec.name,
            cmdline: &cmdline,
            release: &kernel.release,
            kernel: &vmlinuz,
            initramfs: &image,
        };
        let mut loaders = Vec::new();
        for loader in &spec.loaders {
            loader.note().into_iter().for_each(|note| say::line(format!("          {note}")));
            for package in loader.packages() {
                loaders.extend(loader.files(package, &inputs.package(package)?.folder, &parts)?);
            }
        }
        let mut files = vec![
            ("vmlinuz".to_owned(), vmlinuz),
            ("initramfs".to_owned(), image),
            ("plan".to_owned(), plan.encode().into_bytes()),
        ];
        files.extend(table_bytes(plan).map(|table| (HOST_TABLE_FILE.to_owned(), table)));
        files.extend(network_bytes(plan).map(|network| (NETWORK_FILE.to_owned(), network)));
        for (path, text) in scripts::boot_files(&spec.name, &spec.host.cmdline) {
            files.push((path.to_owned(), text.into_bytes()));
        }
        files.extend(loaders);
        Ok(files)
    }

    /// Assembles and packs an image.
    fn image(
        &self,
        which: &'static str,
        spec: &ImageSpec,
        kernel: &ChosenKernel,
        generated: Vec<GeneratedFile>,
        extra: Option<ExtraProgram>,
        inputs: &mut Inputs,
    ) -> Result<PackedImage> {
        let base = match &spec.base {
            None => Layer::embedded_base()?,
            Some(folder) => Layer::base(folder)?,
        };
        let busybox = match &base.manifest.busybox {
            None => None,
            Some(text) => Some(self.busybox(text, spec, inputs)?),
        };
        let packages = self.packages(spec, inputs)?;
        let (kernel_origin, warnings, kernel) = (&kernel.origin, &kernel.warnings, &kernel.kernel);
        let parts = assemble::ImageParts { which, base, busybox, kernel, kernel_origin, packages, extra, generated };
        let mut assembled = assemble::assemble(spec, parts)?;
        assembled.warnings.splice(0..0, warnings.iter().cloned());
        self.pack(which, spec, kernel, assembled)
    }

    fn pack(&self, which: &str, spec: &ImageSpec, kernel: &Kernel, assembled: Assembled) -> Result<PackedImage> {
        let mut tree: FileTree = assembled.tree;
        assembled.warnings.iter().for_each(|text| say::warn(format!("{which} image: {text}")));
        assembled.notes.iter().for_each(|text| say::note(format!("{which} image: {text}")));
        let mut digests = manifest::digests(&tree);
        let boot = if which == "host" { Some(boot_record(spec, kernel)?) } else { None };
        if boot.is_some() {
            identity::add(&mut tree, &mut digests, boot.as_ref())?;
        }
        let packer = Packer {
            compression: spec.compression,
            effort: self.effort,
            mtime: archive::mtime_from_environment()?,
            cache: Some(self.cache.members()),
        };
        let packed = packer.pack(&tree, &digests)?;
        let record = ImageRecord {
            which: which.to_owned(),
            kernel: kernel.release.clone(),
            compression: spec.compression.name().to_owned(),
            packed_bytes: packed.bytes.len() as u64,
            unpacked_bytes: packed.unpacked_bytes,
            boot,
            files: manifest::files_of(&tree, &digests),
            members: packed.members,
            warnings: assembled.warnings,
        };
        Ok(PackedImage { record, bytes: packed.bytes, cached: packed.cached })
    }

    /// A root with the packages that the spec's root does not have.
    fn packages(&self, spec: &ImageSpec, inputs: &mut Inputs) -> Result<Option<PathBuf>> {
        let names = programs::packages_to_fetch(spec)?;
        if names.is_empty() { Ok(None) } else { inputs.root_of(&names).map(Some) }
    }

    fn busybox(&self, text: &str, spec: &ImageSpec, inputs: &mut Inputs) -> Result<(Vec<u8>, String)> {
        let folder = spec.base.as_deref().unwrap_or(Path::new(""));
        let input = Input::parse(text, folder).ok_or_else(|| {
            Error::new(format!("cannot use busybox = {text:?} of the base"))
                .because("unknown input")
                .help("write \"debian:PACKAGE\" or \"dir:FOLDER\"")
        })?;
        let fetched = inputs.fetch(&input)?;
        let path =
            ["bin/busybox", "usr/bin/busybox"].iter().map(|path| fetched.folder.join(path)).find(|path| path.is_file());
        let path = path.ok_or_else(|| {
            Error::new(format!("cannot find BusyBox in {}", fetched.folder.display()))
                .because("there is no bin/busybox")
                .help("name a package that has it, such as debian:busybox-static")
        })?;
        let program = std::fs::read(&path).at("read", &path)?;
        assemble::check_static(&program, &path.display().to_string())?;
        Ok((program, fetched.origin))
    }
}

impl Built {
    /// Which image and cluster it is.
    pub fn identity(&self) -> Option<Identity> {
        let (_, plan) = self.files.iter().find(|(name, _)| name == "plan")?;
        Identity::of(&self.manifest, String::from_utf8_lossy(plan).into_owned())
    }

    /// Writes the output folder.
    pub fn write(&self, target: &Path) -> Result<()> {
        let bytes = self.files.iter().map(|(_, data)| data.len() as u64).sum();
        let output = Output::begin(target, bytes).map_err(Error::of_machine)?;
        for (name, data) in &self.files {
            interrupted()?;
            output.write(name, data).map_err(Error::of_machine)?;
        }
        output.place().map_err(Error::of_machine)
    }
}

/// What hosts boot beside their image.
fn boot_record(spec: &ImageSpec, kernel: &Kernel) -> Result<BootRecord> {
    let kernel_sha256 = crate::digest::sha256(&kernel.read_image()?);
    Ok(BootRecord { kernel_sha256, cmdline: scripts::words(&spec.cmdline) })
}

/// RAM of guests, in MiB: what the spec says, if their image fits; else what kernel and image need.
fn guest_memory(spec: &Spec, kernel: &ChosenKernel, image: &ImageRecord) -> Result<u32> {
    let least_mib = KernelNeeds::of_guest(kernel).least_mib(image);
    let why = |mib: u32, least_mib: u32| {
        let (packed, unpacked) = (mb(image.packed_bytes), mb(image.unpacked_bytes));
        format!(
            "guests with {mib} MiB cannot boot the guest image: it takes {packed} packed and {unpacked} unpacked, and \
             with {} it needs {least_mib} MiB",
            kernel.kernel.release
        )
    };
    let remedy = |least_mib: u32| format!("write memory_mib = {least_mib}, or more, or make the guest image smaller");
    let in_qemu_mib = memory::in_qemu(least_mib);
    let images = spec.kinds.iter().map(|kind| &kind.kind).filter(|kind| kind.is_guest_image());
    if let Some(kind) = images.into_iter().find(|kind| kind.memory_mib < in_qemu_mib) {
        let message = format!("of the kind {:?}, in QEMU: {}", kind.name, why(kind.memory_mib, in_qemu_mib));
        let value = kind.memory_mib.to_string();
        return Err(spec.mistake("guest.kinds.memory_mib", &value, message, remedy(in_qemu_mib)));
    }
    match spec.guest.memory_mib {
        Some(mib) if mib < least_mib => {
            Err(spec.mistake("guest.memory_mib", &mib.to_string(), why(mib, least_mib), remedy(least_mib)))
        }
        Some(mib) => Ok(mib),
        None => Ok(kernel.guest_memory_mib().max(least_mib)),
    }
}

/// What the host image holds for its guests.
fn guest_files(kernel: &ChosenKernel, vmlinux: Vec<u8>, image: Vec<u8>) -> [GeneratedFile; 3] {
    let devices = kernel.kernel.device_discovery().word().as_bytes().to_vec();
    [
        generated(host_image::GUEST_KERNEL, vmlinux, 0o644, "the guests' kernel", &kernel.origin),
        generated(
            host_image::GUEST_DEVICES,
            devices,
            0o644,
            "how the guests' kernel finds its devices",
            &kernel.origin,
        ),
        generated(host_image::GUEST_INITRAMFS, image, 0o644, "the guests' image", "the guest image of this build"),
    ]
}

/// The guest image's spec. In QEMU the guest agent calls over a port of virtio's console, which Debian's kernel has
/// as a module.
fn for_qemu(spec: &Spec, kernel: &ChosenKernel) -> ImageSpec {
    let mut guest = spec.guest.clone();
    let port = "virtio_console".to_owned();
    if spec.wants_qemu() && !kernel.own && !guest.modules.contains(&port) {
        guest.modules.push(port);
    }
    guest
}

/// The kernels of both images, each of which must be able to unpack its image. Where hosts have no guests, only theirs.
fn kernels(spec: &Spec, inputs: &mut Inputs, stages: &mut Stages) -> Result<(Option<ChosenKernel>, ChosenKernel)> {
    let guest = if spec.has_guests() { Some(kernel_of(&spec.guest, inputs)?) } else { None };
    let host = kernel_of(&spec.host, inputs)?;
    stages.done("inputs", inputs.records.iter().map(|input| input.file.as_str()).collect::<Vec<_>>().join(", "));
    let not_built = |kernel: &ChosenKernel| kernel.not_built.clone();
    let names = [guest.as_ref().map(not_built).unwrap_or_default(), not_built(&host)].concat().join(" ");
    if !names.is_empty() {
        stages.note(format!(
            "          not built here, so a package's kernel is taken: {names} (`vmatic kernel build {names}` takes \
             minutes, once)"
        ));
    }
    interrupted()?;
    Ok((guest, host))
}

fn kernel_of(spec: &ImageSpec, inputs: &mut Inputs) -> Result<ChosenKernel> {
    let mut chosen = choice::choose(&spec.kernels, inputs)?;
    chosen.warnings.extend(chosen.kernel.check_unpacks(spec.compression)?);
    Ok(chosen)
}

/// QEMU and what its guests boot, if the spec has such guests.
fn add_qemu(
    spec: &Spec,
    items: &mut Vec<GeneratedFile>,
    inputs: &mut Inputs,
    stages: &mut Stages,
) -> Result<Option<ExtraProgram>> {
    if !spec.wants_qemu() {
        return Ok(None);
    }
    let extra = qemu::program(spec, inputs)?;
    let files = qemu::files(spec, inputs)?;
    let bytes = files.iter().map(|file| file.data.len() as u64).sum();
    stages.done("qemu", format!("for {} kinds of guests, whose files take {}", spec.kinds.len(), mb(bytes)));
    items.extend(files);
    Ok(Some(extra))
}

/// The finished build: its files with the manifest and the bill of materials that name them all.
fn finish(spec: &Spec, images: Vec<ImageRecord>, inputs: Inputs, mut files: Vec<(String, Vec<u8>)>) -> Result<Built> {
    let outputs = files.iter().map(|(name, data)| OutputRecord::of(name, data)).collect();
    let manifest = Manifest {
        vmatic_manifest: manifest::VERSION,
        name: spec.name.clone(),
        images,
        inputs: inputs.records,
        outputs,
    };
    let text = serde_json::to_vec_pretty(&manifest).context("cannot write the manifest")?;
    files.push(("manifest.json".to_owned(), text));
    let bill = sbom::document(&manifest, archive::mtime_from_environment()?);
    files.push((sbom::FILE.to_owned(), (bill.to_string() + "\n").into_bytes()));
    Ok(Built { files, manifest, guest_kernel_bytes: 0, guest_memory_mib: 0, host_least_mib: 0 })
}

fn generated(path: &'static str, data: Vec<u8>, mode: u32, reason: &'static str, origin: &str) -> GeneratedFile {
    GeneratedFile { path: path.into(), data, mode, reason, origin: origin.to_owned() }
}

fn read_program(path: &Path, name: &str) -> Result<Vec<u8>> {
    let program = std::fs::read(path)
        .at("read", path)
        .map_err(|error| error.help(format!("run `make build`, or name the program {name} on the command line")))?;
    assemble::check_static(&program, &path.display().to_string())?;
    Ok(program)
}

/// The table of a site's machines, if the plan has one.
fn table_bytes(plan: &Plan) -> Option<Vec<u8>> {
    Some(plan.host_table.as_ref()?.bytes()?.to_vec())
}

/// The text of the network, if the plan has one.
fn network_bytes(plan: &Plan) -> Option<Vec<u8>> {
    Some(plan.network.as_ref()?.text()?.into_bytes())
}

fn summary(packed: &PackedImage, compression: Compression) -> String {
    let record = &packed.record;
    let files = record.files.len();
    if compression == Compression::None {
        return format!("{files} files, {}", mb(record.unpacked_bytes));
    }
    let (members, cached) = (record.members.len(), packed.cached);
    let sizes = format!("{} -> {}", mb(record.unpacked_bytes), mb(record.packed_bytes));
    format!("{files} files, {sizes} ({}, {members} members, {cached} as before)", compression.name())
}

fn interrupted() -> Result<()> {
    if interrupt::asked() {
        return Err(Error::new("cannot finish the build")
            .because("interrupted")
            .help("run it again: an earlier output is as it was"));
    }
    Ok(())
}
