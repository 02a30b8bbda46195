//! A guest's life, driven by random events beside a model of what the driver holds.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT_MS: u64 = 120_000;

/// What the driver holds, and what it was asked to do.
#[derive(Default)]
struct Model {
    process: bool,
    launching: bool,
    held: bool,
    killed: bool,
    permit: bool,
    wake_permit: bool,
    /// What it waits for.
    waits: Option<Action>,
    /// Processes that ended, and launches that failed.
    ends: usize,
    /// How often a life's end was said.
    said: usize,
    /// The last back-off of lives that never came up.
    last_backoff_s: u32,
    came_up: bool,
}

impl Model {
    fn act(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Prepare | Action::AwaitPermit | Action::AwaitMemory | Action::AwaitWakePermit => {
                    assert_eq!(self.waits, None, "waits for two things");
                    self.waits = Some(action.clone());
                    assert_eq!(self.process, *action == Action::AwaitWakePermit);
                }
                Action::StopWaiting => assert!(self.waits.take().is_some(), "waits for nothing"),
                Action::Launch => {
                    assert!(!self.process && !self.launching, "two processes");
                    assert!(self.permit, "starts without a permit");
                    self.launching = true;
                }
                Action::ReturnPermit => assert!(std::mem::take(&mut self.permit), "had no permit"),
                Action::ReturnWakePermit => assert!(std::mem::take(&mut self.wake_permit), "had no permit to go on"),
                Action::Pause => {
                    assert!(self.process && !self.held && !self.killed);
                    self.held = true;
                }
                Action::Resume => {
                    assert!(self.process && self.held && self.wake_permit);
                    self.held = false;
                }
                Action::Kill => {
                    assert!(self.process && !self.killed, "killed twice");
                    self.killed = true;
                }
                Action::CameUp => {
                    assert!(self.process && !self.came_up, "came up twice in a life");
                    self.came_up = true;
                }
                Action::Ended { exit, unexpected, .. } => {
                    assert_eq!(*unexpected, exit.reason != ExitReason::Operator);
                    assert_eq!(exit.was_up, self.came_up);
                    self.said += 1;
                    if self.came_up {
                        // Whoever came up begins anew, also where nothing is waited for after it: it was to be stopped.
                        self.last_backoff_s = 0;
                    }
                    self.came_up = false;
                }
            }
        }
    }

    /// What comes of what the driver was asked to do, if it is time for that.
    fn next(&mut self, choice: u8) -> Option<Event> {
        if self.launching {
            self.launching = false;
            self.process = !choice.is_multiple_of(4);
            (self.held, self.killed) = (false, false);
            if self.process {
                return Some(Event::Launched);
            }
            self.ends += 1;
            return Some(Event::NotLaunched(ShortText::new("no memory")));
        }
        match self.waits.take()? {
            Action::Prepare => Some(Event::Prepared(StartMode::Clone, LIMIT_MS)),
            Action::AwaitPermit => {
                self.permit = true;
                Some(Event::Permitted)
            }
            Action::AwaitMemory => Some(Event::Admitted),
            _ => {
                self.wake_permit = true;
                Some(Event::WakePermitted)
            }
        }
    }

    fn exit(&mut self, choice: u8) -> Option<Event> {
        if !std::mem::take(&mut self.process) {
            return None;
        }
        self.ends += 1;
        let reason = if choice.is_multiple_of(2) { ExitReason::Shutdown } else { ExitReason::Signal(9) };
        Some(Event::Exited { reason, console: None })
    }
}

fn desired(choice: u8, restarts: u32) -> Desired {
    let wanted = [Wanted::Run, Wanted::Pause, Wanted::Stop, Wanted::Run][usize::from(choice % 4)];
    Desired { wanted, restarts }
}

