//! Whom a host calls: to have a parent, to go back to the planned one, and to find other trees.
//!
//! **Every parent has a lower number than its child.** So no circle can close, whatever is lost or late on the way, and
//! the root of what hangs together is its lowest host; nobody votes.
//!
//! Who has no parent *climbs*: it calls those who are likely in small batches ([`candidates`](Seeker::candidates)), asks
//! each where it is, and joins the best that has room; those who have none name others. Who finds nobody is the root of
//! what it has, and goes on calling, rarely: low numbers in turn, and any of the table. One that answers is enough: it
//! says who its root is, and the root with the higher number goes below the other. Whoever is called by a part whose
//! root is lower tells its own root so ([`Message::Heard`](crate::wire::message::Message::Heard)).
//!
//! Who is below another than its planned parent goes back: the parent calls its planned children once it is in a tree
//! itself, and a child that hears it calls back; beside that it asks, ever less often.

mod candidates;
mod position;

use super::event::Target;
use crate::id::LinkId;
use crate::wire::message::OTHERS_MAX;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
pub(super) use position::{FirstWord, Position, Probed, Step};
use vmatic_plan::HostId;

/// How long a call may take until its answer, and a hello until its welcome.
const CALL_MS: u64 = 2_000;
/// How long those who were called are waited for before others are called beside them.
const PATIENT_MS: u64 = 400;
/// How long others may still answer after the first that has room.
const COMPARE_MS: u64 = 150;
/// Most calls at a time, and in a round of who has settled.
const CALLS_MAX: usize = 8;
const PROBES: usize = 3;
/// After how many rounds that found nobody a host is the root of what it has.
const ROUNDS: u32 = 3;
/// Pauses between rounds: machines of a rack boot together, so short at first.
const PAUSES_MS: [(u32, u64); 5] = [(1, 100), (ROUNDS, 300), (10, 500), (30, 1_000), (u32::MAX, 4_000)];
/// How often a host follows what full ones name.
const REDIRECTS_MAX: u32 = 8;
/// How often the pause doubles for who is turned away.
const REFUSALS_MAX: u32 = 5;
/// Most links to those who answered that are kept until one is chosen.
const OFFERS_MAX: usize = 4;
/// How many of those at the top of a path are called.
const ABOVE: usize = 2;
/// How long who did not answer is not called again, and most of whom that is remembered.
const REST_MS: u64 = 3_000;
const RESTING_MAX: usize = 64;
/// Most hosts that wait to be called.
const QUEUE_MAX: usize = 32;
/// How long the planned parent must have been there before its child goes back, and how often the child asks by itself:
/// soon at first, since that may only have been late to answer, and ever less often.
const HOLD_MS: u64 = 2_000;
const HOME_MS: (u64, u64) = (4_000, 600_000);
/// How long it counts that the planned parent was heard.
const HEARD_MAX_MS: u64 = 30_000;
/// How long after it has its place a host calls its planned children, and how fast.
const TELL_MS: (u64, u64) = (1_500, 250);
const TELL_AT_ONCE: usize = 4;
/// How much deeper than planned a host may be before it looks for a better place, and how often.
const DEEPER_MAX: usize = 3;
const BETTER_MS: u64 = 5_000;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To have a parent, or to find another tree.
    Up,
    /// To go back to the planned parent.
    Home,
    /// To have a place nearer to the root.
    Better,
    /// To tell a planned child that its parent is here.
    Tell,
    /// To hear whether a host lives.
    Probe,
}

/// A call under way.
#[derive(Debug)]
struct Call {
    purpose: Purpose,
    link: Option<LinkId>,
    until_ms: u64,
}

/// Somebody who said where it is.
#[derive(Debug)]
struct Offer {
    target: Target,
    link: LinkId,
    host: HostId,
    depth: usize,
    room: bool,
}

