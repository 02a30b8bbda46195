//! The life of one guest, as a pure state machine: (life, event, now) to (life, actions).
//!
//! Takes what happens to the guest and what the operator wants of it; gives what is to be done, in order. No clock, no
//! process, no socket: `driver` carries the actions out and says what came of them.
//!
//! ```text
//!                      wants it stopped                                  a guest that has no process
//!   +---------+ <------------------------------------------------------+   may be stopped at any time
//!   | Stopped |                                                        |
//!   +---------+ --wants it--> Preparing --> Queued --> Admitting --> Launching
//!                                 ^         permit     memory          |    |
//!                                 |                        launch fails|    |launched
//!                     its time    |                                    v    |
//!                    has come     +------------ BackingOff <-----------+    |
//!                                 |                ^                        |
//!                        operator |                | not the operator       |
//!                                 +---- exited ----+                        |
//!                                          ^                                v
//!             killed, or by itself         |                             Booting --reports--> Up <--+
//!        Ending ---------------------------+        (each of these may      |  ^              | |   |
//!          ^                               |         exit by itself)        |  |              | |   |reports
//!          |                               +--------------------------------+--|--------------+ |   |
//!          |                                                                |  |                v   |
//!          | wants it stopped, or restarted;                        pause   |  |   pause     Silent |
//!          | no report in time; silent for too long                         v  |   <----+       |   |
//!          +------------------------------------------------------------- Paused <-----+        +---+
//!                                                                           |  ^
//!                                                                     resume|  |pause
//!                                                                           v  |
//!                                                          Waking --permit--> Booting, Resuming or Up
//! ```
//!
//! A guest that is `Resuming` was up before it was paused, and has some time until its silence counts. Whoever has a
//! process can be paused; a guest that is wanted paused and ends is paused again as soon as it has a process.

use super::times::{
    ADOPTED_TIMEOUT_MS, BACKOFF_S, BOOT_LIMIT_DOUBLINGS_MAX, EXIT_GRACE_MS, RESUME_TIMEOUT_MS, WAKE_TIMEOUT_MS,
};
use crate::guest::desired::{Desired, Wanted};
use vmatic_tree::guest::{ExitReason, GuestExit, GuestState, StartMode};
use vmatic_tree::text::ShortText;

/// Where in its life a guest is; times are the driver's, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has no process, and is to have none.
    Stopped,
    /// It waits for what it starts from: a template, or a snapshot.
    Preparing,
    /// As many guests start as may at a time.
    Queued,
    /// It has its permit, and waits for memory.
    Admitting,
    /// Its process is being made.
    Launching,
    /// It runs, and has not reported.
    Booting {
        /// When it has taken too long.
        deadline_ms: u64,
    },
    /// It has reported.
    Up,
    /// Its agent cannot be heard any more: most likely it ends.
    Silent {
        /// When it is ended.
        deadline_ms: u64,
    },
    /// It is held.
    Paused,
    /// It is held still, and waits for a permit to go on: those that wake together wait for each other.
    Waking,
    /// It was up before it was held, and has to be heard again.
    Resuming {
        /// When its silence counts.
        deadline_ms: u64,
    },
    /// It was told to end.
    Ending(ExitReason),
    /// It ended, and is started again later.
    BackingOff {
        /// When it is started again.
        until_ms: u64,
        /// How long that was from its end, in seconds.
        retry_in_s: u32,
        /// How it ended.
        cause: GuestExit,
    },
}

/// What happened to a guest, or is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The operator wants this now.
    Desired(Desired),
    /// It waits, and for what; while it is prepared or admitted.
    Waits(GuestState),
    /// What it starts from is there: how it will start, and how long it may take to report, in milliseconds.
    Prepared(StartMode, u64),
    /// It has a permit to start.
    Permitted,
    /// There is memory for it.
    Admitted,
    /// It has a process.
    Launched,
    /// It could not be started.
    NotLaunched(ShortText),
    /// It is up: its agent is heard, or, where it has none (`managed` is false), it is ready.
    Reported {
        /// Whether it has an agent.
        managed: bool,
    },
    /// Its agent is not heard any more.
    Silent,
    /// It has a permit to go on.
    WakePermitted,
    /// Its process has ended.
    Exited {
        /// How it ended, as its process's end tells.
        reason: ExitReason,
        /// The line of its console that tells why.
        console: Option<ShortText>,
    },
    /// Nothing; time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Find out what it starts from, and wait for that: [`Event::Prepared`].
    Prepare,
    /// Wait for a permit to start: [`Event::Permitted`].
    AwaitPermit,
    /// Wait for memory: [`Event::Admitted`].
    AwaitMemory,
    /// Wait for a permit to go on: [`Event::WakePermitted`].
    AwaitWakePermit,
    /// Wait for none of these any more.
    StopWaiting,
    /// Make its process: [`Event::Launched`] or [`Event::NotLaunched`].
    Launch,
    /// Give the permit to start back.
    ReturnPermit,
    /// Give the permit to go on back.
    ReturnWakePermit,
    /// Hold its processors.
    Pause,
    /// Let them go on.
    Resume,
    /// End its process: [`Event::Exited`].
    Kill,
    /// It came up for the first time in this life.
    CameUp,
    /// A life has ended, or could not begin.
    Ended {
        /// How it ended.
        exit: GuestExit,
        /// Whether the operator had no part in it.
        unexpected: bool,
        /// How many lives ended so in a row, this one included.
        in_a_row: u32,
    },
}

