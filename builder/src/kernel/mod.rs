//! Kernels: those of an unpacked distribution package, and those that we build ourselves.
//!
//! A kernel is a folder that looks like an unpacked package: a boot image, lib/modules/RELEASE, mostly a config. Where
//! each lies in it differs by distribution (`locate`), and where the folder came from makes no difference to an image.

pub mod choice;
pub mod config;
pub mod firmware;
pub mod locate;
pub mod make;
pub mod modules;
pub mod recipe;
pub mod vmlinux;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};

pub use vmlinux::extract_vmlinux;

use vmatic_plan::host_image::Discovery;

use self::config::KernelConfig;
use crate::error::{Error, PathContext, Result};
use crate::rootfs::sysroot::Sysroot;
use crate::spec::values::Compression;

/// A kernel package, unpacked.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The release, e.g. 6.1.0-56-cloud-amd64.
    pub release: String,
    /// The folder that it lies in.
    pub root: PathBuf,
    /// The boot image on the building machine.
    pub image: PathBuf,
    /// What it is built with, if that can be known.
    pub config: KernelConfig,
    /// lib/modules/RELEASE on the building machine.
    pub modules: PathBuf,
}

impl Kernel {
    /// Finds the kernel in a folder, or in the folder above if it is lib/modules/RELEASE itself.
    pub fn open(folder: &Path) -> Result<Kernel> {
        let found = locate::locate(folder)?;
        let config = KernelConfig::find(&Sysroot::new(&found.root), &found.release, &found.image);
        Ok(Kernel { release: found.release, root: found.root, image: found.image, config, modules: found.modules })
    }

    /// How the kernel finds virtio-mmio devices: by ACPI tables, or, without ACPI, by words of its command line. One
    /// whose config is not known is a distribution's, which have ACPI.
    pub fn device_discovery(&self) -> Discovery {
        let has = |option: &str| self.config.has(option).unwrap_or(false);
        if has("CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES") && !has("CONFIG_ACPI") {
            Discovery::CommandLine
        } else {
            Discovery::Acpi
        }
    }

    /// Checks that it can unpack an image that is packed so. Where that cannot be known, gives a warning.
    pub fn check_unpacks(&self, compression: Compression) -> Result<Option<String>> {
        config::check_unpacks(&self.config, &self.release, compression, || self.vmlinux().ok())
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
