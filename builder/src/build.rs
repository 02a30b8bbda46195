//! The whole build: from a spec to an output folder, in stages that each say what came of them.
//!
//! Takes the spec, the operator's public key and the two programs; fetches packages, makes the guest
//! image and then the host image that holds it, and writes the folder. Everything is made in memory
//! first: the disk sees only the finished result.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use vmatic_plan::Plan;

use crate::archive::compress::{Effort, Method};
use crate::bootloader::loader::Parts;
use crate::bootloader::scripts;
use crate::error::{At, Error, Result};
use crate::image::assemble::{self, Assembled, Own};
use crate::image::layer::Layer;
use crate::image::member::Packer;
use crate::image::programs::{self, Extra};
use crate::image::qemu;
use crate::kernel::Kernel;
use crate::manifest::{self, ImageRecord, InputRecord, Manifest, OutputRecord};
use crate::output::{Output, sbom};
use crate::packages::deb::Cache;
use crate::rootfs::tree::FileTree;
use crate::spec::{ImageSpec, Input, Spec};
use crate::ui::interrupt;
use crate::ui::say::{self, Stages};
use crate::{archive, key};

/// Tells the agent how the guests' kernel finds its devices: "acpi" or "cmdline".
const DEVICES: &str = "/boot/guest/devices";

/// What a build needs besides its spec.
pub struct Builder<'a> {
    /// The operator's key, of which only the public half goes anywhere.
    pub operator: &'a SigningKey,
    /// The packages.
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
    /// The manifest.
    pub manifest: Manifest,
    /// The bytes of kernels inside the host image.
    pub guest_kernel_bytes: u64,
}

/// An input, found on disk.
struct Fetched {
    folder: PathBuf,
    origin: String,
}

/// A kernel, and the package or folder that it came from.
struct FetchedKernel {
    kernel: Kernel,
    origin: String,
}

/// One image's tree and archive.
struct Packed {
    record: ImageRecord,
    bytes: Vec<u8>,
    cached: usize,
}

