//! Answers that wait below until a link above has room for them: so whoever reads slowly slows those who write, and
//! nobody is cut.
//!
//! An operation is congested while more than [`HIGH_BYTES`] of its answers wait to be sent on a link. Answers to it
//! that came from below wait as they came, with the room that they were given, and long ones that are offered get
//! none; a program of this host that streams gets no room for more. All other operations go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::Semaphore;

use vmatic_tree::id::{LinkId, OpId};

use crate::node::link::inbound::Arrival;

/// From how many bytes on an operation's answers wait below, and from which on they do no more.
pub const HIGH_BYTES: usize = 256 * 1024;
pub const LOW_BYTES: usize = HIGH_BYTES / 2;
/// Most offers that wait; further ones are forgotten with their links.
const OFFERS_MAX: usize = 4096;

/// A long answer that waits at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Where.
    pub link: LinkId,
    /// What it answers.
    pub op: OpId,
    /// How long it is.
    pub bytes: usize,
}

/// What becomes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There is no room now.
    Waits,
    /// Nobody waits for it.
    Dropped,
    /// It was given room.
    Granted,
}

/// What waits.
#[derive(Default)]
pub struct Backlog {
    /// The links on which too much of an operation waits.
    congested: BTreeMap<OpId, LinkId>,
    held: VecDeque<(OpId, Arrival)>,
    offers: VecDeque<Offer>,
    /// Long answers that were given room and are on their way, in bytes.
    granted: BTreeMap<(OpId, LinkId), usize>,
    /// Operations of which too much waits in this host, since nobody is there above.
    full: BTreeSet<OpId>,
    /// Programs of this host that stream: their room, and how much of it is held back.
    pens: BTreeMap<OpId, (Arc<Semaphore>, usize)>,
}

impl Backlog {
    /// Whether nothing that came over links waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.offers.is_empty()
    }

    /// So many bytes of an operation's answers wait to be sent on a link.
    pub fn note(&mut self, op: OpId, link: LinkId, bytes: usize) {
        if bytes > HIGH_BYTES {
            self.congested.insert(op, link);
        }
    }

    /// Too much of an operation waits in this host.
    pub fn fill(&mut self, op: OpId) {
        self.full.insert(op);
    }

    /// Looks again which operations are congested; programs that had to wait go on.
    pub fn look(&mut self, waits: impl Fn(LinkId, OpId) -> usize, mut is_full: impl FnMut(OpId) -> bool) {
        self.congested.retain(|op, link| waits(*link, *op) > LOW_BYTES);
        self.full.retain(|op| is_full(*op));
        let (congested, full) = (&self.congested, &self.full);
        for (op, (room, held)) in &mut self.pens {
            if *held > 0 && !congested.contains_key(op) && !full.contains(op) {
                room.add_permits(std::mem::take(held));
            }
        }
    }

    /// Whether answers to it have to wait.
    pub fn is_congested(&self, op: OpId) -> bool {
        self.congested.contains_key(&op) || self.full.contains(&op)
    }

    /// A program of this host streams for this operation; gives the room for so many pieces.
    pub fn begin(&mut self, op: OpId, pieces: usize) -> Arc<Semaphore> {
        let room = Arc::new(Semaphore::new(pieces));
        self.pens.insert(op, (room.clone(), 0));
        room
    }

    /// A piece of it is on its way up: there is room for another, as soon as there is above.
    pub fn passed(&mut self, op: OpId) {
        let is_congested = self.is_congested(op);
        match self.pens.get_mut(&op) {
            Some((_, held)) if is_congested => *held += 1,
            Some((room, _)) => room.add_permits(1),
            None => {}
        }
    }

    /// It has ended.
    pub fn end(&mut self, op: OpId) {
        self.pens.remove(&op);
    }

    /// Keeps what has to wait, behind what came before it over the same link; gives back what has not.
    pub fn keep(&mut self, arrival: Arrival) -> Option<Arrival> {
        let Some(op) = arrival.answers_to() else { return Some(arrival) };
        let behind = self.held.iter().any(|(its, held)| *its == op && held.link == arrival.link);
        if !behind && !self.is_congested(op) {
            return Some(arrival);
        }
        self.held.push_back((op, arrival));
        None
    }

    /// The next that need not wait any more.
    pub fn next(&mut self) -> Option<Arrival> {
        let at = self.held.iter().position(|(op, _)| !self.is_congested(*op))?;
        self.held.remove(at).map(|(_, arrival)| arrival)
    }

    /// An answer has come, long or not: its room is its own now.
    pub fn arrived(&mut self, op: OpId, link: LinkId) {
        self.granted.remove(&(op, link));
    }

    /// All that came over a link that has ended, in its order.
    pub fn of_link(&mut self, link: LinkId) -> Vec<Arrival> {
        self.granted.retain(|(_, its), _| *its != link);
        self.offers.retain(|offer| offer.link != link);
        let (its, others) = std::mem::take(&mut self.held).into_iter().partition(|(_, held)| held.link == link);
        self.held = others;
        let its: VecDeque<(OpId, Arrival)> = its;
        its.into_iter().map(|(_, arrival)| arrival).collect()
    }

    /// The links of which something waits.
    pub fn links(&self) -> Vec<LinkId> {
        let mut links: Vec<LinkId> = self.held.iter().map(|(_, arrival)| arrival.link).collect();
        links.dedup();
        links
    }

    /// A long answer is offered.
    pub fn offer(&mut self, offer: Offer) {
        if self.offers.len() < OFFERS_MAX {
            self.offers.push_back(offer);
        }
    }

    /// The offers that are left after `take` has had each that need not wait; it says what became of it. Of an
    /// operation no more are given room at a time than may wait here.
    pub fn take_offers(&mut self, mut take: impl FnMut(Offer) -> Taken) {
        let (congested, full, granted) = (&self.congested, &self.full, &mut self.granted);
        self.offers.retain(|offer| {
            let Offer { link, op, bytes } = *offer;
            let on_their_way: usize = granted.range((op, 0)..=(op, LinkId::MAX)).map(|(_, bytes)| *bytes).sum();
            if congested.contains_key(&op) || full.contains(&op) || on_their_way > HIGH_BYTES {
                return true;
            }
            match take(*offer) {
                Taken::Waits => true,
                Taken::Dropped => false,
                Taken::Granted => {
                    granted.insert((op, link), bytes);
                    false
                }
            }
        });
    }
}