/// A guest's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    phase: Phase,
    desired: Desired,
    /// Of the restarts that the operator asked for, those that were done.
    restarts_done: u32,
    /// What it waits for, in words of its host.
    waits: Option<GuestState>,
    mode: StartMode,
    boot_limit_ms: u64,
    was_up: bool,
    managed: bool,
    has_permit: bool,
    /// Until when it has a permit to go on.
    wake_permit_until_ms: Option<u64>,
    /// Lives in a row that ended unexpectedly; one that had come up begins a new row.
    failures: u32,
    /// Lives that began, and in which it never came up.
    lives_never_up: u32,
}

impl Life {
    /// Before the first event.
    pub fn new(desired: Desired) -> (Life, Vec<Action>) {
        let (mut life, mut actions) = (Life::stopped(desired), Vec::new());
        life.begin(&mut actions);
        (life, actions)
    }

    /// Of a guest that was up under the node before this one, and has its process still; so many of its restarts were
    /// done by then. Nobody knows whether it is held: so it is held once more, or let go on.
    pub fn adopted(desired: Desired, restarts_done: u32, managed: bool, now_ms: u64) -> (Life, Vec<Action>) {
        // Fewer restarts than were done: what the operator asked for was forgotten. Nobody asked for another.
        let restarts_done = restarts_done.min(desired.restarts);
        let mut life = Life { restarts_done, managed, was_up: true, ..Life::stopped(desired) };
        let mut actions = Vec::new();
        if desired.wanted == Wanted::Pause {
            actions.push(Action::Pause);
            life.phase = Phase::Paused;
        } else {
            actions.push(Action::Resume);
            let again = Phase::Resuming { deadline_ms: now_ms + ADOPTED_TIMEOUT_MS };
            life.phase = if managed { again } else { Phase::Up };
        }
        life.apply_desired(now_ms, &mut actions);
        (life, actions)
    }

    fn stopped(desired: Desired) -> Life {
        Life {
            phase: Phase::Stopped,
            desired,
            restarts_done: desired.restarts,
            waits: None,
            mode: StartMode::Clone,
            boot_limit_ms: 0,
            was_up: false,
            managed: true,
            has_permit: false,
            wake_permit_until_ms: None,
            failures: 0,
            lives_never_up: 0,
        }
    }

    /// What it is doing, for the operator.
    pub fn state(&self) -> GuestState {
        let waits = |otherwise: GuestState| self.waits.clone().unwrap_or(otherwise);
        match &self.phase {
            Phase::Stopped => GuestState::Stopped,
            Phase::Preparing | Phase::Admitting => waits(GuestState::Queued),
            Phase::Queued => GuestState::Queued,
            Phase::Launching | Phase::Booting { .. } => GuestState::Starting(self.mode.clone()),
            Phase::Up | Phase::Silent { .. } | Phase::Resuming { .. } if self.managed => GuestState::Up,
            Phase::Up | Phase::Silent { .. } | Phase::Resuming { .. } => GuestState::Unmanaged,
            Phase::Paused | Phase::Waking => GuestState::Paused,
            Phase::Ending(reason) => GuestState::Ended(self.exit(reason.clone(), None)),
            Phase::BackingOff { retry_in_s, cause, .. } => {
                GuestState::BackingOff { retry_in_s: *retry_in_s, cause: cause.clone() }
            }
        }
    }

    /// Of the restarts that the operator asked for, those that were done.
    pub fn restarts_done(&self) -> u32 {
        self.restarts_done
    }

    /// Whether it came up in this life.
    pub fn came_up(&self) -> bool {
        self.was_up
    }

    /// Which of an agent's two signs would be news: that it is heard (true), or that it is not any more.
    pub fn listens_for(&self) -> Option<bool> {
        match self.phase {
            Phase::Booting { .. } | Phase::Silent { .. } | Phase::Resuming { .. } => Some(true),
            Phase::Up => Some(false),
            _ => None,
        }
    }

