//! What can be asked of a running switch: one message, one answer (SOCK_SEQPACKET).
//!
//! Takes words, as a person would write them; gives what is meant. The node plugs guests
//! in, the operator's commands set links, read counters and fetch captures.

use super::capture::Spot;
use super::forward::Switch;
use super::policy::Rules;
use super::shaper::Link;
use std::fmt::Write;
use vmatic_plan::{RangeSet, parse_nodes};

/// Most bytes of a request.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// Most bytes of an answer: a piece of a capture is longest.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The first byte of an answer: it was done, or why not.
pub const DONE: u8 = b'+';
/// See [`DONE`].
pub const REFUSED: u8 = b'-';

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// `plug GUEST`, with the switch's end of its cable.
    Plug(u32),
    /// `link GUESTS WORDS`: set the properties of their cables.
    SetLink(RangeSet, Link),
    /// `ports GUESTS`: links and counters.
    Ports(RangeSet),
    /// `uplink`: its counters.
    Uplink,
    /// `capture ID GUEST`, `capture ID uplink`: the next piece.
    Capture(u64, Spot),
}

/// Reads a request to the switch of these rules.
pub fn read(bytes: &[u8], rules: &Rules) -> Result<Request, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a request is text".to_string())?;
    let (verb, rest) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
    match verb {
        "plug" => one_guest(rest, rules).map(Request::Plug),
        "link" => {
            let (guests, words) = rest.split_once(' ').unwrap_or((rest, ""));
            let words = if words.is_empty() { Err("say how the link is to be".to_string()) } else { words.parse() };
            Ok(Request::SetLink(some_guests(guests, rules)?, words?))
        }
        "ports" => some_guests(rest, rules).map(Request::Ports),
        "uplink" => Ok(Request::Uplink),
        "capture" => {
            let (id, spot) = rest.split_once(' ').unwrap_or((rest, ""));
            let id = id.parse().map_err(|_| format!("{id:?} is no capture's number"))?;
            let spot = if spot == "uplink" { Spot::Uplink } else { Spot::Guest(one_guest(spot, rules)?) };
            Ok(Request::Capture(id, spot))
        }
        _ => Err(format!("{verb:?} is no request: ask for plug, link, ports, uplink or capture")),
    }
}

/// Guests of this host, as the operator writes them: `3`, `1-4,7`, `.` for all.
fn some_guests(text: &str, rules: &Rules) -> Result<RangeSet, String> {
    let host = rules.host();
    let whole: Vec<String> = text.split(',').map(|part| format!("{host}/{part}")).collect();
    let nodes = parse_nodes(&whole.join(","), rules.plan()).map_err(|e| format!("guests {text:?}: {}", e.message))?;
    let guests = nodes.members(host).map(|guests| guests.difference(&RangeSet::span(0, 0)));
    guests.filter(|guests| !guests.is_empty()).ok_or_else(|| format!("{text:?} names no guest"))
}

fn one_guest(text: &str, rules: &Rules) -> Result<u32, String> {
    let guests = rules.plan().guests_per_host;
    let guest = text.parse().ok().filter(|guest| (1..=guests).contains(guest));
    guest.ok_or_else(|| format!("{text:?} is none of the guests 1-{guests}"))
}

/// Answers whatever needs no descriptor.
pub fn answer(request: Request, switch: &mut Switch, now_us: u64) -> Result<Vec<u8>, String> {
    match request {
        Request::Plug(_) => Err("a cable comes with its plug".into()),
        Request::SetLink(guests, link) => {
            guests.iter().for_each(|guest| switch.set_link(guest, link));
            Ok(format!("{link}\n").into_bytes())
        }
        Request::Ports(guests) => {
            let mut text = String::new();
            for guest in guests.iter() {
                if let Some((link, counts)) = switch.describe(guest) {
                    let _ = writeln!(text, "guest={guest} link=\"{link}\" {}", counts.words());
                }
                // A host of thousands is read in parts.
                if text.len() > ANSWER_BYTES_MAX - 1024 {
                    let _ = writeln!(text, "and more: ask for fewer guests");
                    break;
                }
            }
            Ok(text.into_bytes())
        }
        Request::Uplink => Ok(format!("uplink {}\n", switch.uplink.words()).into_bytes()),
        Request::Capture(id, spot) => {
            let piece = switch.captures.next(id, spot, now_us)?;
            Ok([&piece.dropped.to_le_bytes()[..], &piece.bytes].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmatic_plan::{HostNames, Plan};

    fn rules() -> Rules {
        Rules::new(Plan { guests_per_host: 9, ..Plan::new("t", HostNames::count(3).unwrap()) }, 2).unwrap()
    }

    fn asked(text: &str) -> Result<Request, String> {
        read(text.as_bytes(), &rules())
    }

    #[test]
    fn requests_are_read_as_people_write_them() {
        assert_eq!(asked("plug 9"), Ok(Request::Plug(9)));
        let link = asked("link 1-2,4 rate=1mbit loss=1%");
        let guests = RangeSet::from_ranges(vec![(1, 2), (4, 4)]);
        assert_eq!(link, Ok(Request::SetLink(guests, "rate=1mbit loss=1%".parse().unwrap())));
        assert_eq!(asked("ports ."), Ok(Request::Ports(RangeSet::span(1, 9))));
        assert_eq!(asked("capture 5 uplink\n"), Ok(Request::Capture(5, Spot::Uplink)));
        for (bad, why) in [
            ("plug 10", "guests 1-9"),
            ("plug 0", "guests 1-9"),
            ("link 1", "how the link"),
            ("link 10 ideal", "10"),
            ("link 1 speed=1", "speed=1"),
            ("capture x 1", "number"),
            ("halt", "no request"),
        ] {
            let said = asked(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn answers_tell_what_was_set_and_what_passed() {
        let mut switch = Switch::new(rules());
        switch.plug(3);
        let mut say = |text: &str| {
            let answer = answer(asked(text).unwrap(), &mut switch, 0).unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        };
        assert_eq!(say("link 3 delay=20ms"), "delay=20000us\n");
        let zero = "sent=0 sent_bytes=0 received=0 received_bytes=0";
        assert_eq!(say("ports ."), format!("guest=3 link=\"delay=20000us\" {zero}\n"));
        assert_eq!(say("uplink"), format!("uplink {zero}\n"));
    }

    proptest! {
        #[test]
        fn no_request_panics(text in "(plug|link|ports|capture|uplink)? ?[0-9.,/!^-]{0,12} ?(uplink|rate=1bit)?", noise: Vec<u8>) {
            let mut switch = Switch::new(rules());
            for bytes in [text.as_bytes(), &noise] {
                if let Ok(request) = read(bytes, &rules()) {
                    let _ = answer(request, &mut switch, 0);
                }
            }
        }
    }
}
