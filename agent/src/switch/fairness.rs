//! Who gets how much of what all guests share: so many at once and so many a second, and room in a full cable.
//!
//! Takes the time and who wants something; says whether it may have it. The switch serves guests in turn, so what a
//! guest floods with costs the others no turns; it could still keep a neighbour's cable full, whose every free place
//! it would take before the next one's turn comes. [`Contention`] sees what each gets of a cable, and holds back who
//! gets more than an even share of a full one.

use std::net::IpAddr;
use vmatic_plan::GuestId;

/// Nanoseconds of a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// So many at once, and so many a second.
#[derive(Clone, Copy)]
pub struct Rate {
    pub burst: u64,
    pub per_s: u64,
}

/// What is left of a rate.
pub struct Bucket {
    level: u64,
    filled_ns: u64,
}

impl Bucket {
    pub fn full(rate: Rate) -> Self {
        Bucket { level: rate.burst, filled_ns: 0 }
    }

    /// Takes so many, or none if there are fewer.
    pub fn take(&mut self, now_ns: u64, count: u64, rate: Rate) -> bool {
        let passed = u128::from(now_ns.saturating_sub(self.filled_ns));
        let gained = passed * u128::from(rate.per_s) / u128::from(NS_PER_S);
        let gained = u64::try_from(gained).unwrap_or(u64::MAX).min(rate.burst);
        self.level = self.level.saturating_add(gained).min(rate.burst);
        // Parts of one count for the next, so that who asks often gets no less; a full one gathers nothing.
        let full = self.level == rate.burst;
        self.filled_ns = if full { now_ns } else { self.filled_ns + gained * NS_PER_S / rate.per_s.max(1) };
        let enough = self.level >= count;
        self.level -= if enough { count } else { 0 };
        enough
    }
}

/// How many addresses are remembered.
const RECENT_MAX: usize = 1024;

/// Addresses that were reached lately: one place for all that end alike, which the last has.
#[derive(Default)]
pub struct Recent {
    /// Empty until there is one: most switches need none.
    places: Vec<Option<IpAddr>>,
}

impl Recent {
    fn place(address: IpAddr) -> usize {
        let number = match address {
            IpAddr::V4(address) => u32::from(address),
            IpAddr::V6(address) => u128::from(address) as u32,
        };
        number as usize % RECENT_MAX
    }

    /// Whether this one was reached lately.
    pub fn knows(&self, address: IpAddr) -> bool {
        self.places.get(Self::place(address)).is_some_and(|place| *place == Some(address))
    }

    /// Remembers it; true, for it is known from now on.
    pub fn note(&mut self, address: IpAddr) -> bool {
        self.places.resize(RECENT_MAX, None);
        self.places[Self::place(address)] = Some(address);
        true
    }
}

/// How many senders to one guest are told apart. Of more than so many that all flood it, some may be kept out.
const SENDERS_MAX: usize = 32;
/// How many frames of whoever takes more than its share are held back once there is no room: four of its turns.
const HOLD_FRAMES: u32 = 128;
/// How far somebody may be above an even share; with more, the first of many that flood gain at the others' cost.
const SLACK: u32 = 1;
/// Counts are halved there, so that what was long ago counts little.
const TAKEN_MAX: u32 = 1024;
/// How long somebody counts as wanting to be heard.
const ACTIVE_NS: u64 = NS_PER_S;

/// Somebody who sends to a guest; nobody is the kernel, or the switch itself.
type Sender = Option<GuestId>;

struct Share<S> {
    sender: S,
    /// Frames that found room.
    taken: u32,
    /// Frames that are to be held back.
    held_back: u32,
    sent_ns: u64,
}

/// Who sends to one guest, and what each got of its cable: the frequent ones of many, in a few counters (Misra and
/// Gries).
pub struct Contention<S = Sender> {
    shares: Vec<Share<S>>,
}

impl<S> Default for Contention<S> {
    fn default() -> Self {
        Contention { shares: Vec::new() }
    }
}

impl<S: Copy + PartialEq> Contention<S> {
    /// Whether a frame of `sender` may look for room.
    pub fn admits(&mut self, now_ns: u64, sender: S) -> bool {
        let new = || Share { sender, taken: 0, held_back: 0, sent_ns: now_ns };
        let gone = |share: &Share<S>| now_ns.saturating_sub(share.sent_ns) >= ACTIVE_NS;
        let share = match self.shares.iter().position(|share| share.sender == sender) {
            Some(at) => &mut self.shares[at],
            None if self.shares.len() < SENDERS_MAX => self.shares.push_mut(new()),
            None => match self.shares.iter_mut().find(|share| gone(share)) {
                Some(share) => {
                    *share = new();
                    share
                }
                None => return true,
            },
        };
        share.sent_ns = now_ns;
        let held = share.held_back > 0;
        share.held_back -= u32::from(held);
        !held
    }

