//! What those say who were called, and what is made of it.

use super::{
    ABOVE, CALL_MS, HOLD_MS, OFFERS_MAX, Offer, PAUSES_MS, Position, Probed, Purpose, QUEUE_MAX, REDIRECTS_MAX,
    REFUSALS_MAX, ROUNDS, Seeker, Step,
};
use crate::host::event::Target;
use crate::id::LinkId;
use crate::wire::message::OTHERS_MAX;
use alloc::vec::Vec;
use vmatic_plan::HostId;

impl Seeker {
    /// Whoever answers a call says where it is: the hosts from its root to itself, whether it has room, and others.
    pub fn here(
        &mut self,
        link: LinkId,
        path: &[HostId],
        room: bool,
        others: &[HostId],
        place: &Position,
        now_ms: u64,
    ) -> Vec<Step> {
        let found = self.calls.iter().find(|(_, call)| call.link == Some(link));
        let Some((target, purpose)) = found.map(|(target, call)| (*target, call.purpose)) else { return Vec::new() };
        self.calls.remove(&target);
        if self.has_probed(target, purpose, Probed::Alive(path.first().copied())) {
            return [Step::Drop(link)].into();
        }
        self.rest(target, now_ms);
        let (Some(root), Some(host)) = (path.first().copied(), path.last().copied()) else {
            return [Step::Drop(link)].into();
        };
        let (number, depth) = (place.number, path.len());
        if Some(host) == place.planned() {
            self.home_heard_ms = Some(now_ms);
        }
        // It is there, and somebody waits for an answer just now; or it has not come to this tree yet.
        let later = place.busy || place.path.first().is_some_and(|own| *own < root);
        match purpose {
            Purpose::Tell => [Step::Drop(link)].into(),
            Purpose::Home if room && host < number && !later && self.joining.is_none() => {
                self.join(target, link, now_ms)
            }
            Purpose::Home if room && host < number => {
                self.home_ms = now_ms + HOLD_MS;
                [Step::Drop(link)].into()
            }
            Purpose::Better if room && host < number && depth + 2 < place.path.len() && self.joining.is_none() => {
                self.join(target, link, now_ms)
            }
            Purpose::Up if !self.joined && root < number => {
                // Below whoever comes first, all would hang one below the other.
                let high = depth <= place.plan.level(place.number) as usize + 1;
                let room = room && (high || self.redirects >= REDIRECTS_MAX);
                if host < number {
                    self.offers.push(Offer { target, link, host, depth, room });
                }
                if room && host < number {
                    self.first_offer_ms.get_or_insert(now_ms);
                } else {
                    let above = path.iter().take(ABOVE).filter(|other| **other != host);
                    let below = others.iter().take(OTHERS_MAX).filter(|_| high);
                    let better = above.chain(below).filter(|other| **other < number);
                    better.for_each(|other| self.enqueue(Target::Host(*other), now_ms));
                }
                if host < number { self.drop_worst() } else { [Step::Drop(link)].into() }
            }
            _ => [Step::Drop(link)].into(),
        }
    }

    /// Of many who answered, those at the top are kept.
    pub(super) fn drop_worst(&mut self) -> Vec<Step> {
        let worst =
            self.offers.iter().enumerate().max_by_key(|(_, offer)| (!offer.room, offer.depth)).map(|(at, _)| at);
        let worst = worst.filter(|_| self.offers.len() > OFFERS_MAX).map(|at| self.offers.swap_remove(at).link);
        worst.map(Step::Drop).into_iter().collect()
    }

    /// Who is turned away waits longer each time, and is the root of what it has meanwhile.
    pub(super) fn turned_away(&mut self, now_ms: u64) {
        self.refusals = (self.refusals + 1).min(REFUSALS_MAX);
        self.next_ms = now_ms + (PAUSES_MS[0].1 << self.refusals);
        if self.refusals > 2 && !self.joined {
            self.round = self.round.max(ROUNDS);
        }
        self.home_ms = self.home_ms.min(now_ms + (HOLD_MS << self.refusals));
    }

    pub(super) fn join(&mut self, target: Target, link: LinkId, now_ms: u64) -> Vec<Step> {
        self.joining_given = matches!(target, Target::Given(_));
        self.joining = Some((link, now_ms + CALL_MS));
        [Step::Hello(link)].into()
    }

    pub(super) fn enqueue(&mut self, target: Target, now_ms: u64) {
        let rests = self.resting.get(&target).is_some_and(|until| *until > now_ms);
        if !rests && self.queue.len() < QUEUE_MAX && !self.queue.contains(&target) {
            self.queue.push_back(target);
        }
    }
}
