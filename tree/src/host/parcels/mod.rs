//! Parcels on a host: what it needs of them it asks for, what it has it gives.
//!
//! A command that needs a parcel ([`Order::parcel`]) comes over a link, and whoever sent it may have the parcel, or get
//! it: so chunks flow the way that commands flow, from the console up to the root and down. A host asks for what it
//! lacks, at most [`WINDOW`] parts at a time, and checks each before it keeps it or gives it to anybody. Whoever asks
//! for what is not here yet waits for it: it is passed on as soon as it has come, and nobody waits for the whole.
//!
//! **Siblings.** A parent that sent all its children the same would send it that often. So it asks them to take it from
//! each other ([`Message::Sibling`]): the first from the parent, each other one from the last host below the one before
//! it, over a link of its own. So each host sends it once, and it goes along all of them. Where there are so many that
//! the way along all would be long, each takes it from the sibling itself, and who has both sends it twice. Where one
//! dies or gives nothing, the parent is asked, and names another.
//!
//! **Deaths.** A chunk that was asked of who is gone is asked of the next who may have it; a parent counts among them
//! always, also a new one. What is here stays here: nobody begins anew.
//!
//! * `store`: the chunks that are kept, and their budget; `parcel`: one parcel, who may have it and who waits for it;
//!   `siblings`: who takes it from whom.

mod carrying;
mod parcel;
mod siblings;
mod store;

use super::event::{Action, Outbox};
use super::operations::Operations;
use super::peers::Peers;
use crate::answer::{Outcome, Output};
use crate::id::{LinkId, OpId};
use crate::parcel::{Hash, ParcelId, Part, WINDOW, Waybill, hash};
use crate::reply::Stored;
use crate::wire::message::Message;
use crate::wire::order::Order;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use parcel::{CALL_MS, Parcel, Source};
pub(super) use siblings::{InRow, Siblings};
use store::Store;

/// Most parcels that are known at a time.
const PARCELS_MAX: usize = 256;
/// How long a parcel is known that nobody wants.
const KNOWN_MS: u64 = 60_000;
/// How long a task waits for a parcel that nobody may have: a parent that is gone has a successor by then.
const ALONE_MS: u64 = 10_000;
/// Most parts that a neighbour may wait for: its window, and what it asks anew meanwhile.
const ASKED_MAX: usize = 4 * WINDOW;

/// A task of this host that waits for its parcel.
#[derive(Debug)]
struct Waiting {
    parcel: ParcelId,
    order: Order,
    until_ms: u64,
}

/// The parcels of a host, what it keeps of them, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    store: Store,
    parcels: BTreeMap<ParcelId, Parcel>,
    waiting: BTreeMap<OpId, Waiting>,
    pub siblings: Siblings,
}

impl Parcels {
    /// Most bytes of chunks that are kept.
    pub fn set_budget(&mut self, bytes: u64) {
        self.store.set_budget(bytes);
    }

    /// What is kept.
    pub fn stored(&self) -> Stored {
        self.store.stored()
    }

    /// Whether a link is waited for, or waits.
    pub fn involves(&self, link: LinkId) -> bool {
        self.parcels.values().any(|parcel| parcel.involves(link))
    }

    fn parcel(&mut self, id: ParcelId, now_ms: u64) -> &mut Parcel {
        if self.parcels.len() >= PARCELS_MAX && !self.parcels.contains_key(&id) {
            let idle = self.parcels.iter().filter(|(_, parcel)| !parcel.is_active());
            let oldest = idle.min_by_key(|(_, parcel)| parcel.used_ms).map(|(id, _)| *id);
            oldest.map(|id| self.parcels.remove(&id));
        }
        let parcel = self.parcels.entry(id).or_default();
        parcel.used_ms = now_ms;
        parcel
    }

    /// Whoever sent a command that needs a parcel may have it: the parent, or somebody below.
    pub fn provide(&mut self, id: ParcelId, link: LinkId, is_parent: bool, now_ms: u64) {
        let source = if is_parent { Source::Parent } else { Source::Below };
        self.parcel(id, now_ms).provide(link, source, now_ms);
    }

    /// A task of this host is to start when its parcel is here.
    pub fn await_for(&mut self, op: OpId, id: ParcelId, order: Order, until_ms: u64, now_ms: u64) {
        let parcel = self.parcel(id, now_ms);
        (parcel.wanted, parcel.too_much, parcel.alone_ms) = (true, false, None);
        parcel.look_again();
        self.waiting.insert(op, Waiting { parcel: id, order, until_ms });
    }

