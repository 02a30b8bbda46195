//! Checks: what a network is tested for, as sentences of a spec.
//!
//! `a ping b`, `c ping d delay=40ms+-3ms`, `r[1-9] routes = computed`, `a trace b = computed`, `sample 1000: ping`, and
//! in front of any of them `down x y, then within 1s:`. Takes the text; gives the sentence as a value, and what can be
//! known to be wrong with it before anything runs: names that no node has, links that are not there, a delay that the
//! links forbid.

use std::ops::Range;

use vmatic_plan::HostNames;
use vmatic_plan::network::{Network, NoWay, WAY_NODES_MAX, time};

use super::Mistake;

/// Most pairs that a `sample` may try.
const SAMPLE_MAX: u32 = 1_000_000;
/// Longest time that may be waited for, and longest delay, in microseconds: an hour.
const TIME_US_MAX: u64 = 3_600_000_000;
/// How the sentences go.
const FORMS: &str = "write \"a ping b\", \"c ping d delay=40ms+-3ms\", \"r1 routes = computed\", \"a trace b = computed\", \
                     \"sample 100: ping\", or \"down x y, then within 1s: a ping b\"";

/// Some nodes, with their place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The names.
    pub names: HostNames,
    at: Range<usize>,
}

/// Something that is done before one looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether the link between the two comes up; else it goes down.
    pub up: bool,
    /// One end.
    pub a: Named,
    /// The other.
    pub b: Named,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Each of the first reaches each of the others.
    Ping {
        /// Who asks.
        from: Named,
        /// Who answers.
        to: Named,
        /// How long a round trip takes, and by how much it may differ, in microseconds.
        delay_us: Option<(u64, u64)>,
    },
    /// Daemons chose what is computed.
    Routes {
        /// Whose.
        nodes: Named,
    },
    /// A trace shows the computed way.
    Trace {
        /// From where.
        from: Named,
        /// To where.
        to: Named,
    },
    /// So many pairs, drawn by the network's seed, reach each other.
    Sample {
        /// How many.
        pairs: u32,
    },
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is done first.
    pub events: Vec<Event>,
    /// How long the claim may take to come true after that, in microseconds; 0 is at once.
    pub within_us: u64,
    /// What must hold.
    pub claim: Claim,
}

struct Words<'a> {
    text: &'a str,
    list: Vec<(Range<usize>, &'a str)>,
    next: usize,
}

type Result<T> = std::result::Result<T, Mistake>;

impl<'a> Words<'a> {
    /// The words of a sentence; a comma or colon behind a word is one of its own.
    fn of(text: &'a str) -> Words<'a> {
        let mut list = Vec::new();
        for word in text.split_ascii_whitespace() {
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            let plain = word.trim_end_matches([',', ':']);
            if !plain.is_empty() {
                list.push((at..at + plain.len(), plain));
            }
            let behind = word[plain.len()..].char_indices();
            list.extend(behind.map(|(i, _)| {
                let at = at + plain.len() + i;
                (at..at + 1, &text[at..at + 1])
            }));
        }
        Words { text, list, next: 0 }
    }

    fn peek(&self) -> Option<&'a str> {
        self.list.get(self.next).map(|(_, word)| *word)
    }

    fn at(&self) -> Range<usize> {
        let end = self.text.len();
        self.list.get(self.next).map_or(end..end, |(at, _)| at.clone())
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Mistake::new(self.at(), message, FORMS))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.next += usize::from(found);
        found
    }

    fn need(&mut self, word: &str) -> Result<()> {
        if self.take(word) { Ok(()) } else { self.wrong(format!("here {word:?} is missing")) }
    }

    fn named(&mut self) -> Result<Named> {
        let Some(word) = self.peek() else { return self.wrong("here a node is missing") };
        let at = self.at();
        let names = HostNames::parse(word).map_err(|error| {
            Mistake::new(at.start + error.at..at.end, format!("{word:?} names no node: {error}"), FORMS)
        })?;
        self.next += 1;
        Ok(Named { names, at })
    }

    fn time(&mut self, text: &str) -> Result<u64> {
        micros(text).map_or_else(|| self.wrong(format!("{text:?} is no time such as 40ms or 1s")), Ok)
    }
}

