//! The guests of this host: started, watched, started again.
//!
//! Takes the plan's number of guests; gives as many running guests, and for each
//! that is not up the reason. Guests are clones of a template; while there is none,
//! they boot cold, and that is said. One boot in 100,000 fails: a guest that does not
//! report in time, or ends, is noticed, said, counted, and started anew. Guests of another kind run in QEMU,
//! and so does the guest image where KVM does not work, if the host image has QEMU.

use crate::error::{Context, Error};
use crate::guest::admission::{self, max_concurrent_starts};
use crate::guest::backend::{Handle, Monitor};
use crate::guest::channels::GuestEnds;
use crate::guest::console::Ports;
use crate::guest::counters::Ledger;
use crate::guest::desired::{Wish, Wishes};
use crate::guest::qemu::{command::Accel, snapshot::Begin};
use crate::guest::vmm::template::{Asking, State};
use crate::guest::vmm::{process, template};
use crate::guest::{channels, image, qemu};
use crate::log::say;
use crate::machine::{cgroup, ksm::Ksm};
use crate::node::connection::Opening;
use crate::process::{spawn, user::user};
use crate::switch::supervisor::Cables;
use std::fs;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use vmatic_plan::{Node, Plan};
use vmatic_tree::frame;
use vmatic_tree::guest::{ExitReason, GuestExit, GuestState, NoGuests, StartMode};
use vmatic_tree::host::Event;
use vmatic_tree::message::Message;
use vmatic_tree::text::ShortText;
use vmatic_vmm::zygote::SnapshotFiles;

/// How long a guest may take from its start to its report. Emulated machines are slow.
const REPORT: Duration = Duration::from_secs(120);
/// The same for a guest in QEMU: another system, and emulated perhaps.
const REPORT_QEMU: Duration = Duration::from_secs(600);
/// After so many failed starts in a row a guest is tried without KVM.
const KVM_TRIES: usize = 2;
/// How long a guest that fell silent may take to end by itself.
const LEAVE: Duration = Duration::from_secs(1);
/// How long a guest that goes on may take until it counts as up again.
const RESUMED: Duration = Duration::from_secs(10);
/// How long a guest that goes on may keep others waiting.
const AWAKE: Duration = Duration::from_secs(2);
/// Waits before a guest is started again: short at first, then a minute.
const PAUSES_S: [u64; 4] = [1, 5, 20, 60];

/// Starts guests and keeps them running.
pub struct Launcher {
    pub plan: Plan,
    /// Where the plan was read.
    pub plan_file: PathBuf,
    pub host: u32,
    pub openings: mpsc::Sender<Opening>,
    pub events: mpsc::Sender<Event>,
    pub ledger: Arc<Ledger>,
    pub wishes: Arc<Wishes>,
    /// Where a template may have been saved.
    pub files: SnapshotFiles,
    pub ports: Ports,
    /// Why there is no KVM, if there is none.
    pub no_kvm: Option<String>,
    pub qemu: qemu::Layer,
}

/// What the guests share.
struct Shared {
    launcher: Launcher,
    cables: Rc<Cables>,
    group: Option<fs::File>,
    template: watch::Receiver<State>,
    booting: Arc<Semaphore>,
    resuming: Arc<Semaphore>,
    ksm: Ksm,
    saved: qemu::snapshot::Store,
}

/// Shows what a guest's console said last, and adds the line that tells why it ended, if there is one.
fn with_last_words(mut exit: GuestExit, guest: u32, said: &[u8]) -> GuestExit {
    let when = if exit.was_up { "last" } else { "while it booted" };
    channels::show(&format!("guest {guest}"), said, when);
    if !is_wished(&exit) {
        exit.console = channels::verdict(said).map(ShortText::new);
    }
    exit
}

/// Whether the operator ended it.
fn is_wished(exit: &GuestExit) -> bool {
    exit.reason == ExitReason::Operator
}

