//! What can be asked of a running switch: one message, one answer (SOCK_SEQPACKET), each one postcard value.
//!
//! Takes a request, or words as a person writes them by hand; gives what the switch answers. The node plugs guests
//! in, the operator's orders set links, read counters and fetch captures.

use super::capture::CapturePoint;
use super::counters::{self, PortCounters};
use super::forward::Switch;
use super::policy::Rules;
use super::shaper::Link;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use vmatic_plan::{GuestId, HostId, LinkError, RangeSet, parse_nodes};
use vmatic_tree::traffic::{NetworkPorts, Piece, PortStatus, Ports};
use vmatic_tree::wire::order::{PortAction, PortOrder};

/// Most bytes of a request: sets of guests are longest.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of an answer: a piece of a capture is longest.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most links in an answer: at most 195 bytes each.
pub const PORTS_PER_ANSWER: usize = 320;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Plug this guest in; the switch's end of its cable comes with it.
    Plug(GuestId),
    /// Set the properties of guests' cables.
    SetLink(RangeSet, Link),
    /// Links and counters, of at most [`PORTS_PER_ANSWER`] guests.
    Ports(RangeSet),
    /// The uplink's counters.
    Uplink,
    /// The next piece of the capture of this number.
    Capture(u64, CapturePoint),
    /// Do this with a link of the network.
    Port(PortOrder),
}

/// What the switch gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It was done.
    Done,
    /// The answer to [`Request::Ports`].
    Ports(Ports),
    /// The answer to [`Request::Uplink`].
    Uplink(PortCounters),
    /// The answer to [`Request::Capture`].
    Piece(Piece),
    /// The answer to [`Request::Port`]: how its ends here are now.
    NetworkPorts(NetworkPorts),
}

/// What comes back: what the switch gives, or why it refuses.
pub type Answer = Result<Response, String>;

/// Reads a request to the switch of these rules.
pub fn read(bytes: &[u8], rules: &Rules) -> Result<Request, String> {
    let request: Request = postcard::from_bytes(bytes).map_err(|_| "that is no request".to_string())?;
    let all = RangeSet::span(1, rules.plan().guests_per_host);
    let ours = |guests: &RangeSet| guests.difference(&all).is_empty();
    let good = match &request {
        Request::Plug(guest) | Request::Capture(_, CapturePoint::Guest(guest)) => all.contains(guest.0),
        Request::SetLink(guests, link) => ours(guests) && link.is_valid(),
        Request::Ports(guests) => ours(guests),
        Request::Port(PortOrder { action: PortAction::Set(there, back), .. }) => there.is_valid() && back.is_valid(),
        Request::Port(_) | Request::Uplink | Request::Capture(_, CapturePoint::Uplink | CapturePoint::Port { .. }) => {
            true
        }
    };
    if good { Ok(request) } else { Err(format!("guests must be of 1-{}", rules.plan().guests_per_host)) }
}

/// Reads a request as a person writes it by hand: `link 1-4 rate=10mbit`, `ports .`, `uplink`.
pub fn read_words(text: &str, guests: u32) -> Result<Request, String> {
    let (verb, rest) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
    match verb {
        "link" => {
            let (which, link) = read_link(rest, guests)?;
            Ok(Request::SetLink(which, link))
        }
        "ports" => some_guests(rest, guests).map(Request::Ports),
        "uplink" => Ok(Request::Uplink),
        _ => Err(format!("request {verb:?} must be one of link, ports, uplink")),
    }
}

/// Guests and the properties of their links: `1-4 rate=10mbit`.
pub fn read_link(text: &str, guests: u32) -> Result<(RangeSet, Link), String> {
    let (which, words) = text.split_once(' ').unwrap_or((text, ""));
    if words.is_empty() {
        return Err("expected PROPERTY=VALUE, e.g. delay=20ms".into());
    }
    let link = words.parse().map_err(|e: LinkError| e.to_string())?;
    Ok((some_guests(which, guests)?, link))
}

