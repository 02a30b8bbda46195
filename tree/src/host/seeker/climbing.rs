//! When it calls, and whom it joins.

use super::{
    BETTER_MS, CALLS_MAX, COMPARE_MS, DEEPER_MAX, HOME_MS, Offer, PATIENT_MS, PAUSES_MS, Position, Purpose,
    REDIRECTS_MAX, ROUNDS, Seeker, Step,
};
use crate::host::event::Target;
use alloc::vec::Vec;
use vmatic_plan::HostId;

impl Seeker {
    /// Below a parent: is there a better one?
    pub(super) fn improve(&mut self, place: &Position, now_ms: u64, steps: &mut Vec<Step>) {
        if place.is_away() && !self.by_given && self.home_ms <= now_ms && !place.busy && self.joining.is_none() {
            self.home_wait_ms = (self.home_wait_ms * 2).min(HOME_MS.1);
            self.home_ms = now_ms + self.home_wait_ms;
            if let Some(planned) = place.planned() {
                self.call(Target::Host(planned), Purpose::Home, now_ms, steps);
            }
        }
        let goes_home = self.calls.values().any(|call| call.purpose == Purpose::Home);
        if self.better_ms <= now_ms && self.joining.is_none() && !goes_home {
            self.better_ms = now_ms + BETTER_MS;
            let depth = place.path.len();
            if place.is_away() && !place.busy && depth > place.plan.level(place.number) as usize + DEEPER_MAX {
                let at = self.draw(depth as u32 / 2) as usize;
                self.call(Target::Host(place.path[at]), Purpose::Better, now_ms, steps);
            }
        }
    }

    /// Without a parent: takes the best that was offered, or calls on.
    pub(super) fn climb(&mut self, place: &Position, now_ms: u64, steps: &mut Vec<Step>) {
        let waiting = self.is_calling_up() && now_ms < self.patience_ms;
        let planned = place.planned();
        let best = |offer: &&Offer| {
            let is_ancestor = place.ancestors().any(|host| host == offer.host);
            (Some(offer.host) != planned, !is_ancestor, offer.depth, offer.host)
        };
        let chosen = self.offers.iter().filter(|offer| offer.room).min_by_key(best);
        let compared = self.first_offer_ms.is_some_and(|first| now_ms >= first + COMPARE_MS);
        let home = chosen.is_some_and(|offer| Some(offer.host) == planned);
        let mut link = chosen.map(|offer| (offer.target, offer.link)).filter(|_| home || compared || !waiting);
        if link.is_none() && (waiting || now_ms < self.next_ms && !self.follows() && self.offers.is_empty()) {
            return;
        }
        if link.is_none() && !self.follows() {
            // All are full, and whoever they name: then one takes us all the same.
            link = self.offers.iter().min_by_key(best).map(|offer| (offer.target, offer.link));
        }
        if let Some((target, link)) = link {
            self.offers.retain(|offer| offer.link != link);
            steps.extend(self.offers.iter().map(|offer| Step::Drop(offer.link)));
            steps.extend(self.drop_calls());
            self.queue.clear();
            steps.extend(self.join(target, link, now_ms));
            return;
        }
        let mut targets: Vec<Target> = Vec::new();
        if self.redirects < REDIRECTS_MAX {
            targets = self.queue.drain(..self.queue.len().min(CALLS_MAX)).collect();
        }
        if targets.is_empty() {
            let before = self.round;
            targets = self.candidates(place, now_ms);
            (self.round, self.redirects) = (self.round.saturating_add(1), 0);
            let nobody = targets.is_empty() && place.number == HostId(1);
            if nobody {
                self.round = self.round.max(ROUNDS);
            }
            // Not before those of the last round had time to answer.
            if !self.settled && (before >= ROUNDS || nobody) {
                self.settled = true;
                self.tell_children(place, now_ms);
                steps.push(Step::Settled);
            }
            let pause = PAUSES_MS.iter().find(|(round, _)| self.round <= *round).map_or(0, |(_, pause)| *pause);
            self.next_ms = now_ms + pause + u64::from(self.draw(pause as u32 / 4 + 1));
        } else {
            self.redirects += 1;
        }
        self.patience_ms = now_ms + PATIENT_MS;
        targets.into_iter().for_each(|target| self.call(target, Purpose::Up, now_ms, steps));
    }
}
