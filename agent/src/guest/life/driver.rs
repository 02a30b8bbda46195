//! One guest's task: carries out what its life (`lifecycle`) says, and tells it what came of that.
//!
//! Takes what all guests of this host share; never ends. The life is this task's alone; what others may know of it is
//! told to `state`.

use super::lifecycle::{Action, Event, Life};
use crate::error::Error;
use crate::guest::admission;
use crate::guest::backend::{GuestProcess, Handle};
use crate::guest::desired::Desired;
use crate::guest::launch::{Launched, Report, Source};
use crate::guest::outliving::Found;
use crate::guest::shared::Shared;
use crate::guest::vmm::template::Template;
use crate::guest::{channels, launch};
use crate::log::log;
use crate::machine::cgroup;
use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until};
use vmatic_plan::GuestId;
use vmatic_tree::guest::{ExitReason, GuestExit, GuestState, StartMode};
use vmatic_tree::text::ShortText;

/// What came of what the driver waited for.
enum Came {
    /// What the guest starts from, how, and how long it may take to report.
    Prepared(Source, StartMode, Duration),
    /// A permit to start.
    Permit(OwnedSemaphorePermit),
    /// It has to wait for memory still, and why.
    NoRoom(GuestState),
    /// There is memory.
    Room,
    /// A permit to go on.
    WakePermit(OwnedSemaphorePermit),
    /// Its process, or why there is none.
    Launched(Result<Box<Launched>, Error>),
}

type Waiting = Pin<Box<dyn Future<Output = Came>>>;

/// A guest's task, and what it holds for the guest.
struct GuestDriver {
    shared: Rc<Shared>,
    guest: GuestId,
    life: Life,
    start: Instant,
    desired: watch::Receiver<Desired>,
    /// Events that are to be taken before anything else.
    queue: VecDeque<Event>,
    waiting: Option<Waiting>,
    source: Option<Source>,
    permit: Option<OwnedSemaphorePermit>,
    wake_permit: Option<OwnedSemaphorePermit>,
    launched: Option<Box<Launched>>,
}

/// Drives a guest of the plan for ever, from what an earlier node left of it, if something is; needs a `LocalSet`.
pub async fn drive(shared: Rc<Shared>, guest: GuestId, found: Option<Found>) {
    let Some(mut desired) = shared.desired.of(guest) else { return };
    let wanted = *desired.borrow_and_update();
    let (life, actions, launched) = begin(&shared, guest, wanted, found).await;
    let mut driver = GuestDriver {
        shared,
        guest,
        life,
        start: Instant::now(),
        desired,
        queue: VecDeque::new(),
        waiting: None,
        source: None,
        permit: None,
        wake_permit: None,
        launched,
    };
    driver.carry_out(actions).await;
    loop {
        let event = match driver.queue.pop_front() {
            Some(event) => event,
            None => driver.next().await,
        };
        let (life, actions) = driver.life.clone().step(event, driver.now_ms());
        driver.life = life;
        driver.carry_out(actions).await;
    }
}

/// How the life begins, with the process if there is one.
async fn begin(
    shared: &Shared,
    guest: GuestId,
    desired: Desired,
    found: Option<Found>,
) -> (Life, Vec<Action>, Option<Box<Launched>>) {
    if let Some(found) = found {
        match launch::adopt(shared, guest, found).await {
            Ok((launched, note)) => {
                if launched.kvm {
                    shared.guests.set_kvm_ran();
                }
                let (life, actions) = Life::adopted(desired, note.restarts, launched.opening.is_some(), 0);
                return (life, actions, Some(Box::new(launched)));
            }
            Err(e) => {
                log(&format!("guest {guest}: {e}"));
                shared.outliving.forget(guest);
            }
        }
    }
    let (life, actions) = Life::new(desired);
    (life, actions, None)
}