/// Who is called, and why.
#[derive(Debug, Default)]
pub(super) struct Seeker {
    on: bool,
    given: u16,
    random: u64,
    calls: BTreeMap<Target, Call>,
    offers: Vec<Offer>,
    first_offer_ms: Option<u64>,
    /// Whom it asked to be taken in, and until when an answer is waited for.
    joining: Option<(LinkId, u64)>,
    joined: bool,
    /// Whether it has found nobody, and is the root of what it has.
    settled: bool,
    round: u32,
    next_ms: u64,
    /// Until when those who were called last are waited for before others are called.
    patience_ms: u64,
    redirects: u32,
    refusals: u32,
    /// Whether whom it joins, or joined, is at an address that the operator gave.
    joining_given: bool,
    by_given: bool,
    queue: VecDeque<Target>,
    resting: BTreeMap<Target, u64>,
    /// Who closed without a word: it may be of an older version, which takes a hello only.
    wordless: BTreeSet<Target>,
    /// The way from the root, as it was last.
    last_path: Vec<HostId>,
    lowest: u32,
    home_heard_ms: Option<u64>,
    home_ms: u64,
    home_wait_ms: u64,
    better_ms: u64,
    tell_ms: u64,
    to_tell: VecDeque<HostId>,
    probed: Vec<(HostId, Probed)>,
}

impl Seeker {
    /// From now on it looks for a parent; the operator named `given` addresses, which are tried, too.
    pub fn start(&mut self, given: u16, seed: [u8; 16], now_ms: u64) {
        let [a, b, c, d, e, f, g, h, ..] = seed;
        self.random = u64::from_le_bytes([a, b, c, d, e, f, g, h]) | 1;
        (self.on, self.given, self.next_ms) = (true, given, now_ms);
    }

    fn draw(&mut self, below: u32) -> u32 {
        // xorshift64 (Marsaglia, 2003): to spread calls, no more.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 33) as u32 % below.max(1)
    }

    /// Whether it looks for parents at all.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether it has no parent and may still find one soon: it is not yet the root of anything.
    pub fn is_climbing(&self) -> bool {
        self.on && !self.joined && !self.settled
    }

    /// When something is due.
    pub fn due_ms(&self) -> Option<u64> {
        if !self.on {
            return None;
        }
        let calls = self.calls.values().map(|call| call.until_ms);
        let joining = self.joining.map(|(_, until)| until);
        let climbs = !self.joined && self.joining.is_none();
        let compare = self.first_offer_ms.filter(|_| climbs).map(|first| first + COMPARE_MS);
        let next = if self.is_calling_up() { self.patience_ms.max(self.next_ms) } else { self.next_ms };
        let next = climbs.then_some(if self.follows() && !self.is_calling_up() { 0 } else { next });
        let tell = (!self.to_tell.is_empty() && !self.is_climbing()).then_some(self.tell_ms);
        calls.chain(joining).chain(compare).chain(next).chain(tell).min()
    }

    fn is_calling_up(&self) -> bool {
        self.calls.values().any(|call| call.purpose == Purpose::Up)
    }

    /// Whether others were named that it can call at once.
    fn follows(&self) -> bool {
        !self.queue.is_empty() && self.redirects < REDIRECTS_MAX
    }

    /// The parent that it had is gone.
    pub fn lost(&mut self, path: &[HostId], now_ms: u64) {
        let parent = path.last().map(|host| Target::Host(*host));
        self.last_path = path.to_vec();
        (self.joined, self.settled, self.round, self.next_ms, self.redirects) = (false, false, 0, now_ms, 0);
        self.queue.clear();
        if let Some(parent) = parent {
            self.rest(parent, now_ms);
        }
    }

    /// A parent took it in.
    pub fn welcomed(&mut self, link: LinkId, place: &Position, now_ms: u64) -> Vec<Step> {
        let first = !self.joined;
        (self.joined, self.settled, self.joining) = (true, false, None);
        (self.round, self.redirects, self.refusals) = (0, 0, 0);
        self.home_wait_ms = HOME_MS.0;
        // The planned parent may have called while this host had none, or went from one stand-in to another.
        let is_there = self.home_heard_ms.is_some_and(|heard| now_ms < heard + HEARD_MAX_MS);
        let wait_ms = if is_there { HOLD_MS } else { self.home_wait_ms };
        let home_ms = now_ms + wait_ms + u64::from(self.draw(wait_ms as u32));
        self.home_ms = if first { home_ms } else { self.home_ms.min(home_ms) };
        self.better_ms = now_ms + BETTER_MS / 2 + u64::from(self.draw(BETTER_MS as u32));
        if first {
            self.tell_children(place, now_ms);
        }
        self.by_given = self.joining_given;
        self.calls.retain(|_, call| call.link != Some(link));
        self.offers.retain(|offer| offer.link != link);
        self.drop_calls()
    }

    /// Ends all calls that are for a parent.
    fn drop_calls(&mut self) -> Vec<Step> {
        (self.offers, self.first_offer_ms) = (Vec::new(), None);
        let mut steps = Vec::new();
        self.calls.retain(|_, call| {
            let keep = matches!(call.purpose, Purpose::Tell | Purpose::Probe);
            steps.extend(call.link.filter(|_| !keep).map(Step::Drop));
            keep
        });
        steps
    }

