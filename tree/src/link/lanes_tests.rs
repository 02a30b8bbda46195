//! Both ends of a link with its lanes: what is urgent passes what is long, and who reads slowly slows the writer.

use super::handshake::{Call, Handshake, Opened, Station, Step};
use super::{Came, Channel, Credit, Incoming, Lane, LinkKey, Outgoing, Released, SHORT_BYTES_MAX};
use crate::answer::{Group, Outcome, Output};
use crate::id::OpId;
use crate::wire::frame::{FRAME_MAX_BYTES, encode};
use crate::wire::message::Message;
use alloc::vec;
use alloc::vec::Vec;
use vmatic_plan::{HostId, Node};

fn channels() -> (Channel, Channel) {
    let call = Call { version: 8, cluster: [0; 16] };
    let (mut caller, bytes) = Handshake::call(call, &LinkKey::new([1; 32]), [2; 32]).expect("a call");
    let mut host = Handshake::listen(Station { version: 8, life: [0; 16] }, &LinkKey::new([3; 32]), [4; 32]);
    let Ok(Step::Send(reply)) = host.advance(&bytes) else { panic!("no reply") };
    let Ok(Step::Open(ours)) = caller.advance(&reply) else { panic!("no proof") };
    let Opened { send, channel, .. } = *ours;
    let Ok(Step::Open(theirs)) = host.advance(&send) else { panic!("no link") };
    (channel, theirs.channel)
}

fn op(sequence: u64) -> OpId {
    OpId { session: [1; 8], sequence }
}

fn answers(op: OpId, bytes: usize) -> Message {
    let output = Output { stdout: vec![7; bytes], ..Output::default() };
    Message::Answers { op, groups: vec![Group::one(Node::host(HostId(1)), Outcome::Exit(0), output)] }
}

/// One direction of a link; what the other end says of room is handed over at once.
struct Way {
    out: Outgoing,
    seal: Channel,
    open: Channel,
    into: Incoming,
    longest: usize,
    /// Offers that were not granted.
    offers: Vec<(OpId, u32)>,
}

impl Way {
    fn new() -> Way {
        let (seal, open) = channels();
        Way { out: Outgoing::new(true), seal, open, into: Incoming::new(false), longest: 0, offers: Vec::new() }
    }

    fn push(&mut self, message: &Message) {
        let (lane, op) = Lane::of(message, |_| false);
        self.out.push(lane, op, encode(message).expect("a frame"));
    }

    /// Sends about so many bytes; gives the messages that came.
    fn pass(&mut self, about: usize) -> Vec<Message> {
        let mut bytes = Vec::new();
        self.out.seal(&mut self.seal, &mut bytes, about).expect("records");
        self.into.push(&mut self.open, &bytes, self.longest).expect("what may come");
        let mut messages = Vec::new();
        while let Some(came) = self.into.next() {
            match came {
                Came::Frame(_, frame) => messages.push(frame.decode().expect("a message").expect("one of ours")),
                Came::Credit(Credit::Offer(op, bytes)) => self.offers.push((op, bytes)),
                Came::Credit(other) => panic!("{other:?}"),
            }
        }
        messages
    }

    fn grant(&mut self) -> Option<OpId> {
        let (op, bytes) = self.offers.pop()?;
        self.longest = bytes as usize;
        self.out.credit(Credit::Grant(op));
        Some(op)
    }
}

#[test]
fn what_is_urgent_passes_what_is_long() {
    let mut way = Way::new();
    way.push(&answers(op(1), 500_000));
    assert!(way.pass(1 << 20).is_empty(), "it is offered first");
    assert_eq!(way.grant(), Some(op(1)));
    assert!(way.pass(64 * 1024).is_empty(), "it is on its way");
    way.push(&Message::Heartbeat);
    way.push(&Message::Cancel(op(3)));
    assert_eq!(way.pass(1), [Message::Heartbeat, Message::Cancel(op(3))], "in the next record");
    assert_eq!(way.pass(1 << 20), [answers(op(1), 500_000)]);
}

#[test]
fn no_more_of_an_operation_is_on_its_way_than_its_window_and_others_pass() {
    let mut way = Way::new();
    for _ in 0..100 {
        way.push(&answers(op(1), 8_000));
    }
    let first = way.pass(1 << 22);
    assert_eq!(first.len(), super::outgoing::WINDOW_BYTES / 8_050);
    assert!(way.pass(1 << 22).is_empty(), "nobody has passed them on");
    way.push(&answers(op(2), 8_000));
    assert_eq!(way.pass(1 << 22), [answers(op(2), 8_000)], "one that nobody reads holds up no other");
    // What is passed on makes room, a few at a time.
    let (mut released, mut came) = (Released::default(), first.len());
    let mut waiting = first.len();
    while waiting > 0 {
        for message in 0..waiting {
            let frame = encode(&answers(op(1), 8_000)).expect("a frame");
            released.add(op(1), frame.len()).into_iter().for_each(|credit| way.out.credit(credit));
            let _ = message;
        }
        waiting = way.pass(1 << 22).len();
        came += waiting;
    }
    assert_eq!((came, way.out.answer_bytes()), (100, 0));
}