/// A time such as `40ms`, in microseconds.
fn micros(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let factor = match &text[at..] {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        _ => return None,
    };
    let value = text[..at].parse::<f64>().ok()? * f64::from(factor);
    (value <= TIME_US_MAX as f64).then_some(value.round() as u64)
}

impl Check {
    /// Reads a sentence.
    ///
    /// # Errors
    /// What is wrong first, with its place.
    pub fn parse(text: &str) -> Result<Check> {
        let mut words = Words::of(text);
        let (mut events, mut within_us) = (Vec::new(), 0);
        while let Some(word @ ("down" | "up")) = words.peek() {
            words.next += 1;
            let (a, b) = (words.named()?, words.named()?);
            events.push(Event { up: word == "up", a, b });
            words.need(",")?;
        }
        if !events.is_empty() {
            words.need("then")?;
            if words.take("within") {
                let text = words.peek().unwrap_or_default();
                within_us = words.time(text)?;
                words.next += 1;
            }
            words.need(":")?;
        }
        let claim = claim(&mut words)?;
        if words.peek().is_some() {
            return words.wrong("the check goes on behind its end");
        }
        Ok(Check { events, within_us, claim })
    }

    /// What can be known to be wrong with it in a network.
    pub fn mistakes(&self, network: &Network) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut known = |named: &Named| match network.nodes().list(&named.names) {
            Ok(list) => Some(list),
            Err(kind) => {
                mistakes.push(Mistake::new(named.at.clone(), kind.to_string(), kind.remedy()));
                None
            }
        };
        let mut cut = Vec::new();
        for event in &self.events {
            if let (Some(a), Some(b)) = (known(&event.a), known(&event.b)) {
                let joined = a.iter().any(|a| network.ends(a).any(|end| b.has(end.peer)));
                cut.extend((!joined).then(|| {
                    let at = event.a.at.start..event.b.at.end;
                    let message = format!("no link joins {} and {}", event.a.names, event.b.names);
                    Mistake::new(at, message, "name two nodes with a link between them")
                }));
            }
        }
        match &self.claim {
            Claim::Ping { from, to, .. } | Claim::Trace { from, to } => {
                if let (Some(a), Some(b)) = (known(from), known(to))
                    && let (Some(a), Some(b)) = (a.nth(0), b.nth(0))
                    && self.events.is_empty()
                {
                    cut.extend(self.impossible(network, a, b, from.at.start..to.at.end));
                }
            }
            Claim::Routes { nodes } => drop(known(nodes)),
            Claim::Sample { .. } => {}
        }
        mistakes.extend(cut);
        mistakes
    }

    /// Why the first pair of a ping or trace cannot be as claimed.
    fn impossible(&self, network: &Network, a: u32, b: u32, at: Range<usize>) -> Option<Mistake> {
        if network.len() > WAY_NODES_MAX && !network.parts().iter().all(|part| part.laws.len() == 1) {
            return None;
        }
        let name = |node| network.name(node).unwrap_or_default();
        let (there, back) = match (network.way(a, b), network.way(b, a)) {
            (Ok(there), Ok(back)) => (there, back),
            (Err(NoWay::TooLarge), _) | (_, Err(NoWay::TooLarge)) => return None,
            _ => {
                let message = format!("no way leads from {} to {} and back", name(a), name(b));
                let remedy = "give the nodes between them routing = \"computed\", or kind = \"router\"";
                return Some(Mistake::new(at, message, remedy));
            }
        };
        let Claim::Ping { delay_us: Some((wanted, tolerance)), .. } = self.claim else { return None };
        let trip: u64 = there.hops.iter().chain(&back.hops).map(|hop| hop.delay_us).sum();
        (trip.abs_diff(wanted) > tolerance).then(|| {
            let (trip, wanted) = (time(trip), time(wanted));
            let message = format!("the links between {} and {} add up to a round trip of {trip}", name(a), name(b));
            Mistake::new(at, message, format!("write delay={trip}+-..., or change the delays: it is to be {wanted}"))
        })
    }
}

