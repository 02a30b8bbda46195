//! A DHCP client without sockets or clocks (RFC 2131, figure 5).
//!
//! Takes messages and time; gives messages to send, and what became of the address. It has no address until a server
//! gives one, or until it is told of one that the machine came with, which it has confirmed.
//!
//! ```text
//! Selecting --offer--> Requesting --ack--> Bound --T1--> Renewing --T2--> Rebinding --end--> Selecting
//! Confirming ------------------ack-------> Bound <--------ack-----------------/
//! ```

use super::Lease;
use super::message::{Ask, Reply, read, write};
use std::net::Ipv4Addr;
use vmatic_plan::Mac;

/// How long an answer is waited for: so long at first, twice as long each time, and so long at most.
const FIRST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 16_000;
/// The same of a machine that has an address which no server knows of: thousands of them must not fill the network.
const LONGEST_FIXED_MS: u64 = 300_000;
/// How often an address is asked for until another is looked for.
const REQUESTS_MAX: u32 = 4;
/// How long at least between two questions for more time (RFC 2131, 4.4.5 has a minute, for leases of hours).
const EXTEND_MS_MIN: u64 = 60_000;
const EXTEND_SHORT_MS_MIN: u64 = 1_000;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes there.
    Send(Ipv4Addr, Vec<u8>),
    /// The card has this now, or has it for longer.
    Bound(Lease),
    /// The card has no address any more: why.
    Lost(String),
    /// For the operator who reads the console.
    Note(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Selecting,
    Requesting(Lease),
    Confirming(Ipv4Addr),
    Bound,
    Renewing,
    Rebinding,
}

/// What one card has, and what it asks for.
#[derive(Debug)]
pub struct Client {
    mac: Mac,
    random: u64,
    transaction: u32,
    phase: Phase,
    /// Whether the machine came with an address, and no server has given it one.
    fixed: bool,
    /// What the card has, and since when.
    held: Option<(Lease, u64)>,
    began_ms: u64,
    next_ms: u64,
    tries: u32,
}

impl Client {
    /// One that has nothing yet; `address` is what the machine came with, if it did. `random` tells clients apart.
    pub fn new(mac: Mac, address: Option<Ipv4Addr>, random: u64, now_ms: u64) -> Client {
        let phase = address.map_or(Phase::Selecting, Phase::Confirming);
        let mut client = Client {
            mac,
            random: random | 1,
            transaction: 0,
            phase: Phase::Selecting,
            fixed: address.is_some(),
            held: None,
            began_ms: now_ms,
            next_ms: now_ms,
            tries: 0,
        };
        client.enter(phase, now_ms);
        client
    }

    /// When [`Client::advance`] is due.
    pub fn due_ms(&self) -> u64 {
        self.end_ms().map_or(self.next_ms, |end| end.min(self.next_ms))
    }