impl Builder<'_> {
    /// Builds everything in memory.
    pub fn build(&self, spec: &Spec, stages: &mut Stages) -> Result<Built> {
        let plan = spec.plan(&self.operator.verifying_key());
        plan.check().map_err(|cause| Error::new("cannot use the plan").because(cause))?;
        let mut inputs = Vec::new();
        let guest_kernel = self.kernel(&spec.guest, &mut inputs)?;
        let host_kernel = self.kernel(&spec.host, &mut inputs)?;
        stages.done("inputs", inputs.iter().map(|input| input.file.as_str()).collect::<Vec<_>>().join(", "));
        say_what_is_not_built(spec);
        interrupted()?;

        let leaf = read_program(&self.leaf, "vmatic-leaf")?;
        let items = vec![own("/init", leaf, 0o755, "the guest's process 1", "vmatic-leaf")];
        let guest = self.image("guest", &for_qemu(spec), &guest_kernel, items, None, &mut inputs)?;
        stages.done("guest", summary(&guest, spec.guest.compression));
        interrupted()?;

        let vmlinux = guest_kernel.kernel.vmlinux()?;
        let guest_kernel_bytes = vmlinux.len() as u64;
        let release = &guest_kernel.kernel.release;
        stages.done("kernel", format!("{release} unpacked for the guests: {}", mb(guest_kernel_bytes)));
        let mut items = self.host_files(&plan)?;
        items.extend(guest_files(&guest_kernel, vmlinux, guest.bytes));
        let extra = self.add_qemu(spec, &mut items, &mut inputs, stages)?;
        let host = self.image("host", &spec.host, &host_kernel, items, extra, &mut inputs)?;
        stages.done("host", summary(&host, spec.host.compression));
        interrupted()?;

        let mut files = vec![
            ("vmlinuz".to_owned(), host_kernel.kernel.read_image()?),
            ("initramfs".to_owned(), host.bytes),
            ("plan".to_owned(), plan.seal().into_bytes()),
        ];
        for (path, text) in scripts::boot_files(&spec.name, &spec.host.cmdline) {
            files.push((path.to_owned(), text.into_bytes()));
        }
        files.extend(self.loaders(spec, &host_kernel.kernel.release, &files, &mut inputs)?);
        let outputs = files.iter().map(|(name, data)| OutputRecord::of(name, data)).collect();
        inputs.dedup();
        let manifest = Manifest {
            vmatic_manifest: manifest::VERSION,
            name: spec.name.clone(),
            images: vec![host.record, guest.record],
            inputs,
            outputs,
        };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|cause| Error::new("cannot write the manifest").because(cause))?;
        files.push(("manifest.json".to_owned(), text));
        let bill = sbom::document(&manifest, archive::mtime_from_environment()?);
        files.push((sbom::FILE.to_owned(), (bill.to_string() + "\n").into_bytes()));
        Ok(Built { files, manifest, guest_kernel_bytes })
    }

    /// QEMU and what its guests boot, if the spec has such guests.
    fn add_qemu(
        &self,
        spec: &Spec,
        items: &mut Vec<Own>,
        inputs: &mut Vec<InputRecord>,
        stages: &mut Stages,
    ) -> Result<Option<Extra>> {
        if !spec.wants_qemu() {
            return Ok(None);
        }
        let extra = qemu::program(self, spec, inputs)?;
        let files = qemu::files(self, spec, inputs)?;
        let bytes = files.iter().map(|file| file.data.len() as u64).sum();
        stages.done("qemu", format!("for {} kinds of guests, whose files take {}", spec.kinds.len(), mb(bytes)));
        items.extend(files);
        Ok(Some(extra))
    }

    /// A Debian package's folder, and its file's name.
    pub fn package(&self, name: &str, inputs: &mut Vec<InputRecord>) -> Result<(PathBuf, String)> {
        let fetched = self.fetch(&Input::Debian(name.to_owned()), inputs)?;
        Ok((fetched.folder, fetched.origin))
    }

    /// What only the host image holds: its process 1, the plan, and whose commands count.
    fn host_files(&self, plan: &Plan) -> Result<Vec<Own>> {
        let agent = read_program(&self.agent, "vmatic-agent")?;
        let public = key::public_text(self.operator).into_bytes();
        Ok(vec![
            own("/init", agent, 0o755, "the host's process 1", "vmatic-agent"),
            own("/etc/vmatic/plan", plan.seal().into_bytes(), 0o644, "the sealed plan", "the spec"),
            own("/etc/vmatic/operator.pub", public, 0o644, "whose commands to obey", "the operator's public key"),
        ])
    }

    /// The kernel of an image, which must be able to unpack it.
    fn kernel(&self, spec: &ImageSpec, inputs: &mut Vec<InputRecord>) -> Result<FetchedKernel> {
        let fetched = self.fetch(&spec.kernel, inputs)?;
        let kernel = Kernel::open(&fetched.folder)?;
        spec.compression.check_kernel(&kernel.config, &kernel.release)?;
        Ok(FetchedKernel { kernel, origin: fetched.origin })
    }

    fn fetch(&self, input: &Input, inputs: &mut Vec<InputRecord>) -> Result<Fetched> {
        let (record, fetched) = match input {
            Input::Debian(name) => {
                let package = self.cache.package(name)?;
                let folder = self.cache.folder_of(&package);
                let record = InputRecord {
                    asked: format!("debian:{name}"),
                    file: package.file.clone(),
                    sha256: Some(package.sha256),
                };
                (record, Fetched { folder, origin: package.file })
            }
            Input::Built(recipe) => {
                let (note, folder) = recipe.built(self.cache).ok_or_else(|| {
                    Error::new(format!("cannot use the kernel built:{}", recipe.name))
                        .because("it has not been built here, or its recipe has changed since")
                        .remedy(format!("run `vmatic kernel build {}`", recipe.name))
                })?;
                let file = format!("linux-{}", note.release);
                let asked = format!("built:{}", recipe.name);
                let record = InputRecord { asked, file: file.clone(), sha256: Some(note.image_sha256) };
                (record, Fetched { folder, origin: file })
            }
            Input::Folder(folder) => {
                let text = format!("dir:{}", folder.file_name().unwrap_or_default().to_string_lossy());
                (
                    InputRecord { asked: text.clone(), file: text.clone(), sha256: None },
                    Fetched { folder: folder.clone(), origin: text },
                )
            }
        };
        if !inputs.contains(&record) {
            inputs.push(record);
        }
        Ok(fetched)
    }

    /// The files of the boot loaders that the spec asks for; kernel and image are the first two of `files`.
    fn loaders(
        &self,
        spec: &Spec,
        release: &str,
        files: &[(String, Vec<u8>)],
        inputs: &mut Vec<InputRecord>,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let [(_, kernel), (_, initramfs), ..] = files else { return Ok(Vec::new()) };
        let cmdline = scripts::words(&spec.host.cmdline);
        let parts = Parts { name: &spec.name, cmdline: &cmdline, release, kernel, initramfs };
        let mut all = Vec::new();
        for loader in &spec.loaders {
            for package in loader.packages() {
                let fetched = self.fetch(&Input::Debian(package.to_owned()), inputs)?;
                all.extend(loader.files(package, &fetched.folder, &parts)?);
            }
        }
        Ok(all)
    }

    /// Assembles and packs an image.
    fn image(
        &self,
        which: &'static str,
        spec: &ImageSpec,
        kernel: &FetchedKernel,
        own: Vec<Own>,
        extra: Option<Extra>,
        inputs: &mut Vec<InputRecord>,
    ) -> Result<Packed> {
        let template = match &spec.template {
            None => Layer::embedded_template()?,
            Some(folder) => Layer::template(folder)?,
        };
        let busybox = match &template.manifest.busybox {
            None => None,
            Some(text) => Some(self.busybox(text, spec, inputs)?),
        };
        let packages = self.packages(spec, inputs)?;
        let (kernel_origin, kernel) = (&kernel.origin, &kernel.kernel);
        let parts = assemble::Parts { which, template, busybox, kernel, kernel_origin, packages, extra, own };
        self.pack(which, spec, kernel, assemble::assemble(spec, parts)?)
    }

    fn pack(&self, which: &str, spec: &ImageSpec, kernel: &Kernel, assembled: Assembled) -> Result<Packed> {
        let tree: FileTree = assembled.tree;
        assembled.warnings.iter().for_each(|text| say::warn(format!("{which} image: {text}")));
        let digests = manifest::digests(&tree);
        let packer = Packer {
            method: spec.compression,
            effort: self.effort,
            mtime: archive::mtime_from_environment()?,
            cache: Some(self.cache.members()),
        };
        let packed = packer.pack(&tree, &digests)?;
        let record = ImageRecord {
            which: which.to_owned(),
            kernel: kernel.release.clone(),
            compression: spec.compression.row().name.to_owned(),
            packed_bytes: packed.bytes.len() as u64,
            unpacked_bytes: packed.unpacked_bytes,
            files: manifest::files_of(&tree, &digests),
            members: packed.members,
            warnings: assembled.warnings,
        };
        Ok(Packed { record, bytes: packed.bytes, cached: packed.cached })
    }

    /// A root with the packages that the spec's root does not have.
    fn packages(&self, spec: &ImageSpec, inputs: &mut Vec<InputRecord>) -> Result<Option<PathBuf>> {
        let names = programs::packages_to_fetch(spec);
        if names.is_empty() { Ok(None) } else { self.root_of(&names, inputs).map(Some) }
    }

    /// A root with packages and all that they depend on.
    pub fn root_of(&self, names: &[String], inputs: &mut Vec<InputRecord>) -> Result<PathBuf> {
        let root = self.cache.root_of(names)?;
        let record = |(file, sum): &(String, String)| InputRecord {
            asked: format!("packages {}", names.join(", ")),
            file: file.clone(),
            sha256: Some(sum.clone()),
        };
        inputs.extend(root.packages.iter().map(record));
        Ok(self.cache.root_folder(&root))
    }

    fn busybox(&self, text: &str, spec: &ImageSpec, inputs: &mut Vec<InputRecord>) -> Result<(Vec<u8>, String)> {
        let folder = spec.template.as_deref().unwrap_or(Path::new(""));
        let input = Input::parse(text, folder)
            .map_err(|error| error.while_trying(format!("cannot use busybox = {text:?} of the template")))?;
        let fetched = self.fetch(&input, inputs)?;
        let path =
            ["bin/busybox", "usr/bin/busybox"].iter().map(|path| fetched.folder.join(path)).find(|path| path.is_file());
        let path = path.ok_or_else(|| {
            Error::new(format!("cannot find BusyBox in {}", fetched.folder.display()))
                .because("there is no bin/busybox")
                .remedy("name a package that has it, such as debian:busybox-static")
        })?;
        let program = std::fs::read(&path).at("read", &path)?;
        assemble::check_static(&program, &path.display().to_string())?;
        Ok((program, fetched.origin))
    }
}

