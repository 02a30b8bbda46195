//! The processes that hold guests: the monitor of one that boots cold, and the template
//! from which clones are forked.
//!
//! Each takes its configuration as one value, which names the descriptors that it inherits; gives a running
//! guest. A template ends with the node; a guest's process with its guest, and with the node where there is no keeper.

use crate::error::{Context, Error, no_guest};
use crate::guest::channels::GuestEnds;
use crate::guest::{image, ports};
use crate::process::user::user;
use crate::process::{fd, spawn};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use vmatic_plan::{GuestId, HostId, Mac, Node, Plan};
use vmatic_tree::wire::frame::FrameReader;
use vmatic_tree::wire::message::{Message, understands};
use vmatic_vmm::stub::{self, StubFile};
use vmatic_vmm::template::Readiness;
use vmatic_vmm::template::zygote::{self, ReexecCommand, SnapshotFiles};
use vmatic_vmm::{Card, Discovery, Exit, GuestChannels, GuestConfig, Ports, Share, Software, TERMINATED_STATUS};

// The guest's agent calls the port that the monitor relays.
const _: () = assert!(vmatic_vmm::CONTROL_PORT == vmatic_tree::wire::message::GUEST_PORT);

/// The subcommand of a guest that boots cold.
pub const GUEST: &str = "guest";
/// The subcommand of a template.
pub const TEMPLATE: &str = "template";
/// How a template's process executes itself again; the number of a descriptor follows.
const REEXEC: [&str; 3] = [spawn::THIS_PROGRAM, TEMPLATE, "--handover-fd"];
/// How long a stub may take, in seconds.
const STUB_TIMEOUT_S: u64 = 60;

/// What a monitor boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// The guest's kernel.
    pub kernel: PathBuf,
    /// The archive that its kernel unpacks.
    pub initramfs: PathBuf,
    /// Its kernel's command line.
    pub cmdline: String,
    /// Its RAM, in MiB.
    pub memory_mib: u32,
    /// How its kernel finds its devices.
    pub devices: Discovery,
    /// A file that all guests read.
    pub share: Option<Share>,
    /// A stub that writes to so many pages, in place of a kernel.
    pub stub_pages: Option<u32>,
    /// Its cards beyond the first.
    pub ports: Ports,
}

/// A guest that boots cold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdConfig {
    /// What it boots.
    pub machine: MachineConfig,
    /// The MAC of its card.
    pub mac: Mac,
    /// User and group of its process; 0 stays root.
    pub user: u32,
    /// Its end of the control stream.
    pub control_fd: RawFd,
    /// Its end of the serial port.
    pub serial_fd: RawFd,
    /// Its end of its cable, as it leads to the switch.
    pub cable_fd: RawFd,
    /// Whether it goes on when the node ends.
    pub outlives: bool,
}

/// A template. The socket that orders come over is its standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateConfig {
    /// What it boots.
    pub machine: MachineConfig,
    /// Its serial port; what it says goes to standard error, if there is none.
    pub serial_fd: Option<RawFd>,
    /// How long it may boot, in seconds.
    pub boot_timeout_s: u64,
    /// Where its snapshot may be, and is to be.
    pub files: SnapshotFiles,
}

impl MachineConfig {
    /// What this host's guests boot, with this command line.
    pub fn of_plan(plan: &Plan, cmdline: String) -> Self {
        MachineConfig {
            kernel: image::KERNEL.into(),
            initramfs: image::INITRAMFS.into(),
            cmdline,
            memory_mib: plan.guest_memory_mib,
            devices: image::discovery(),
            share: image::share(plan),
            stub_pages: None,
            ports: Ports::default(),
        }
    }

    /// A stub of so many pages.
    pub fn stub(pages: u32, memory_mib: u32, devices: Discovery) -> Self {
        let (kernel, initramfs, cmdline) = Default::default();
        MachineConfig {
            kernel,
            initramfs,
            cmdline,
            memory_mib,
            devices,
            share: None,
            stub_pages: Some(pages),
            ports: Ports::default(),
        }
    }

