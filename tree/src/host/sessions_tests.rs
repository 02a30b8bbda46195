//! Sessions in a small world of made-up time: feeds forged, repeated or left out, floods, vanished consoles.

use super::*;
use crate::answer::{Outcome, Output};
use crate::host::event::Event;
use crate::host::world_tests::{CONSOLE, Travelling, World, key};
use crate::session::{Console, INPUT_WINDOW_BYTES, LEASE_MS, OUTPUT_WINDOW_BYTES, PIECE_MAX_BYTES, SESSIONS_MAX};
use crate::wire::order::Order;
use alloc::string::{String, ToString};
use alloc::vec;
use ed25519_dalek::SigningKey;
use vmatic_plan::{GuestId, HostId, Node, RangeSet};

const LEAF: HostId = HostId(13);

fn op(sequence: u64) -> OpId {
    OpId { session: [5; 8], sequence }
}

/// A tree of 13 hosts three deep, and a session with `node` that is open, asked for at host 5.
fn open(node: Node) -> (World, LinkId) {
    let mut world = World::new(LEAF.0, 3);
    // Its guest does not answer by itself.
    world.mute = NodeSet::one(node);
    let link = world.attach(HostId(5));
    world.run_to(world.now_ms + 50);
    let console = Order::Console(Console { argv: vec![], env: vec![], terminal: None });
    world.command(link, 1, &NodeSet::one(node), console, LEASE_MS, &key());
    world.run_to(world.now_ms + 100);
    (world, link)
}

fn fed(bytes: &[u8], shown: u64) -> SessionInput {
    SessionInput { opened: 1, bytes: bytes.into(), shown, ..SessionInput::default() }
}

fn feed(world: &mut World, link: LinkId, sequence: u64, feed: SessionInput, key: &SigningKey) {
    world.command(link, sequence, &NodeSet::one(Node::host(LEAF)), Order::SessionInput(feed), LEASE_MS, key);
    world.run_to(world.now_ms + 100);
}

fn says(world: &mut World, bytes: usize, taken: u64) {
    let said = SessionOutput { bytes: vec![b'y'; bytes], taken };
    world.tell(LEAF, Event::SessionOutput { op: op(1), said });
    world.run_to(world.now_ms + 100);
}

fn heard(world: &World) -> usize {
    let said = |m: &Message| if let Message::SessionOutput { said, .. } = m { said.bytes.len() } else { 0 };
    world.heard.iter().map(said).sum()
}

fn end(world: &World) -> Option<Outcome> {
    world.answers(1).first().map(|g| g.outcome.clone())
}

