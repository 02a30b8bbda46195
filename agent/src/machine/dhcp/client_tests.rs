//! A client's life with servers that answer, refuse, and vanish, in made-up time.

use super::super::message::tests::{MAC, OWN, SERVER, answer};
use super::*;
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;
const LEASE_TIME: u8 = 51;

/// What is asked, of whom, in which transaction.
fn asked(steps: &[Step]) -> Option<(DhcpMessageType, Ipv4Addr, u32)> {
    let [.., Step::Send(to, bytes)] = steps else { return None };
    let packet = DhcpPacket::new_checked(&bytes[..]).unwrap();
    let repr = DhcpRepr::parse(&packet).unwrap();
    Some((repr.message_type, *to, repr.transaction_id))
}

/// Answers what is asked next, with a lease of so many seconds.
fn serve(client: &mut Client, now_ms: u64, kind: u8, lease_s: u32) -> Vec<Step> {
    client.heard(&answer(kind, client.transaction, OWN, &[(LEASE_TIME, &lease_s.to_be_bytes())]), now_ms)
}

fn bound(now_ms: u64, lease_s: u32) -> Client {
    let mut client = Client::new(MAC, None, 7, now_ms);
    assert!(asked(&client.advance(now_ms)).is_some_and(|asked| asked.0 == DhcpMessageType::Discover));
    let request = serve(&mut client, now_ms, OFFER, lease_s);
    assert_eq!(asked(&request).map(|asked| (asked.0, asked.1)), Some((DhcpMessageType::Request, Ipv4Addr::BROADCAST)));
    let steps = serve(&mut client, now_ms, ACK, lease_s);
    assert!(matches!(&steps[..], [Step::Bound(lease)] if lease.address == OWN && lease.server == SERVER), "{steps:?}");
    client
}

#[test]
fn a_lease_of_twenty_seconds_is_renewed_by_who_gave_it() {
    let mut client = bound(1_000, 20);
    assert_eq!(client.due_ms(), 11_000, "T1");
    assert!(client.advance(10_999).is_empty());
    let steps = client.advance(11_000);
    assert_eq!(asked(&steps).map(|asked| asked.1), Some(SERVER), "by itself, not of all");
    let steps = serve(&mut client, 11_500, ACK, 20);
    assert!(matches!(&steps[..], [Step::Bound(_)]));
    assert_eq!(client.due_ms(), 21_000, "from when it was asked");
}

#[test]
fn a_server_that_vanishes_is_looked_for_and_then_the_address_is_lost() {
    let mut client = bound(0, 20);
    let (mut now_ms, mut times, mut lost) = (0, Vec::new(), None);
    while lost.is_none() {
        now_ms = client.due_ms();
        let steps = client.advance(now_ms);
        lost = steps.iter().find_map(|step| if let Step::Lost(why) = step { Some(why.clone()) } else { None });
        times.extend(asked(&steps).map(|asked| (now_ms, asked.1)));
        assert!(times.len() < 30, "it asks without end: {times:?}");
    }
    assert_eq!(now_ms, 20_000);
    let why = lost.unwrap();
    assert!(why.contains("lease of 20 s is over") && why.contains("192.0.2.1's"), "{why}");
    let of_server: Vec<u64> = times.iter().filter(|(_, to)| *to == SERVER).map(|(at, _)| *at).collect();
    let of_all: Vec<u64> = times.iter().filter(|(_, to)| *to != SERVER).map(|(at, _)| *at).collect();
    assert!(of_server.len() >= 2 && of_server.iter().all(|at| (10_000..17_000).contains(at)), "{times:?}");
    assert!(of_all.len() >= 2 && of_all.iter().all(|at| (17_000..=20_000).contains(at)), "{times:?}");
    // From then on another is looked for, and another server may take the lease over before.
    let mut client = bound(0, 20);
    client.advance(10_000);
    while client.phase != Phase::Rebinding {
        client.advance(client.due_ms());
    }
    assert!(matches!(&serve(&mut client, 18_000, ACK, 600)[..], [Step::Bound(_)]));
}

#[test]
fn a_server_that_takes_an_address_back_is_obeyed() {
    let mut client = bound(0, 20);
    client.advance(10_000);
    let steps = serve(&mut client, 10_100, NAK, 0);
    assert!(matches!(&steps[..], [Step::Lost(why)] if why.contains("took it back")), "{steps:?}");
    assert_eq!(asked(&client.advance(10_100)).unwrap().0, DhcpMessageType::Discover);
    // Whoever sends a refusal of another transaction says nothing.
    let mut client = bound(0, 20);
    client.advance(10_000);
    assert!(client.heard(&answer(NAK, client.transaction ^ 1, OWN, &[]), 10_100).is_empty());
}

#[test]
fn what_the_boot_loader_was_given_is_confirmed_and_kept_where_nobody_answers() {
    let mut client = Client::new(MAC, Some(OWN), 7, 0);
    let steps = client.advance(0);
    assert_eq!(asked(&steps).map(|asked| asked.0), Some(DhcpMessageType::Request));
    assert!(matches!(&serve(&mut client, 5, ACK, 600)[..], [Step::Bound(_)]));
    for refused in [false, true] {
        let mut client = Client::new(MAC, Some(OWN), 7, 0);
        let mut steps = client.advance(0);
        if refused {
            steps = serve(&mut client, 5, NAK, 0);
        }
        while !steps.iter().any(|step| matches!(step, Step::Note(_))) {
            assert!(!steps.iter().any(|step| matches!(step, Step::Lost(_))), "nobody takes it away");
            steps = client.advance(client.due_ms());
        }
        steps.extend(client.advance(client.due_ms()));
        assert_eq!(asked(&steps).unwrap().0, DhcpMessageType::Discover);
        // Ever more rarely: it has an address.
        let mut last = 0;
        for _ in 0..20 {
            last = client.due_ms();
            client.advance(last);
        }
        assert!((LONGEST_FIXED_MS..LONGEST_FIXED_MS + 501).contains(&(client.due_ms() - last)));
    }
}

#[test]
fn who_gets_no_answer_asks_ever_more_slowly_and_never_stops() {
    let mut client = Client::new(MAC, None, 7, 0);
    let mut times = Vec::new();
    for _ in 0..40 {
        times.push(client.due_ms());
        assert!(asked(&client.advance(client.due_ms())).is_some());
    }
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] < 1_600 && gaps[5..].iter().all(|gap| (LONGEST_MS..LONGEST_MS + 501).contains(gap)), "{gaps:?}");
    // One that offers and then says nothing is asked a few times, then others are.
    serve(&mut client, times[39], OFFER, 60);
    let asked_again = (0..REQUESTS_MAX).map(|_| asked(&client.advance(client.due_ms())).unwrap().0);
    assert!(asked_again.last() == Some(DhcpMessageType::Discover));
}
