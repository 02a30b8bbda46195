//! The desired state of each guest of this host, as signed orders say it.
//!
//! Takes orders; each guest's driver waits for its own to change. At first it is what the boot command line says
//! ([`first`]). Where there is a keeper a file in memory has it for the next node, as long as the host is up.

use crate::error::{Context, Error};
use crate::keeper::client::FORMAT;
use crate::log::log;
use crate::machine::cmdline;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::sync::watch;
use vmatic_plan::{GuestId, RangeSet, boot_words};
use vmatic_tree::wire::order::GuestAction;

/// Where the next node finds it.
pub const DESIRED: &str = "/run/vmatic/desired";

/// What the operator wants of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Wanted {
    /// It runs, and is started again when it ends.
    Run,
    /// Be held: its memory stays.
    Pause,
    /// It has no process.
    Stop,
}

/// What the operator wants of a guest, and how often it was to restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Desired {
    /// What it is to do.
    pub wanted: Wanted,
    /// How often it was to restart so far.
    pub restarts: u32,
}

/// The desired states, one for each guest.
pub struct DesiredStates {
    each: Vec<watch::Sender<Desired>>,
    /// Where it is written down for the next node.
    file: Option<PathBuf>,
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
        DesiredStates { each: (0..=guests).map(|_| watch::Sender::new(first)).collect(), file: None }
    }

    /// Takes what the node before wrote down in this file, if there is one, and writes it there from now on.
    pub fn keep_in(&mut self, file: &Path) {
        self.file = Some(file.to_owned());
        match read(file) {
            Ok(groups) => {
                for (desired, guests) in groups {
                    for each in guests.iter().filter_map(|guest| self.each.get(guest as usize)) {
                        each.send_replace(desired);
                    }
                }
            }
            Err(e) => log(&format!("what the operator wanted of guests is forgotten: {e}")),
        }
    }

    fn write(&self) {
        let Some(file) = &self.file else { return };
        let mut groups: BTreeMap<Desired, Vec<(u32, u32)>> = BTreeMap::new();
        for (guest, each) in self.each.iter().enumerate().skip(1) {
            groups.entry(*each.borrow()).or_default().push((guest as u32, guest as u32));
        }
        let groups: Groups =
            groups.into_iter().map(|(desired, ranges)| (desired, RangeSet::from_ranges(ranges))).collect();
        if let Err(e) = write(file, &groups) {
            log(&format!("the next node will not know what the operator wants of guests: {e}"));
        }
    }

    /// Takes an order for some guests.
    pub fn apply(&self, act: GuestAction, guests: &RangeSet) {
        for guest in guests.iter().map(GuestId) {
            if let Some(each) = self.each.get(guest.0 as usize) {
                each.send_modify(|desired| *desired = after(act, *desired));
            }
        }
        self.write();
    }

    /// Whether the operator wants the life of a guest to end that began after so many restarts.
    pub fn ends(&self, guest: GuestId, restarts: u32) -> bool {
        let desired = self.each.get(guest.0 as usize).map(|each| *each.borrow());
        desired.is_some_and(|desired| desired.wanted == Wanted::Stop || desired.restarts > restarts)
    }

    /// What is wanted of a guest, to be waited for; none if the plan has no such guest.
    pub fn of(&self, guest: GuestId) -> Option<watch::Receiver<Desired>> {
        self.each.get(guest.0 as usize).map(watch::Sender::subscribe)
    }
}

/// Guests of whom the same is wanted.
type Groups = Vec<(Desired, RangeSet)>;

/// Nothing, if there is no such file.
fn read(file: &Path) -> Result<Groups, Error> {
    let tried = || format!("read {}", file.display());
    match fs::read(file) {
        Ok(bytes) => match postcard::from_bytes(&bytes).with_context(tried)? {
            (FORMAT, groups) => Ok(groups),
            (other, _) => Err(Error::new(tried()).because(format!("its format is {other}, and not {FORMAT}"))),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Groups::new()),
        Err(e) => Err(e).with_context(tried),
    }
}

/// Writes it whole or not at all.
fn write(file: &Path, groups: &Groups) -> Result<(), Error> {
    let tried = || format!("write {}", file.display());
    let bytes = postcard::to_allocvec(&(FORMAT, groups)).with_context(tried)?;
    let part = file.with_extension("part");
    file.parent().map_or(Ok(()), fs::create_dir_all).with_context(tried)?;
    fs::write(&part, bytes).and_then(|()| fs::rename(&part, file)).with_context(tried)
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

    #[test]
    fn the_next_node_finds_what_was_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run").join("desired");
        let states = |first| {
            let mut states = DesiredStates::new(5, first);
            states.keep_in(&file);
            states
        };
        let all = |states: &DesiredStates| -> Vec<_> {
            (1..=5).map(|guest| *states.of(GuestId(guest)).unwrap().borrow()).collect()
        };
        let before = states(Wanted::Run);
        before.apply(GuestAction::Restart, &RangeSet::span(2, 3));
        before.apply(GuestAction::Pause, &RangeSet::span(3, 4));
        before.apply(GuestAction::Stop, &RangeSet::span(5, 5));
        // Whoever changes these bytes raises the format of all that is left for the next node.
        let bytes = [1, 5, 0, 0, 1, 1, 1, 0, 1, 1, 2, 2, 1, 0, 1, 4, 4, 1, 1, 1, 3, 3, 2, 0, 1, 5, 5];
        assert_eq!(fs::read(&file).unwrap(), bytes);
        let next = states(Wanted::Pause);
        assert_eq!(all(&next), all(&before));
        assert_eq!(all(&next)[2], Desired { wanted: Wanted::Pause, restarts: 1 });
        fs::write(&file, [0xff; 9]).unwrap();
        assert_eq!(all(&states(Wanted::Pause)), [Desired { wanted: Wanted::Pause, restarts: 0 }; 5]);
    }
}