    fn tell_children(&mut self, place: &Position, now_ms: u64) {
        self.to_tell = place.plan.child_hosts(place.number).iter().map(HostId).collect();
        self.tell_ms = now_ms + TELL_MS.0;
    }

    fn rest(&mut self, target: Target, now_ms: u64) {
        if self.resting.len() >= RESTING_MAX {
            self.resting.retain(|_, until| *until > now_ms);
            if self.resting.len() >= RESTING_MAX {
                self.resting.pop_first();
            }
        }
        self.resting.insert(target, now_ms + REST_MS);
    }

    /// A call was taken: what is to be said first. None if nobody waits for it any more.
    pub fn called(&mut self, target: Target, link: LinkId, now_ms: u64) -> Option<FirstWord> {
        let call = self.calls.get_mut(&target).filter(|call| call.link.is_none())?;
        (call.link, call.until_ms) = (Some(link), now_ms + CALL_MS);
        let may_join = !matches!(call.purpose, Purpose::Tell | Purpose::Probe);
        if self.wordless.remove(&target) && may_join && self.joining.is_none() {
            self.joining_given = matches!(target, Target::Given(_));
            self.joining = Some((link, now_ms + CALL_MS));
            return Some(FirstWord::Hello);
        }
        Some(FirstWord::Seek)
    }

    /// Nobody took a call; whether it is `known` where the one is who was to be called.
    pub fn failed(&mut self, target: Target, known: bool, now_ms: u64) {
        let Some(call) = self.calls.remove(&target) else { return };
        if !self.has_probed(target, call.purpose, if known { Probed::Silent } else { Probed::Unplaced }) {
            self.rest(target, now_ms);
        }
    }

    /// Calls a host to hear whether it lives; none where it is called already.
    pub fn probe(&mut self, host: HostId, now_ms: u64) -> Option<Step> {
        let target = Target::Host(host);
        if self.calls.contains_key(&target) {
            return None;
        }
        self.calls.insert(target, Call { purpose: Purpose::Probe, link: None, until_ms: now_ms + CALL_MS });
        Some(Step::Call(target))
    }

    /// What came of these calls since this was asked last.
    pub fn probed(&mut self) -> Vec<(HostId, Probed)> {
        core::mem::take(&mut self.probed)
    }

    /// Notes what came of such a call; false if it was for something else.
    fn has_probed(&mut self, target: Target, purpose: Purpose, probed: Probed) -> bool {
        let (Purpose::Probe, Target::Host(host)) = (purpose, target) else { return false };
        self.probed.push((host, probed));
        true
    }

    /// A link that it opened is closed.
    pub fn closed(&mut self, link: LinkId, now_ms: u64) {
        self.offers.retain(|offer| offer.link != link);
        if !self.offers.iter().any(|offer| offer.room) {
            self.first_offer_ms = None;
        }
        if self.joining.is_some_and(|(joining, _)| joining == link) {
            self.joining = None;
            self.turned_away(now_ms);
        }
        let target = self.calls.iter().find(|(_, call)| call.link == Some(link)).map(|(target, _)| *target);
        if let Some(target) = target {
            let purpose = self.calls.remove(&target).map_or(Purpose::Up, |call| call.purpose);
            if self.has_probed(target, purpose, Probed::Alive(None)) {
                return;
            }
            self.rest(target, now_ms);
            if self.wordless.len() < RESTING_MAX {
                self.wordless.insert(target);
            }
        }
    }

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
    fn drop_worst(&mut self) -> Vec<Step> {
        let worst =
            self.offers.iter().enumerate().max_by_key(|(_, offer)| (!offer.room, offer.depth)).map(|(at, _)| at);
        let worst = worst.filter(|_| self.offers.len() > OFFERS_MAX).map(|at| self.offers.swap_remove(at).link);
        worst.map(Step::Drop).into_iter().collect()
    }

    /// Who is turned away waits longer each time, and is the root of what it has meanwhile.
    fn turned_away(&mut self, now_ms: u64) {
        self.refusals = (self.refusals + 1).min(REFUSALS_MAX);
        self.next_ms = now_ms + (PAUSES_MS[0].1 << self.refusals);
        if self.refusals > 2 && !self.joined {
            self.round = self.round.max(ROUNDS);
        }
        self.home_ms = self.home_ms.min(now_ms + (HOLD_MS << self.refusals));
    }