impl GuestDriver {
    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Waits for what happens next.
    async fn next(&mut self) -> Event {
        let due = self.life.deadline_ms().map(|ms| self.start + Duration::from_millis(ms));
        let (process, report) = match &mut self.launched {
            Some(launched) => (Some(&mut launched.process), Some(&mut launched.report)),
            None => (None, None),
        };
        let came = tokio::select! {
            biased;
            // Fails only when the node ends.
            changed = self.desired.changed() => match changed {
                Ok(()) => return Event::Desired(*self.desired.borrow_and_update()),
                Err(_) => return pending().await,
            },
            reason = ended(process) => return self.exited(reason).await,
            event = heard(report, &self.life) => return event,
            came = come(&mut self.waiting) => came,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Event::Tick,
        };
        self.waiting = None;
        self.take(came)
    }

    /// Keeps what came, and says so as an event.
    fn take(&mut self, came: Came) -> Event {
        match came {
            Came::Prepared(source, mode, limit) => {
                self.source = Some(source);
                Event::Prepared(mode, limit.as_millis() as u64)
            }
            Came::Permit(permit) => {
                self.permit = Some(permit);
                Event::Permitted
            }
            Came::NoRoom(state) => {
                self.await_memory(true);
                Event::Waits(state)
            }
            Came::Room => Event::Admitted,
            Came::WakePermit(permit) => {
                self.wake_permit = Some(permit);
                Event::WakePermitted
            }
            Came::Launched(Ok(launched)) => {
                self.launched = Some(launched);
                Event::Launched
            }
            Came::Launched(Err(e)) => {
                let full = cgroup::full().map(|why| format!(": {why}")).unwrap_or_default();
                Event::NotLaunched(ShortText::new(format!("{e}{full}")))
            }
        }
    }

    /// Its process has ended: what its console said last tells why.
    async fn exited(&mut self, reason: ExitReason) -> Event {
        let console = self.launched.as_mut().map(|launched| &mut launched.console);
        let said = match console {
            Some(console) => console.await.unwrap_or_default(),
            None => Vec::new(),
        };
        let when = if self.life.came_up() { "last" } else { "while it booted" };
        channels::show(&format!("guest {}", self.guest), &said, when);
        Event::Exited { reason, console: channels::verdict(&said).map(ShortText::new) }
    }

