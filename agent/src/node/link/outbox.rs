//! What of a link its writer, its reader and the node share: what waits to be sent, and the room that was given to the
//! other end's long answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit};
use vmatic_tree::id::OpId;
use vmatic_tree::link::{Credit, Outgoing, Released};

/// What is shared, for a moment at a time.
pub struct State {
    pub outgoing: Outgoing,
    /// Sessions that have said something here: how they end follows that.
    pub sessions: BTreeSet<OpId>,
    /// Nothing more is queued, or nothing more can be written.
    pub is_closed: bool,
    /// Room for long answers, that was given and not yet used.
    grants: BTreeMap<OpId, (usize, OwnedSemaphorePermit)>,
    released: Released,
}

/// A link's own.
pub struct Outbox {
    state: Mutex<State>,
    /// There is more to be written.
    pub more: Notify,
}

impl Default for Outbox {
    fn default() -> Outbox {
        let state = State {
            outgoing: Outgoing::new(false),
            sessions: BTreeSet::new(),
            is_closed: false,
            grants: BTreeMap::new(),
            released: Released::default(),
        };
        Outbox { state: Mutex::new(state), more: Notify::new() }
    }
}

impl Outbox {
    /// Nobody holds it while he waits for anything.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other end tells what it has room for.
    pub fn trust(&self) {
        self.state().outgoing.set_credit(true);
    }

    /// Nothing more will be queued: what waits is sent without asking for room, since nobody hears an answer.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.outgoing.set_credit(false);
        drop(state);
        self.more.notify_one();
    }

    /// Nothing more can be written: what waits is not kept.
    pub fn give_up(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.outgoing = Outgoing::new(false);
    }

    /// The other end says what it has room for.
    pub fn hear(&self, credit: Credit) {
        self.state().outgoing.credit(credit);
        self.more.notify_one();
    }

    /// Lets a long answer come, of so many bytes: the room is its own until the node has heard it.
    pub fn grant(&self, op: OpId, bytes: usize, room: OwnedSemaphorePermit) {
        let mut state = self.state();
        state.grants.insert(op, (bytes, room));
        state.outgoing.push_credit(Credit::Grant(op));
        drop(state);
        self.more.notify_one();
    }

    /// Nobody waits for answers to it.
    pub fn forget(&self, op: OpId) {
        self.state().outgoing.push_credit(Credit::Forget(op));
        self.more.notify_one();
    }

    /// How many bytes the longest answer has that may come.
    pub fn longest(&self) -> usize {
        self.state().grants.values().map(|(bytes, _)| *bytes).max().unwrap_or(0)
    }

    /// A long answer to this operation has come: its room.
    pub fn use_grant(&self, op: OpId) -> Option<OwnedSemaphorePermit> {
        self.state().grants.remove(&op).map(|(_, room)| room)
    }

    /// A short answer of so many bytes was passed on.
    pub fn release(&self, op: OpId, bytes: usize) {
        let mut state = self.state();
        let told = state.released.add(op, bytes);
        if told.is_empty() {
            return;
        }
        told.into_iter().for_each(|credit| state.outgoing.push_credit(credit));
        drop(state);
        self.more.notify_one();
    }
}
