//! A small virtual machine monitor for Linux guests: one guest a process, one
//! thread a guest.
//!
//! Takes a kernel, an initramfs and opened descriptors ([`GuestConfig`]); runs the
//! guest until it ends ([`run`]). The machine has one processor, a serial port, an
//! entropy source, a socket device and, with a tap, a network card; no PCI bus, no
//! PIT, no firmware.
//!
//! Deliberately absent: any file or socket opened by path except kernel,
//! initramfs and /dev/kvm; any thread; any waiting outside `KVM_RUN`.

mod acpi;
mod boot;
mod elf;
mod error;
mod kvm;
mod layout;
mod machine;
mod memory;
mod mmio;
mod mptable;
mod net;
#[cfg(test)]
#[path = "rings_tests.rs"]
mod rings;
mod rng;
mod serial;
mod signal;
mod stream;
mod tap;
mod vcpu;
mod vsock;

pub use error::Error;
pub use kvm::{Kvm, probe};
pub use tap::open_tap;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The host's vsock port the guest's leaf connects to (CID 2).
pub const CONTROL_PORT: u32 = 7117;

/// Words for the guest's command line that make a stock kernel start fast and end
/// by itself. Callers append their own.
///
/// - `console=ttyS0`: the log goes to [`GuestConfig::serial`].
/// - `quiet loglevel=4`: warnings only; every byte costs two exits.
/// - `panic=-1 reboot=t`: a panic or reboot is a triple fault at once, which ends
///   the guest.
/// - `mitigations=off`: the host protects guests from each other.
/// - `pci=off`: there is no PCI bus to search.
/// - `cryptomgr.notests`: no self-tests of ciphers.
/// - `rcupdate.rcu_expedited=1`: no waiting for grace periods while drivers register.
/// - `lsm= audit=0`: no policy engines without a policy.
///
/// The last four together take 0.3 to 0.4 of 2.7 s off a nested start of Debian's
/// kernel. Not needed: `no_timer_check`, `tsc=reliable`, `lpj=` (kvm-clock gives the
/// frequency, the deadline timer needs no calibration), `i8042.*` (the FADT says
/// there is none), `nokaslr` (an unpacked kernel runs where it is put).
pub const GUEST_CMDLINE: &str = "console=ttyS0 quiet loglevel=4 panic=-1 reboot=t mitigations=off pci=off \
     cryptomgr.notests rcupdate.rcu_expedited=1 lsm= audit=0";

/// How the guest's kernel finds its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// ACPI tables. Debian's kernel needs this: it lacks VIRTIO_MMIO_CMDLINE_DEVICES.
    Acpi,
    /// `virtio_mmio.device=` words and an MP table, for kernels without ACPI.
    CommandLine,
}

/// A guest to run.
#[derive(Debug)]
pub struct GuestConfig {
    /// Uncompressed vmlinux (ELF), with a PVH note or a 64-bit entry. Its pages are
    /// mapped privately: guests of one kernel share what they do not change, and the
    /// file must not be truncated while they run.
    pub kernel: PathBuf,
    /// Any archive the guest's kernel unpacks; mapped like the kernel.
    pub initramfs: PathBuf,
    /// The guest's memory.
    pub memory_mib: u32,
    /// Kernel command line; `virtio_mmio.device=` is appended if discovery wants it.
    pub cmdline: String,
    /// The guest's vsock context id, 3 or more.
    pub cid: u32,
    /// The network card's address.
    pub mac: [u8; 6],
    /// From [`open_tap`]; none means no network card.
    pub tap: Option<OwnedFd>,
    /// A connected stream socket: the bytes of the guest's stream to [`CONTROL_PORT`].
    pub control: Option<OwnedFd>,
    /// Where the guest's ttyS0 goes. When it is full, bytes are dropped.
    pub serial: OwnedFd,
    /// How the kernel finds its devices.
    pub discovery: Discovery,
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It reset or powered itself off (ACPI, keyboard controller, triple fault).
    Shutdown,
    /// This process got SIGTERM.
    Killed,
}

/// Runs a guest in the calling thread until it ends.
///
/// Call it once a process: SIGIO and SIGTERM are blocked in this thread meanwhile,
/// and other threads must not wait for them. SIGKILL at any time leaves nothing
/// behind.
pub fn run(config: GuestConfig) -> Result<Exit, Error> {
    machine::run(config)
}
