//! What programs write, in a small world of made-up time: through relays, from guests that lie, past a break.

use super::*;
use crate::answer::{Outcome, Output};
use crate::host::event::Event;
use crate::host::world_tests::{World, key};
use crate::id::OpId;
use crate::stream::{Gathering, Sending, Stream};
use crate::wire::message::Message;
use crate::wire::order::{Order, Run};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use vmatic_plan::{GuestId, HostId, NodeSet, RangeSet};

const LEAF: HostId = HostId(13);
const OP: OpId = OpId { session: [5; 8], sequence: 1 };

fn stream() -> Order {
    Order::Stream(Run { argv: vec!["x".into()], env: vec![], dir: String::new(), stdin: vec![], output_max_bytes: 0 })
}

/// A tree of 13 hosts three deep, in which the last host runs something for a console at host 5, for a long time.
fn open(nodes: &NodeSet) -> World {
    let mut world = World::new(LEAF.0, 3);
    world.task_ms = 100_000;
    world.mute = nodes.clone();
    let link = world.attach(HostId(5));
    world.run_to(world.now_ms + 50);
    world.command(link, 1, nodes, stream(), 90_000, &key());
    world.run_to(world.now_ms + 100);
    world
}

/// The link of a guest of the last host.
fn link_of(world: &World, guest: GuestId) -> LinkId {
    let link = world.guests.iter().find(|(at, its)| at.0 == LEAF && **its == guest);
    link.map(|(at, _)| at.1).expect("a guest")
}

/// What the console has of each node, and whether that is all.
fn heard(world: &World) -> BTreeMap<Node, (Vec<u8>, bool)> {
    let mut gathered: BTreeMap<Node, (Gathering, Vec<u8>)> = BTreeMap::new();
    for message in &world.heard {
        let Message::Written { op, pieces } = message else { continue };
        assert_eq!(*op, OP);
        for piece in pieces {
            let (gathering, bytes) = gathered.entry(piece.node).or_default();
            bytes.extend_from_slice(gathering.take(piece));
        }
    }
    gathered.into_iter().map(|(node, (gathering, bytes))| (node, (bytes, !gathering.is_incomplete()))).collect()
}

#[test]
fn what_is_written_passes_the_whole_tree_while_the_program_runs() {
    let node = Node::host(LEAF);
    let mut world = open(&NodeSet::one(node));
    let mut sending = Sending::default();
    let mut want = Vec::new();
    for line in 0..40u8 {
        let bytes = vec![line; 4_000];
        want.extend_from_slice(&bytes);
        world.tell(LEAF, Event::Written { op: OP, written: sending.piece(node, Stream::Out, bytes) });
    }
    world.run_to(world.now_ms + 200);
    assert_eq!(heard(&world), [(node, (want.clone(), false))].into());
    let most = world.heard.iter().filter_map(|message| match message {
        Message::Written { pieces, .. } => Some(pieces.iter().map(Written::size).sum::<usize>()),
        _ => None,
    });
    assert!(most.max() <= Some(WRITTEN_MAX_BYTES), "each message fits without room of its own");
    for written in sending.ends(node) {
        world.tell(LEAF, Event::Written { op: OP, written });
    }
    let output = Output { truncated: true, ..Output::default() };
    world.tell(LEAF, Event::Finished { op: OP, outcome: Outcome::Exit(3), output });
    world.run_to(world.now_ms + 200);
    assert_eq!(heard(&world), [(node, (want, true))].into());
    assert_eq!(world.answers(1)[0].outcome, Outcome::Exit(3));
    let ends = world.heard.iter().position(|message| matches!(message, Message::Answers { .. }));
    let last = world.heard.iter().rposition(|message| matches!(message, Message::Written { .. }));
    assert!(last < ends, "the answer comes behind");
}

#[test]
fn nobody_writes_for_another_nor_for_who_was_not_asked() {
    let guest = Node::guest(LEAF, GuestId(1));
    let mut world = open(&NodeSet::one(guest));
    let link = link_of(&world, GuestId(1));
    let says = |world: &mut World, node, link| {
        let written = Sending::default().piece(node, Stream::Err, b"me".to_vec());
        world.tell(LEAF, Event::Received { link, message: Message::Written { op: OP, pieces: vec![written] } });
        world.run_to(world.now_ms + 1_000);
    };
    let other = link_of(&world, GuestId(2));
    says(&mut world, guest, other);
    assert!(heard(&world).is_empty(), "guest 2 was not asked");
    says(&mut world, Node::host(HostId(1)), link);
    assert_eq!(heard(&world).keys().collect::<Vec<_>>(), [&guest]);
    let long =
        Written { bytes: vec![0; WRITTEN_MAX_BYTES + 1], ..Sending::default().piece(guest, Stream::Out, Vec::new()) };
    let before = world.heard.len();
    world.tell(LEAF, Event::Received { link, message: Message::Written { op: OP, pieces: vec![long] } });
    world.run_to(world.now_ms + 1_000);
    assert_eq!(world.heard.len(), before, "a piece that is too long is none");
}

#[test]
fn what_waits_for_another_way_up_is_bounded_and_comes_by_it() {
    let nodes = NodeSet::product(&RangeSet::span(LEAF.0, LEAF.0), &RangeSet::span(0, 0));
    let node = Node::host(LEAF);
    let mut operation = Operation::bare(90_000);
    operation.local = nodes;
    operation.orphan_ms = Some(5);
    let mut sending = Sending::default();
    for _ in 0..1_000 {
        operation.write(sending.piece(node, Stream::Out, vec![7; 1_000]), 5);
    }
    assert!(operation.flush_at().is_none(), "nobody is there");
    assert!(operation.is_full() && operation.waiting_bytes() < 300_000, "{}", operation.waiting_bytes());
    operation.orphan_ms = None;
    assert!(operation.flush_at() <= Some(5));
}
