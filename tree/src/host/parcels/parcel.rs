//! One parcel on a host: who may have it, what is under way of it, and who waits for which part.
//!
//! Owns no chunk: those are the [`store`](super::store)'s.

use crate::id::LinkId;
use crate::parcel::{Chunk, Part, WINDOW, Waybill};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use vmatic_plan::HostId;

/// How long whoever is asked may give nothing, until others are asked.
const STALL_MS: u64 = 10_000;
/// How long nothing is asked of who gave nothing, or has it not.
const REST_MS: u64 = 2_000;
/// How long a sibling may take to be called.
pub(super) const CALL_MS: u64 = 2_000;

/// Where somebody is who may have it, the best first: what came from below is not asked of those who have it from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// On the way to the console, or it itself.
    Below,
    /// The sibling that the parent named.
    Sibling,
    /// The parent.
    Parent,
}

/// Somebody who may have it.
#[derive(Clone, Copy, Debug)]
struct Provider {
    source: Source,
    link: LinkId,
    /// When it gave something last, or was asked after it had nothing to give.
    heard_ms: u64,
    /// Until when it is not asked.
    rests_ms: u64,
}

/// A parcel.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    /// The list of chunks, once it is here, and its bytes.
    pub waybill: Option<(Waybill, Arc<Vec<u8>>)>,
    /// Who may have it, the best first.
    providers: Vec<Provider>,
    /// Those who gave other bytes than were signed.
    liars: BTreeSet<LinkId>,
    /// Whether there was no room for a chunk of it.
    pub too_much: bool,
    /// The sibling that is to be asked first, and until when it is called.
    pub sibling: Option<HostId>,
    pub calls_until_ms: u64,
    /// What is asked for, of whom.
    under_way: BTreeMap<Part, LinkId>,
    /// Who waits for which part.
    askers: BTreeMap<Part, Vec<LinkId>>,
    /// Whether all of it is wanted here, and the first chunk that may be missing.
    pub wanted: bool,
    cursor: u32,
    /// When somebody last wanted it.
    pub used_ms: u64,
    /// Since when it is wanted, and nobody may have it.
    pub alone_ms: Option<u64>,
}

impl Parcel {
    /// Somebody may have it.
    pub fn provide(&mut self, link: LinkId, source: Source, now_ms: u64) {
        if self.liars.contains(&link) || self.providers.iter().any(|provider| provider.link == link) {
            return;
        }
        // Of those at one place the newest: the one before it is gone, or no sibling any more.
        let at = self.providers.partition_point(|provider| provider.source < source);
        self.providers.insert(at, Provider { source, link, heard_ms: now_ms, rests_ms: 0 });
    }

    /// Somebody is gone: what was asked of him is asked of others.
    pub fn forget(&mut self, link: LinkId) {
        self.liars.remove(&link);
        self.providers.retain(|provider| provider.link != link);
        self.ask_again(link);
        self.askers.retain(|_, links| {
            links.retain(|asker| *asker != link);
            !links.is_empty()
        });
    }

    /// Somebody lies: nothing is asked of him again.
    pub fn distrust(&mut self, link: LinkId) {
        self.liars.insert(link);
        self.providers.retain(|provider| provider.link != link);
        self.ask_again(link);
    }

    /// Somebody has it not, or gives nothing.
    pub fn rest(&mut self, link: LinkId, now_ms: u64) {
        if let Some(provider) = self.providers.iter_mut().find(|provider| provider.link == link) {
            provider.rests_ms = now_ms + REST_MS;
        }
        self.ask_again(link);
    }

    fn ask_again(&mut self, link: LinkId) {
        let cursor = &mut self.cursor;
        self.under_way.retain(|part, of| {
            if let (Part::Chunk(n), true) = (*part, *of == link) {
                *cursor = (*cursor).min(n);
            }
            *of != link
        });
    }

    /// Somebody asks for a part that is not here.
    pub fn ask(&mut self, link: LinkId, part: Part) {
        let links = self.askers.entry(part).or_default();
        if !links.contains(&link) {
            links.push(link);
        }
    }

    /// How many parts a neighbour waits for.
    pub fn waits_for(&self, link: LinkId) -> usize {
        self.askers.values().filter(|links| links.contains(&link)).count()
    }

    /// Whether somebody at this link was asked for a part of it, or asks for one.
    pub fn involves(&self, link: LinkId) -> bool {
        self.under_way.values().any(|of| *of == link) || self.waits_for(link) > 0
    }

    /// Whether it is wanted by anybody.
    pub fn is_active(&self) -> bool {
        self.wanted || !self.askers.is_empty()
    }

