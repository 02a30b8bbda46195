//! What the operator wishes of each guest of this host, as signed orders say it.
//!
//! Takes orders; each guest's keeper looks at its own wish and waits for it to change. Wishes live as long as the node:
//! for a node that starts anew they are again what the boot command line says ([`first`]).

use crate::log::say;
use crate::machine::cmdline;
use tokio::sync::watch;
use vmatic_plan::RangeSet;
use vmatic_tree::answer::Outcome;
use vmatic_tree::message::GuestAction;

/// What a guest is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Run.
    Run,
    /// Be held: its memory stays.
    Pause,
    /// Not be.
    Stop,
}

/// The wishes, one for each guest, with the number of lives that were asked for.
pub struct Wishes {
    each: Vec<watch::Sender<(Wish, u32)>>,
}

/// What the boot command line says becomes of guests until the operator says something else; to run, if it says nothing.
pub fn first(cmdline: &str) -> Wish {
    match cmdline::word(cmdline, cmdline::GUESTS) {
        None | Some("run") => Wish::Run,
        Some("paused") => Wish::Pause,
        Some("stopped") => Wish::Stop,
        Some(other) => {
            say(&format!(
                "{}={other:?} on the boot command line must be one of run, paused, stopped: guests run",
                cmdline::GUESTS
            ));
            Wish::Run
        }
    }
}

impl Wishes {
    /// For guests 1 to `guests`, with the first wish for each.
    pub fn new(guests: u32, first: Wish) -> Self {
        Wishes { each: (0..=guests).map(|_| watch::Sender::new((first, 0))).collect() }
    }

    /// Takes an order for some guests.
    pub fn act(&self, act: GuestAction, guests: &RangeSet) -> Outcome {
        for guest in guests.iter() {
            if let Some(each) = self.each.get(guest as usize) {
                each.send_modify(|(wish, life)| (*wish, *life) = after(act, *wish, *life));
            }
        }
        Outcome::Exit(0)
    }

    fn now(&self, guest: u32) -> (Wish, u32) {
        self.each.get(guest as usize).map_or((Wish::Stop, 0), |each| *each.borrow())
    }

    /// What is wished of a guest.
    pub fn of(&self, guest: u32) -> Wish {
        self.now(guest).0
    }

    /// How often the guest was to start anew.
    pub fn life(&self, guest: u32) -> u32 {
        self.now(guest).1
    }

    /// Waits until the wish is one of those.
    pub async fn until(&self, guest: u32, good: impl Fn(Wish) -> bool) {
        self.wait(guest, |(wish, _)| good(*wish)).await;
    }

    /// Waits until wish or life are others.
    pub async fn changed(&self, guest: u32, wish: Wish, life: u32) {
        self.wait(guest, |now| *now != (wish, life)).await;
    }

    async fn wait(&self, guest: u32, good: impl FnMut(&(Wish, u32)) -> bool) {
        match self.each.get(guest as usize) {
            // Fails only when the wishes are gone, which outlive their keepers.
            Some(each) => drop(each.subscribe().wait_for(good).await),
            None => std::future::pending().await,
        }
    }
}

fn after(act: GuestAction, wish: Wish, life: u32) -> (Wish, u32) {
    match (act, wish) {
        (GuestAction::Start, _) => (Wish::Run, life),
        (GuestAction::StartPaused, Wish::Stop) => (Wish::Pause, life),
        (GuestAction::StartPaused, _) => (wish, life),
        (GuestAction::Stop, _) => (Wish::Stop, life),
        // What does not run can neither be held nor let go.
        (GuestAction::Pause, Wish::Stop) | (GuestAction::Resume, Wish::Stop) => (Wish::Stop, life),
        (GuestAction::Pause, _) => (Wish::Pause, life),
        (GuestAction::Resume, _) => (Wish::Run, life),
        (GuestAction::Restart, _) => (Wish::Run, life.wrapping_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_change_the_wish_of_those_they_name() {
        let wishes = Wishes::new(3, first("quiet vmatic.guests=run"));
        let two = RangeSet::span(2, 2);
        for (act, wish, life) in [
            (GuestAction::Pause, Wish::Pause, 0),
            (GuestAction::Resume, Wish::Run, 0),
            (GuestAction::Restart, Wish::Run, 1),
            (GuestAction::Stop, Wish::Stop, 1),
            (GuestAction::Pause, Wish::Stop, 1),
            (GuestAction::Resume, Wish::Stop, 1),
            (GuestAction::StartPaused, Wish::Pause, 1),
            (GuestAction::Start, Wish::Run, 1),
            (GuestAction::StartPaused, Wish::Run, 1),
        ] {
            assert_eq!(wishes.act(act, &two), Outcome::Exit(0));
            assert_eq!((wishes.of(2), wishes.life(2)), (wish, life), "{act:?}");
            assert_eq!((wishes.of(1), wishes.of(3)), (Wish::Run, Wish::Run));
        }
        assert_eq!(Wishes::new(3, first("vmatic.guests=stopped")).of(3), Wish::Stop);
        assert_eq!(Wishes::new(3, first("vmatic.guests=paused a")).of(1), Wish::Pause);
        assert_eq!((first(""), first("vmatic.guests=")), (Wish::Run, Wish::Run));
        wishes.act(GuestAction::Stop, &RangeSet::span(1, 9));
        assert_eq!(wishes.of(9), Wish::Stop, "a guest that is not there does not run");
    }
}