    fn with(self, mac: Mac, channels: GuestChannels, stub: Option<&StubFile>) -> GuestConfig {
        let software = Software {
            kernel: stub.map_or(self.kernel, StubFile::path),
            initramfs: if stub.is_some() { "/dev/null".into() } else { self.initramfs },
            cmdline: self.cmdline,
            discovery: self.devices,
            share: self.share,
        };
        GuestConfig { software, memory_mib: self.memory_mib, cid: image::CID, mac, ports: self.ports, channels }
    }

    /// The stub that is to run instead of a kernel.
    fn stub_file(&self) -> Result<Option<StubFile>, Error> {
        self.stub_pages.map(StubFile::new).transpose().context("make a stub")
    }
}

impl TemplateConfig {
    /// A host's template.
    pub fn of_plan(plan: &Plan, host: HostId, files: SnapshotFiles, boot_timeout: Duration) -> Self {
        let ports = ports::of_template(plan, host);
        let machine = MachineConfig { ports, ..MachineConfig::of_plan(plan, image::template_cmdline(plan)) };
        TemplateConfig { machine, serial_fd: None, boot_timeout_s: boot_timeout.as_secs(), files }
    }

    /// Reads the arguments of a template that is started by hand, with a stub in it.
    pub fn parse_stub(args: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut machine = MachineConfig::stub(0, 0, Discovery::CommandLine);
        while let Some(arg) = args.next()? {
            match arg {
                Long("stub") => machine.stub_pages = Some(args.value()?.parse()?),
                Long("devices") => {
                    let word = |text: &str| Discovery::from_word(text).ok_or("neither acpi nor cmdline");
                    machine.devices = args.value()?.parse_with(word)?;
                }
                Long("memory-mib") => machine.memory_mib = args.value()?.parse()?,
                other => return Err(other.unexpected()),
            }
        }
        let boot_timeout_s = STUB_TIMEOUT_S;
        Ok(TemplateConfig { machine, serial_fd: None, boot_timeout_s, files: SnapshotFiles::default() })
    }

    /// The command of its process, to be started.
    pub fn command(&self, cgroup: Option<RawFd>) -> Result<Command, Error> {
        let fds: Vec<RawFd> = self.serial_fd.into_iter().collect();
        spawn::configured(TEMPLATE, "template", self, &fds, cgroup)
    }
}

impl ColdConfig {
    /// A guest with these ends of its channels.
    pub fn new(machine: MachineConfig, mac: Mac, guest: GuestId, [control, serial, cable]: [RawFd; 3]) -> Self {
        let (control_fd, serial_fd, cable_fd) = (control, serial, cable);
        ColdConfig { machine, mac, user: user(guest), control_fd, serial_fd, cable_fd, outlives: false }
    }

    /// The command of its process, to be started.
    pub fn command(&self, cgroup: Option<RawFd>) -> Result<Command, Error> {
        let fds = [self.control_fd, self.serial_fd, self.cable_fd];
        let title = format!("cmdline={:?}", self.machine.cmdline);
        spawn::outliving(GUEST, &title, self, &fds, cgroup, self.outlives)
    }
}

/// Starts a guest of this host that boots cold; with `outlives` it goes on when the node ends.
pub fn start_cold(
    plan: &Plan,
    node: Node,
    ports: Ports,
    ends: &GuestEnds,
    cgroup: Option<RawFd>,
    outlives: bool,
) -> Result<tokio::process::Child, Error> {
    let mac = plan.mac(node).ok_or_else(no_guest)?;
    let machine = MachineConfig { ports, ..MachineConfig::of_plan(plan, image::cmdline(plan, node)) };
    let config = ColdConfig::new(machine, mac, node.guest, ends.all().map(|fd| fd.as_raw_fd()));
    let config = ColdConfig { outlives, ..config };
    let command = spawn::watched(config.command(cgroup)?).spawn();
    command.context("start the guest's monitor")
}