impl Launcher {
    /// Keeps every guest of the plan running; returns when all have their keepers.
    pub async fn run(self) {
        let ordinary = self.qemu.any_ordinary(&self.plan);
        if let Some(why) = self.no_kvm.as_ref().filter(|_| !self.qemu.there) {
            return self.all_down(NoGuests::NoKvm(ShortText::new(why))).await;
        }
        if let Some(file) = image::missing() {
            return self.all_down(NoGuests::NoFile(ShortText::new(file))).await;
        }
        let guests = self.plan.guests_per_host;
        if guests == 0 {
            return;
        }
        let group = cgroup::open(guests + self.qemu.guests(&self.plan).saturating_mul(qemu::THREADS));
        let (state, template) = watch::channel(State::Booting);
        let no_template = match &self.no_kvm {
            Some(why) => Some(format!("no KVM: {why}")),
            None if !ordinary || self.qemu.kinds.all_in_qemu => Some("all guests run in QEMU".into()),
            None if image::cold(&self.plan) => Some("the guests' command line says vmatic.cold".into()),
            None => None,
        };
        if let Some(why) = no_template {
            state.send_replace(State::None(why.into()));
        } else {
            let group = group.as_ref().map(AsRawFd::as_raw_fd);
            tokio::task::spawn_local(template::keep(
                self.plan.clone(),
                self.files.clone(),
                group,
                REPORT,
                state,
                self.ledger.clone(),
            ));
        }
        let shared = Rc::new(Shared {
            cables: Cables::keep(self.plan_file.clone(), self.host),
            launcher: self,
            group,
            template,
            booting: Arc::new(Semaphore::new(max_concurrent_starts(false))),
            resuming: Arc::new(Semaphore::new(max_concurrent_starts(true))),
            ksm: Ksm::default(),
            saved: qemu::snapshot::Store::default(),
        });
        for guest in 1..=guests {
            tokio::task::spawn_local(keep(shared.clone(), guest));
        }
    }

    /// Says of all guests why they are down.
    async fn all_down(&self, why: NoGuests) {
        let state = GuestState::Disabled(why);
        say(&format!("no guests: {state}"));
        for guest in 1..=self.plan.guests_per_host {
            self.tell(guest, state.clone()).await;
        }
    }

    async fn tell(&self, guest: u32, state: GuestState) {
        let _ = self.events.send(Event::Guest { guest, state }).await;
    }
}

/// Starts one guest again and again.
async fn keep(shared: Rc<Shared>, guest: u32) {
    let launcher = &shared.launcher;
    // `in_vain`: lives that began, and in which it did not report.
    let (mut failures, mut in_vain) = (0, 0);
    loop {
        if launcher.wishes.of(guest) == Wish::Stop {
            launcher.tell(guest, GuestState::Stopped).await;
            launcher.wishes.until(guest, |wish| wish != Wish::Stop).await;
        }
        let failed = |e: Error| {
            let full = cgroup::full().map(|why| format!(": {why}")).unwrap_or_default();
            let reason = ExitReason::NotStarted(ShortText::new(format!("{e}{full}")));
            GuestExit { reason, was_up: false, console: None }
        };
        let lived = shared.turn(guest, in_vain).await;
        in_vain += usize::from(lived.as_ref().is_ok_and(|exit| !exit.was_up && !is_wished(exit)));
        let exit = lived.unwrap_or_else(failed);
        shared.cables.unplug(guest);
        launcher.ports.of(guest).note(&format!("guest {guest} {exit}"));
        // Here, and not only when the node comes to it: the next life would take the flag of this one for its own.
        launcher.ledger.set(guest, false);
        if is_wished(&exit) {
            failures = 0;
            launcher.tell(guest, GuestState::Ended(exit)).await;
            continue;
        }
        launcher.ledger.count(guest, exit.clone());
        failures = if exit.was_up { 1 } else { failures + 1 };
        let pause_s = PAUSES_S[(failures - 1).min(PAUSES_S.len() - 1)];
        let state = GuestState::BackingOff { retry_in_s: pause_s as u32, cause: exit };
        say(&format!("guest {guest}: {state} ({failures} in a row)"));
        launcher.tell(guest, state).await;
        sleep(Duration::from_secs(pause_s)).await;
    }
}