/// Where a capture looks: `uplink`, a guest's number, or a port of the network, both by number: `3:1`.
pub fn read_point(text: &str) -> Result<CapturePoint, String> {
    if let Some((Ok(node), Ok(port))) = text.split_once(':').map(|(node, port)| (node.parse(), port.parse())) {
        return Ok(CapturePoint::Port { node, port });
    }
    match text {
        "uplink" => Ok(CapturePoint::Uplink),
        guest => {
            guest.parse().map(CapturePoint::Guest).map_err(|_| format!("{text:?} must be a guest, NODE:PORT or uplink"))
        }
    }
}

/// Guests of a host of so many, as the operator writes them: `3`, `1-4,7`, `.` for all.
fn some_guests(text: &str, guests: u32) -> Result<RangeSet, String> {
    // A plan of one host that has these guests reads them.
    let plan = vmatic_plan::HostNames::count(1)
        .map(|hosts| vmatic_plan::Plan { guests_per_host: guests, ..vmatic_plan::Plan::new("switch", hosts) });
    let plan = plan.map_err(|e| e.to_string())?;
    let whole: Vec<String> = text.split(',').map(|part| format!("1/{part}")).collect();
    let nodes = parse_nodes(&whole.join(","), &plan).map_err(|e| format!("guests {text:?}: {e}"))?;
    let which = nodes.members(HostId(1)).map(|guests| guests.difference(&RangeSet::span(0, 0)));
    which.filter(|which| !which.is_empty()).ok_or_else(|| format!("{text:?} names no guest"))
}

/// Answers whatever needs no descriptor.
pub fn answer(request: Request, switch: &mut Switch, now_ns: u64) -> Answer {
    match request {
        Request::Plug(_) => Err("a cable comes with its plug".into()),
        Request::Port(_) => Err("the plan has no network".into()),
        Request::SetLink(guests, link) => {
            guests.iter().map(GuestId).for_each(|guest| switch.set_link(guest, link));
            Ok(Response::Done)
        }
        Request::Ports(guests) => {
            let status = |guest| switch.describe(guest).map(|(link, counters)| PortStatus { guest, link, counters });
            let mut ports: Vec<PortStatus> =
                guests.iter().map(GuestId).filter_map(status).take(PORTS_PER_ANSWER + 1).collect();
            let truncated = ports.len() > PORTS_PER_ANSWER;
            ports.truncate(PORTS_PER_ANSWER);
            Ok(Response::Ports(Ports { ports, truncated }))
        }
        Request::Uplink => Ok(Response::Uplink(switch.uplink.clone())),
        Request::Capture(id, point) => switch.captures.next(id, point, now_ns).map(Response::Piece),
    }
}