    fn join(&mut self, target: Target, link: LinkId, now_ms: u64) -> Vec<Step> {
        self.joining_given = matches!(target, Target::Given(_));
        self.joining = Some((link, now_ms + CALL_MS));
        [Step::Hello(link)].into()
    }

    fn enqueue(&mut self, target: Target, now_ms: u64) {
        let rests = self.resting.get(&target).is_some_and(|until| *until > now_ms);
        if !rests && self.queue.len() < QUEUE_MAX && !self.queue.contains(&target) {
            self.queue.push_back(target);
        }
    }

    /// It keeps the parent that it has while somebody waits for an answer: it goes home a little later.
    pub fn put_off(&mut self, now_ms: u64) {
        self.home_ms = self.home_ms.min(now_ms + HOLD_MS);
    }

    /// Whatever it is in is part of another tree now: others may be back.
    pub fn has_other_root(&mut self, place: &Position, now_ms: u64) {
        self.tell_children(place, now_ms);
        self.home_ms = self.home_ms.min(now_ms + HOLD_MS + u64::from(self.draw(HOLD_MS as u32)));
    }

    /// Somebody with a lower number is there, or another tree.
    pub fn heard(&mut self, hosts: &[HostId], place: &Position, now_ms: u64) {
        if !self.on {
            return;
        }
        let is_home = place.planned().is_some_and(|planned| hosts.contains(&planned));
        if is_home {
            self.home_heard_ms = Some(now_ms);
        }
        if is_home && self.joined && place.is_away() {
            self.home_ms = self.home_ms.min(now_ms + HOLD_MS);
        }
        if !self.joined {
            for host in hosts.iter().rev().filter(|host| **host != place.number) {
                self.resting.remove(&Target::Host(*host));
                self.queue.truncate(QUEUE_MAX - 1);
                self.queue.push_front(Target::Host(*host));
            }
            self.next_ms = self.next_ms.min(now_ms);
        }
    }

    /// What is due.
    pub fn advance(&mut self, place: &Position, now_ms: u64) -> Vec<Step> {
        if !self.on {
            return Vec::new();
        }
        let mut steps = self.expire(now_ms);
        if self.joined {
            self.improve(place, now_ms, &mut steps);
        } else if self.joining.is_none() {
            self.climb(place, now_ms, &mut steps);
        }
        if self.tell_ms <= now_ms && (self.joined || !self.is_climbing()) {
            self.tell_ms = now_ms + TELL_MS.1;
            for _ in 0..TELL_AT_ONCE {
                // Who cannot be called now is called then.
                let Some(child) = self.to_tell.front().copied().filter(|_| self.may_call()) else { break };
                self.to_tell.pop_front();
                if !(place.children)(child) {
                    self.call(Target::Host(child), Purpose::Tell, now_ms, &mut steps);
                }
            }
        }
        steps
    }

    fn expire(&mut self, now_ms: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some((link, _)) = self.joining.filter(|(_, until)| *until <= now_ms) {
            self.joining = None;
            self.turned_away(now_ms);
            steps.push(Step::Drop(link));
        }
        let late: Vec<Target> =
            self.calls.iter().filter(|(_, call)| call.until_ms <= now_ms).map(|(target, _)| *target).collect();
        for target in late {
            let Some(call) = self.calls.remove(&target) else { continue };
            steps.extend(call.link.map(Step::Drop));
            let probed = if call.link.is_some() { Probed::Alive(None) } else { Probed::Silent };
            if !self.has_probed(target, call.purpose, probed) {
                self.rest(target, now_ms);
            }
        }
        steps
    }

    fn may_call(&self) -> bool {
        self.calls.values().filter(|call| call.purpose != Purpose::Probe).count() < 2 * CALLS_MAX
    }

    fn call(&mut self, target: Target, purpose: Purpose, now_ms: u64, steps: &mut Vec<Step>) {
        if self.may_call() && !self.calls.contains_key(&target) {
            self.calls.insert(target, Call { purpose, link: None, until_ms: now_ms + CALL_MS });
            steps.push(Step::Call(target));
        }
    }

    /// Below a parent: is there a better one?
    fn improve(&mut self, place: &Position, now_ms: u64, steps: &mut Vec<Step>) {
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
    fn climb(&mut self, place: &Position, now_ms: u64, steps: &mut Vec<Step>) {
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

#[cfg(test)]
mod tests;
