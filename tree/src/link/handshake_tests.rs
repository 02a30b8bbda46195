use super::*;
use crate::link::channel::{RECORD_BODY_BYTES_MAX, REKEY_RECORDS};
use proptest::prelude::*;

const CALL: Call = Call { version: 8, cluster: [7; 16] };
const STATION: Station = Station { version: 8, life: [3; 16] };

fn key(byte: u8) -> LinkKey {
    LinkKey::new([byte; 32])
}

fn caller() -> (Handshake, Vec<u8>) {
    Handshake::call(CALL, &key(1), [11; 32]).expect("a call")
}

fn host() -> Handshake {
    Handshake::listen(STATION, &key(2), [12; 32])
}

fn sent(step: Step) -> Vec<u8> {
    match step {
        Step::Send(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

fn opened(step: Step) -> Opened {
    match step {
        Step::Open(opened) => *opened,
        other => panic!("{other:?}"),
    }
}

/// Both ends of a link.
fn link() -> (Opened, Opened) {
    let ((mut caller, call), mut host) = (caller(), host());
    let reply = sent(host.advance(&call).expect("a reply"));
    let ours = opened(caller.advance(&reply).expect("a proof"));
    let theirs = opened(host.advance(&ours.send).expect("a link"));
    (ours, theirs)
}

fn say(from: &mut Channel, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.seal(kind, body, &mut bytes).expect("a record");
    bytes
}

fn hear(to: &mut Channel, bytes: &[u8]) -> Result<Option<(u8, Vec<u8>)>, LinkError> {
    to.push(bytes);
    Ok(to.next_record()?.map(|record| (record.kind, record.body)))
}

#[test]
fn each_end_knows_the_other_and_what_it_says() {
    let (mut ours, mut theirs) = link();
    assert_eq!((ours.peer, theirs.peer), (key(2).public(), key(1).public()));
    assert_eq!((ours.station, theirs.call), (STATION, CALL));
    assert!(theirs.send.is_empty());
    for length in [0, 1, RECORD_BODY_BYTES_MAX] {
        let body = alloc::vec![length as u8; length];
        let there = say(&mut ours.channel, 1, &body);
        assert_eq!(hear(&mut theirs.channel, &there), Ok(Some((1, body.clone()))));
        let back = say(&mut theirs.channel, 2, &body);
        assert_eq!(hear(&mut ours.channel, &back), Ok(Some((2, body))));
    }
    let too_long = alloc::vec![0; RECORD_BODY_BYTES_MAX + 1];
    assert_eq!(ours.channel.seal(0, &too_long, &mut Vec::new()), Err(LinkError::Length(too_long.len())));
}

#[test]
fn flights_are_as_long_as_they_are_said_to_be() {
    let ((mut caller, call), mut host) = (caller(), host());
    assert_eq!((call.len(), host.wants(), caller.wants()), (CALL_BYTES, CALL_BYTES, REPLY_BYTES));
    let reply = sent(host.advance(&call).expect("a reply"));
    assert_eq!((reply.len(), host.wants()), (REPLY_BYTES, PROOF_BYTES));
    let ours = opened(caller.advance(&reply).expect("a proof"));
    assert_eq!(ours.send.len(), PROOF_BYTES);
    const { assert!(CALL_BYTES + PROOF_BYTES < 1024, "what a stranger costs before its hello") };
}

#[test]
fn what_is_said_at_once_behind_the_handshake_is_not_lost() {
    let ((mut caller, call), mut host) = (caller(), host());
    let reply = sent(host.advance(&call).expect("a reply"));
    let mut ours = opened(caller.advance(&reply).expect("a proof"));
    let hello = say(&mut ours.channel, 0, b"hello");
    let mut theirs = opened(host.advance(&[ours.send, hello].concat()).expect("a link"));
    assert_eq!(hear(&mut theirs.channel, &[]), Ok(Some((0, b"hello".to_vec()))));
}

#[test]
fn whoever_speaks_something_else_is_told_at_once() {
    for first in [&b"GET / HTTP/1.1"[..], &[23, 0, 0, 0, 0, 8], b"VMatic/X", b"V8"] {
        assert!(matches!(host().advance(first), Err(LinkError::NotALink)), "{first:?}");
        assert_eq!(is_call(first), Some(false));
    }
    assert!(matches!(host().advance(b"VMat"), Ok(Step::Wait)));
    assert_eq!((is_call(b"VMat"), is_call(b"VMatic/L")), (None, Some(true)));
    let mut call = caller().1;
    call[8] = 2;
    assert!(matches!(host().advance(&call), Err(LinkError::Format(2))));
}

#[test]
fn a_call_is_too_long_for_a_frame_of_hosts_that_know_no_calls() {
    let mut reader = crate::wire::frame::FrameReader::of_stranger();
    reader.push(&caller().1);
    assert!(reader.next_frame().is_err());
}

/// A version, a cluster: who stands between the two and changes one of them has them fail.
#[test]
fn a_changed_byte_of_any_flight_ends_the_handshake() {
    for at in 0..CALL_BYTES {
        let ((mut caller, mut call), mut host) = (caller(), host());
        call[at] ^= 1;
        let Ok(step) = host.advance(&call) else { continue };
        assert!(at > 8, "byte {at}");
        assert_eq!(caller.advance(&sent(step)).expect_err("a failure"), LinkError::Handshake, "byte {at}");
    }
    for at in 0..REPLY_BYTES {
        let ((mut caller, call), mut host) = (caller(), host());
        let mut reply = sent(host.advance(&call).expect("a reply"));
        reply[at] ^= 1;
        assert_eq!(caller.advance(&reply).expect_err("a failure"), LinkError::Handshake, "byte {at}");
    }
    for at in 0..PROOF_BYTES {
        let ((mut caller, call), mut host) = (caller(), host());
        let reply = sent(host.advance(&call).expect("a reply"));
        let mut proof = opened(caller.advance(&reply).expect("a proof")).send;
        proof[at] ^= 1;
        assert_eq!(host.advance(&proof).expect_err("a failure"), LinkError::Handshake, "byte {at}");
    }
}

#[test]
fn records_that_are_changed_repeated_or_left_out_end_the_link() {
    let whole = || {
        let (mut ours, theirs) = link();
        let records = [say(&mut ours.channel, 1, b"run"), say(&mut ours.channel, 1, b"stop")];
        (records, theirs.channel)
    };
    let ([first, second], mut theirs) = whole();
    for at in 2..first.len() {
        let ([mut first, _], mut theirs) = whole();
        first[at] ^= 0x40;
        assert_eq!(hear(&mut theirs, &first), Err(LinkError::Changed), "byte {at}");
    }
    assert_eq!(hear(&mut whole().1, &second), Err(LinkError::Changed), "the first is left out");
    assert_eq!(hear(&mut theirs, &first), Ok(Some((1, b"run".to_vec()))));
    assert_eq!(hear(&mut theirs, &first), Err(LinkError::Changed), "it is repeated");
    assert_eq!(hear(&mut whole().1, &[0xff, 0xff]), Err(LinkError::Length(0xffff)));
    let other = say(&mut link().1.channel, 1, b"run");
    assert_eq!(hear(&mut whole().1, &other), Err(LinkError::Changed), "the other direction's");
}

#[test]
fn keys_are_renewed_on_both_sides_at_once() {
    let (mut ours, mut theirs) = link();
    for number in 0..REKEY_RECORDS + 3 {
        let bytes = say(&mut ours.channel, 0, &[]);
        assert_eq!(hear(&mut theirs.channel, &bytes), Ok(Some((0, Vec::new()))), "record {number}");
    }
    let back = say(&mut theirs.channel, 0, b"still");
    assert_eq!(hear(&mut ours.channel, &back), Ok(Some((0, b"still".to_vec()))));
}

#[test]
fn nothing_that_is_said_is_seen_and_no_two_links_are_alike() {
    let secret = b"the operator's command, and what it gave";
    let (mut ours, _) = link();
    let bytes = say(&mut ours.channel, 1, secret);
    assert!(bytes.windows(8).all(|part| !secret.windows(8).any(|said| said == part)));
    let (_, first) = caller();
    let (_, second) = Handshake::call(CALL, &key(1), [99; 32]).expect("a call");
    assert_ne!(first, second);
    assert!(!first.windows(8).any(|part| key(1).public().0.windows(8).any(|own| own == part)), "who calls is not seen");
}

proptest! {
    #[test]
    fn whatever_comes_is_an_error_or_waited_for(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        magic in any::<bool>(),
    ) {
        let bytes = if magic { [&caller().1[..9], &bytes].concat() } else { bytes };
        let mut host = host();
        if let Ok(Step::Send(_)) = host.advance(&bytes) {
            let _ = host.advance(&bytes);
        }
        let (mut caller, _) = caller();
        prop_assert!(!matches!(caller.advance(&bytes), Ok(Step::Open(_))));
        let (mut ours, _) = link();
        ours.channel.push(&bytes);
        prop_assert!(!matches!(ours.channel.next_record(), Ok(Some(_))));
    }

    #[test]
    fn records_survive_any_cutting(
        cuts in proptest::collection::vec(1usize..50, 1..30),
        sizes in proptest::collection::vec(0usize..300, 1..8),
    ) {
        let (mut ours, mut theirs) = link();
        let stream: Vec<u8> = sizes.iter().flat_map(|size| say(&mut ours.channel, 1, &alloc::vec![7; *size])).collect();
        let (mut got, mut at, mut cut) = (Vec::new(), 0, cuts.iter().cycle());
        while at < stream.len() {
            let end = (at + cut.next().unwrap()).min(stream.len());
            theirs.channel.push(&stream[at..end]);
            at = end;
            while let Some(record) = theirs.channel.next_record().unwrap() {
                got.push(record.body.len());
            }
        }
        prop_assert_eq!(got, sizes);
    }
}