    fn draw(&mut self) -> u64 {
        // xorshift64 (Marsaglia, 2003).
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn enter(&mut self, phase: Phase, now_ms: u64) {
        // What was asked before is not answered any more; a server that offered hears its own number again.
        if !matches!(phase, Phase::Requesting(_)) {
            self.transaction = self.draw() as u32;
        }
        (self.phase, self.tries, self.next_ms) = (phase, 0, now_ms);
        self.began_ms = now_ms;
    }

    fn at(&self, seconds: impl Fn(&super::Times) -> u32) -> Option<u64> {
        let (lease, since_ms) = self.held.as_ref()?;
        Some(since_ms + u64::from(seconds(lease.times_s.as_ref()?)) * 1000)
    }

    fn end_ms(&self) -> Option<u64> {
        self.at(|times| times.end)
    }

    /// Time has passed.
    pub fn advance(&mut self, now_ms: u64) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.end_ms().is_some_and(|end| end <= now_ms)
            && let Some((lease, _)) = self.held.take()
        {
            let end = lease.times_s.map_or(0, |times| times.end);
            steps.push(Step::Lost(format!(
                "its lease of {end} s is over, and no server answers (it was {}'s)",
                lease.server
            )));
            self.enter(Phase::Selecting, now_ms);
        }
        if now_ms < self.next_ms {
            return steps;
        }
        match self.phase.clone() {
            Phase::Bound => self.enter(Phase::Renewing, now_ms),
            Phase::Renewing if self.at(|times| times.rebind).is_some_and(|at| at <= now_ms) => {
                self.enter(Phase::Rebinding, now_ms);
            }
            Phase::Requesting(_) if self.tries >= REQUESTS_MAX => self.enter(Phase::Selecting, now_ms),
            Phase::Confirming(address) if self.tries >= REQUESTS_MAX => {
                steps.push(Step::Note(format!("no server confirms {address}: it stays until another is given")));
                self.enter(Phase::Selecting, now_ms);
            }
            _ => {}
        }
        let waited_s = (now_ms.saturating_sub(self.began_ms) / 1000).min(u64::from(u16::MAX)) as u16;
        let own = self.held.as_ref().map(|(lease, _)| (lease.address, lease.server));
        let all = Ipv4Addr::BROADCAST;
        let (to, ask) = match (&self.phase, own) {
            (Phase::Requesting(offer), _) => (all, Ask::Select(offer.address, offer.server)),
            (Phase::Confirming(address), _) => (all, Ask::Confirm(*address)),
            (Phase::Renewing, Some((own, server))) if !server.is_unspecified() => (server, Ask::Extend(own)),
            (Phase::Renewing | Phase::Rebinding, Some((own, _))) => (all, Ask::Extend(own)),
            _ => (all, Ask::Discover),
        };
        steps.push(Step::Send(to, write(ask, self.mac, self.transaction, waited_s)));
        self.next_ms = self.next_try_ms(now_ms);
        self.tries += 1;
        steps
    }

    /// When the same is asked again.
    fn next_try_ms(&mut self, now_ms: u64) -> u64 {
        let limit = match self.phase {
            Phase::Renewing => self.at(|times| times.rebind),
            Phase::Rebinding => self.end_ms(),
            _ => {
                let jitter = self.draw() % (FIRST_MS / 2);
                let longest = if self.fixed { LONGEST_FIXED_MS } else { LONGEST_MS };
                return now_ms + (FIRST_MS << self.tries.min(9)).min(longest) + jitter;
            }
        };
        let end_ms = self.end_ms().unwrap_or(u64::MAX);
        let short = self.held.as_ref().is_some_and(|(_, since)| end_ms.saturating_sub(*since) < 8 * EXTEND_MS_MIN);
        let least = if short { EXTEND_SHORT_MS_MIN } else { EXTEND_MS_MIN };
        let limit = limit.unwrap_or(u64::MAX).max(now_ms);
        (now_ms + ((limit - now_ms) / 2).max(least)).min(limit.max(now_ms + EXTEND_SHORT_MS_MIN))
    }

    /// Something came that may be a server's answer.
    pub fn heard(&mut self, bytes: &[u8], now_ms: u64) -> Vec<Step> {
        let Some(reply) = read(bytes, self.mac, self.transaction) else { return Vec::new() };
        match (&self.phase, reply) {
            (Phase::Selecting, Reply::Offer(lease)) => {
                self.enter(Phase::Requesting(lease), now_ms);
                self.advance(now_ms)
            }
            (Phase::Requesting(_) | Phase::Confirming(_) | Phase::Renewing | Phase::Rebinding, Reply::Ack(lease)) => {
                // It runs from when it was asked for, not from when the answer came (RFC 2131, 4.4.1).
                let since_ms = self.began_ms;
                self.enter(Phase::Bound, now_ms);
                self.held = Some((lease.clone(), since_ms));
                self.fixed = false;
                self.next_ms = self.at(|times| times.renew).unwrap_or(u64::MAX);
                vec![Step::Bound(lease)]
            }
            (Phase::Requesting(_), Reply::Nak(_)) => {
                self.enter(Phase::Selecting, now_ms);
                // A server that offers and refuses must not be asked without a pause.
                self.next_ms = now_ms + FIRST_MS;
                Vec::new()
            }
            (Phase::Confirming(address), Reply::Nak(server)) => {
                let note = format!("server {server} does not confirm {address}: it stays until another is given");
                self.enter(Phase::Selecting, now_ms);
                vec![Step::Note(note)]
            }
            (Phase::Renewing | Phase::Rebinding, Reply::Nak(server)) => {
                self.held = None;
                self.enter(Phase::Selecting, now_ms);
                vec![Step::Lost(format!("server {server} took it back"))]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
