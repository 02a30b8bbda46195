//! Links between machines: encrypted, or plain while an upgrade is under way; what stands between them sees and changes
//! nothing.

use super::*;
use crate::node::link::connection::Link;
use crate::node::link::far_tests::{self, Far};
use crate::node::link::inbound::{Arrivals, Inbound, Peer};
use std::sync::Arc;
use tokio::io::{DuplexStream, duplex};
use tokio::time::timeout;
use vmatic_plan::{HostNames, Plan};
use vmatic_tree::wire::frame::FrameReader;
use vmatic_tree::wire::message::PeerRole;

const LONG: Duration = Duration::from_secs(20);

fn own(plain_for: Option<Duration>) -> Arc<OwnLinks> {
    Arc::new(OwnLinks::draw(&Plan::new("t", HostNames::count(3).unwrap()), HostId(1), plain_for))
}

/// A link of this node, and the stream that it is on.
fn link(side: Direction, own: &Arc<OwnLinks>) -> (Link, DuplexStream, Arrivals) {
    let (ours, theirs) = duplex(64 * 1024);
    let (inbound, arrivals) = Inbound::new();
    let caller = Caller { side, is_planned: false, boot: None, toll: None };
    let at = "10.0.0.1:7117".parse().ok();
    (Link::begin(1, caller, ours, at, inbound, own.clone()), theirs, arrivals)
}

fn hello(version: u16) -> Message {
    Message::Hello { version, who: PeerRole::Host(HostId(2)), boot: far_tests::key().public().boot() }
}

/// What comes over the link next: who said it, and what.
async fn next(arrivals: &mut Arrivals) -> (Peer, Option<Message>) {
    let arrival = timeout(LONG, arrivals.next()).await.expect("an arrival");
    (arrival.peer, arrival.frame.map(|frame| frame.decode().unwrap().unwrap()))
}

#[tokio::test]
async fn both_ends_are_known_by_their_keys() {
    for side in [Direction::Child, Direction::Parent] {
        let own = own(None);
        let (link, theirs, mut arrivals) = link(side, &own);
        // Said before there is a handshake, it waits for that.
        link.send(&Message::Heartbeat).unwrap();
        let mut far = match side {
            Direction::Child => Far::call(theirs).await.unwrap(),
            _ => Far::answer(theirs).await.unwrap(),
        };
        assert_eq!(far.peer.boot(), own.boot());
        far.say(&hello(VERSION)).await;
        assert_eq!(next(&mut arrivals).await, (Peer::Key(far_tests::key().public()), Some(hello(VERSION))));
        assert_eq!(far.next().await, Some(Message::Heartbeat));
        drop(link);
        assert_eq!(far.next().await, None);
    }
}

