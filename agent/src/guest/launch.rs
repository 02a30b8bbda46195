//! From what a guest starts from to its running process.
//!
//! Takes what all guests share; gives the source once it is known (a template, a kind's snapshot, neither), and then
//! the process with all that the driver holds of it. Dropped, the process ends.

use super::admission;
use super::adopted::AdoptedProcess;
use super::backend::GuestProcess;
use super::channels::{self, GuestEnds};
use super::outliving::{Found, GuestNote, Ran};
use super::ports::{self, PortsOfGuest};
use super::qemu::snapshot::Begin;
use super::qemu::{self, QemuEnds, Qmp, command::Accel};
use super::shared::Shared;
use super::vmm::template::{self, Template, ZygoteClient};
use super::{image, vmm};
use crate::error::{Context, Error, no_guest};
use crate::log::log;
use crate::opening::Opening;
use rustix::process::{Pid, PidfdFlags};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use vmatic_plan::{GuestId, Node};
use vmatic_tree::guest::StartMode;
use vmatic_tree::wire::frame;
use vmatic_tree::wire::message::Message;

/// How long a guest may take from its start to its report. Emulated machines are slow.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(120);
/// The same for a guest in QEMU: another system, and emulated perhaps.
pub const QEMU_BOOT_TIMEOUT: Duration = Duration::from_secs(600);

/// What a guest starts from.
pub enum Source {
    /// The template, whose zygote forks a clone.
    Clone(Arc<ZygoteClient>),
    /// Nothing: it boots, for this lack of a template.
    Cold(StartMode),
    /// QEMU, at power-on or from its kind's snapshot.
    Qemu(Box<qemu::Machine>, Box<Begin>),
}

/// How it is known that a guest is up.
pub enum Report {
    /// Its agent is heard.
    Agent(watch::Receiver<bool>),
    /// It has no agent, and is ready when this is told; nothing, once it was.
    Ready(Option<oneshot::Receiver<()>>),
}

/// A guest with a process.
pub struct Launched {
    /// Its process: dropped, it ends.
    pub process: GuestProcess,
    /// How it is known that it is up.
    pub report: Report,
    /// Keeps what it says, to its end; gives the last of it.
    pub console: JoinHandle<Vec<u8>>,
    /// What it was cloned from.
    pub zygote: Option<Arc<ZygoteClient>>,
    /// Whether KVM runs it.
    pub kvm: bool,
    /// Its kind, if it started from that kind's snapshot.
    pub restored: Option<vmatic_plan::guest_kinds::Kind>,
    /// Its agent's stream, of one that an earlier node started: a link as soon as the guest goes on, since one that is
    /// paused cannot say that it is there.
    pub opening: Option<Opening>,
}

impl Source {
    /// How it starts, for the operator.
    pub fn mode(&self) -> StartMode {
        match self {
            Source::Clone(_) => StartMode::Clone,
            Source::Cold(mode) => mode.clone(),
            Source::Qemu(machine, _) => machine.start_mode(),
        }
    }

    /// How long it may take to report.
    pub fn boot_timeout(&self) -> Duration {
        if let Source::Qemu(..) = self { QEMU_BOOT_TIMEOUT } else { BOOT_TIMEOUT }
    }

    /// Memory that it may take at once, in MiB.
    pub fn need_mib(&self, shared: &Shared) -> u64 {
        match self {
            Source::Clone(_) => admission::CLONE_MIB,
            Source::Cold(_) => u64::from(shared.plan.guest_memory_mib),
            Source::Qemu(machine, _) => machine.need_mib(),
        }
    }
}

/// What a guest starts from, once that is known; `machine` if QEMU is to run it.
pub async fn prepare(shared: &Shared, machine: Option<qemu::Machine>) -> Source {
    if let Some(machine) = machine {
        let begin = shared.snapshots.begin(&machine.kind, machine.accel).await;
        return Source::Qemu(Box::new(machine), Box::new(begin));
    }
    let mut template = shared.template.clone();
    let state = match template.wait_for(|state| !matches!(state, Template::Booting)).await {
        Ok(state) => state.clone(),
        // Nobody keeps one: then it stays as it was last said.
        Err(_) => shared.template.borrow().clone(),
    };
    match state {
        Template::Ready(zygote) => Source::Clone(zygote),
        other => Source::Cold(template::cold_start(&other)),
    }
}