    /// A link is gone.
    pub fn closed(&mut self, link: LinkId) {
        self.parcels.values_mut().for_each(|parcel| parcel.forget(link));
    }

    /// Somebody asks for a part.
    pub fn asked(&mut self, link: LinkId, id: ParcelId, part: Part, peers: &mut Peers, out: &mut Outbox) {
        let now_ms = out.now_ms;
        let parent = peers.parent().is_some_and(|parent| parent != link);
        let parcel = self.parcel(id, now_ms);
        let there = match part {
            Part::Waybill => parcel.waybill.as_ref().map(|(_, bytes)| bytes.clone()),
            Part::Chunk(number) => match parcel.chunk(number).map(|chunk| chunk.hash) {
                Some(hash) => self.store.get(&hash),
                None => None,
            },
        };
        if let Some(bytes) = there {
            return self.give(link, id, part, &bytes, peers, out);
        }
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        let may_come = parcel.has_provider(Some(link)) || parent;
        let is_none = matches!(part, Part::Chunk(n) if parcel.waybill.is_some() && parcel.chunk(n).is_none());
        if is_none || !may_come || parcel.waits_for(link) >= ASKED_MAX {
            return peers.send(link, Message::Lacks { parcel: id, part }, out);
        }
        parcel.ask(link, part);
    }

    fn give(
        &mut self,
        link: LinkId,
        id: ParcelId,
        part: Part,
        bytes: &Arc<Vec<u8>>,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        self.store.gave(bytes.len());
        peers.send(link, Message::Give { parcel: id, part, bytes: bytes.to_vec() }, out);
    }

    /// Somebody has not what he was asked for.
    pub fn lacked(&mut self, link: LinkId, id: ParcelId, part: Part, now_ms: u64) {
        if let Some(parcel) = self.parcels.get_mut(&id)
            && parcel.came(link, part, now_ms)
        {
            if let Part::Chunk(_) = part {
                parcel.look_again();
            }
            parcel.rest(link, now_ms);
        }
    }

    /// A part came. Only what was asked of this link counts, and only as what it is to be.
    pub fn given(
        &mut self,
        link: LinkId,
        id: ParcelId,
        part: Part,
        bytes: Vec<u8>,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        let now_ms = out.now_ms;
        let Some(parcel) = self.parcels.get_mut(&id) else { return };
        if !parcel.came(link, part, now_ms) {
            return;
        }
        let wanted = match part {
            Part::Waybill => Some(id.0),
            Part::Chunk(number) => parcel.chunk(number).map(|chunk| chunk.hash),
        };
        let true_waybill = |bytes: &[u8]| part != Part::Waybill || Waybill::read(bytes).is_ok();
        let Some(hash) = wanted.filter(|wanted| *wanted == hash(&bytes) && true_waybill(&bytes)) else {
            out.note(format!(
                "{} gives other bytes than were signed of parcel {id}: not asked again",
                peers.name(link)
            ));
            parcel.look_again();
            parcel.distrust(link);
            return;
        };
        let bytes = match part {
            Part::Waybill => self.take_waybill(id, bytes, peers, out),
            Part::Chunk(_) => Some(self.take_chunk(id, hash, bytes, out)),
        };
        let Some(bytes) = bytes else { return };
        let askers = self.parcels.get_mut(&id).map(|parcel| parcel.take_askers(part)).unwrap_or_default();
        askers.into_iter().for_each(|asker| self.give(asker, id, part, &bytes, peers, out));
    }

    /// The list of chunks is here: it is known whether there is room for them.
    fn take_waybill(
        &mut self,
        id: ParcelId,
        bytes: Vec<u8>,
        peers: &mut Peers,
        out: &mut Outbox,
    ) -> Option<Arc<Vec<u8>>> {
        let waybill = Waybill::read(&bytes).ok()?;
        let (total, budget) = (waybill.total_bytes(), self.store.stored().budget_bytes);
        let bytes = Arc::new(bytes);
        let parcel = self.parcels.get_mut(&id)?;
        parcel.waybill = Some((waybill, bytes.clone()));
        for (part, asker) in parcel.take_mistaken() {
            peers.send(asker, Message::Lacks { parcel: id, part }, out);
        }
        if total > budget {
            out.note(format!("parcel {id} has {total} bytes, and this host keeps at most {budget}"));
        }
        Some(bytes)
    }

