//! The desired state of each guest of this host, as signed orders say it.
//!
//! Takes orders; each guest's driver waits for its own to change. It lives as long as the node:
//! for a node that restarts it is again what the boot command line says ([`first`]).

use crate::log::log;
use crate::machine::cmdline;
use tokio::sync::watch;
use vmatic_plan::{GuestId, RangeSet, boot_words};
use vmatic_tree::wire::order::GuestAction;

/// What the operator wants of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It runs, and is started again when it ends.
    Run,
    /// Be held: its memory stays.
    Pause,
    /// It has no process.
    Stop,
}

/// What the operator wants of a guest, and how often it was to restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// What it is to do.
    pub wanted: Wanted,
    /// How often it was to restart so far.
    pub restarts: u32,
}

/// The desired states, one for each guest.
pub struct DesiredStates {
    each: Vec<watch::Sender<Desired>>,
}

/// What the boot command line says becomes of guests until the operator says something else; to run, if it is silent.
pub fn first(cmdline: &str) -> Wanted {
    match cmdline::word(cmdline, boot_words::host::GUESTS) {
        None | Some("run") => Wanted::Run,
        Some("paused") => Wanted::Pause,
        Some("stopped") => Wanted::Stop,
        Some(other) => {
            log(&format!(
                "{}={other:?} on the boot command line must be one of run, paused, stopped: guests run",
                boot_words::host::GUESTS
            ));
            Wanted::Run
        }
    }
}

impl DesiredStates {
    /// For guests 1 to `guests`, with what is wanted of each at first.
    pub fn new(guests: u32, first: Wanted) -> Self {
        let first = Desired { wanted: first, restarts: 0 };
        DesiredStates { each: (0..=guests).map(|_| watch::Sender::new(first)).collect() }
    }

    /// Takes an order for some guests.
    pub fn apply(&self, act: GuestAction, guests: &RangeSet) {
        for guest in guests.iter().map(GuestId) {
            if let Some(each) = self.each.get(guest.0 as usize) {
                each.send_modify(|desired| *desired = after(act, *desired));
            }
        }
    }

    /// What is wanted of a guest, to be waited for; none if the plan has no such guest.
    pub fn of(&self, guest: GuestId) -> Option<watch::Receiver<Desired>> {
        self.each.get(guest.0 as usize).map(watch::Sender::subscribe)
    }
}

fn after(act: GuestAction, Desired { wanted, restarts }: Desired) -> Desired {
    let (wanted, restarts) = match (act, wanted) {
        (GuestAction::Start, _) => (Wanted::Run, restarts),
        (GuestAction::StartPaused, Wanted::Stop) => (Wanted::Pause, restarts),
        (GuestAction::StartPaused, _) => (wanted, restarts),
        (GuestAction::Stop, _) => (Wanted::Stop, restarts),
        // What does not run can neither be held nor let go.
        (GuestAction::Pause, Wanted::Stop) | (GuestAction::Resume, Wanted::Stop) => (Wanted::Stop, restarts),
        (GuestAction::Pause, _) => (Wanted::Pause, restarts),
        (GuestAction::Resume, _) => (Wanted::Run, restarts),
        (GuestAction::Restart, _) => (Wanted::Run, restarts.wrapping_add(1)),
    };
    Desired { wanted, restarts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_change_what_is_wanted_of_those_they_name() {
        let states = DesiredStates::new(3, first("quiet vmatic.guests=run"));
        let of = |guest| states.of(GuestId(guest)).map(|desired| *desired.borrow());
        let two = RangeSet::span(2, 2);
        for (act, wanted, restarts) in [
            (GuestAction::Pause, Wanted::Pause, 0),
            (GuestAction::Resume, Wanted::Run, 0),
            (GuestAction::Restart, Wanted::Run, 1),
            (GuestAction::Stop, Wanted::Stop, 1),
            (GuestAction::Pause, Wanted::Stop, 1),
            (GuestAction::Resume, Wanted::Stop, 1),
            (GuestAction::StartPaused, Wanted::Pause, 1),
            (GuestAction::Start, Wanted::Run, 1),
            (GuestAction::StartPaused, Wanted::Run, 1),
        ] {
            states.apply(act, &two);
            assert_eq!(of(2), Some(Desired { wanted, restarts }), "{act:?}");
            assert_eq!(of(1), Some(Desired { wanted: Wanted::Run, restarts: 0 }));
        }
        states.apply(GuestAction::Stop, &RangeSet::span(1, 9));
        assert_eq!(of(9), None, "the plan has no such guest");
    }

    #[test]
    fn the_boot_command_line_says_what_is_wanted_at_first() {
        let cases = [("", Wanted::Run), ("vmatic.guests=", Wanted::Run), ("vmatic.guests=paused a", Wanted::Pause)];
        for (line, wanted) in cases.into_iter().chain([("vmatic.guests=stopped", Wanted::Stop)]) {
            assert_eq!(first(line), wanted, "{line}");
        }
    }
}
