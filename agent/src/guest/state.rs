//! The one owner of what this host knows of its guests: what each is doing, whose agent is heard, and what was counted.
//!
//! Takes what the drivers and the tree say; tells the tree each guest's state when it changes, and drivers when their
//! guest's agent is heard or not any more. Everybody else asks here.

use crate::guest::outliving::Outliving;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::sync::{mpsc, watch};
use vmatic_plan::{GuestId, RangeSet};
use vmatic_tree::guest::{GuestExit, GuestState, GuestStats};
use vmatic_tree::host::Event;
use vmatic_tree::info::LostGuest;

/// What is known of one guest.
struct Slot {
    state: RefCell<GuestState>,
    /// Whether its agent is heard: a flag each, since thousands wait, and each is to wake for its own only.
    heard: watch::Sender<bool>,
}

/// What was counted on this host since it started its first guest, whichever node did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// RAM that was in use before the first guest, in MiB.
    pub booted_mib: u64,
    /// What became of guests.
    pub stats: GuestStats,
    /// The guest that was lost or failed last.
    pub last_lost: Option<LostGuest>,
}

/// All guests of this host.
pub struct Guests {
    /// By number; the place 0 is nobody's.
    each: Vec<Slot>,
    events: mpsc::Sender<Event>,
    /// Whose agents the tree last said it hears.
    heard: RefCell<RangeSet>,
    counted: RefCell<Counted>,
    /// Who keeps that for the next node.
    outliving: Option<Rc<Outliving>>,
    kvm_ran: Cell<bool>,
}

impl Guests {
    /// For guests 1 to `guests`; `events` leads to the tree's state machine.
    pub fn new(guests: u32, events: mpsc::Sender<Event>) -> Self {
        let slot = |_| Slot { state: RefCell::new(GuestState::Queued), heard: watch::Sender::new(false) };
        Guests {
            each: (0..=guests).map(slot).collect(),
            events,
            heard: RefCell::default(),
            counted: RefCell::default(),
            outliving: None,
            kvm_ran: Cell::new(false),
        }
    }

    /// The same, which goes on to count from here, and has the next node go on.
    pub fn counting_from(self, counted: Counted, outliving: Rc<Outliving>) -> Self {
        outliving.keep_counted(&counted);
        Guests { counted: RefCell::new(counted), outliving: Some(outliving), ..self }
    }

    /// A guest is doing this now; the tree is told if that is new.
    pub async fn set(&self, guest: GuestId, state: GuestState) {
        let Some(slot) = self.each.get(guest.0 as usize) else { return };
        if *slot.state.borrow() != state {
            slot.state.replace(state.clone());
            // Fails only when the node ends.
            let _ = self.events.send(Event::Guest { guest, state }).await;
        }
    }

    /// How many are up.
    pub fn up(&self) -> u32 {
        self.each.iter().skip(1).filter(|slot| slot.state.borrow().is_up()).count() as u32
    }

    /// The tree hears the agents of these guests, and no others.
    pub fn set_heard(&self, heard: &RangeSet) {
        let mut before = self.heard.borrow_mut();
        if *before == *heard {
            return;
        }
        let flag = |guest: GuestId| self.each.get(guest.0 as usize).map(|slot| &slot.heard);
        for guest in heard.difference(&before).iter().map(GuestId) {
            flag(guest).map(|flag| flag.send_replace(true));
        }
        for guest in before.difference(heard).iter().map(GuestId) {
            flag(guest).map(|flag| flag.send_replace(false));
        }
        *before = heard.clone();
    }

    /// Whether a guest's agent is heard, to be waited for.
    pub fn heard(&self, guest: GuestId) -> Option<watch::Receiver<bool>> {
        self.each.get(guest.0 as usize).map(|slot| slot.heard.subscribe())
    }

    /// A guest's process has ended: what was heard of it says nothing of the next.
    pub fn forget(&self, guest: GuestId) {
        if let Some(slot) = self.each.get(guest.0 as usize) {
            slot.heard.send_replace(false);
        }
    }

    /// Whether a guest came up under KVM.
    pub fn kvm_ran(&self) -> bool {
        self.kvm_ran.get()
    }

    /// A guest came up under KVM.
    pub fn set_kvm_ran(&self) {
        self.kvm_ran.set(true);
    }

    /// Has `what` change the counters.
    pub fn count(&self, what: impl FnOnce(&mut GuestStats)) {
        self.change(|counted| what(&mut counted.stats));
    }

    fn change(&self, what: impl FnOnce(&mut Counted)) {
        what(&mut self.counted.borrow_mut());
        if let Some(outliving) = &self.outliving {
            outliving.keep_counted(&*self.counted.borrow());
        }
    }

    /// Counts a guest whose life ended unexpectedly.
    pub fn lost(&self, guest: GuestId, exit: GuestExit) {
        self.change(|Counted { stats, last_lost, .. }| {
            *(if exit.was_up { &mut stats.lost } else { &mut stats.failed }) += 1;
            *last_lost = Some(LostGuest { guest, exit });
        });
    }

    /// What was counted so far, and the guest that was lost or failed last.
    pub fn stats(&self) -> (GuestStats, Option<LostGuest>) {
        let counted = self.counted.borrow();
        (counted.stats, counted.last_lost.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_tree::guest::ExitReason;

    #[test]
    fn the_tree_is_told_what_is_new_and_drivers_what_is_heard() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (events, mut told) = mpsc::channel(8);
            let guests = Guests::new(2, events);
            for _ in 0..2 {
                guests.set(GuestId(2), GuestState::Up).await;
                guests.set(GuestId(3), GuestState::Up).await;
            }
            assert!(matches!(told.try_recv(), Ok(Event::Guest { guest: GuestId(2), state: GuestState::Up })));
            assert!(told.try_recv().is_err(), "nothing new, and no guest 3");
            assert_eq!(guests.up(), 1);
            let heard = guests.heard(GuestId(1)).unwrap();
            guests.set_heard(&RangeSet::span(1, 2));
            assert!(*heard.borrow());
            guests.forget(GuestId(1));
            guests.set_heard(&RangeSet::span(1, 2));
            assert!(!*heard.borrow(), "what the tree said of the last process is not said again");
            guests.set_heard(&RangeSet::new());
            guests.set_heard(&RangeSet::span(1, 1));
            assert!(*heard.borrow());
        });
    }

    #[test]
    fn each_end_is_counted_by_whether_it_had_come_up() {
        let guests = Guests::new(2, mpsc::channel(1).0);
        for was_up in [true, false, false] {
            guests.lost(GuestId(2), GuestExit { reason: ExitReason::Shutdown, was_up, console: None });
        }
        let (stats, last) = guests.stats();
        assert_eq!((stats.lost, stats.failed, last.map(|last| last.guest)), (1, 2, Some(GuestId(2))));
    }
}