impl Shared {
    /// The template, once it is known whether there is one.
    async fn template(&self) -> State {
        let mut template = self.template.clone();
        match template.wait_for(|state| !matches!(state, State::Booting)).await {
            Ok(state) => state.clone(),
            // Nobody keeps one: then it stays as it was last said.
            Err(_) => self.template.borrow().clone(),
        }
    }

    /// One life of a guest.
    async fn turn(&self, guest: u32, in_vain: usize) -> Result<GuestExit, Error> {
        if let Some(machine) = self.machine(guest, in_vain) {
            return self.turn_in_qemu(guest, &machine).await;
        }
        self.launcher.tell(guest, GuestState::WaitingForTemplate).await;
        let template = self.template().await;
        let turn = self.wait_for_turn(guest, &template).await?;
        let node = Node::guest(self.launcher.host, guest);
        let plan = &self.launcher.plan;
        let (mut ours, theirs) = channels::make(self.cables.plug(guest).await?)?;
        let mut monitor = match &template {
            State::Ready(asking) => {
                let clone = asking.start(guest, &theirs).await?;
                self.launcher.ledger.cloned.fetch_add(1, Ordering::Relaxed);
                Monitor::Clone(clone)
            }
            _ => {
                let child = self.start_cold(node, &theirs)?;
                self.launcher.ledger.cold.fetch_add(1, Ordering::Relaxed);
                Monitor::Cold(child)
            }
        };
        drop(theirs);
        if matches!(monitor, Monitor::Clone(_)) {
            // It runs already, so that the time it is told is the time.
            let told = frame::encode(&Message::Become(image::identity(plan, node)));
            let told = told.context(|| "encode an identity".into())?;
            ours.control.write_all(&told).await.context(|| "tell the clone who it is".into())?;
        }
        let console = tokio::task::spawn_local(self.launcher.ports.of(guest).keep(ours.serial));
        let _ = self.launcher.openings.send(Opening::guest(guest, ours.control)).await;
        let asking = if let State::Ready(asking) = &template { Some(&**asking) } else { None };
        let exit = self.watch(guest, &mut monitor, turn, REPORT, asking).await?;
        if let (Some(asking), false, false) = (asking, is_wished(&exit), exit.was_up) {
            asking.doubt().await;
        }
        Ok(with_last_words(exit, guest, &console.await.unwrap_or_default()))
    }

    /// Waits until it is this guest's turn to start, and there is room for it.
    async fn wait_for_turn(&self, guest: u32, template: &State) -> Result<OwnedSemaphorePermit, Error> {
        let launcher = &self.launcher;
        let (turns, need_mib, mode) = match template {
            State::Ready(asking) => (&asking.turns, admission::CLONE_MIB, StartMode::Clone),
            other => (&self.booting, u64::from(launcher.plan.guest_memory_mib), template::cold_start(other)),
        };
        self.wait_for_room(guest, turns, need_mib, mode).await
    }

    async fn wait_for_room(
        &self,
        guest: u32,
        turns: &Arc<Semaphore>,
        need_mib: u64,
        mode: StartMode,
    ) -> Result<OwnedSemaphorePermit, Error> {
        let launcher = &self.launcher;
        launcher.tell(guest, GuestState::Queued).await;
        let turn = turns.clone().acquire_owned().await.context(|| "wait for a turn".into())?;
        admission::wait(need_mib, async |state| launcher.tell(guest, state).await).await;
        launcher.tell(guest, GuestState::Starting(mode)).await;
        Ok(turn)
    }