/// An answer in words, for who asks by hand.
pub fn words(response: &Response) -> String {
    let mut text = String::new();
    match response {
        Response::Done => {}
        Response::Ports(ports) => {
            for PortStatus { guest, link, counters } in &ports.ports {
                let _ = writeln!(text, "guest={guest} link=\"{link}\" {}", counters::words(counters));
            }
            if ports.truncated {
                let _ = writeln!(text, "and more: ask for fewer guests");
            }
        }
        Response::Uplink(counters) => {
            let _ = writeln!(text, "uplink {}", counters::words(counters));
        }
        Response::NetworkPorts(ends) => {
            for end in &ends.ports {
                let state = if end.up { "up" } else { "down" };
                let _ = writeln!(text, "{}:{} {state} {}", end.name, end.port, counters::words(&end.counters));
            }
        }
        Response::Piece(piece) => {
            let _ = writeln!(text, "{} bytes", piece.bytes.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vmatic_plan::{GuestId, HostNames, LinkProperties, Plan};
    use vmatic_tree::traffic::DropReason;

    fn rules() -> Rules {
        Rules::new(Plan { guests_per_host: 9, ..Plan::new("t", HostNames::count(3).unwrap()) }, HostId(2)).unwrap()
    }

    fn asked(request: &Request) -> Result<Request, String> {
        read(&postcard::to_allocvec(request).unwrap(), &rules())
    }

    #[test]
    fn requests_arrive_as_they_were_sent_and_name_guests_of_the_plan() {
        let capture = |guest| Request::Capture(5, CapturePoint::Guest(GuestId(guest)));
        let link = |guests| Request::SetLink(guests, LinkProperties { loss_ppm: 7, ..Default::default() });
        for good in [Request::Plug(GuestId(9)), link(RangeSet::span(1, 9)), Request::Uplink, capture(1)] {
            assert_eq!(asked(&good), Ok(good));
        }
        let lossy = LinkProperties { loss_ppm: u64::MAX, ..Default::default() };
        for bad in [
            Request::Plug(GuestId(10)),
            Request::Plug(GuestId(0)),
            capture(10),
            link(RangeSet::span(9, 10)),
            Request::Ports(RangeSet::span(0, 1)),
            Request::SetLink(RangeSet::span(1, 1), lossy),
        ] {
            assert!(asked(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_are_read_as_people_write_them() {
        let guests = RangeSet::from_ranges(vec![(1, 2), (4, 4)]);
        let link = Request::SetLink(guests, "rate=1mbit loss=1%".parse().unwrap());
        assert_eq!(read_words("link 1-2,4 rate=1mbit loss=1%", 9), Ok(link));
        assert_eq!(read_words("ports .", 9), Ok(Request::Ports(RangeSet::span(1, 9))));
        assert_eq!(read_point("uplink"), Ok(CapturePoint::Uplink));
        assert_eq!(read_point("3:1"), Ok(CapturePoint::Port { node: 3, port: 1 }));
        assert!(["", "3:", ":1", "3:1:1", "-1"].iter().all(|text| read_point(text).is_err()));
        for (bad, why) in [
            ("link 1", "PROPERTY=VALUE"),
            ("link 10 ideal", "10"),
            ("link 1 speed=1", "speed=1"),
            ("halt", "must be one of"),
        ] {
            let said = read_words(bad, 9).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn answers_tell_what_was_set_and_what_passed() {
        let mut switch = Switch::new(rules());
        switch.plug(GuestId(3));
        let mut say = |text: &str| words(&answer(read_words(text, 9).unwrap(), &mut switch, 0).unwrap());
        assert_eq!(say("link 3 delay=20ms"), "");
        let zero = "sent=0 sent_bytes=0 received=0 received_bytes=0";
        assert_eq!(say("ports ."), format!("guest=3 link=\"delay=20000us\" {zero}\n"));
        assert_eq!(say("uplink"), format!("uplink {zero}\n"));
    }

    #[test]
    fn the_longest_answer_fits_a_message() {
        let frames = vmatic_tree::traffic::Frames { count: u64::MAX, bytes: u64::MAX };
        let counters = PortCounters { sent: frames, received: frames, dropped: [u64::MAX; DropReason::ALL.len()] };
        let link = LinkProperties { rate_bits_s: u64::MAX, delay_us: u64::MAX, loss_ppm: u64::MAX };
        let port = PortStatus { guest: GuestId(u32::MAX), link, counters };
        let ports = Ports { ports: vec![port; PORTS_PER_ANSWER], truncated: true };
        let answer: Answer = Ok(Response::Ports(ports));
        assert!(postcard::to_allocvec(&answer).unwrap().len() <= ANSWER_BYTES_MAX);
        let piece = Piece { bytes: vec![0xff; crate::switch::capture::PIECE_BYTES_MAX], dropped: u64::MAX };
        let answer: Answer = Ok(Response::Piece(piece));
        assert!(postcard::to_allocvec(&answer).unwrap().len() <= ANSWER_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_request_panics(text in "(link|ports|uplink)? ?[0-9.,/!^-]{0,12} ?(uplink|rate=1bit)?", noise: Vec<u8>) {
            let mut switch = Switch::new(rules());
            for request in [read_words(&text, 9), read(&noise, &rules())].into_iter().flatten() {
                let _ = answer(request, &mut switch, 0);
            }
        }
    }
}