fn claim(words: &mut Words) -> Result<Claim> {
    if words.take("sample") {
        let pairs = words.peek().and_then(|text| text.parse().ok()).filter(|pairs| (1..=SAMPLE_MAX).contains(pairs));
        let Some(pairs) = pairs else { return words.wrong(format!("a sample has 1 to {SAMPLE_MAX} pairs")) };
        words.next += 1;
        words.need(":")?;
        words.need("ping")?;
        return Ok(Claim::Sample { pairs });
    }
    let from = words.named()?;
    if words.take("ping") {
        let to = words.named()?;
        let mut delay_us = None;
        if let Some(text) = words.peek().and_then(|word| word.strip_prefix("delay=")) {
            let (trip, tolerance) = text.split_once('±').or_else(|| text.split_once("+-")).unwrap_or((text, ""));
            if tolerance.is_empty() {
                return words.wrong("a delay needs a tolerance, as in delay=40ms+-3ms");
            }
            delay_us = Some((words.time(trip)?, words.time(tolerance)?));
            words.next += 1;
        }
        return Ok(Claim::Ping { from, to, delay_us });
    }
    let claim = if words.take("routes") {
        Claim::Routes { nodes: from }
    } else if words.take("trace") {
        Claim::Trace { from, to: words.named()? }
    } else {
        return words.wrong("here \"ping\", \"routes\" or \"trace\" is missing");
    };
    words.need("=")?;
    words.need("computed")?;
    Ok(claim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmatic_plan::network::Draft;

    #[test]
    fn sentences_are_understood() {
        let check = Check::parse("down x y, up a[1-2] b, then within 1.5s: p ping q").unwrap();
        assert_eq!((check.events.len(), check.within_us), (2, 1_500_000));
        assert!(matches!(&check.claim, Claim::Ping { delay_us: None, .. }));
        for text in ["c ping d delay=40ms±3ms", "c ping d delay=40ms+-3ms"] {
            let Claim::Ping { delay_us, .. } = Check::parse(text).unwrap().claim else { panic!("{text}") };
            assert_eq!(delay_us, Some((40_000, 3_000)));
        }
        assert_eq!(Check::parse("sample 1000: ping").unwrap().claim, Claim::Sample { pairs: 1000 });
        for text in ["as[1-20] routes = computed", "t1 trace t9 = computed", "down x y, then: a ping b"] {
            assert!(Check::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_sentence_is_shown() {
        for (text, wrong) in [
            ("", ""),
            ("a", ""),
            ("a pings b", "pings"),
            ("a ping b c", "c"),
            ("a ping b delay=40ms", "delay=40ms"),
            ("a ping b delay=40+-3ms", "delay=40+-3ms"),
            ("a ping b[1-", "[1-"),
            ("down x y: a ping b", ":"),
            ("down x y, within 1s: a ping b", "within"),
            ("down x y, then within 2h: a ping b", "2h"),
            ("sample 0: ping", "0"),
            ("a routes computed", "computed"),
        ] {
            let mistake = Check::parse(text).unwrap_err();
            assert_eq!(&text[mistake.at.clone()], wrong, "{text:?}: {}", mistake.message);
        }
    }

    #[test]
    fn what_can_never_hold_is_known_at_once() {
        let text = "vmatic-network 1\nlink a r delay=5ms\nlink r b delay=15ms\nlink c a\nnodes r kind=router\n";
        let network = Network::new(Draft::decode(text).unwrap(), 1, 9).unwrap();
        for (text, said) in [
            ("a ping b delay=40ms+-0ms", ""),
            ("a ping b delay=38ms+-1ms", "a round trip of 40ms"),
            ("c ping b", "no way leads from c to b"),
            ("a ping x", "no link has a node x"),
            ("down a b, then: a ping b", "no link joins a and b"),
            ("down r b, then: a ping c", ""),
            ("x[1-2] routes = computed", "no link has a node x1"),
        ] {
            let mistakes = Check::parse(text).unwrap().mistakes(&network);
            assert_eq!(mistakes.is_empty(), said.is_empty(), "{text}: {mistakes:?}");
            assert!(mistakes.iter().all(|mistake| mistake.message.contains(said)), "{text}: {mistakes:?}");
        }
    }
}