/// Starts a guest that was restarted so often.
pub async fn launch(shared: &Shared, guest: GuestId, source: Source, restarts: u32) -> Result<Launched, Error> {
    let node = Node::guest(shared.host, guest);
    let ports = find_ports(shared, node).await?;
    let cable = shared.switch.plug(guest).await?;
    let (mut ours, theirs) = channels::make(cable, ports.count > 0)?;
    match source {
        Source::Qemu(machine, begin) => {
            launch_in_qemu(shared, node, (*machine, *begin), (ours, theirs), restarts).await
        }
        Source::Clone(zygote) => {
            let clone = zygote.start(guest, ports.count, &theirs, shared.outliving.is_there()).await?;
            drop(theirs);
            keep(shared, guest, clone.pid(), clone.pidfd(), &ours, restarts)?;
            shared.guests.count(|stats| stats.cloned += 1);
            // It runs already, so that the time it is told is the time.
            let told = frame::encode(&Message::Become(image::identity(&shared.plan, node)));
            let told = told.context("encode an identity")?;
            let told = [ports.told, told].concat();
            ours.control.write_all(&told).await.context("tell the clone who it is")?;
            managed(shared, guest, GuestProcess::Clone(clone), ours, Some(zygote)).await
        }
        Source::Cold(_) => {
            let child = start_cold(shared, node, ports.cards, &theirs)?;
            drop(theirs);
            // It waits there until the guest's agent calls.
            ours.control.write_all(&ports.told).await.context("tell the guest of its ports")?;
            let (pid, pidfd) = opened(&child)?;
            keep(shared, guest, pid, pidfd.as_fd(), &ours, restarts)?;
            shared.guests.count(|stats| stats.cold += 1);
            managed(shared, guest, GuestProcess::Cold(child), ours, None).await
        }
    }
}

/// A guest in VMatic's own monitor: its agent's link is handed to the tree.
async fn managed(
    shared: &Shared,
    guest: GuestId,
    process: GuestProcess,
    ours: channels::HostEnds,
    zygote: Option<Arc<ZygoteClient>>,
) -> Result<Launched, Error> {
    let report = Report::Agent(heard(shared, guest)?);
    let console = tokio::task::spawn_local(shared.ports.of(guest).keep(ours.serial));
    let _ = shared.openings.send(Opening::guest(guest, ours.control)).await;
    Ok(Launched { process, report, console, zygote, kvm: true, restored: None, opening: None })
}

/// A child of ours as a descriptor.
fn opened(child: &tokio::process::Child) -> Result<(Pid, OwnedFd), Error> {
    let tried = "watch a guest's process";
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or("it has ended").context(tried)?;
    Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).context(tried)?))
}

/// Has a guest in VMatic's own monitor outlive this node.
fn keep(
    shared: &Shared,
    guest: GuestId,
    pid: Pid,
    pidfd: BorrowedFd,
    ours: &channels::HostEnds,
    restarts: u32,
) -> Result<(), Error> {
    let cable = shared.switch.end(guest).ok_or("it has no cable").context("have a guest outlive the node")?;
    let fds = [pidfd, ours.control.as_fd(), ours.serial.as_fd(), cable.as_fd()];
    shared.outliving.keep(guest, pid, GuestNote::new(Ran::Monitor, restarts), &fds)
}

/// Goes on with a guest that an earlier node started; its process is ended if that fails.
pub async fn adopt(shared: &Shared, guest: GuestId, found: Found) -> Result<(Launched, GuestNote), Error> {
    let Found { note, process, fds, .. } = found;
    let process = AdoptedProcess::new(process, shared.outliving.ended(guest))?;
    let lacks = || Error::new("go on with a guest").because("the keeper did not hold all of it");
    let mut fds = fds.into_iter();
    let managed = !matches!(note.ran, Ran::Qemu { managed: false, .. });
    let control = if managed { Some(channels::stream(fds.next().ok_or_else(lacks)?)?) } else { None };
    let (process, serial, kvm) = match note.ran {
        Ran::Monitor => {
            let serial = channels::stream(fds.next().ok_or_else(lacks)?)?;
            shared.switch.plug_end(guest, fds.next().ok_or_else(lacks)?).await;
            (GuestProcess::Adopted(process, None), serial, true)
        }
        Ran::Qemu { kvm, .. } => {
            let node = Node::guest(shared.host, guest);
            let ends = QemuEnds::take(fds).ok_or_else(lacks)??;
            let (ours, theirs) = channels::make(shared.switch.plug(guest).await?, ports::has_some(&shared.plan, node))?;
            let (qmp, ..) = ends.relay(&theirs, "", |monitor| Qmp::goes_on(monitor, image::unix_ns()))?;
            (GuestProcess::Adopted(process, Some(qmp)), ours.serial, kvm)
        }
    };
    let console = tokio::task::spawn_local(shared.ports.of(guest).keep(serial));
    let report = if managed { Report::Agent(heard(shared, guest)?) } else { Report::Ready(None) };
    let opening = control.map(|control| Opening::guest_again(guest, control, note.boot.unwrap_or_default()));
    shared.outliving.goes_on(guest, note.clone());
    Ok((Launched { process, report, console, zygote: None, kvm, restored: None, opening }, note))
}