/// Checks what must hold between events.
fn check(life: &Life, model: &mut Model, wanted: Wanted) {
    assert_eq!(life.has_process(), model.process, "{life:?}");
    assert_eq!(model.said, model.ends, "each end is said once");
    assert_eq!(life.has_permit, model.permit);
    assert_eq!(life.wake_permit_until_ms.is_some(), model.wake_permit);
    let free = !model.process && !model.launching;
    if wanted == Wanted::Stop && free {
        assert_eq!(life.phase, Phase::Stopped, "a guest that is to be stopped does nothing");
        assert_eq!((model.waits.clone(), model.permit), (None, false));
    }
    assert_eq!(life.phase == Phase::Stopped, wanted == Wanted::Stop && free);
    if model.process && !model.killed {
        match wanted {
            Wanted::Pause => assert!(model.held && life.state() == GuestState::Paused, "paused is kept: {life:?}"),
            Wanted::Run => assert_eq!(model.held, life.phase == Phase::Waking),
            Wanted::Stop => panic!("a guest that is to be stopped runs: {life:?}"),
        }
    }
    if model.killed && model.process {
        assert!(matches!(life.phase, Phase::Ending(_)));
    }
    if let Phase::BackingOff { retry_in_s, cause, .. } = &life.phase {
        assert!(BACKOFF_S.contains(retry_in_s));
        if cause.was_up {
            assert_eq!(*retry_in_s, BACKOFF_S[0], "one that had come up is started again at once");
        } else if model.last_backoff_s > 0 {
            assert!(*retry_in_s >= model.last_backoff_s, "ever more slowly");
        }
        model.last_backoff_s = *retry_in_s;
    } else if life.failures == 0 {
        model.last_backoff_s = 0;
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_driver_holds_what_the_life_says(
        choices in vec((0u8..8, any::<u8>(), 0u64..30_000), 0..200),
    ) {
        let mut restarts = 0;
        let mut now_ms = 0;
        let mut wanted = Wanted::Run;
        let (mut life, actions) = Life::new(Desired { wanted, restarts });
        let mut model = Model::default();
        model.act(&actions);
        for (what, choice, wait_ms) in choices {
            now_ms += wait_ms / 10;
            let event = match what {
                0 => {
                    restarts += u32::from(choice % 5 == 0);
                    let desired = desired(choice, restarts);
                    wanted = desired.wanted;
                    Some(Event::Desired(desired))
                }
                1 | 2 => model.next(choice),
                3 => model.exit(choice),
                4 => Some(Event::Reported { managed: choice % 3 > 0 }),
                5 => Some(Event::Silent),
                6 => {
                    now_ms = life.deadline_ms().unwrap_or(now_ms).max(now_ms);
                    Some(Event::Tick)
                }
                // Of another phase, or late.
                _ => {
                    let each = [Event::Permitted, Event::Admitted, Event::Launched, Event::WakePermitted];
                    Some(each[usize::from(choice % 4)].clone()).filter(|event| !expects(&life, event))
                }
            };
            let Some(event) = event else { continue };
            let tick = event == Event::Tick;
            let due = life.deadline_ms().filter(|due| *due <= now_ms);
            let (next, actions) = life.step(event, now_ms);
            life = next;
            model.act(&actions);
            check(&life, &mut model, wanted);
            if tick && due.is_some() {
                prop_assert!(life.deadline_ms().is_none_or(|at| at > now_ms), "a time that has come is over: {:?}", life);
            }
        }
    }
}

/// Whether the driver may be asked for this now: then only the model says it.
fn expects(life: &Life, event: &Event) -> bool {
    matches!(
        (event, &life.phase),
        (Event::Permitted, Phase::Queued)
            | (Event::Admitted, Phase::Admitting)
            | (Event::Launched, Phase::Launching)
            | (Event::WakePermitted, Phase::Waking)
    )
}

const RUN: Desired = Desired { wanted: Wanted::Run, restarts: 0 };
const PAUSE: Desired = Desired { wanted: Wanted::Pause, restarts: 0 };
const STOP: Desired = Desired { wanted: Wanted::Stop, restarts: 0 };

/// A life with a process, in which these events then happen at once.
fn launched(desired: Desired, events: &[Event]) -> (Life, Vec<Action>) {
    let (mut life, mut actions) = Life::new(desired);
    let prepared = Event::Prepared(StartMode::Clone, LIMIT_MS);
    for event in [prepared, Event::Permitted, Event::Admitted, Event::Launched].iter().chain(events) {
        (life, actions) = life.step(event.clone(), 0);
    }
    (life, actions)
}

fn exited(reason: ExitReason) -> Event {
    Event::Exited { reason, console: None }
}

const REPORTED: Event = Event::Reported { managed: true };

#[test]
fn a_guest_that_reports_gives_its_permit_back() {
    let (life, actions) = launched(RUN, &[REPORTED]);
    assert_eq!(actions, [Action::CameUp, Action::ReturnPermit]);
    assert_eq!((life.state(), life.deadline_ms()), (GuestState::Up, None));
}

#[test]
fn a_guest_that_does_not_report_is_ended_and_started_ever_more_slowly() {
    let mut now_ms = 0;
    let (mut life, _) = launched(RUN, &[]);
    let lives = [(120, 1), (240, 5), (480, 20), (960, 60), (960, 60)];
    for (failure, (within_s, retry_s)) in lives.into_iter().enumerate() {
        now_ms = life.deadline_ms().unwrap();
        let (early, actions) = life.clone().step(Event::Tick, now_ms - 1);
        assert_eq!((early, actions), (life.clone(), vec![]), "not before its time");
        let (ending, actions) = life.step(Event::Tick, now_ms);
        assert_eq!(actions, [Action::ReturnPermit, Action::Kill]);
        let (waiting, actions) = ending.step(exited(ExitReason::Signal(9)), now_ms);
        let exit = GuestExit { reason: ExitReason::NoReport { within_s }, was_up: false, console: None };
        let in_a_row = failure as u32 + 1;
        assert_eq!(actions, [Action::Ended { exit: exit.clone(), unexpected: true, in_a_row }]);
        assert_eq!(waiting.state(), GuestState::BackingOff { retry_in_s: retry_s, cause: exit });
        assert_eq!(
            (waiting.deadline_ms(), waiting.lives_never_up()),
            (Some(now_ms + u64::from(retry_s) * 1000), in_a_row)
        );
        now_ms += u64::from(retry_s) * 1000;
        life = waiting.step(Event::Tick, now_ms).0;
        for event in [Event::Prepared(StartMode::Clone, LIMIT_MS), Event::Permitted, Event::Admitted, Event::Launched] {
            life = life.step(event, now_ms).0;
        }
    }
    assert!(now_ms > 0);
}

#[test]
fn a_guest_that_falls_silent_has_a_second_to_end_by_itself() {
    let (life, _) = launched(RUN, &[REPORTED, Event::Silent]);
    assert_eq!(life.deadline_ms(), Some(EXIT_GRACE_MS));
    let (_, actions) = life.clone().step(exited(ExitReason::Shutdown), 10);
    let exit = GuestExit { reason: ExitReason::Shutdown, was_up: true, console: None };
    assert_eq!(actions, [Action::Ended { exit, unexpected: true, in_a_row: 1 }]);
    let (life, actions) = life.step(Event::Tick, EXIT_GRACE_MS);
    assert_eq!(actions, [Action::Kill]);
    assert_eq!(&life.phase, &Phase::Ending(ExitReason::Silent));
}

#[test]
fn a_pause_takes_no_time_off_a_boot_and_silence_in_it_is_none() {
    let (life, actions) = launched(RUN, &[Event::Desired(PAUSE)]);
    assert_eq!(actions, [Action::ReturnPermit, Action::Pause]);
    assert_eq!(life.deadline_ms(), None);
    let (life, actions) = life.step(Event::Desired(RUN), 500_000);
    assert_eq!((actions, life.state()), (vec![Action::AwaitWakePermit], GuestState::Paused));
    let (life, actions) = life.step(Event::WakePermitted, 500_000);
    assert_eq!(actions, [Action::Resume]);
    assert_eq!(&life.phase, &Phase::Booting { deadline_ms: 500_000 + LIMIT_MS });
    assert_eq!(life.deadline_ms(), Some(500_000 + WAKE_TIMEOUT_MS), "it keeps others waiting for a moment");

    let (life, _) = launched(RUN, &[REPORTED, Event::Desired(PAUSE), Event::Silent, Event::Desired(RUN)]);
    let (life, _) = life.step(Event::WakePermitted, 7);
    assert_eq!(&life.phase, &Phase::Resuming { deadline_ms: 7 + RESUME_TIMEOUT_MS });
    let (life, actions) = life.step(REPORTED, 8);
    assert_eq!((actions, &life.phase), (vec![Action::ReturnWakePermit], &Phase::Up));
}

#[test]
fn a_guest_that_is_to_be_paused_is_paused_again_in_its_next_life() {
    let (life, actions) = launched(PAUSE, &[]);
    assert_eq!(actions, [Action::ReturnPermit, Action::Pause]);
    let (life, _) = life.step(exited(ExitReason::Signal(9)), 0);
    let (mut life, mut actions) = life.step(Event::Tick, 1000);
    for event in [Event::Prepared(StartMode::Clone, LIMIT_MS), Event::Permitted, Event::Admitted, Event::Launched] {
        (life, actions) = life.step(event, 1000);
    }
    assert_eq!((actions, life.state()), (vec![Action::ReturnPermit, Action::Pause], GuestState::Paused));
}

#[test]
fn the_operator_ends_and_restarts_a_guest_without_a_pause() {
    let (life, actions) = launched(RUN, &[REPORTED, Event::Desired(Desired { restarts: 1, ..RUN })]);
    assert_eq!(actions, [Action::Kill]);
    let (life, actions) = life.step(exited(ExitReason::Signal(9)), 5);
    let exit = GuestExit { reason: ExitReason::Operator, was_up: true, console: None };
    assert_eq!(actions, [Action::Ended { exit, unexpected: false, in_a_row: 0 }, Action::Prepare]);
    let (life, actions) = life.step(Event::Desired(STOP), 6);
    assert_eq!((actions, life.state()), (vec![Action::StopWaiting], GuestState::Stopped));
    let (life, actions) = life.step(Event::Tick, 1_000_000);
    assert_eq!((actions, life.state()), (vec![], GuestState::Stopped));
}

#[test]
fn a_guest_without_an_agent_goes_on_without_a_word() {
    let unmanaged = Event::Reported { managed: false };
    let (life, _) = launched(RUN, &[unmanaged, Event::Desired(PAUSE), Event::Desired(RUN), Event::WakePermitted]);
    assert_eq!((&life.phase, life.state()), (&Phase::Up, GuestState::Unmanaged));
}

#[test]
fn a_guest_of_the_node_before_goes_on_as_the_operator_wants_it() {
    let of = |wanted, restarts| Life::adopted(Desired { wanted, restarts }, 3, true, 1000);
    let (life, actions) = of(Wanted::Run, 3);
    assert_eq!((life.state(), actions), (GuestState::Up, vec![Action::Resume]));
    assert_eq!(life.deadline_ms(), Some(1000 + ADOPTED_TIMEOUT_MS), "its agent has to be heard again");
    let (life, actions) = life.step(Event::Reported { managed: true }, 1500);
    assert_eq!((life.state(), actions), (GuestState::Up, vec![]), "it came up long ago");
    let (life, _) = of(Wanted::Run, 3);
    let (life, _) = life.step(Event::Tick, 1000 + ADOPTED_TIMEOUT_MS);
    let (life, actions) = life.step(Event::Tick, 1000 + ADOPTED_TIMEOUT_MS + EXIT_GRACE_MS);
    assert_eq!((life.phase, actions), (Phase::Ending(ExitReason::Silent), vec![Action::Kill]));
    let (life, actions) = of(Wanted::Pause, 3);
    assert_eq!((life.state(), actions), (GuestState::Paused, vec![Action::Pause]));
    let (life, actions) = life.step(Event::Desired(Desired { wanted: Wanted::Run, restarts: 3 }), 2000);
    assert_eq!(actions, [Action::AwaitWakePermit]);
    let (life, actions) = life.step(Event::WakePermitted, 2000);
    assert_eq!((&life.phase, actions), (&Phase::Resuming { deadline_ms: 12_000 }, vec![Action::Resume]));
    let (life, actions) = of(Wanted::Run, 0);
    assert_eq!((life.state(), actions), (GuestState::Up, vec![Action::Resume]), "what was wanted was forgotten");
    for (life, actions) in [of(Wanted::Stop, 3), of(Wanted::Run, 4)] {
        assert_eq!(life.phase, Phase::Ending(ExitReason::Operator));
        assert_eq!(actions.last(), Some(&Action::Kill));
    }
    let (life, actions) = Life::adopted(Desired { wanted: Wanted::Run, restarts: 0 }, 0, false, 0);
    assert_eq!((life.state(), actions, life.deadline_ms()), (GuestState::Unmanaged, vec![Action::Resume], None));
}