    /// How many lives began in which it never came up.
    pub fn lives_never_up(&self) -> u32 {
        self.lives_never_up
    }

    /// When [`Event::Tick`] is due, if it is.
    pub fn deadline_ms(&self) -> Option<u64> {
        let of_phase = match self.phase {
            Phase::Booting { deadline_ms } | Phase::Silent { deadline_ms } | Phase::Resuming { deadline_ms } => {
                Some(deadline_ms)
            }
            Phase::BackingOff { until_ms, .. } => Some(until_ms),
            _ => None,
        };
        of_phase.into_iter().chain(self.wake_permit_until_ms).min()
    }

    /// Whether it has a process.
    pub fn has_process(&self) -> bool {
        use Phase::{Booting, Ending, Paused, Resuming, Silent, Up, Waking};
        matches!(self.phase, Booting { .. } | Up | Silent { .. } | Paused | Waking | Resuming { .. } | Ending(_))
    }

    /// Takes an event. What does not belong to where it is changes nothing.
    pub fn step(mut self, event: Event, now_ms: u64) -> (Life, Vec<Action>) {
        let mut actions = Vec::new();
        let to = &mut actions;
        match (event, &self.phase) {
            (Event::Desired(desired), _) => self.want(desired, now_ms, to),
            (Event::Waits(what), Phase::Preparing | Phase::Admitting) => self.waits = Some(what),
            (Event::Prepared(mode, boot_limit_ms), Phase::Preparing) => {
                let doublings = self.failures.min(BOOT_LIMIT_DOUBLINGS_MAX);
                (self.mode, self.boot_limit_ms) = (mode, boot_limit_ms << doublings);
                self.enter(Phase::Queued);
                to.push(Action::AwaitPermit);
            }
            (Event::Permitted, Phase::Queued) => {
                self.has_permit = true;
                self.enter(Phase::Admitting);
                to.push(Action::AwaitMemory);
            }
            (Event::Admitted, Phase::Admitting) => {
                self.enter(Phase::Launching);
                to.push(Action::Launch);
            }
            (Event::Launched, Phase::Launching) => self.launched(now_ms, to),
            (Event::NotLaunched(why), Phase::Launching) => {
                let exit = GuestExit { reason: ExitReason::NotStarted(why), was_up: false, console: None };
                self.ended(exit, now_ms, to);
            }
            (Event::Reported { managed }, _) if self.has_process() => self.reported(managed, to),
            (Event::Silent, Phase::Up) => self.enter(Phase::Silent { deadline_ms: now_ms + EXIT_GRACE_MS }),
            (Event::WakePermitted, Phase::Waking) => self.resume(now_ms, to),
            (Event::Exited { reason, console }, _) if self.has_process() => {
                let reason = if let Phase::Ending(ours) = &self.phase { ours.clone() } else { reason };
                // A life that never came up may fail for want of KVM; one that the operator ended tells nothing.
                self.lives_never_up += u32::from(!self.was_up && reason != ExitReason::Operator);
                let exit = self.exit(reason, console);
                self.ended(exit, now_ms, to);
            }
            (Event::Tick, _) => self.tick(now_ms, to),
            _ => {}
        }
        (self, actions)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.waits = None;
    }

    fn exit(&self, reason: ExitReason, console: Option<ShortText>) -> GuestExit {
        let console = console.filter(|_| reason != ExitReason::Operator);
        GuestExit { reason, was_up: self.was_up, console }
    }

    /// Begins a life, if one is wanted.
    fn begin(&mut self, to: &mut Vec<Action>) {
        self.was_up = false;
        self.restarts_done = self.desired.restarts;
        if self.desired.wanted == Wanted::Stop {
            return self.enter(Phase::Stopped);
        }
        self.enter(Phase::Preparing);
        to.push(Action::Prepare);
    }

    /// The operator wants this.
    fn want(&mut self, desired: Desired, now_ms: u64, to: &mut Vec<Action>) {
        self.desired = desired;
        let stop = desired.wanted == Wanted::Stop;
        match &self.phase {
            Phase::Stopped => self.begin(to),
            Phase::Preparing | Phase::Queued | Phase::Admitting if stop => {
                to.push(Action::StopWaiting);
                self.return_permits(to);
                self.failures = 0;
                self.begin(to);
            }
            Phase::BackingOff { .. } if stop => {
                self.failures = 0;
                self.begin(to);
            }
            Phase::Ending(_) | Phase::Launching | Phase::BackingOff { .. } => {}
            _ if self.has_process() => self.apply_desired(now_ms, to),
            _ => {}
        }
    }