impl Built {
    /// Writes the output folder.
    pub fn write(&self, target: &Path) -> Result<()> {
        let bytes = self.files.iter().map(|(_, data)| data.len() as u64).sum();
        let output = Output::begin(target, bytes)?;
        for (name, data) in &self.files {
            interrupted()?;
            output.write(name, data)?;
        }
        output.place()
    }
}

/// What the host image holds for its guests.
fn guest_files(kernel: &FetchedKernel, vmlinux: Vec<u8>, image: Vec<u8>) -> [Own; 3] {
    let devices = kernel.kernel.device_discovery().as_bytes().to_vec();
    [
        own("/boot/guest/vmlinux", vmlinux, 0o644, "the guests' kernel", &kernel.origin),
        own(DEVICES, devices, 0o644, "how the guests' kernel finds its devices", &kernel.origin),
        own("/boot/guest/initramfs", image, 0o644, "the guests' image", "the guest image of this build"),
    ]
}

/// The guest image's spec. In QEMU a leaf calls over a port of virtio's console: Debian's kernel has that as a module.
fn for_qemu(spec: &Spec) -> ImageSpec {
    let mut guest = spec.guest.clone();
    let port = "virtio_console".to_owned();
    if spec.wants_qemu() && !matches!(guest.kernel, Input::Built(_)) && !guest.modules.contains(&port) {
        guest.modules.push(port);
    }
    guest
}

