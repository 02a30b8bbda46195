//! QEMU as the second backend of guests: other systems from a kernel, a disk or a CD, and the guest image where KVM
//! does not work. An optional layer: a host image without QEMU has none of this.
//!
//! Takes the kinds of guests that the builder put into the host image; gives a running process for a guest, in a
//! sandbox of its own and as a user of its own, with what the node holds of it: its monitor, and whether it is ready.

pub mod command;
mod disk;
mod ends;
mod port;
pub mod qmp;
pub mod sandbox;
mod serial;
pub mod snapshot;
mod tsc;

use crate::error::{Context, Error, no_guest};
use crate::guest::channels::{self, GuestEnds};
use crate::guest::image;
use crate::log::log;
use crate::process::fd::message_pair;
use crate::process::spawn;
use crate::process::user::user;
use command::{Accel, Board, Fds, Guest};
pub use ends::QemuEnds;
pub use qmp::Qmp;
use sandbox::{BackingDisk, QemuConfig};
use serde_json::Value;
use snapshot::Begin;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use vmatic_plan::guest_kinds::{Disk, DiskFormat, Kind, Kinds};
pub use vmatic_plan::host_image::QEMU as PROGRAM;
use vmatic_plan::host_image::{GUEST_KIND_FOLDER as FOLDER, GUEST_KINDS as FILE};
use vmatic_plan::{GuestId, Node, Plan};
use vmatic_tree::guest::{ExitReason, StartMode};
use vmatic_tree::text::ShortText;
use vmatic_vmm::sandbox::rootfs::Rootfs;

/// What a QEMU takes beside its guest's RAM, in MiB: measured at 30 to 60.
const EXTRA_MIB: u64 = 64;
/// What the guest image needs more than in VMatic's monitor, which maps kernel and image where the guest wants them;
/// here both are copied: with 24 MiB the kernel gives up.
const MORE_MIB: u32 = 16;
/// What its process must see of the host image. A folder that an image does not have is left out.
const SEES: [&str; 3] = ["/usr", "/lib", "/lib64"];
/// How often QEMU is asked whether a guest runs.
const STATUS_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Most threads of one QEMU: its own few, and those that read its disk.
pub const THREADS: u32 = 80;

/// QEMU on this host.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Whether the host image has it.
    pub there: bool,
    /// Which guests it is for.
    pub kinds: Kinds,
}

/// What a guest is, for QEMU.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Of the spec, or "guest image".
    pub kind: Kind,
    pub accel: Accel,
}

/// A QEMU that runs.
pub struct Qemu {
    pub child: Child,
    pub qmp: Rc<Qmp>,
    /// Whether VMatic's agent runs in it.
    pub managed: bool,
    /// What has to be held so that it can go on without this node, if it is to.
    pub held: Vec<OwnedFd>,
    words: JoinHandle<Vec<u8>>,
}

/// How a guest starts in QEMU.
pub struct Start<'a> {
    /// Its ends of its channels.
    pub ends: &'a GuestEnds,
    /// The control group that it enters.
    pub group: Option<RawFd>,
    /// What it starts from.
    pub begin: Begin,
    /// Whether it goes on when the node ends.
    pub outlives: bool,
}

impl Layer {
    /// What the host image says.
    pub fn find() -> Layer {
        let there = Path::new(PROGRAM).is_file();
        let kinds = match fs::read_to_string(FILE) {
            Ok(text) => Kinds::decode(&text).unwrap_or_else(|why| {
                log(&format!("cannot use {FILE}: {why}: all guests run the guest image"));
                Kinds::default()
            }),
            Err(_) => Kinds::default(),
        };
        Layer { there, kinds }
    }

    /// How many of a host's guests may run in QEMU, at most.
    pub fn guests(&self, plan: &Plan) -> u32 {
        if self.there { plan.guests_per_host } else { 0 }
    }

    /// Whether some guests of the plan are of no kind.
    pub fn any_ordinary(&self, plan: &Plan) -> bool {
        (1..=plan.guests_per_host).any(|guest| self.kinds.of(GuestId(guest)).is_none())
    }

    /// The kind of a guest that QEMU runs; `fallback` says that VMatic's own monitor cannot run the guest image.
    pub fn kind(&self, guest: GuestId, plan: &Plan, fallback: bool) -> Option<Kind> {
        let named = self.kinds.of(guest).cloned();
        named.or_else(|| (self.there && (self.kinds.all_in_qemu || fallback)).then(|| guest_image(plan)))
    }
}

