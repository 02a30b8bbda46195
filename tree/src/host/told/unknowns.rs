//! The machines of this cluster that have no number, as a host knows them: those that have their link to it, and those
//! that hosts below tell of.

use super::Told;
use crate::id::LinkId;
use crate::unknown::{MachineId, SeenMachine, UNKNOWN_MAX, UnknownMachine};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use vmatic_plan::HostId;

/// The machines without a number that this host knows of.
#[derive(Debug, Default)]
pub struct Unknowns {
    /// Those that have their link to this host.
    pub here: BTreeMap<LinkId, UnknownMachine>,
    /// What children told of others, and what the parent was told.
    pub told: Told<SeenMachine>,
}

impl Unknowns {
    /// When something is to be told.
    pub fn due_ms(&self) -> Option<u64> {
        self.told.due_ms()
    }

    /// All of them, those that have their link to `host`, which is this one, first; at most [`UNKNOWN_MAX`].
    pub fn all(&self, host: HostId) -> Vec<SeenMachine> {
        all(&self.here, &self.told, host)
    }

    /// The link of this machine, if it is here.
    pub fn link_of(&self, id: MachineId) -> Option<LinkId> {
        self.here.iter().find(|(_, machine)| machine.id == id).map(|(link, _)| *link)
    }

    /// What the parent is to be told now, if anything.
    pub fn advance(&mut self, host: HostId, parent: Option<LinkId>, now_ms: u64) -> Option<Vec<SeenMachine>> {
        let Unknowns { here, told } = self;
        told.advance(parent, now_ms, |told| all(here, told, host))
    }

    /// A link is gone, and whatever was known over it.
    pub fn forget(&mut self, link: LinkId, now_ms: u64) {
        self.told.forget(link, now_ms);
        if self.here.remove(&link).is_some() {
            self.told.changed(now_ms);
        }
    }
}

fn all(here: &BTreeMap<LinkId, UnknownMachine>, told: &Told<SeenMachine>, host: HostId) -> Vec<SeenMachine> {
    let own = here.values().map(|machine| SeenMachine { by: host, machine: machine.clone() });
    // One that changes its host may be told of twice for a moment.
    let mut ids = BTreeSet::new();
    let all = own.chain(told.below().cloned());
    let mut all: Vec<SeenMachine> = all.filter(|seen| ids.insert(seen.machine.id)).take(UNKNOWN_MAX).collect();
    all.sort();
    all
}