    /// Whether this part was asked of this link: it comes, or does not.
    pub fn came(&mut self, link: LinkId, part: Part, now_ms: u64) -> bool {
        if self.under_way.get(&part) != Some(&link) {
            return false;
        }
        self.under_way.remove(&part);
        if let Some(provider) = self.providers.iter_mut().find(|provider| provider.link == link) {
            provider.heard_ms = now_ms;
        }
        true
    }

    /// Who waits for a part; nobody does any more.
    pub fn take_askers(&mut self, part: Part) -> Vec<LinkId> {
        self.askers.remove(&part).unwrap_or_default()
    }

    /// Those who wait for chunks that there are not.
    pub fn take_mistaken(&mut self) -> Vec<(Part, LinkId)> {
        let Some((waybill, _)) = &self.waybill else { return Vec::new() };
        let most = waybill.chunks().len() as u32;
        let mistaken: Vec<Part> = self.askers.range(Part::Chunk(most)..).map(|(part, _)| *part).collect();
        let with = |part: Part| self.askers.remove(&part).unwrap_or_default().into_iter().map(move |link| (part, link));
        mistaken.into_iter().flat_map(with).collect()
    }

    /// The chunk of this number.
    pub fn chunk(&self, number: u32) -> Option<Chunk> {
        self.waybill.as_ref()?.0.chunks().get(number as usize).copied()
    }

    /// Has all chunks looked for again: some that were here are not.
    pub fn look_again(&mut self) {
        self.cursor = 0;
    }

    /// Looks who gives nothing though it is asked; his parts are asked of others.
    pub fn look_for_stalled(&mut self, now_ms: u64) {
        let asked: BTreeSet<LinkId> = self.under_way.values().copied().collect();
        let late = |provider: &&Provider| asked.contains(&provider.link) && now_ms >= provider.heard_ms + STALL_MS;
        let late: Vec<LinkId> = self.providers.iter().filter(late).map(|provider| provider.link).collect();
        // Where nobody else is, waiting is all that can be done.
        if self.providers.len() > 1 {
            late.into_iter().for_each(|link| self.rest(link, now_ms));
        }
    }

    /// What is to be asked for now, of whom; `has` says which chunks are here. Those for whom nobody can be asked come
    /// with no link.
    pub fn next(
        &mut self,
        parent: Option<LinkId>,
        now_ms: u64,
        has: impl Fn(&Chunk) -> bool,
    ) -> Vec<(Part, Option<LinkId>)> {
        let mut next = Vec::new();
        if let Some(parent) = parent {
            self.provide(parent, Source::Parent, now_ms);
        }
        if self.sibling.is_some() && now_ms < self.calls_until_ms {
            return next;
        }
        let first = self.waybill.is_none().then_some(Part::Waybill);
        let asked: Vec<Part> = match first {
            Some(part) => [part].into(),
            None => self.askers.keys().copied().collect(),
        };
        for part in asked {
            if self.under_way.len() < WINDOW && !self.under_way.contains_key(&part) && self.is_active() {
                let link = self.choose(part, now_ms);
                next.push((part, link));
            }
        }
        while let Some(part) = self.next_missing(&has) {
            let Some(link) = self.choose(part, now_ms) else { break };
            next.push((part, Some(link)));
        }
        next
    }

    /// The next chunk that is wanted here, and nowhere on its way.
    fn next_missing(&mut self, has: &impl Fn(&Chunk) -> bool) -> Option<Part> {
        let (waybill, _) = self.waybill.as_ref().filter(|_| self.wanted)?;
        while self.under_way.len() < WINDOW {
            let chunk = waybill.chunks().get(self.cursor as usize)?;
            let part = Part::Chunk(self.cursor);
            if !has(chunk) && !self.under_way.contains_key(&part) {
                return Some(part);
            }
            self.cursor += 1;
        }
        None
    }

    /// Whom to ask for a part: nobody who waits for it himself.
    fn choose(&mut self, part: Part, now_ms: u64) -> Option<LinkId> {
        let waits = self.askers.get(&part).map(Vec::as_slice).unwrap_or_default();
        let may = |provider: &&mut Provider| now_ms >= provider.rests_ms && !waits.contains(&provider.link);
        let provider = self.providers.iter_mut().find(may)?;
        if !self.under_way.values().any(|of| *of == provider.link) {
            provider.heard_ms = now_ms;
        }
        self.under_way.insert(part, provider.link);
        Some(provider.link)
    }

    /// Whether somebody is there who may give it.
    pub fn has_provider(&self, but: Option<LinkId>) -> bool {
        self.providers.iter().any(|provider| Some(provider.link) != but)
    }

    /// Whether every chunk was here when it was looked for, or has come since: counted, so that it costs nothing to
    /// ask.
    pub fn was_looked_for(&self) -> bool {
        let all = self.waybill.as_ref().is_some_and(|(waybill, _)| self.cursor as usize >= waybill.chunks().len());
        all && self.is_idle()
    }

    /// Whether nothing is under way of it.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}