    /// A frame of `sender` found room.
    pub fn took(&mut self, now_ns: u64, sender: S) {
        if let Some(share) = self.shares.iter_mut().find(|share| share.sender == sender) {
            share.taken += 1;
            if share.taken >= TAKEN_MAX {
                self.shares.iter_mut().for_each(|share| share.taken /= 2);
            }
            return;
        }
        self.shares.iter_mut().for_each(|share| share.taken = share.taken.saturating_sub(1));
        if let Some(share) = self.shares.iter_mut().find(|share| share.taken == 0) {
            *share = Share { sender, taken: 1, held_back: 0, sent_ns: now_ns };
        }
    }

    /// There was no room for a frame of `sender`. If that had no more than an even share, who got more waits. Nobody
    /// loses by a lone sender, nor by filling a cable that others have all they want of.
    pub fn full(&mut self, now_ns: u64, sender: S) {
        let active = |share: &&mut Share<S>| now_ns.saturating_sub(share.sent_ns) < ACTIVE_NS;
        let (count, taken) =
            self.shares.iter_mut().filter(active).fold((0, 0), |(count, all), share| (count + 1, all + share.taken));
        if count < 2 {
            return;
        }
        let above = |share: &Share<S>| share.taken * count > taken + SLACK * count;
        if self.shares.iter().any(|share| share.sender == sender && above(share)) {
            return;
        }
        self.shares.iter_mut().filter(active).filter(|share| above(share)).for_each(|share| {
            share.held_back = HOLD_FRAMES;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_fills_again() {
        let rate = Rate { burst: 10, per_s: 5 };
        let mut bucket = Bucket::full(rate);
        assert_eq!((0..20).filter(|_| bucket.take(0, 1, rate)).count(), 10);
        assert_eq!((0..20).filter(|_| bucket.take(NS_PER_S, 1, rate)).count(), 5);
        assert!(!bucket.take(1_100_000_000, 1, rate), "a tenth of a second is half a place");
        let asked_often = (0..100).filter(|turn| bucket.take(1_100_000_000 + turn * 70_000_000, 1, rate)).count();
        assert_eq!(asked_often, 35, "7 s, however often it is asked");
        assert!(bucket.take(u64::MAX, 10, rate) && !bucket.take(u64::MAX, 1, rate), "never more than the burst");
    }

    #[test]
    fn the_last_addresses_are_known_and_places_are_shared_by_those_that_end_alike() {
        let mut recent = Recent::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(!recent.knows(address("172.20.0.9")));
        assert!(recent.note(address("172.20.0.9")) && recent.note(address("fd05::a")));
        assert!(recent.knows(address("172.20.0.9")) && recent.knows(address("fd05::a")));
        assert!(!recent.knows(address("172.20.4.9")), "another that ends alike");
        recent.note(address("172.20.4.9"));
        assert!(!recent.knows(address("172.20.0.9")) && recent.knows(address("172.20.4.9")));
    }

    /// Guests that send so many frames a turn to one that reads so many; gives what arrived of each. Time goes by a
    /// millisecond a turn.
    fn arrived(senders: &[u32], reads: u32, turns: u64) -> Vec<u64> {
        const PLACES: u32 = 40;
        let (mut contention, mut waiting, mut arrived) = (Contention::default(), 0, vec![0; senders.len()]);
        for turn in 0..turns {
            for (sender, count) in senders.iter().enumerate() {
                for _ in 0..*count {
                    if !contention.admits(turn * 1_000_000, Some(GuestId(sender as u32))) {
                        continue;
                    }
                    if waiting == PLACES {
                        contention.full(turn * 1_000_000, Some(GuestId(sender as u32)));
                    } else {
                        contention.took(turn * 1_000_000, Some(GuestId(sender as u32)));
                        (waiting, arrived[sender]) = (waiting + 1, arrived[sender] + 1);
                    }
                }
            }
            waiting -= reads.min(waiting);
        }
        arrived
    }

    #[test]
    fn who_floods_a_cable_does_not_keep_others_out() {
        for senders in [vec![32, 1], vec![32, 32, 1], vec![32, 2, 1], vec![1, 32], vec![32, 1, 1, 1]] {
            let all = arrived(&senders, 4, 1000);
            for (sender, got) in senders.iter().zip(&all).filter(|(sender, _)| **sender < 32) {
                assert!(*got >= 500, "{got} of {sender}000: {all:?} of {senders:?}");
            }
            assert!(all.iter().sum::<u64>() >= 3900, "the cable is used: {all:?} of {senders:?}");
        }
        for count in [2, 3, 12, 24] {
            let all = arrived(&vec![32; count], 4, 1000);
            let even = 4000 / count as u64;
            assert!(all.iter().all(|got| *got >= even / 2), "those who flood share evenly: {all:?}");
        }
        let late = arrived(&[[32; 20].as_slice(), &[1]].concat(), 4, 1000)[20];
        assert!(late >= 90, "half an even share among 20 that flood: {late}");
        let alone = arrived(&[32], 4, 1000)[0];
        assert_eq!(alone, 40 + 4 * 999, "nobody is held back for nobody's sake");
    }
}
