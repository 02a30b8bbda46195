//! The process that a guest's QEMU begins as: this program, which goes into the guest's sandbox, makes the disk that
//! the guest writes to, and becomes QEMU.
//!
//! Takes its configuration as one value; ends only if something failed.

use super::{command, disk};
use crate::error::{Context, Error};
use crate::process::spawn;
use serde::{Deserialize, Serialize};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use vmatic_plan::guest_kinds::DiskFormat;
use vmatic_plan::host_image;
use vmatic_vmm::sandbox::rootfs::Rootfs;

/// The subcommand of what becomes a guest's QEMU.
pub const QEMU: &str = "qemu";

/// A guest's QEMU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QemuConfig {
    /// Where it lives.
    pub sandbox: Rootfs,
    /// The disk that the guest's own stands on.
    pub disk: Option<BackingDisk>,
    /// The words behind QEMU's name.
    pub arguments: Vec<String>,
}

/// A disk that another stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackingDisk {
    /// Bytes of the disk.
    pub bytes: u64,
    /// Of its file.
    pub format: DiskFormat,
    /// Its file, in the sandbox.
    pub path: String,
}

impl QemuConfig {
    /// Its process, which inherits these descriptors.
    pub fn command(&self, title: &str, fds: &[RawFd], cgroup: Option<RawFd>) -> Result<Command, Error> {
        spawn::outliving(QEMU, title, self, fds, cgroup, self.sandbox.outlives)
    }
}

/// Becomes QEMU in its sandbox.
pub fn run(config: &QemuConfig) -> Result<(), Error> {
    spawn::end_before_others();
    vmatic_vmm::sandbox::rootfs::enter(&config.sandbox).context("make a sandbox for QEMU")?;
    if let Some(disk) = &config.disk {
        let empty = disk::empty(disk.bytes, &disk.path, disk.format);
        std::fs::write(command::OVERLAY, empty).with_context(|| format!("write {}", command::OVERLAY))?;
    }
    let program = Path::new(host_image::QEMU);
    let error = Command::new(program).args(&config.arguments).env_clear().env("TMPDIR", "/own").exec();
    Err(error).with_context(|| format!("start {}", program.display()))
}
