//! What the operator wishes of each guest of this host, as signed orders say it.
//!
//! Takes orders; each guest's keeper looks at its own wish and waits for it to change. Wishes live as long as the node:
//! a node that starts anew runs every guest.

use tokio::sync::watch;
use vmatic_plan::RangeSet;
use vmatic_tree::answer::Outcome;
use vmatic_tree::message::Act;

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

impl Wishes {
    /// For guests 1 to `guests`: all are to run.
    pub fn new(guests: u32) -> Self {
        Wishes { each: (0..=guests).map(|_| watch::Sender::new((Wish::Run, 0))).collect() }
    }

    /// Takes an order for some guests.
    pub fn act(&self, act: Act, guests: &RangeSet) -> Outcome {
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

fn after(act: Act, wish: Wish, life: u32) -> (Wish, u32) {
    match (act, wish) {
        (Act::Start, _) => (Wish::Run, life),
        (Act::Stop, _) => (Wish::Stop, life),
        // What does not run can neither be held nor let go.
        (Act::Pause, Wish::Stop) | (Act::Resume, Wish::Stop) => (Wish::Stop, life),
        (Act::Pause, _) => (Wish::Pause, life),
        (Act::Resume, _) => (Wish::Run, life),
        (Act::Restart, _) => (Wish::Run, life.wrapping_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_change_the_wish_of_those_they_name() {
        let wishes = Wishes::new(3);
        let two = RangeSet::span(2, 2);
        for (act, wish, life) in [
            (Act::Pause, Wish::Pause, 0),
            (Act::Resume, Wish::Run, 0),
            (Act::Restart, Wish::Run, 1),
            (Act::Stop, Wish::Stop, 1),
            (Act::Pause, Wish::Stop, 1),
            (Act::Resume, Wish::Stop, 1),
            (Act::Start, Wish::Run, 1),
        ] {
            assert_eq!(wishes.act(act, &two), Outcome::Exit(0));
            assert_eq!((wishes.of(2), wishes.life(2)), (wish, life), "{act:?}");
            assert_eq!((wishes.of(1), wishes.of(3)), (Wish::Run, Wish::Run));
        }
        wishes.act(Act::Stop, &RangeSet::span(1, 9));
        assert_eq!(wishes.of(9), Wish::Stop, "a guest that is not there does not run");
    }
}
