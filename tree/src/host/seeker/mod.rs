//! Whom a host calls: to have a parent, to go back to the planned one, and to find other trees.
//!
//! **Every parent has a lower number than its child.** So no circle can close, whatever is lost or late on the way, and
//! the root of what hangs together is its lowest host; nobody votes.
//!
//! Who has no parent *climbs*: it calls those who are likely in small batches ([`candidates`](Seeker::candidates)),
//! asks each where it is, and joins the best that has room; those who have none name others. Who finds nobody is the
//! root of what it has, and goes on calling, rarely: low numbers in turn, and any of the table. One that answers is
//! enough: it says who its root is, and the root with the higher number goes below the other. Whoever is called by a
//! part whose root is lower tells its own root so ([`Message::Heard`](crate::wire::message::Message::Heard)).
//!
//! Who is below another than its planned parent goes back: the parent calls its planned children once it is in a tree
//! itself, and a child that hears it calls back; beside that it asks, ever less often.
//!
//! * `candidates`: who is likely, round after round;
//! * `calls`: calls under way, and what became of them;
//! * `offers`: what those say who were called, and what is made of it;
//! * `climbing`: when it calls, and whom it joins;
//! * `position`: what it is told, and what it wants done;
//! * `probes`: who is called to hear whether it lives.

mod calls;
mod candidates;
mod climbing;
mod offers;
mod position;
mod probes;

use super::event::Target;
use crate::id::LinkId;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
pub(super) use position::{FirstWord, Position, Probed, Step};
pub(super) use probes::Probes;
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
}

#[cfg(test)]
mod tests;