/// The guest image as a kind.
fn guest_image(plan: &Plan) -> Kind {
    Kind {
        name: "guest-image".into(),
        memory_mib: plan.guest_memory_mib + MORE_MIB,
        cpus: 1,
        guest_agent: true,
        disk_writes_mib: 1,
        ..Kind::default()
    }
}

impl Machine {
    /// RAM of the host that it takes, in MiB.
    pub fn need_mib(&self) -> u64 {
        u64::from(self.kind.memory_mib) + EXTRA_MIB
    }

    /// How it starts.
    pub fn start_mode(&self) -> StartMode {
        StartMode::Qemu { kind: ShortText::new(&self.kind.name), emulated: self.accel == Accel::Tcg }
    }

    /// Which files of the host image it sees as what.
    fn files(&self) -> Vec<(PathBuf, PathBuf)> {
        let of_kind = |name: &str| Path::new(FOLDER).join(&self.kind.name).join(name);
        let kind = &self.kind;
        if kind.is_guest_image() {
            return vec![
                (image::KERNEL.into(), command::KERNEL.into()),
                (image::INITRAMFS.into(), command::INITRD.into()),
            ];
        }
        let all = [
            (kind.kernel, "kernel", command::KERNEL),
            (kind.initrd, "initrd", command::INITRD),
            (kind.disk.is_some(), "disk", command::DISK),
            (kind.cdrom, "cdrom", command::CDROM),
        ];
        all.into_iter().filter(|(there, ..)| *there).map(|(_, name, at)| (of_kind(name), at.into())).collect()
    }

    /// What QEMU is told of it.
    fn guest(&self, plan: &Plan, node: Node, state_fd: Option<RawFd>) -> Result<Guest, Error> {
        let mac = plan.mac(node).ok_or_else(no_guest)?;
        let kind = &self.kind;
        let image = kind.is_guest_image();
        let board =
            if image { Board::MicroVm(image::discovery()) } else { Board::Pc { legacy_devices: kind.legacy_devices } };
        let cmdline = match (image, kind.guest_agent) {
            (true, _) => Some(format!("{} {}", image::cmdline(plan, node), kind.cmdline)),
            (false, true) => Some(format!("{} {}", image::identity_words(plan, node), kind.cmdline)),
            (false, false) => Some(kind.cmdline.clone()),
        };
        Ok(Guest {
            name: plan.node_name(node).unwrap_or_default(),
            board,
            accel: self.accel,
            memory_mib: kind.memory_mib,
            cpus: kind.cpus,
            mac,
            kernel: cmdline.filter(|_| image || kind.kernel).map(|words| words.trim().to_owned()),
            initrd: image || kind.initrd,
            disk: kind.disk.is_some(),
            cdrom: kind.cdrom,
            state_fd,
        })
    }

    /// Starts it. The receiver is told when it is ready, if it has no agent that says so.
    pub async fn start(
        &self,
        plan: &Plan,
        node: Node,
        Start { ends, group, begin, outlives }: Start<'_>,
    ) -> Result<(Qemu, oneshot::Receiver<()>), Error> {
        let (saving, from) = match begin {
            Begin::Cold => (None, None),
            Begin::Save(saving) => (Some(saving), None),
            Begin::From(state) => (None, Some(state)),
        };
        let memory = from.as_ref().map(|state| fs::File::open(&state.memory)).transpose();
        let memory = memory.context("open a saved state")?;
        let mut what = self.guest(plan, node, memory.as_ref().map(AsRawFd::as_raw_fd))?;
        if let (Some(words), Accel::Tcg, Board::MicroVm(_)) = (&mut what.kernel, what.accel, what.board) {
            // In front: what the operator says of it comes later, and counts.
            *words = format!("{} {words}", tsc::boot_word().await);
        }
        let (serial, serial_end) = pair()?;
        let (monitor, monitor_end) = pair()?;
        let (cable, cable_end) = message_pair().context("make a cable")?;
        let fds = Fds {
            serial: serial_end.as_raw_fd(),
            cable: cable_end.as_raw_fd(),
            monitor: monitor_end.as_raw_fd(),
            control: (self.kind.guest_agent || self.kind.is_guest_image()).then(|| ends.control.as_raw_fd()),
        };
        let inherited: Vec<RawFd> =
            [fds.serial, fds.cable, fds.monitor].into_iter().chain(fds.control).chain(what.state_fd).collect();
        let mut config = self.config(&what, node, from.as_deref(), &fds)?;
        config.sandbox.outlives = outlives;
        let mut command = spawn::watched(config.command(&what.name, &inherited, group)?);
        let (words, stderr) = channels::console()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().context("start QEMU")?;
        // The command still has the other end of what QEMU says.
        drop(command);
        let process = child.id();
        let ours = QemuEnds { monitor, serial, cable, words };
        let held = if outlives { ours.duplicate()? } else { Vec::new() };
        let (qmp, words, heard) = ours.relay(ends, &self.kind.ready, Qmp::new)?;
        let (told, ready) = oneshot::channel();
        // What goes on from a state has said its words before.
        let (asking, by_words) = (qmp.clone(), !self.kind.ready.is_empty() && from.is_none());
        tokio::task::spawn_local(async move {
            if asking.greet().await && is_up(&asking, by_words, heard).await {
                if let Some(saving) = saving {
                    saving.save(&asking, process).await;
                }
                let _ = told.send(());
            }
        });
        let managed = fds.control.is_some();
        Ok((Qemu { child, qmp, managed, held, words }, ready))
    }