    /// One life of a guest in QEMU.
    async fn turn_in_qemu(&self, guest: u32, machine: &qemu::Machine) -> Result<GuestExit, Error> {
        let launcher = &self.launcher;
        let kind = &machine.kind;
        launcher.tell(guest, GuestState::WaitingForSnapshot { kind: ShortText::new(&kind.name) }).await;
        let begin = self.saved.begin(kind, machine.accel).await;
        let restored = matches!(begin, Begin::From(_));
        let turn = self.wait_for_room(guest, &self.booting, machine.need_mib(), machine.start_mode()).await?;
        self.ksm.merge_pages();
        let (ours, theirs) = channels::make(self.cables.plug(guest).await?)?;
        let group = self.group.as_ref().map(AsRawFd::as_raw_fd);
        let node = Node::guest(launcher.host, guest);
        let (qemu, ready) = machine.start(&launcher.plan, node, &theirs, group, begin).await?;
        drop(theirs);
        launcher.ledger.qemu.fetch_add(1, Ordering::Relaxed);
        launcher.ledger.restored.fetch_add(u64::from(restored), Ordering::Relaxed);
        let console = tokio::task::spawn_local(launcher.ports.of(guest).keep(ours.serial));
        if qemu.leaf {
            let _ = launcher.openings.send(Opening::guest(guest, ours.control)).await;
        } else {
            let (events, qmp) = (launcher.events.clone(), qemu.qmp.clone());
            tokio::task::spawn_local(async move {
                qmp.up.set(ready.await.is_ok());
                // One that is held is up as soon as it goes on.
                if qmp.up.get() && !qmp.is_held() {
                    let _ = events.send(Event::Guest { guest, state: GuestState::Unmanaged }).await;
                }
            });
        }
        let exit = self.watch(guest, &mut Monitor::Qemu(qemu), turn, REPORT_QEMU, None).await?;
        if exit.was_up && machine.accel == Accel::Kvm {
            launcher.ledger.kvm_ran.store(true, Ordering::Relaxed);
        }
        if restored && !exit.was_up && !is_wished(&exit) {
            say(&format!("guests {:?} boot each: guest {guest} could not go on from the saved state", kind.name));
            self.saved.forget(kind);
        }
        Ok(with_last_words(exit, guest, &console.await.unwrap_or_default()))
    }

    /// What QEMU is to run as this guest; none if VMatic's own monitor is to run it. Where KVM is there and no guest
    /// came up with it (it may run bare code, and not Linux), the next try is without.
    fn machine(&self, guest: u32, in_vain: usize) -> Option<qemu::Machine> {
        let launcher = &self.launcher;
        let in_vain = in_vain >= KVM_TRIES && !launcher.ledger.kvm_ran.load(Ordering::Relaxed);
        let emulate = launcher.no_kvm.is_some() || in_vain;
        let kind = launcher.qemu.kind(guest, &launcher.plan, emulate)?;
        Some(qemu::Machine { kind, accel: if emulate { Accel::Tcg } else { Accel::Kvm } })
    }

    /// Sees a guest to its end. `turn` is given back when it has reported: it boots no more.
    async fn watch(
        &self,
        guest: u32,
        monitor: &mut Monitor,
        turn: OwnedSemaphorePermit,
        limit: Duration,
        template: Option<&Asking>,
    ) -> Result<GuestExit, Error> {
        let up = self.launcher.ledger.of(guest);
        let mut up = up.ok_or_else(|| Error::new(format!("the plan has no guest {guest}")))?;
        let handle = monitor.handle();
        let obey = self.obey(guest, &handle);
        tokio::pin!(obey);
        let reported = tokio::select! {
            how = monitor.wait() => Err(how),
            seen = self.report(guest, &mut up, limit, turn) => Ok(seen),
            () = &mut obey => {
                monitor.kill().await;
                return Ok(GuestExit { reason: ExitReason::Operator, was_up: false, console: None });
            }
        };
        if let (Handle::Process(pid), Ok(true)) = (&handle, &reported) {
            self.launcher.ledger.kvm_ran.store(true, Ordering::Relaxed);
            if let Some(asking) = template {
                asking.proved(*pid).await;
            }
        }
        let was_up = reported == Ok(true);
        let reason = match reported {
            Ok(true) => tokio::select! {
                how = monitor.wait() => how,
                () = self.silence(guest, &mut up) => match timeout(LEAVE, monitor.wait()).await {
                    // One that ends is heard to fall silent first.
                    Ok(how) => how,
                    Err(_) => {
                        // Its leaf cannot be reached any more; a new life is the shortest way back.
                        monitor.kill().await;
                        ExitReason::Silent
                    }
                },
                () = &mut obey => {
                    monitor.kill().await;
                    ExitReason::Operator
                }
            },
            Ok(false) => {
                monitor.kill().await;
                ExitReason::NoReport { within_s: limit.as_secs() as u32 }
            }
            Err(how) => how,
        };
        Ok(GuestExit { reason, was_up, console: None })
    }