async fn launch_in_qemu(
    shared: &Shared,
    node: Node,
    (machine, begin): (qemu::Machine, Begin),
    (ours, theirs): (channels::HostEnds, GuestEnds),
    restarts: u32,
) -> Result<Launched, Error> {
    shared.ksm.merge_pages();
    let restored = matches!(begin, Begin::From(_));
    let group = shared.group.as_ref().map(AsRawFd::as_raw_fd);
    let start = qemu::Start { ends: &theirs, group, begin, outlives: shared.outliving.is_there() };
    let (mut qemu, ready) = machine.start(&shared.plan, node, start).await?;
    drop(theirs);
    keep_qemu(shared, node.guest, &mut qemu, (&ours, machine.accel), restarts)?;
    shared.guests.count(|stats| {
        stats.qemu += 1;
        stats.restored += u64::from(restored);
    });
    let console = tokio::task::spawn_local(shared.ports.of(node.guest).keep(ours.serial));
    let report = if qemu.managed {
        let _ = shared.openings.send(Opening::guest(node.guest, ours.control)).await;
        Report::Agent(heard(shared, node.guest)?)
    } else {
        Report::Ready(Some(ready))
    };
    let kvm = machine.accel == Accel::Kvm;
    let restored = restored.then_some(machine.kind);
    Ok(Launched { process: GuestProcess::Qemu(qemu), report, console, zygote: None, kvm, restored, opening: None })
}

/// Has a guest in QEMU outlive this node.
fn keep_qemu(
    shared: &Shared,
    guest: GuestId,
    qemu: &mut qemu::Qemu,
    (ours, accel): (&channels::HostEnds, Accel),
    restarts: u32,
) -> Result<(), Error> {
    let held = std::mem::take(&mut qemu.held);
    if held.is_empty() {
        return Ok(());
    }
    let (pid, pidfd) = opened(&qemu.child)?;
    let ran = Ran::Qemu { kvm: accel == Accel::Kvm, managed: qemu.managed };
    let control = qemu.managed.then(|| ours.control.as_fd());
    let fds: Vec<BorrowedFd> = [pidfd.as_fd()].into_iter().chain(control).chain(held.iter().map(AsFd::as_fd)).collect();
    shared.outliving.keep(guest, pid, GuestNote::new(ran, restarts), &fds)
}

fn heard(shared: &Shared, guest: GuestId) -> Result<watch::Receiver<bool>, Error> {
    shared.guests.heard(guest).ok_or_else(no_guest)
}

/// What a guest has in the network. In a thread of its own: without a law of next hops it is a search.
async fn find_ports(shared: &Shared, node: Node) -> Result<PortsOfGuest, Error> {
    let plan = shared.plan.clone();
    if plan.network.is_none() {
        return Ok(PortsOfGuest::default());
    }
    let found = tokio::task::spawn_blocking(move || ports::of_guest(&plan, node)).await;
    found.context("wait for a thread")?
}

fn start_cold(
    shared: &Shared,
    node: Node,
    ports: vmatic_vmm::Ports,
    ends: &GuestEnds,
) -> Result<tokio::process::Child, Error> {
    shared.ksm.merge_pages();
    let group = shared.group.as_ref().map(AsRawFd::as_raw_fd);
    vmm::process::start_cold(&shared.plan, node, ports, ends, group, shared.outliving.is_there())
}

impl Launched {
    /// It never came up: what it started from may be to blame.
    pub async fn doubt(self, shared: &Shared, guest: GuestId) {
        if let Some(zygote) = &self.zygote {
            zygote.doubt().await;
        }
        if let Some(kind) = &self.restored {
            log(&format!(
                "kind {:?}: no snapshot used (guest {guest} could not go on from it); every guest boots",
                kind.name
            ));
            shared.snapshots.forget(kind);
        }
    }
}
