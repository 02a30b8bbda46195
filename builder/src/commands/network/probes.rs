//! What is run for a spec's checks, and what the answers mean.
//!
//! Takes a claim and the law; gives the guests that run a program, and its arguments. Takes what they answered; gives
//! what is wrong, guest by guest. Addresses are the law's, so that a check needs nobody who knows names.

use std::net::Ipv4Addr;

use vmatic_plan::network::{Network, NodeKind};
use vmatic_plan::{Ipv4Net, Node, NodeSet};
use vmatic_tree::answer::{Group, Outcome};

use crate::client::report::outcome_text;
use crate::network::checks::{Claim, Named};

/// Requests of a ping. The least round trip of them counts: the first finds out MACs on its way.
const PINGS: u32 = 3;
/// Seconds that an answer may take: a minute's delay is the longest of a link, and nobody waits for it twice.
const ANSWER_S: u32 = 5;
/// Most hops of a trace.
const HOPS_MAX: u32 = 64;
/// Most failures of a check that are told one by one.
const TOLD_MAX: usize = 5;

/// One program on some guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The guests that run it.
    pub on: NodeSet,
    /// The same by their numbers in the network.
    from: Vec<u32>,
    /// The node that is asked.
    to: u32,
    /// What they run.
    pub argv: Vec<String>,
    /// The addresses that a trace shows from each, in the order of `from`.
    ways: Vec<Vec<Ipv4Addr>>,
}

/// What came of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many pairs were tried.
    pub pairs: u64,
    /// The longest of their round trips, in microseconds.
    pub slowest_us: Option<u64>,
    /// What is wrong, pair by pair.
    pub wrong: Vec<String>,
}

impl Findings {
    /// What is wrong, in a few lines.
    pub fn told(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.wrong.iter().take(TOLD_MAX).cloned().collect();
        if self.wrong.len() > TOLD_MAX {
            lines.push(format!("and {} more", self.wrong.len() - TOLD_MAX));
        }
        lines
    }
}

/// Draws from a seed (splitmix64: Steele, Lea, Flood, OOPSLA 2014).
fn draw(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((value ^ value >> 31) % below.max(1) as u64) as usize
}

/// The law, and what its guests' first cards have addresses of.
#[derive(Clone, Copy)]
pub struct Law<'a> {
    /// The network.
    pub network: &'a Network,
    /// The guests' network.
    pub guests: Ipv4Net,
}

impl Law<'_> {
    fn name(&self, node: u32) -> String {
        self.network.name(node).unwrap_or_default()
    }

    /// The nodes of a part of a sentence, which were found to be there.
    fn list(&self, named: &Named) -> Vec<u32> {
        self.network.nodes().list(&named.names).map(|list| list.iter().collect()).unwrap_or_default()
    }

    /// What is run for a claim, a probe for each node that is asked.
    ///
    /// # Errors
    /// Says why it cannot be run.
    pub fn probes(&self, claim: &Claim) -> Result<Vec<Probe>, String> {
        let pairs: Vec<(u32, u32)> = match claim {
            Claim::Ping { from, to, .. } | Claim::Trace { from, to } => {
                let from = self.list(from);
                let all = self.list(to).into_iter().flat_map(|to| from.iter().map(move |from| (to, *from)));
                all.filter(|(to, from)| to != from).collect()
            }
            Claim::Sample { pairs } => {
                let guests: Vec<u32> =
                    (0..self.network.len()).filter(|node| self.network.kind(*node).is_guest()).collect();
                if guests.len() < 2 {
                    return Err("the network has fewer than two guests".to_owned());
                }
                let mut state = self.network.draft().seed;
                let mut pair = || {
                    let one = draw(&mut state, guests.len());
                    let other = (one + 1 + draw(&mut state, guests.len() - 1)) % guests.len();
                    (guests[one], guests[other])
                };
                let mut all: Vec<(u32, u32)> = (0..*pairs).map(|_| pair()).collect();
                all.sort_unstable();
                all.dedup();
                all
            }
            Claim::Routes { .. } => return Err("what daemons chose is not asked for yet".to_owned()),
        };
        let traced = matches!(claim, Claim::Trace { .. });
        pairs.chunk_by(|one, other| one.0 == other.0).map(|pairs| self.probe(pairs, traced)).collect()
    }

    fn probe(&self, pairs: &[(u32, u32)], traced: bool) -> Result<Probe, String> {
        let to = pairs[0].0;
        if matches!(self.network.kind(to), NodeKind::Switch | NodeKind::Cloud) {
            return Err(format!("{} has no address: it is a {}", self.name(to), self.network.kind(to).word()));
        }
        let address = self.network.address(self.guests, to);
        let address = address.ok_or_else(|| format!("{} has no address", self.name(to)))?;
        let mut probe = Probe { on: NodeSet::new(), from: Vec::new(), to, argv: Vec::new(), ways: Vec::new() };
        for (_, from) in pairs {
            let site = self.network.site(*from).filter(|_| self.network.kind(*from).is_guest());
            let Some(site) = site else {
                let kind = self.network.kind(*from);
                return Err(format!("{} runs nothing: it is a {}", self.name(*from), kind.word()));
            };
            probe.on = probe.on.union(&NodeSet::one(site));
            probe.from.push(*from);
            if traced {
                let way = self.network.way(*from, to).map_err(|_| format!("there is no way to {}", self.name(to)))?;
                let hops = way.hops.iter().map(|hop| hop.peer);
                let shown = hops.filter(|node| self.network.kind(*node) != NodeKind::Switch);
                probe.ways.push(shown.filter_map(|node| self.network.address(self.guests, node)).collect());
            }
        }
        let words = match traced {
            false => format!("ping -q -c {PINGS} -W {ANSWER_S} {address}"),
            true => format!("traceroute -n -q 1 -w {ANSWER_S} -m {HOPS_MAX} {address}"),
        };
        probe.argv = words.split(' ').map(str::to_owned).collect();
        Ok(probe)
    }

    /// Adds what a probe's answers say of a claim.
    pub fn judge(&self, claim: &Claim, probe: &Probe, groups: &[Group], findings: &mut Findings) {
        for (at, from) in probe.from.iter().enumerate() {
            findings.pairs += 1;
            let site = self.network.site(*from);
            let group = groups.iter().find(|group| site.is_some_and(|site: Node| group.nodes.contains(site)));
            let wrong = match group {
                None => Some("no answer".to_owned()),
                Some(group) => judge(claim, probe.ways.get(at), group, &mut findings.slowest_us),
            };
            let pair = || format!("{} -> {}", self.name(*from), self.name(probe.to));
            findings.wrong.extend(wrong.map(|why| format!("{}: {why}", pair())));
        }
    }
}