fn say_what_is_not_built(spec: &Spec) {
    let all = spec.guest.kernels_not_built.iter().chain(&spec.host.kernels_not_built);
    let names = all.map(String::as_str).collect::<Vec<_>>().join(" ");
    if !names.is_empty() {
        say::line(format!(
            "          not built here, so a package's kernel is taken: {names} (`vmatic kernel build {names}` takes \
             minutes, once)"
        ));
    }
}

fn own(path: &'static str, data: Vec<u8>, mode: u32, reason: &'static str, origin: &str) -> Own {
    Own { path: path.into(), data, mode, reason, origin: origin.to_owned() }
}

fn read_program(path: &Path, name: &str) -> Result<Vec<u8>> {
    let program = std::fs::read(path)
        .at("read", path)
        .map_err(|error| error.remedy(format!("run `make build`, or name the program {name} on the command line")))?;
    assemble::check_static(&program, &path.display().to_string())?;
    Ok(program)
}

fn summary(packed: &Packed, method: Method) -> String {
    let record = &packed.record;
    let files = record.files.len();
    if method == Method::None {
        return format!("{files} files, {}", mb(record.unpacked_bytes));
    }
    let (members, cached) = (record.members.len(), packed.cached);
    let sizes = format!("{} -> {}", mb(record.unpacked_bytes), mb(record.packed_bytes));
    format!("{files} files, {sizes} ({}, {members} members, {cached} as before)", method.row().name)
}

/// Bytes as people read them.
pub fn mb(bytes: u64) -> String {
    if bytes < 1_000_000 { format!("{:.0} kB", bytes as f64 / 1e3) } else { format!("{:.1} MB", bytes as f64 / 1e6) }
}

fn interrupted() -> Result<()> {
    if interrupt::asked() {
        return Err(Error::new("interrupted").because("nothing was changed: an earlier output is as it was"));
    }
    Ok(())
}
