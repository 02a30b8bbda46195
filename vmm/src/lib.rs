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
mod block;
mod boot;
mod calls;
mod devices;
mod elf;
mod error;
mod fork;
#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile;
mod jail;
mod kvm;
mod layout;
mod machine;
mod memory;
mod mmio;
mod mptable;
mod net;
mod pmem;
mod renewal;
#[cfg(test)]
#[path = "rings_tests.rs"]
mod rings;
mod rng;
pub mod room;
mod saved;
mod serial;
mod share;
mod signal;
mod stream;
pub mod stub;
mod tap;
mod template;
mod vcpu;
mod vcpu_state;
mod vsock;
pub mod zygote;

pub use error::Error;
pub use fork::Pid;
pub use kvm::{Kvm, probe};
pub use saved::MAGIC as TEMPLATE_MAGIC;
pub use tap::{open_tap, open_tun};
pub use template::{Said, Template};

use error::Context;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
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

/// Words for a template's command line, behind [`GUEST_CMDLINE`].
///
/// - `tsc=nowatchdog`: nobody compares the clocks with each other. They stop and go on some
///   microseconds apart, for which each clone would call its TSC unstable, at the cost of
///   50 dirtied pages.
/// - `clocksource=kvm-clock`: time is the host's. The TSC alone, unwatched, was seconds late
///   within a minute where the host had measured its frequency badly (emulated, under load).
pub const TEMPLATE_CMDLINE: &str = "tsc=nowatchdog clocksource=kvm-clock";

/// How the guest's kernel finds its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// ACPI tables. Debian's kernel needs this: it lacks VIRTIO_MMIO_CMDLINE_DEVICES.
    Acpi,
    /// `virtio_mmio.device=` words and an MP table, for kernels without ACPI.
    CommandLine,
}

/// What a guest runs.
#[derive(Clone, Debug)]
pub struct Software {
    /// Uncompressed vmlinux (ELF), with a PVH note or a 64-bit entry. Its pages are
    /// mapped privately: guests of one kernel share what they do not change, and the
    /// file must not be truncated while they run.
    pub kernel: PathBuf,
    /// Any archive the guest's kernel unpacks; mapped like the kernel.
    pub initramfs: PathBuf,
    /// Kernel command line; `virtio_mmio.device=` is appended if discovery wants it.
    pub cmdline: String,
    /// How the kernel finds its devices.
    pub discovery: Discovery,
    /// A file that all guests of the host read, if there is one. It must not be truncated
    /// while they run.
    pub share: Option<Share>,
}

/// How a guest sees a file that it shares with others; it can write to neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// As a disk, `/dev/vda`: every guest that reads it keeps a copy of what it read.
    Disk(PathBuf),
    /// As memory, `/dev/pmem0`: with a file system that knows DAX (erofs) nothing is
    /// copied, but the guest's kernel keeps 64 bytes for each of its pages.
    Memory(PathBuf),
}

/// A guest's network card.
#[derive(Debug)]
pub enum Card {
    /// There is none.
    Absent,
    /// It leads nowhere yet: a template's, whose clones each get a cable of their own.
    Unplugged,
    /// It leads to a tap (from [`open_tap`]), or to one end of a pair of sockets that
    /// keep frames apart (SOCK_SEQPACKET). Each frame has a virtio-net header of 12
    /// bytes in front, either way.
    Plugged(OwnedFd),
}

impl Card {
    fn cable(&self) -> Option<RawFd> {
        match self {
            Card::Plugged(cable) => Some(cable.as_raw_fd()),
            Card::Absent | Card::Unplugged => None,
        }
    }
}

/// What connects a guest to its host.
#[derive(Debug)]
pub struct Wires {
    /// A connected stream socket: the bytes of the guest's stream to [`CONTROL_PORT`].
    pub control: Option<OwnedFd>,
    /// Where the guest's ttyS0 leads: a connected stream socket is read as well as written, anything else only
    /// written. When it is full, bytes are dropped.
    pub serial: OwnedFd,
    /// The network card.
    pub card: Card,
}

/// A guest to start cold.
#[derive(Debug)]
pub struct GuestConfig {
    /// What it runs.
    pub software: Software,
    /// The guest's memory.
    pub memory_mib: u32,
    /// The guest's vsock context id, 3 or more.
    pub cid: u32,
    /// The network card's address.
    pub mac: [u8; 6],
    /// Its connections.
    pub wires: Wires,
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
/// The process becomes `user`, with the group of that number and no other (0 changes
/// nothing), dies with its parent, and can do nothing but run its guest.
///
/// Call it once a process: SIGIO, SIGALRM and SIGTERM are blocked in this thread
/// meanwhile, and other threads must not wait for them. SIGKILL at any time leaves
/// nothing behind.
pub fn run(config: GuestConfig, user: u32) -> Result<Exit, Error> {
    let memory = memory::create(config.memory_mib)?;
    memory::mergeable(&memory);
    let share = config.software.share.as_ref().map(share::Opened::new).transpose()?;
    let mut machine = machine::Machine::boot(config, memory, share.as_ref())?;
    let parent = fork::parent();
    if user != 0 {
        for missing in jail::enter_empty_room() {
            eprintln!("guest: it has not {missing}");
        }
    }
    jail::become_user(user).context(format!("become user {user}"), "start the node as root")?;
    // Becoming another user forgets whom to die with, so this comes second.
    fork::die_with(parent).context("die with the node", "start it again")?;
    jail::lock(&jail::filter()?)?;
    machine.run()
}