    /// What its process is told: where it lives, and what it runs there.
    fn config(&self, what: &Guest, node: Node, from: Option<&snapshot::State>, fds: &Fds) -> Result<QemuConfig, Error> {
        let (sandbox, disk) = self.sandbox(node, from)?;
        Ok(QemuConfig { sandbox, disk, arguments: command::arguments(what, fds) })
    }

    /// The same for the guest image, to be measured beside VMatic's own monitor.
    pub fn config_to_measure(plan: &Plan, node: Node, fds: &Fds) -> Result<QemuConfig, Error> {
        let machine = Machine { kind: guest_image(plan), accel: Accel::Kvm };
        machine.config(&machine.guest(plan, node, None)?, node, None, fds)
    }

    /// Where its process lives.
    fn sandbox(&self, node: Node, from: Option<&snapshot::State>) -> Result<(Rootfs, Option<BackingDisk>), Error> {
        let backing =
            |disk: Disk| BackingDisk { bytes: disk.virtual_bytes, format: disk.format, path: command::DISK.into() };
        let mut disk = self.kind.disk.map(backing);
        let there = SEES.into_iter().filter(|path| fs::symlink_metadata(path).is_ok());
        let mut binds: Vec<(PathBuf, PathBuf)> = there.map(|path| (path.into(), path.into())).collect();
        binds.extend(self.files());
        if let (Some(disk), Some(written)) = (&mut disk, from.and_then(|state| state.disk.as_ref())) {
            binds.push((written.clone(), command::WRITTEN.into()));
            (disk.format, disk.path) = (DiskFormat::Qcow2, command::WRITTEN.into());
        }
        let sandbox = Rootfs {
            user: user(node.guest),
            binds,
            scratch_mib: self.kind.disk_writes_mib,
            kvm: self.accel == Accel::Kvm,
            outlives: false,
        };
        Ok((sandbox, disk))
    }
}

/// Whether it is up: it has said its words, or, where it has none to say, QEMU runs it.
async fn is_up(qmp: &Qmp, by_words: bool, heard: oneshot::Receiver<()>) -> bool {
    if by_words {
        return heard.await.is_ok();
    }
    // A state takes a moment to be read; then it is held, as it was when it was saved. Ends when QEMU does.
    loop {
        match qmp.status().await.as_deref() {
            Ok("running") => return true,
            // KVM gave it up, and it never goes on: it ends, with what QEMU said of that.
            Ok("internal-error") => {
                let _ = qmp.ask("quit", Value::Null).await;
                return false;
            }
            // Whether it went on is asked next; one that does not answer in time is busy, and is asked again.
            Ok("paused") if !qmp.is_paused() => drop(qmp.ask("cont", Value::Null).await),
            Err(_) if qmp.has_ended() => return false,
            Ok(_) | Err(_) => {}
        }
        sleep(STATUS_POLL_INTERVAL).await;
    }
}

impl Qemu {
    /// Waits for its end; says how it ended, with what QEMU complained of.
    pub async fn wait(&mut self) -> ExitReason {
        let status = match self.child.wait().await {
            Ok(status) if status.success() => return ExitReason::Shutdown,
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        };
        let words = (&mut self.words).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&words);
        match text.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => ExitReason::Monitor(ShortText::new(format!("{status}: {}", line.escape_debug()))),
            None => ExitReason::Monitor(ShortText::new(status)),
        }
    }
}

/// The node's end of a stream, and the other, which its process inherits.
fn pair() -> Result<(UnixStream, OwnedFd), Error> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().context("make a socket pair")?;
    ours.set_nonblocking(true).context("set up a socket")?;
    Ok((UnixStream::from_std(ours).context("set up a socket")?, theirs.into()))
}
