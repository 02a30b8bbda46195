//! QEMU in the host image, an optional layer: the program with the libraries that it needs, what it loads into its
//! machines, and what the spec's kinds of guests boot.
//!
//! Takes the spec; gives files of the host image. The package is the root's own where it is installed, else fetched.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use vmatic_plan::host_image::{GUEST_KIND_FOLDER as FOLDER, GUEST_KINDS as FILE, QEMU as PROGRAM};

use crate::error::{Error, Kind, PathContext, Result};
use crate::image::assemble::GeneratedFile;
use crate::image::programs::ExtraProgram;
use crate::image::qcow2;
use crate::packages::dpkg::Database;
use crate::packages::inputs::Inputs;
use crate::spec::Spec;
use crate::spec::kinds::{FileSource, KindSpec};
use crate::spec::values::PackageName;

/// Debian's package that has QEMU's program for x86.
const PACKAGE: PackageName = PackageName::known("qemu-system-x86");
/// What it loads into itself to emulate, and into machines without a screen: firmware, loaders of kernels, and a part
/// of its interrupt controller.
const LOADED: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so",
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/qemu/bios-microvm.bin",
    "/usr/share/qemu/qboot.rom",
    "/usr/share/qemu/kvmvapic.bin",
    "/usr/share/qemu/linuxboot_dma.bin",
    "/usr/share/qemu/multiboot_dma.bin",
    "/usr/share/qemu/pvh.bin",
];
/// Largest file of a kind.
const FILE_MAX_BYTES: u64 = 3 << 30;

/// The program and what it needs.
pub fn program(spec: &Spec, inputs: &mut Inputs) -> Result<ExtraProgram> {
    let root: PathBuf = if Database::open(&spec.host.root).has(PACKAGE.as_str()) {
        spec.host.root.clone()
    } else {
        inputs.root_of(&[PACKAGE])?
    };
    Ok(ExtraProgram { root, binary: PROGRAM, files: &LOADED, reason: "QEMU, which runs guests of other kinds" })
}

/// What the kinds' guests boot, and the text that tells the agent of them.
pub fn files(spec: &Spec, inputs: &mut Inputs) -> Result<Vec<GeneratedFile>> {
    let mut kinds = spec.kinds();
    let mut all = Vec::new();
    for (told, kind) in kinds.kinds.iter_mut().zip(&spec.kinds) {
        for (name, source) in &kind.files {
            let (path, origin) = place(source, inputs)?;
            let data = read(kind, name, &path)?;
            if *name == "disk" {
                let head = &data[..data.len().min(qcow2::HEAD_BYTES)];
                let disk = qcow2::disk(head, data.len() as u64)
                    .map_err(|unfit| cannot(kind, name, &path).because(unfit.cause).help(unfit.help))?;
                told.disk = Some(disk);
            }
            let (path, reason) = (format!("{FOLDER}/{}/{name}", told.name), "what guests of a kind boot");
            all.push(GeneratedFile { path: path.into(), data, mode: 0o644, reason, origin });
        }
    }
    kinds.check().map_err(|why| {
        Error::new("cannot use the kinds of guests")
            .because(why)
            .help("correct [[guest.kinds]] in the spec")
            .of_kind(Kind::Spec)
    })?;
    let text = kinds.encode().into_bytes();
    let reason = "which guests are of which kind";
    all.push(GeneratedFile { path: FILE.into(), data: text, mode: 0o644, reason, origin: "the spec".into() });
    Ok(all)
}

fn place(source: &FileSource, inputs: &mut Inputs) -> Result<(PathBuf, String)> {
    match source {
        FileSource::File(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((path.clone(), name))
        }
        FileSource::Package { name, path } => {
            let fetched = inputs.package(name)?;
            Ok((fetched.folder.join(path), fetched.origin))
        }
    }
}

fn cannot(kind: &KindSpec, name: &str, path: &std::path::Path) -> Error {
    let error = Error::new(format!("cannot use {} as {name} of the guests {:?}", path.display(), kind.kind.name));
    error.of_kind(Kind::Spec)
}

fn read(kind: &KindSpec, name: &str, path: &std::path::Path) -> Result<Vec<u8>> {
    let file = File::open(path).at("read", path)?;
    let bytes = file.metadata().at("read", path)?.len();
    if bytes > FILE_MAX_BYTES || bytes == 0 {
        let error =
            cannot(kind, name, path).because(format!("it has {bytes} bytes, and every host keeps it in its RAM"));
        return Err(error.help(format!("make it smaller than {} GiB, and not empty", FILE_MAX_BYTES >> 30)));
    }
    let mut data = Vec::with_capacity(bytes as usize);
    file.take(FILE_MAX_BYTES).read_to_end(&mut data).at("read", path)?;
    Ok(data)
}