    /// Keeps a chunk, if there is room; whoever waits for it gets it anyway.
    fn take_chunk(&mut self, id: ParcelId, hash: Hash, bytes: Vec<u8>, out: &mut Outbox) -> Arc<Vec<u8>> {
        let active = self.parcels.values().filter(|parcel| parcel.is_active());
        let needed = || {
            let waybills = active.clone().filter_map(|parcel| parcel.waybill.as_ref());
            waybills.flat_map(|(waybill, _)| waybill.chunks()).map(|chunk| chunk.hash).collect::<BTreeSet<_>>()
        };
        let bytes = Arc::new(bytes);
        if !self.store.insert(hash, bytes.clone(), needed)
            && let Some(parcel) = self.parcels.get_mut(&id).filter(|parcel| !parcel.too_much)
        {
            parcel.too_much = true;
            out.note(format!("no room for parcel {id} beside others that are under way"));
        }
        bytes
    }

    /// Asks for what is wanted, starts what has all that it needs, and gives up what never will.
    pub fn advance(&mut self, operations: &mut Operations, peers: &mut Peers, out: &mut Outbox) {
        if self.parcels.is_empty() {
            return;
        }
        let now_ms = out.now_ms;
        self.waiting.retain(|op, _| operations.each_of(*op).any(|(_, operation)| !operation.local.is_empty()));
        for (op, why) in self.hopeless(now_ms) {
            self.waiting.remove(&op);
            operations.finish(op, &Outcome::Failed(why), &Output::default(), now_ms);
        }
        let parent = peers.parent();
        let wanted: BTreeSet<ParcelId> = self.waiting.values().map(|waiting| waiting.parcel).collect();
        self.parcels.retain(|id, parcel| {
            parcel.wanted = wanted.contains(id);
            parcel.is_active() || now_ms < parcel.used_ms + KNOWN_MS
        });
        let store = &self.store;
        for (id, parcel) in self.parcels.iter_mut().filter(|(_, parcel)| parcel.is_active()) {
            parcel.used_ms = now_ms;
            parcel.look_for_stalled(now_ms);
            for (part, link) in parcel.next(parent, now_ms, |chunk| store.has(&chunk.hash)) {
                match link {
                    Some(link) => peers.send(link, Message::Ask { parcel: *id, part }, out),
                    None => {
                        for asker in parcel.take_askers(part) {
                            peers.send(asker, Message::Lacks { parcel: *id, part }, out);
                        }
                    }
                }
            }
            let alone = parcel.wanted && parcel.is_idle() && now_ms >= parcel.calls_until_ms;
            parcel.alone_ms = if alone { parcel.alone_ms.or(Some(now_ms)) } else { None };
        }
        self.start_whole(out);
    }

    /// Starts the tasks whose parcels are here.
    fn start_whole(&mut self, out: &mut Outbox) {
        let mut started = Vec::new();
        for (op, waiting) in &self.waiting {
            let Some(parcel) = self.parcels.get_mut(&waiting.parcel).filter(|parcel| parcel.was_looked_for()) else {
                continue;
            };
            let Some((waybill, _)) = &parcel.waybill else { continue };
            if !waybill.chunks().iter().all(|chunk| self.store.has(&chunk.hash)) {
                parcel.look_again();
                continue;
            }
            let chunks: Vec<_> = waybill.chunks().iter().filter_map(|chunk| self.store.get(&chunk.hash)).collect();
            started.push((*op, chunks));
        }
        for (op, chunks) in started {
            let Some(Waiting { order, until_ms, .. }) = self.waiting.remove(&op) else { continue };
            let remaining_ms = until_ms.saturating_sub(out.now_ms).try_into().unwrap_or(u32::MAX);
            out.push(Action::StartWith { op, order, chunks, remaining_ms });
        }
    }

    /// The tasks whose parcels will never be here, and why.
    fn hopeless(&self, now_ms: u64) -> Vec<(OpId, String)> {
        let budget = self.store.stored().budget_bytes;
        let why = |waiting: &Waiting| {
            let parcel = self.parcels.get(&waiting.parcel)?;
            let total = parcel.waybill.as_ref().map_or(0, |(waybill, _)| waybill.total_bytes());
            if total > budget {
                return Some(format!("no room: the files take {total} bytes, and this host keeps at most {budget}"));
            }
            if parcel.too_much {
                return Some("no room for the files beside others that are under way: run the command again".into());
            }
            let alone = parcel.alone_ms.is_some_and(|since| now_ms >= since + ALONE_MS);
            alone.then(|| "nobody that this host can ask has the files: run the command again".into())
        };
        self.waiting.iter().filter_map(|(op, waiting)| Some((*op, why(waiting)?))).collect()
    }
}