/// Runs a guest that boots cold until it ends.
pub fn run(config: ColdConfig) -> Result<(), Error> {
    spawn::end_before_others();
    let channels = GuestChannels {
        control: Some(fd::inherit(config.control_fd)?),
        serial: fd::inherit(config.serial_fd)?,
        card: Card::Plugged(fd::inherit(config.cable_fd)?),
        ports: config.machine.ports.macs.len() as u8,
    };
    let stub = config.machine.stub_file()?;
    let guest = config.machine.with(config.mac, channels, stub.as_ref());
    match vmatic_vmm::run(guest, config.user, config.outlives).context("run the guest")? {
        Exit::Shutdown => Ok(()),
        Exit::Killed => std::process::exit(TERMINATED_STATUS),
    }
}

/// Boots a template and forks its clones, until the node closes standard input's other end.
pub fn template(config: TemplateConfig) -> Result<(), Error> {
    spawn::end_before_others();
    let serial = match config.serial_fd {
        Some(fd) => fd::inherit(fd)?,
        None => io::stderr().as_fd().try_clone_to_owned().context("duplicate the console")?,
    };
    let channels = GuestChannels { control: None, serial, card: Card::Unplugged, ports: 0 };
    let socket = take_standard_input().context("take standard input")?;
    let stub = config.machine.stub_file()?;
    let said = if stub.is_some() { stub_said } else { said };
    let guest = config.machine.with(ports::TEMPLATE_MAC, channels, stub.as_ref());
    let limit = Duration::from_secs(config.boot_timeout_s);
    let reexec = ReexecCommand::new(&REEXEC).context("open this program")?;
    zygote::boot_and_serve(socket, guest, said, limit, &config.files, reexec).context("hold a template")
}

/// Goes on as a template where this process was before its re-exec.
pub fn template_goes_on(handover: RawFd) -> Result<(), Error> {
    let handover = fd::inherit(handover)?;
    zygote::resume_and_serve(handover).context("hold a template")
}

/// Standard input as a descriptor that is closed when it is dropped; in its place is nothing to read.
fn take_standard_input() -> io::Result<OwnedFd> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

/// Whether a template's agent has said, in whole, that it waits.
fn said(bytes: &[u8]) -> Readiness {
    let mut reader = FrameReader::new();
    reader.push(bytes);
    match reader.next_message() {
        Ok(Some(Message::Ready { version })) if understands(version) => Readiness::Ready,
        Ok(None) => Readiness::Waiting,
        Ok(Some(_)) | Err(_) => Readiness::Wrong,
    }
}

fn stub_said(bytes: &[u8]) -> Readiness {
    if bytes == stub::READY { Readiness::Ready } else { Readiness::Waiting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_tree::wire::frame;
    use vmatic_tree::wire::message::{VERSION, VERSION_STEPS_MAX};

    #[test]
    fn a_template_is_ready_when_it_has_said_so_in_whole() {
        let ready = frame::encode(&Message::Ready { version: VERSION }).unwrap();
        for cut in 0..ready.len() {
            assert_eq!(said(&ready[..cut]), Readiness::Waiting, "{cut} bytes");
        }
        assert_eq!(said(&ready), Readiness::Ready);
        for (version, said_so) in
            [(VERSION + VERSION_STEPS_MAX, Readiness::Ready), (VERSION + VERSION_STEPS_MAX + 1, Readiness::Wrong)]
        {
            assert_eq!(said(&frame::encode(&Message::Ready { version }).unwrap()), said_so, "{version}");
        }
        assert_eq!(said(&frame::encode(&Message::Heartbeat).unwrap()), Readiness::Wrong);
        assert_eq!(said(&[0xff; 16]), Readiness::Wrong);
    }
}