/// What is wrong with one guest's answer.
fn judge(claim: &Claim, way: Option<&Vec<Ipv4Addr>>, group: &Group, slowest_us: &mut Option<u64>) -> Option<String> {
    let said = String::from_utf8_lossy(&group.output.stdout);
    if let Some(way) = way {
        let shown = hops(&said);
        let text = |hops: &[Option<Ipv4Addr>]| {
            let hops = hops.iter().map(|hop| hop.map_or_else(|| "*".to_owned(), |hop| hop.to_string()));
            hops.collect::<Vec<_>>().join(" ")
        };
        let wanted: Vec<Option<Ipv4Addr>> = way.iter().copied().map(Some).collect();
        return (shown != wanted).then(|| format!("went {}, and not {}", text(&shown), text(&wanted)));
    }
    let Some(us) = round_trip_us(&said).filter(|_| group.outcome == Outcome::Exit(0)) else {
        return Some(match &group.outcome {
            // So ping says that nothing came back.
            Outcome::Exit(1) => "no answer".to_owned(),
            outcome => {
                let why = String::from_utf8_lossy(&group.output.stderr);
                format!("{} {}", outcome_text(outcome), why.lines().next().unwrap_or_default()).trim_end().to_owned()
            }
        });
    };
    *slowest_us = Some(slowest_us.map_or(us, |other| other.max(us)));
    match claim {
        Claim::Ping { delay_us: Some((delay, differs)), .. } if us.abs_diff(*delay) > *differs => {
            Some(format!("took {}", milliseconds(us)))
        }
        _ => None,
    }
}

/// A time as ping has it.
pub fn milliseconds(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

/// The least round trip of a ping's summary: `round-trip min/avg/max = 1.234/2.345/3.456 ms`, or with other words
/// before the figures.
fn round_trip_us(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("min/avg/max"))?;
    let (_, figures) = line.split_once('=')?;
    let least = figures.trim().split('/').next()?;
    let (whole, part) = least.split_once('.').unwrap_or((least, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part.parse().ok()?)
}

/// The hops of a trace; none where nobody answered.
fn hops(said: &str) -> Vec<Option<Ipv4Addr>> {
    let hop = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        words.next()?.parse::<u32>().ok()?;
        Some(words.next()?.parse().ok())
    };
    said.lines().filter_map(hop).take(HOPS_MAX as usize).collect()
}

#[cfg(test)]
#[path = "probes_tests.rs"]
mod tests;