#[test]
fn answers_of_all_operations_get_their_turn() {
    let mut way = Way::new();
    for operation in 1..=20 {
        for _ in 0..50 {
            way.push(&answers(op(operation), 1_000));
        }
    }
    let came = way.pass(60_000);
    let of = |operation| {
        came.iter().filter(|m| matches!(m, Message::Answers { op: its, .. } if *its == op(operation))).count()
    };
    let counts: Vec<usize> = (1..=20).map(of).collect();
    assert!(counts.iter().all(|count| (2..=4).contains(count)), "{counts:?}");
}

#[test]
fn a_long_answer_that_was_not_given_room_ends_the_link() {
    let (mut seal, mut open) = channels();
    let mut out = Outgoing::new(false);
    let message = answers(op(1), SHORT_BYTES_MAX);
    let (lane, paid) = Lane::of(&message, |_| false);
    out.push(lane, paid, encode(&message).expect("a frame"));
    let mut bytes = Vec::new();
    out.seal(&mut seal, &mut bytes, usize::MAX).expect("records");
    let mut into = Incoming::new(false);
    assert!(matches!(into.push(&mut open, &bytes, 0), Err(super::LinkError::Unasked(_))));
}

#[test]
fn what_nobody_waits_for_is_forgotten() {
    let mut way = Way::new();
    for _ in 0..3 {
        way.push(&answers(op(1), 200_000));
    }
    assert!(way.pass(1 << 22).is_empty());
    way.out.credit(Credit::Forget(op(1)));
    assert_eq!((way.out.answer_bytes(), way.out.waits(op(1))), (0, 0));
    way.push(&answers(op(1), 9));
    assert_eq!(way.pass(1 << 22), [answers(op(1), 9)], "what comes later is sent as ever");
}

#[test]
fn what_ends_a_link_is_said_last_and_needs_no_room() {
    let mut way = Way::new();
    way.push(&answers(op(1), 200_000));
    way.out.push_last(encode(&Message::Heartbeat).expect("a frame"));
    way.push(&Message::Cancel(op(2)));
    assert_eq!(way.pass(1 << 22), [Message::Cancel(op(2))]);
    way.out.set_credit(false);
    way.longest = FRAME_MAX_BYTES;
    assert!(way.pass(1 << 22) == [answers(op(1), 200_000), Message::Heartbeat]);
}

#[test]
fn a_later_version_s_records_are_passed_over_and_unknown_ones_end_the_link() {
    for (kind, known) in [(0x80, true), (0xff, true), (5, false)] {
        let (mut seal, mut open) = channels();
        let mut bytes = Vec::new();
        seal.seal(kind, b"?", &mut bytes).expect("a record");
        assert_eq!(Incoming::new(false).push(&mut open, &bytes, 0).is_ok(), known, "{kind}");
    }
}

#[test]
fn a_stranger_says_hello_before_all_else_and_nothing_long() {
    let hello = Message::Hello { version: 8, who: crate::wire::message::PeerRole::Console, boot: [0; 16] };
    let hello = encode(&hello).expect("a frame");
    for (lane, body, heard) in [(0, &hello[..], true), (1, &hello[..], false), (4, &[1], false), (0, &[0xff; 8], false)]
    {
        let (mut seal, mut open) = channels();
        let mut bytes = Vec::new();
        seal.seal(lane, body, &mut bytes).expect("a record");
        seal.seal(1, &hello, &mut bytes).expect("a record");
        assert_eq!(Incoming::new(true).push(&mut open, &bytes, 0).is_ok(), heard, "{lane}");
    }
}

#[test]
fn without_records_the_most_urgent_frame_goes_first_and_whole() {
    let mut out = Outgoing::new(false);
    let long = encode(&answers(op(1), 300_000)).expect("a frame");
    out.push(Lane::Answers, Some(op(1)), long.clone());
    out.push(Lane::Control, None, vec![1]);
    out.push(Lane::Sessions, None, vec![2]);
    let frames: Vec<Vec<u8>> = core::iter::from_fn(|| out.next_frame()).collect();
    assert_eq!(frames, [vec![1], vec![2], long]);
    assert_eq!((out.urgent_bytes(), out.answer_bytes()), (0, 0));
}

#[test]
fn what_is_left_of_operations_that_ended_holds_up_no_other() {
    let (mut way, mut released) = (Way::new(), Released::default());
    for operation in 1..=500 {
        let message = answers(op(operation), 15_000);
        way.push(&message);
        assert_eq!(way.pass(1 << 22), core::slice::from_ref(&message), "of operation {operation}");
        let frame = encode(&message).expect("a frame");
        released.add(op(operation), frame.len()).into_iter().for_each(|credit| way.out.credit(credit));
    }
}