fn failed(world: &World) -> String {
    match end(world) {
        Some(Outcome::Failed(why)) => why,
        Some(Outcome::Unreachable(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

fn operations(world: &World) -> usize {
    world.hosts.values().map(|h| h.operations.running_for_tests().len()).sum()
}

#[test]
fn input_and_output_pass_the_whole_tree_and_the_end_is_an_answer() {
    let (mut world, link) = open(Node::host(LEAF));
    feed(&mut world, link, 2, fed(b"ls", 0), &key());
    assert_eq!(world.fed, [(LEAF, op(1), fed(b"ls", 0))]);
    says(&mut world, 7, 2);
    assert_eq!(heard(&world), 7);
    feed(&mut world, link, 3, fed(b"", 7), &key());
    let done = Event::Finished { op: op(1), outcome: Outcome::Exit(3), output: Output::default() };
    world.tell(LEAF, done);
    world.run_to(world.now_ms + 100);
    assert_eq!(end(&world), Some(Outcome::Exit(3)));
    assert_eq!(operations(&world), 0);
}

#[test]
fn a_guest_is_fed_by_its_host_and_cannot_say_more_than_it_may() {
    let (mut world, link) = open(Node::guest(LEAF, GuestId(2)));
    feed(&mut world, link, 2, fed(b"x", 0), &key());
    assert_eq!(world.fed.len(), 1);
    let its =
        *world.hosts[&LEAF].operations.running_for_tests().values().next().unwrap().outstanding.keys().next().unwrap();
    let other = its - 1;
    for (from, expected) in [(its, PIECE_MAX_BYTES), (other, PIECE_MAX_BYTES)] {
        let said = SessionOutput { bytes: vec![0; PIECE_MAX_BYTES], taken: 0 };
        world.tell(LEAF, Event::Received { link: from, message: Message::SessionOutput { op: op(1), said } });
        world.run_to(world.now_ms + 100);
        assert_eq!(heard(&world), expected, "another guest has no part in it");
    }
    let said = SessionOutput { bytes: vec![0; PIECE_MAX_BYTES + 1], taken: 0 };
    world.tell(LEAF, Event::Received { link: its, message: Message::SessionOutput { op: op(1), said } });
    world.run_to(world.now_ms + 100);
    assert!(failed(&world).contains("more output than the session"));
    assert_eq!((world.stopped.as_slice(), operations(&world)), ([(LEAF, op(1))].as_slice(), 0));
}

#[test]
fn nothing_forged_repeated_or_left_out_reaches_the_program() {
    // Forged: refused at the first host, and the console that tries it is cut off.
    let (mut world, link) = open(Node::host(LEAF));
    feed(&mut world, link, 2, fed(b"x", 0), &SigningKey::from_bytes(&[2; 32]));
    assert_eq!(world.fed, []);
    for sequence in [1, 2] {
        let (mut world, link) = open(Node::host(LEAF));
        feed(&mut world, link, 2, fed(b"once", 0), &key());
        // Repeated (2) or with the opening command's own number (1).
        feed(&mut world, link, sequence, fed(b"once", 0), &key());
        assert_eq!(world.fed.len(), 1);
        assert!(failed(&world).contains("lost or repeated"));
        assert_eq!(world.stopped, [(LEAF, op(1))]);
    }
    let (mut world, link) = open(Node::host(LEAF));
    feed(&mut world, link, 3, fed(b"later", 0), &key());
    assert_eq!(world.fed, []);
    assert!(failed(&world).contains("lost or repeated"));
}

#[test]
fn a_feed_from_another_link_is_no_feed() {
    let (mut world, _) = open(Node::host(LEAF));
    let other = world.attach(HostId(5));
    world.run_to(world.now_ms + 50);
    feed(&mut world, other, 2, fed(b"x", 0), &key());
    assert_eq!((world.fed.as_slice(), end(&world)), ([].as_slice(), None));
}

#[test]
fn floods_stop_at_their_windows() {
    let (mut world, link) = open(Node::host(LEAF));
    for _ in 0..OUTPUT_WINDOW_BYTES / PIECE_MAX_BYTES {
        says(&mut world, PIECE_MAX_BYTES, 0);
    }
    assert_eq!(heard(&world), OUTPUT_WINDOW_BYTES);
    feed(&mut world, link, 2, fed(b"", 10), &key());
    says(&mut world, 10, 0);
    assert_eq!((heard(&world), end(&world)), (OUTPUT_WINDOW_BYTES + 10, None));
    let pieces = INPUT_WINDOW_BYTES / PIECE_MAX_BYTES;
    for n in 0..=pieces as u64 {
        feed(&mut world, link, 3 + n, fed(&[0; PIECE_MAX_BYTES], 10), &key());
    }
    assert_eq!(world.fed.len(), 1 + pieces, "the last one is too much");
    assert!(failed(&world).contains("more input than the session"));
}

#[test]
fn a_session_lives_on_its_feeds_and_ends_without() {
    let (mut world, link) = open(Node::host(LEAF));
    for n in 0..4 {
        world.run_to(world.now_ms + u64::from(LEASE_MS) * 2 / 3);
        feed(&mut world, link, 2 + n, fed(b"", 0), &key());
    }
    assert_eq!(end(&world), None, "three leases later");
    world.run_to(world.now_ms + u64::from(LEASE_MS) + 1000);
    assert!(end(&world).is_some());
    assert_eq!((world.stopped.as_slice(), operations(&world)), ([(LEAF, op(1))].as_slice(), 0));
}

#[test]
fn a_console_that_goes_ends_its_session_and_a_relay_that_dies_is_said() {
    let (mut world, link) = open(Node::host(LEAF));
    world.post(CONSOLE, link, Travelling::Closed);
    world.run_to(world.now_ms + 200);
    assert_eq!((world.stopped.as_slice(), operations(&world)), ([(LEAF, op(1))].as_slice(), 0));

    let (mut world, _) = open(Node::host(LEAF));
    let parent = world.plan.parent(Node::host(LEAF)).unwrap().host;
    world.kill(parent);
    world.run_to(world.now_ms + 200);
    assert!(failed(&world).contains("was lost"), "{}", failed(&world));
    assert_eq!(world.stopped, [(LEAF, op(1))], "below the dead relay nothing goes on");
}

#[test]
fn sessions_are_limited_and_a_serial_port_is_its_hosts() {
    let mut world = World::new(1, 3);
    let link = world.attach(HostId(1));
    world.run_to(world.now_ms + 50);
    let console = || Order::Console(Console { argv: vec![], env: vec![], terminal: None });
    for sequence in 1..=SESSIONS_MAX as u64 + 1 {
        world.command(link, sequence, &NodeSet::one(Node::host(HostId(1))), console(), LEASE_MS, &key());
    }
    world.run_to(world.now_ms + 100);
    assert_eq!(world.answers(SESSIONS_MAX as u64).len(), 0);
    let refused = world.answers(SESSIONS_MAX as u64 + 1);
    assert!(matches!(&refused[0].outcome, Outcome::Failed(why) if why.contains("too many console sessions")));

    let mut host = World::new(1, 3).hosts.remove(&HostId(1)).unwrap();
    host.handle(5_000, Event::Opened { link: 99, side: Direction::Child, from: None });
    let hello = Message::Hello {
        version: crate::wire::message::VERSION,
        who: crate::wire::message::PeerRole::Console,
        boot: [0; 16],
    };
    host.handle(5_000, Event::Received { link: 99, message: hello });
    let order = Order::Serial(crate::wire::order::Serial { follow: true });
    let asked = NodeSet::one(Node::guest(HostId(1), GuestId(2)));
    let command = Command {
        cluster: [7; 16],
        issued_s: 1_800_000_000,
        op: op(1),
        nodes: asked.clone(),
        deadline_ms: LEASE_MS,
        order,
    };
    let signed = command.sign(&key()).unwrap();
    let actions =
        host.handle(5_001, Event::Received { link: 99, message: Message::Command { signed, asked, remaining_ms: 9 } });
    let start = actions.iter().find_map(|a| if let Action::Start { guests, .. } = a { Some(guests) } else { None });
    assert_eq!(start, Some(&RangeSet::span(2, 2)));
}