    /// Does with a process what the operator wants.
    fn apply_desired(&mut self, now_ms: u64, to: &mut Vec<Action>) {
        let restart = self.desired.restarts != self.restarts_done;
        let held = matches!(self.phase, Phase::Paused | Phase::Waking);
        match self.desired.wanted {
            Wanted::Stop => self.kill(ExitReason::Operator, to),
            _ if restart => self.kill(ExitReason::Operator, to),
            Wanted::Pause if self.phase == Phase::Waking => {
                to.push(Action::StopWaiting);
                self.enter(Phase::Paused);
            }
            Wanted::Pause if !held => {
                self.return_permits(to);
                to.push(Action::Pause);
                self.enter(Phase::Paused);
            }
            Wanted::Run if self.phase == Phase::Paused => {
                self.enter(Phase::Waking);
                to.push(Action::AwaitWakePermit);
            }
            _ => {}
        }
        debug_assert!(self.deadline_ms().is_none_or(|at| at >= now_ms) || !held);
    }

    fn launched(&mut self, now_ms: u64, to: &mut Vec<Action>) {
        self.managed = true;
        self.restarts_done = self.desired.restarts;
        self.enter(Phase::Booting { deadline_ms: now_ms + self.boot_limit_ms });
        self.apply_desired(now_ms, to);
    }

    fn reported(&mut self, managed: bool, to: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Ending(_)) {
            return;
        }
        self.managed = managed;
        if !self.was_up {
            self.was_up = true;
            to.push(Action::CameUp);
        }
        self.return_permits(to);
        // One that is held is up as soon as it goes on.
        if !matches!(self.phase, Phase::Paused | Phase::Waking) {
            self.enter(Phase::Up);
        }
    }

    fn resume(&mut self, now_ms: u64, to: &mut Vec<Action>) {
        to.push(Action::Resume);
        self.wake_permit_until_ms = Some(now_ms + WAKE_TIMEOUT_MS);
        self.enter(match (self.was_up, self.managed) {
            (false, _) => Phase::Booting { deadline_ms: now_ms + self.boot_limit_ms },
            (true, true) => Phase::Resuming { deadline_ms: now_ms + RESUME_TIMEOUT_MS },
            // It has nothing to say.
            (true, false) => Phase::Up,
        });
    }

    fn kill(&mut self, reason: ExitReason, to: &mut Vec<Action>) {
        if self.phase == Phase::Waking {
            to.push(Action::StopWaiting);
        }
        self.return_permits(to);
        to.push(Action::Kill);
        self.enter(Phase::Ending(reason));
    }

    fn return_permits(&mut self, to: &mut Vec<Action>) {
        if std::mem::take(&mut self.has_permit) {
            to.push(Action::ReturnPermit);
        }
        if self.wake_permit_until_ms.take().is_some() {
            to.push(Action::ReturnWakePermit);
        }
    }

    fn tick(&mut self, now_ms: u64, to: &mut Vec<Action>) {
        if self.wake_permit_until_ms.is_some_and(|until| until <= now_ms) {
            self.wake_permit_until_ms = None;
            to.push(Action::ReturnWakePermit);
        }
        match self.phase {
            Phase::Booting { deadline_ms } if deadline_ms <= now_ms => {
                let within_s = (self.boot_limit_ms / 1000) as u32;
                self.kill(ExitReason::NoReport { within_s }, to);
            }
            // Its agent cannot be reached any more; a new life is the shortest way back.
            Phase::Silent { deadline_ms } if deadline_ms <= now_ms => self.kill(ExitReason::Silent, to),
            Phase::Resuming { deadline_ms } if deadline_ms <= now_ms => {
                self.enter(Phase::Silent { deadline_ms: now_ms + EXIT_GRACE_MS });
            }
            Phase::BackingOff { until_ms, .. } if until_ms <= now_ms => self.begin(to),
            _ => {}
        }
    }

    /// A life is over.
    fn ended(&mut self, exit: GuestExit, now_ms: u64, to: &mut Vec<Action>) {
        if self.phase == Phase::Waking {
            to.push(Action::StopWaiting);
        }
        self.return_permits(to);
        let unexpected = exit.reason != ExitReason::Operator;
        self.failures = match (unexpected, exit.was_up) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => self.failures.saturating_add(1),
        };
        to.push(Action::Ended { exit: exit.clone(), unexpected, in_a_row: self.failures });
        if !unexpected || self.desired.wanted == Wanted::Stop {
            return self.begin(to);
        }
        let step = (self.failures as usize - 1).min(BACKOFF_S.len() - 1);
        let retry_in_s = BACKOFF_S[step];
        self.enter(Phase::BackingOff { until_ms: now_ms + u64::from(retry_in_s) * 1000, retry_in_s, cause: exit });
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