    /// Carries out what the life says, and tells what the guest is doing then.
    async fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Prepare => self.prepare(),
                Action::AwaitPermit => self.await_permit(),
                Action::AwaitMemory => self.await_memory(false),
                Action::AwaitWakePermit => {
                    let permit = self.shared.waking.clone().acquire_owned();
                    self.wait_for(async move {
                        match permit.await {
                            Ok(permit) => Came::WakePermit(permit),
                            Err(_) => pending().await,
                        }
                    });
                }
                Action::StopWaiting => (self.waiting, self.source) = (None, None),
                Action::Launch => self.launch(),
                Action::ReturnPermit => self.permit = None,
                Action::ReturnWakePermit => self.wake_permit = None,
                Action::Pause => self.set_paused(true).await,
                Action::Resume => {
                    self.set_paused(false).await;
                    self.open_again().await;
                }
                Action::Kill => {
                    if let Some(launched) = &mut self.launched {
                        launched.process.start_kill();
                    }
                }
                Action::CameUp => self.came_up().await,
                Action::Ended { exit, unexpected, in_a_row } => self.ended(exit, unexpected, in_a_row).await,
            }
        }
        if self.life.has_process() {
            self.shared.outliving.restarted(self.guest, self.life.restarts_done());
        }
        self.shared.guests.set(self.guest, self.life.state()).await;
    }

    fn wait_for(&mut self, what: impl Future<Output = Came> + 'static) {
        self.waiting = Some(Box::pin(what));
    }

    fn prepare(&mut self) {
        let (shared, guest) = (self.shared.clone(), self.guest);
        let machine = shared.qemu_machine(guest, self.life.lives_never_up());
        let waits = match &machine {
            Some(machine) if machine.kind.snapshot => {
                Some(GuestState::WaitingForSnapshot { kind: ShortText::new(&machine.kind.name) })
            }
            None if matches!(*shared.template.borrow(), Template::Booting) => Some(GuestState::WaitingForTemplate),
            _ => None,
        };
        self.queue.extend(waits.map(Event::Waits));
        self.wait_for(async move {
            let source = launch::prepare(&shared, machine).await;
            let (mode, limit) = (source.mode(), source.boot_timeout());
            Came::Prepared(source, mode, limit)
        });
    }

    fn await_permit(&mut self) {
        let permits = match &self.source {
            Some(Source::Clone(zygote)) => zygote.permits.clone(),
            _ => self.shared.booting.clone(),
        };
        self.wait_for(async move {
            match permits.acquire_owned().await {
                Ok(permit) => Came::Permit(permit),
                Err(_) => pending().await,
            }
        });
    }

    fn await_memory(&mut self, later: bool) {
        let need_mib = self.source.as_ref().map_or(0, |source| source.need_mib(&self.shared));
        let before = self.life.state();
        self.wait_for(async move {
            let mut later = later;
            loop {
                if later {
                    sleep(admission::POLL_INTERVAL).await;
                }
                later = true;
                match admission::waiting(need_mib) {
                    None => return Came::Room,
                    Some(state) if state != before => return Came::NoRoom(state),
                    Some(_) => {}
                }
            }
        });
    }

    fn launch(&mut self) {
        let (shared, guest) = (self.shared.clone(), self.guest);
        let (Some(source), restarts) = (self.source.take(), self.desired.borrow().restarts) else { return };
        self.wait_for(
            async move { Came::Launched(launch::launch(&shared, guest, source, restarts).await.map(Box::new)) },
        );
    }

    async fn set_paused(&mut self, pause: bool) {
        let Some(handle) = self.launched.as_ref().map(|launched| launched.process.handle()) else { return };
        if let Err(e) = handle.pause(pause).await {
            log(&format!("guest {}: {e}", self.guest));
        }
    }

    /// One that an earlier node started goes on: its agent can be heard again.
    async fn open_again(&mut self) {
        if let Some(opening) = self.launched.as_mut().and_then(|launched| launched.opening.take()) {
            // Fails only when the node ends.
            let _ = self.shared.openings.send(opening).await;
        }
    }

    async fn came_up(&mut self) {
        self.shared.outliving.ready(self.guest);
        let Some(launched) = &self.launched else { return };
        if launched.kvm {
            self.shared.guests.set_kvm_ran();
        }
        if let (Some(zygote), Handle::Process(process)) = (&launched.zygote, launched.process.handle()) {
            zygote.clone().proved(process).await;
        }
    }

    /// A life is over: its cable is taken out, and the end is said and counted.
    async fn ended(&mut self, exit: GuestExit, unexpected: bool, in_a_row: u32) {
        let (shared, guest) = (self.shared.clone(), self.guest);
        let launched = self.launched.take();
        shared.switch.unplug(guest);
        shared.outliving.forget(guest);
        shared.ports.of(guest).note(&format!("guest {guest} {exit}"));
        // Here, and not only when the tree notices: the next life would take what was heard of this one for its own.
        shared.guests.forget(guest);
        if !unexpected {
            return;
        }
        log(&format!("guest {guest}: {exit} ({in_a_row} in a row)"));
        if let Some(launched) = launched.filter(|_| !exit.was_up) {
            launched.doubt(&shared, guest).await;
        }
        shared.guests.lost(guest, exit);
    }
}

async fn come(waiting: &mut Option<Waiting>) -> Came {
    match waiting {
        Some(waiting) => waiting.await,
        None => pending().await,
    }
}

async fn ended(process: Option<&mut GuestProcess>) -> ExitReason {
    match process {
        Some(process) => process.wait().await,
        None => pending().await,
    }
}

/// Waits until the guest is heard, or not heard any more, whichever its life does not know.
async fn heard(report: Option<&mut Report>, life: &Life) -> Event {
    let Some(report) = report else { return pending().await };
    match report {
        Report::Agent(heard) => {
            let Some(want) = life.listens_for() else { return pending().await };
            // Its sender lives as long as the node.
            let _ = heard.wait_for(|heard| *heard == want).await;
            if want { Event::Reported { managed: true } } else { Event::Silent }
        }
        Report::Ready(ready) => {
            let told = match ready {
                Some(ready) => ready.await.is_ok(),
                None => pending().await,
            };
            *report = Report::Ready(None);
            if told { Event::Reported { managed: false } } else { pending().await }
        }
    }
}