    /// Whether it reports within the limit. While the operator holds it, it cannot, and others have its turn.
    async fn report(
        &self,
        guest: u32,
        up: &mut watch::Receiver<bool>,
        limit: Duration,
        turn: OwnedSemaphorePermit,
    ) -> bool {
        let wishes = &self.launcher.wishes;
        let mut turn = Some(turn);
        loop {
            if wishes.of(guest) == Wish::Pause {
                drop(turn.take());
                wishes.until(guest, |wish| wish != Wish::Pause).await;
            }
            tokio::select! {
                seen = timeout(limit, up.wait_for(|up| *up)) => return seen.is_ok(),
                () = wishes.until(guest, |wish| wish == Wish::Pause) => {}
            }
        }
    }

    /// Ends when a guest is not up any more, though nobody holds it.
    async fn silence(&self, guest: u32, up: &mut watch::Receiver<bool>) {
        let wishes = &self.launcher.wishes;
        loop {
            // Its flag cannot go away: the ledger is kept as long as this is.
            let _ = up.wait_for(|up| !up).await;
            if wishes.of(guest) != Wish::Pause {
                return;
            }
            wishes.until(guest, |wish| wish != Wish::Pause).await;
            let _ = timeout(RESUMED, up.wait_for(|up| *up)).await;
        }
    }

    /// Holds a guest and lets it go on, as the operator wishes; ends when it is to end.
    async fn obey(&self, guest: u32, handle: &Handle) {
        let wishes = &self.launcher.wishes;
        let life = wishes.life(guest);
        let mut paused = false;
        loop {
            let wish = wishes.of(guest);
            if wish == Wish::Stop || wishes.life(guest) != life {
                return;
            }
            if paused != (wish == Wish::Pause) {
                paused = !paused;
                let turn = if paused { None } else { self.resuming.clone().acquire_owned().await.ok() };
                if let Err(e) = handle.hold(paused).await {
                    say(&format!("guest {guest}: {e}"));
                }
                self.give_back(guest, turn);
                self.launcher.tell(guest, if paused { GuestState::Paused } else { GuestState::Up }).await;
                if !paused && matches!(handle, Handle::Qemu(qmp, false) if qmp.up.get()) {
                    self.launcher.tell(guest, GuestState::Unmanaged).await;
                }
            }
            wishes.changed(guest, wish, life).await;
        }
    }

    /// Lets the next guest go on when this one is up, or soon: those that wake together wait for each other.
    fn give_back(&self, guest: u32, turn: Option<OwnedSemaphorePermit>) {
        if let (Some(turn), Some(mut up)) = (turn, self.launcher.ledger.of(guest)) {
            tokio::task::spawn_local(async move {
                let _ = timeout(AWAKE, up.wait_for(|up| *up)).await;
                drop(turn);
            });
        }
    }

    fn start_cold(&self, node: Node, ends: &GuestEnds) -> Result<Child, Error> {
        self.ksm.merge_pages();
        let plan = &self.launcher.plan;
        let mac = plan.mac(node).ok_or_else(|| Error::new(format!("the plan has no guest {node}")))?;
        let fds: [RawFd; 3] = ends.all().map(|fd| fd.as_raw_fd());
        let mut command = spawn::command("guest", &fds, self.group.as_ref().map(AsRawFd::as_raw_fd));
        command.args(process::words(plan, image::cmdline(plan, node)));
        command.arg("--user").arg(user(node.guest).to_string());
        command.arg("--mac").arg(mac.to_string());
        for (option, fd) in ["--control-fd", "--serial-fd", "--tap-fd"].into_iter().zip(fds) {
            command.arg(option).arg(fd.to_string());
        }
        command.spawn().context(|| format!("start the monitor of guest {}", node.guest))
    }
}
