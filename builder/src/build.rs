//! The whole build: from a spec to an output folder, in stages that each say what came of them.
//!
//! Takes the spec, the operator's public key and the two programs; fetches packages, makes the guest
//! image and then the host image that holds it, and writes the folder. Everything is made in memory
//! first: the disk sees only the finished result.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use vmatic_plan::Plan;

use crate::debpkg::Cache;
use crate::error::{At, Error, Result};
use crate::filetree::FileTree;
use crate::image::{self, Assembled, Own, Parts};
use crate::kernel::Kernel;
use crate::layer::Layer;
use crate::manifest::{self, ImageRecord, InputRecord, Manifest, OutputRecord};
use crate::output::Output;
use crate::say::Stages;
use crate::spec::{ImageSpec, Input, Spec};
use crate::{archive, bootfiles, interrupt, key};

/// What a build needs besides its spec.
pub struct Builder<'a> {
    /// The operator's key, of which only the public half goes anywhere.
    pub operator: &'a SigningKey,
    /// The packages.
    pub cache: &'a Cache,
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

/// One image's tree and archive.
struct Packed {
    record: ImageRecord,
    bytes: Vec<u8>,
}

impl Builder<'_> {
    /// Builds everything in memory.
    pub fn build(&self, spec: &Spec, stages: &mut Stages) -> Result<Built> {
        let plan = spec.plan(&self.operator.verifying_key());
        plan.check().map_err(|cause| Error::new("cannot use the plan").because(cause))?;
        let mut inputs = Vec::new();
        let guest_kernel = self.kernel(&spec.guest.kernel, &mut inputs)?;
        let host_kernel = self.kernel(&spec.host.kernel, &mut inputs)?;
        spec.host.compression.check_kernel(&host_kernel.0.config, &host_kernel.0.release)?;
        spec.guest.compression.check_kernel(&guest_kernel.0.config, &guest_kernel.0.release)?;
        stages.done("inputs", inputs.iter().map(|input| input.file.as_str()).collect::<Vec<_>>().join(", "));
        interrupted()?;

        let leaf = read_program(&self.leaf, "vmatic-leaf")?;
        let items = vec![own("/init", leaf, 0o755, "the guest's process 1", "vmatic-leaf")];
        let guest = self.assemble("guest", &spec.guest, &guest_kernel, items, &mut inputs)?;
        let guest = pack("guest", &spec.guest, &guest_kernel.0, guest)?;
        stages.done("guest", summary(&guest));
        interrupted()?;

        let vmlinux = guest_kernel.0.vmlinux()?;
        stages.done(
            "kernel",
            format!("{} unpacked for the guests: {}", guest_kernel.0.release, mb(vmlinux.len() as u64)),
        );
        let guest_kernel_bytes = vmlinux.len() as u64;
        let mut items = self.host_files(&plan)?;
        items.push(own("/boot/guest/vmlinux", vmlinux, 0o644, "the guests' kernel", &guest_kernel.1));
        items.push(own(
            "/boot/guest/initramfs",
            guest.bytes,
            0o644,
            "the guests' image",
            "the guest image of this build",
        ));
        let host = self.assemble("host", &spec.host, &host_kernel, items, &mut inputs)?;
        let host = pack("host", &spec.host, &host_kernel.0, host)?;
        stages.done("host", summary(&host));
        interrupted()?;

        let mut files = vec![
            ("vmlinuz".to_owned(), host_kernel.0.read_image()?),
            ("initramfs".to_owned(), host.bytes),
            ("plan".to_owned(), plan.seal().into_bytes()),
        ];
        for (path, text) in bootfiles::boot_files(&spec.name, &spec.host.cmdline) {
            files.push((path.to_owned(), text.into_bytes()));
        }
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
        Ok(Built { files, manifest, guest_kernel_bytes })
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

    fn kernel(&self, input: &Input, inputs: &mut Vec<InputRecord>) -> Result<(Kernel, String)> {
        let fetched = self.fetch(input, inputs)?;
        Ok((Kernel::open(&fetched.folder)?, fetched.origin))
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

    fn assemble(
        &self,
        which: &'static str,
        spec: &ImageSpec,
        kernel: &(Kernel, String),
        own: Vec<Own>,
        inputs: &mut Vec<InputRecord>,
    ) -> Result<Assembled> {
        let template = match &spec.template {
            None => Layer::embedded_template()?,
            Some(folder) => Layer::template(folder)?,
        };
        let busybox = match &template.manifest.busybox {
            None => None,
            Some(text) => Some(self.busybox(text, spec, inputs)?),
        };
        let parts = Parts { which, template, busybox, kernel: &kernel.0, kernel_origin: &kernel.1, own };
        image::assemble(spec, parts)
    }

    fn busybox(&self, text: &str, spec: &ImageSpec, inputs: &mut Vec<InputRecord>) -> Result<(Vec<u8>, String)> {
        let folder = spec.template.as_deref().unwrap_or(Path::new(""));
        let input = Input::parse(text, folder).ok_or_else(|| {
            Error::new(format!("cannot use busybox = {text:?} of the template"))
                .because("it is neither debian:PACKAGE nor dir:FOLDER")
        })?;
        let fetched = self.fetch(&input, inputs)?;
        let path =
            ["bin/busybox", "usr/bin/busybox"].iter().map(|path| fetched.folder.join(path)).find(|path| path.is_file());
        let path = path.ok_or_else(|| {
            Error::new(format!("cannot find BusyBox in {}", fetched.folder.display()))
                .because("there is no bin/busybox")
                .remedy("name a package that has it, such as debian:busybox-static")
        })?;
        let program = std::fs::read(&path).at("read", &path)?;
        image::check_static(&program, &path.display().to_string())?;
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

fn own(path: &'static str, data: Vec<u8>, mode: u32, reason: &'static str, origin: &str) -> Own {
    Own { path, data, mode, reason, origin: origin.to_owned() }
}

fn read_program(path: &Path, name: &str) -> Result<Vec<u8>> {
    let program = std::fs::read(path)
        .at("read", path)
        .map_err(|error| error.remedy(format!("run `make build`, or name the program {name} on the command line")))?;
    image::check_static(&program, &path.display().to_string())?;
    Ok(program)
}

fn pack(which: &str, spec: &ImageSpec, kernel: &Kernel, assembled: Assembled) -> Result<Packed> {
    let tree: FileTree = assembled.tree;
    let mut plain = Vec::new();
    let written = archive::write(&tree, archive::mtime_from_environment()?, &mut plain)?;
    let bytes = spec.compression.pack(&plain)?;
    let record = ImageRecord {
        which: which.to_owned(),
        kernel: kernel.release.clone(),
        compression: spec.compression.row().name.to_owned(),
        packed_bytes: bytes.len() as u64,
        unpacked_bytes: written.bytes,
        files: manifest::files_of(&tree),
    };
    Ok(Packed { record, bytes })
}

fn summary(packed: &Packed) -> String {
    let record = &packed.record;
    let files = record.files.len();
    if record.compression == "none" {
        format!("{files} files, {}", mb(record.unpacked_bytes))
    } else {
        format!("{files} files, {} -> {} ({})", mb(record.unpacked_bytes), mb(record.packed_bytes), record.compression)
    }
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
