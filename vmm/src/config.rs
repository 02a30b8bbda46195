//! What a guest is given and how it ends: the configuration that [`crate::run`] and templates take.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use vmatic_plan::Mac;
pub use vmatic_plan::host_image::Discovery;

/// The host's vsock port the guest's leaf connects to (CID 2).
pub const CONTROL_PORT: u32 = vmatic_plan::defaults::PORT as u32;

/// Words for the guest's command line that make a stock kernel start fast and end
/// by itself. Callers append their own.
///
/// - `console=ttyS0`: the log goes to [`GuestChannels::serial`].
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// It leads to a tap (from [`crate::open_tap`]), or to one end of a pair of sockets that
    /// keep frames apart (SOCK_SEQPACKET). Each frame has a virtio-net header of 12
    /// bytes in front, either way.
    Plugged(OwnedFd),
}

impl Card {
    pub(crate) fn cable(&self) -> Option<RawFd> {
        match self {
            Card::Plugged(cable) => Some(cable.as_raw_fd()),
            Card::Absent | Card::Unplugged => None,
        }
    }
}

/// What connects a guest to its host.
#[derive(Debug)]
pub struct GuestChannels {
    /// A connected stream socket: the bytes of the guest's stream to [`CONTROL_PORT`].
    pub control: Option<OwnedFd>,
    /// Where the guest's ttyS0 leads: a connected stream socket is read as well as written, anything else only
    /// written. When it is full, bytes are dropped.
    pub serial: OwnedFd,
    /// The network card.
    pub card: Card,
    /// How many of [`GuestConfig::ports`] lead somewhere, from the first on. If any do, the cable carries the frames of
    /// all cards, as [`vmatic_plan::cable`] has it.
    pub ports: u8,
}

/// A guest's cards beyond the first: its ports in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ports {
    /// The address of each, from port 1 on.
    pub macs: Vec<Mac>,
    /// Most bytes of a packet of theirs.
    pub mtu: u16,
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
    pub mac: Mac,
    /// The cards beyond it: at most [`vmatic_plan::cable::CARDS_MAX`] in all.
    pub ports: Ports,
    /// What connects it to its host.
    pub channels: GuestChannels,
}

/// What a guest's process ends with when it was asked to (SIGTERM), as shells say it: 128 and the signal's number.
/// When the guest switched itself off or reset itself, it ends with 0.
pub const TERMINATED_STATUS: i32 = 128 + 15;

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It reset or powered itself off (ACPI, keyboard controller, triple fault).
    Shutdown,
    /// This process got SIGTERM.
    Killed,
}