/// A relay that records all, and changes the byte at one place of what one side sends.
async fn relay(a: DuplexStream, b: DuplexStream, change: Option<usize>) -> Vec<u8> {
    let (mut a_read, mut a_write) = tokio::io::split(a);
    let (mut b_read, mut b_write) = tokio::io::split(b);
    let there = async {
        let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
        while let Ok(count @ 1..) = a_read.read(&mut buffer).await {
            if let Some(at) = change.and_then(|at| at.checked_sub(seen.len())).filter(|at| *at < count) {
                buffer[at] ^= 1;
            }
            seen.extend_from_slice(&buffer[..count]);
            if b_write.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = b_write.shutdown().await;
        seen
    };
    let back = async {
        let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
        while let Ok(count @ 1..) = b_read.read(&mut buffer).await {
            seen.extend_from_slice(&buffer[..count]);
            if a_write.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = a_write.shutdown().await;
        seen
    };
    let (there, back) = tokio::join!(there, back);
    [there, back].concat()
}

#[tokio::test]
async fn who_records_a_link_has_nothing_of_what_was_said() {
    let secret = "echo the operator s secret";
    let (link, theirs, mut arrivals) = link(Direction::Child, &own(None));
    let (outer, far) = duplex(64 * 1024);
    let recording = tokio::spawn(relay(outer, theirs, None));
    let mut far = Far::call(far).await.unwrap();
    let plan = || Message::Welcome { host: HostId(1), plan: secret.into(), path: Vec::new() };
    far.say(&hello(VERSION)).await;
    far.say(&plan()).await;
    next(&mut arrivals).await;
    assert_eq!(next(&mut arrivals).await.1, Some(plan()));
    link.send(&plan()).unwrap();
    assert_eq!(far.next().await, Some(plan()));
    drop((link, far));
    let seen = timeout(LONG, recording).await.unwrap().unwrap();
    assert!(seen.len() > 300, "it was recorded: {} bytes", seen.len());
    let parts: Vec<&[u8]> = secret.as_bytes().windows(6).collect();
    assert!(!seen.windows(6).any(|part| parts.contains(&part)));
}

#[tokio::test]
async fn a_byte_that_is_changed_on_its_way_ends_the_link() {
    // In the call, in the proof, in a record.
    for at in [20, CALL_BYTES + 7, CALL_BYTES + 64 + 30] {
        let (link, theirs, mut arrivals) = link(Direction::Child, &own(None));
        let (outer, far) = duplex(64 * 1024);
        tokio::spawn(relay(outer, theirs, Some(at)));
        let mut far = Far::call(far).await.ok();
        if let Some(far) = &mut far {
            far.say(&hello(VERSION)).await;
        }
        assert_eq!(next(&mut arrivals).await.1, None, "byte {at}");
        // As the driver does where nothing more will come.
        drop(link);
        if let Some(far) = &mut far {
            assert_eq!(timeout(LONG, far.next()).await, Ok(None), "byte {at}");
        }
    }
}

#[tokio::test]
async fn plain_links_are_understood_only_while_an_upgrade_is_under_way() {
    let frame = frame::encode(&hello(7)).unwrap();
    let (_link, mut theirs, mut arrivals) = link(Direction::Child, &own(Some(LONG)));
    theirs.write_all(&frame).await.unwrap();
    assert_eq!(next(&mut arrivals).await, (Peer::Unproved, Some(hello(7))));

    for plain_for in [None, Some(Duration::ZERO)] {
        let (_link, mut theirs, mut arrivals) = link(Direction::Child, &own(plain_for));
        theirs.write_all(&frame).await.unwrap();
        assert_eq!(next(&mut arrivals).await.1, None);
        // Whoever is older is told why, in words that he understands.
        let (mut reader, mut told) = (FrameReader::new(), Vec::new());
        theirs.read_to_end(&mut told).await.unwrap();
        reader.push(&told);
        let refusal = Refusal::Version { host: HostId(1), version: VERSION };
        assert_eq!(reader.next_message(), Ok(Some(Message::Refuse(refusal))));
    }
}

#[tokio::test]
async fn an_older_parent_is_spoken_to_plain_every_second_time_and_only_during_an_upgrade() {
    for (plain_for, plain) in [(Some(LONG), true), (None, false)] {
        let own = own(plain_for);
        for time in 0..4 {
            let (link, mut theirs, mut arrivals) = link(Direction::Parent, &own);
            link.send(&hello(VERSION)).unwrap();
            let mut first = [0; 8];
            theirs.read_exact(&mut first).await.unwrap();
            let is_call = is_call(&first) == Some(true);
            assert_eq!(is_call, !(plain && time % 2 == 1), "time {time}");
            if is_call {
                // It takes the call for a frame that claims too much.
                drop(theirs);
                assert_eq!(next(&mut arrivals).await, (Peer::Unproved, None));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_end_his_handshake_loses_his_link() {
    for said in [0, 5, CALL_BYTES - 1, CALL_BYTES] {
        let (_link, mut theirs, mut arrivals) = link(Direction::Child, &own(None));
        let call = Call { version: VERSION, cluster: [0; 16] };
        let (_, bytes) = Handshake::call(call, &far_tests::key(), [9; 32]).unwrap();
        theirs.write_all(&bytes[..said]).await.unwrap();
        assert_eq!(next(&mut arrivals).await, (Peer::Unproved, None), "{said} bytes");
    }
}

#[test]
fn the_command_line_says_how_long_plain_links_are_understood() {
    assert_eq!(plain_for("quiet vmatic.older=600"), Some(Duration::from_secs(600)));
    assert_eq!((plain_for("vmatic.older=soon"), plain_for("")), (None, None));
}
