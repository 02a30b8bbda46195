//! Kernels: those of an unpacked distribution package, and those that we build ourselves.
//!
//! A kernel is a folder that looks like an unpacked package: boot/vmlinuz-RELEASE, its config, and
//! lib/modules/RELEASE. Where the folder came from makes no difference to an image.

pub mod choice;
pub mod firmware;
pub mod make;
pub mod modalias;
pub mod modules;
pub mod recipe;
pub mod vmlinux;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};

pub use vmlinux::extract_vmlinux;

use vmatic_plan::host_image::Discovery;

use crate::error::{Error, PathContext, Result};

/// A kernel package, unpacked.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The release, e.g. 6.1.0-56-cloud-amd64.
    pub release: String,
    /// The boot image on the building machine.
    pub image: PathBuf,
    /// The text of its config; empty when the package has none.
    pub config: String,
    /// lib/modules/RELEASE on the building machine.
    pub modules: PathBuf,
}

impl Kernel {
    /// Finds the kernel in a folder with boot/vmlinuz-RELEASE and lib/modules/RELEASE.
    pub fn open(folder: &Path) -> Result<Kernel> {
        let boot = folder.join("boot");
        let tried = || Error::new(format!("cannot find a kernel in {}", folder.display()));
        let mut images: Vec<PathBuf> = fs::read_dir(&boot)
            .at("list", &boot)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
            .collect();
        images.sort();
        let [image] = &images[..] else {
            return Err(tried()
                .because(format!("boot/ has {} files named vmlinuz-RELEASE instead of one", images.len()))
                .help("name a package that holds one kernel, such as debian:linux-image-cloud-amd64"));
        };
        let release = image.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let release = release.trim_start_matches("vmlinuz-").to_owned();
        let modules = ["lib/modules", "usr/lib/modules"]
            .iter()
            .map(|place| folder.join(place).join(&release))
            .find(|place| place.is_dir())
            .ok_or_else(|| tried().because(format!("it has no lib/modules/{release}")))?;
        let config = fs::read_to_string(boot.join(format!("config-{release}"))).unwrap_or_default();
        Ok(Kernel { release, image: image.clone(), config, modules })
    }

    /// How the kernel finds virtio-mmio devices: by ACPI tables, or, without ACPI, by words of its command line.
    pub fn device_discovery(&self) -> Discovery {
        let has = |option: &str| self.config.lines().any(|line| line.strip_suffix("=y") == Some(option));
        if has("CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES") && !has("CONFIG_ACPI") {
            Discovery::CommandLine
        } else {
            Discovery::Acpi
        }
    }

    /// The boot image's bytes.
    pub fn read_image(&self) -> Result<Vec<u8>> {
        fs::read(&self.image).at("read", &self.image)
    }

    /// The ELF vmlinux inside the boot image.
    pub fn vmlinux(&self) -> Result<Vec<u8>> {
        let image = self.read_image()?;
        extract_vmlinux(&image).map_err(|cause| {
            Error::new(format!("cannot take vmlinux out of {}", self.image.display()))
                .because(cause)
                .help("choose a kernel packed with lz4, gzip, xz or zstd, or one that is an ELF file already")
        })
    }
}
