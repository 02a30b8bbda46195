//! Parcels in a world of made-up time: everybody has them once, whoever dies or lies.

use super::world_tests::*;
use super::*;
use crate::answer::{Group, Outcome};
use crate::parcel::{ParcelId, Part, hash};
use crate::wire::order::{Order, Push};
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;
use vmatic_plan::{Node, NodeSet, parse_nodes};

const CHUNKS: usize = 40;
const CHUNK_BYTES: usize = 1000;
const ALL: usize = CHUNKS * CHUNK_BYTES;

fn chunks() -> Vec<Vec<u8>> {
    (0..CHUNKS).map(|n| vec![n as u8; CHUNK_BYTES]).collect()
}

fn push(chunks: &[Vec<u8>]) -> Order {
    Order::Push(Push { parcel: ParcelId(hash(&waybill(chunks))), path: "/tmp/x".into() })
}

/// All hosts are asked, by a console at this one.
fn pushed(hosts: u32, fanout: u32, at: u32) -> (World, LinkId, NodeSet) {
    let mut world = World::new(hosts, fanout);
    // So that what it was asked outlives its parent.
    world.hosts.values_mut().skip(1).for_each(|host| host.seek(0));
    world.parcel = chunks();
    let link = world.attach(HostId(at));
    let nodes = parse_nodes(".", &world.plan).unwrap();
    world.run_to(2_000);
    world.command(link, 1, &nodes, push(&chunks()), 60_000, &key());
    (world, link, nodes)
}

fn ok(world: &World, sequence: u64) -> NodeSet {
    nodes_where(&world.answers(sequence), Outcome::is_ok)
}

fn failures(world: &World, sequence: u64) -> Vec<String> {
    let failed = |group: Group| if let Outcome::Failed(why) = group.outcome { Some(why) } else { None };
    world.answers(sequence).into_iter().filter_map(failed).collect()
}

fn given(world: &World, host: u32) -> usize {
    world.hosts[&HostId(host)].stored().given_bytes as usize
}

#[test]
fn each_link_carries_it_once_and_the_second_time_nothing() {
    for (hosts, fanout, at) in [(7, 6, 1), (7, 6, 5), (15, 2, 1), (15, 2, 12), (1, 2, 1)] {
        let (mut world, link, nodes) = pushed(hosts, fanout, at);
        world.run_to(20_000);
        assert_eq!(ok(&world, 1), nodes, "{hosts} {fanout} {at}: {:?}", world.answers(1));
        let more = waybill(&chunks()).len();
        assert_eq!(world.gave_bytes, ALL + more, "the console gives each part once");
        for host in 1..=hosts {
            assert_eq!(world.hosts[&HostId(host)].stored().fetched_bytes as usize, ALL, "host {host}");
            // To the next in the row, and up to the root from where the console is. Who is called by the next before it
            // knows its own asks its parent for the waybill, and for some chunks.
            let copies = if at == 1 { 1 } else { 2 };
            let most = copies * ALL + ALL / 10 + 8 * more;
            assert!(given(&world, host) <= most, "{hosts} {fanout} {at}: {host} gave {}", given(&world, host));
        }
        world.command(link, 2, &nodes, push(&chunks()), 60_000, &key());
        world.run_to(40_000);
        assert_eq!((ok(&world, 2), world.gave_bytes), (nodes, ALL + more));
    }
}

#[test]
fn guests_have_it_from_their_host_which_has_it_once() {
    let mut world = World::new(3, 2);
    world.parcel = chunks();
    let link = world.attach(HostId(1));
    let nodes = parse_nodes("2-3/.", &world.plan).unwrap();
    world.run_to(2_000);
    world.command(link, 1, &nodes, push(&chunks()), 60_000, &key());
    world.run_to(30_000);
    assert_eq!(ok(&world, 1), nodes, "{:?}", world.answers(1));
    for host in [2, 3] {
        assert_eq!(world.hosts[&HostId(host)].stored().fetched_bytes as usize, ALL);
        assert!(given(&world, host) >= GUESTS as usize * ALL);
    }
    assert_eq!(world.gave_bytes, ALL + waybill(&chunks()).len());
}

#[test]
fn chunks_that_two_parcels_share_are_fetched_once() {
    let (mut world, link, nodes) = pushed(3, 2, 1);
    world.run_to(20_000);
    let before = world.gave_bytes;
    let mut other = chunks();
    other.swap(3, 9);
    other.push(vec![99; 10]);
    world.parcel = other.clone();
    world.command(link, 2, &nodes, push(&other), 60_000, &key());
    world.run_to(40_000);
    assert_eq!(ok(&world, 2), nodes);
    assert_eq!(world.gave_bytes - before, 10 + waybill(&other).len());
}

#[test]
fn whoever_dies_half_way_takes_nobody_with_it() {
    // One of a row of siblings; a relay, whose children find another parent; the first of the row.
    for (hosts, fanout, victim) in [(7, 6, 4), (7, 2, 2), (7, 6, 2), (7, 6, 7)] {
        let (mut world, _, nodes) = pushed(hosts, fanout, 1);
        while world.hosts[&HostId(victim)].stored().fetched_bytes < ALL as u64 / 2 {
            let next = world.now_ms + 1;
            world.run_to(next);
        }
        world.kill(HostId(victim));
        for _ in 0..200 {
            let next = world.now_ms + 100;
            world.run_to(next);
            world.rejoin();
        }
        let dead = NodeSet::one(Node::host(HostId(victim)));
        assert_eq!(ok(&world, 1), nodes.difference(&dead), "{victim}: {:?}", world.answers(1));
        assert!(world.gave_bytes < ALL * 11 / 10 + 2000, "{}", world.gave_bytes);
    }
}

#[test]
fn what_a_liar_gives_is_refused_and_had_from_others() {
    let (mut world, _, nodes) = pushed(7, 6, 1);
    world.liar = Some(HostId(3));
    world.run_to(30_000);
    assert_eq!(ok(&world, 1), nodes, "{:?}", world.answers(1));
    assert!(world.notes.iter().any(|(host, note)| *host == HostId(4) && note.contains("other bytes than were signed")));
}

#[test]
fn where_only_a_liar_has_it_that_is_said() {
    let (mut world, _, nodes) = pushed(1, 6, 1);
    world.liar = Some(CONSOLE);
    world.run_to(30_000);
    assert_eq!(ok(&world, 1), NodeSet::new());
    assert_eq!(nodes.len(), 1);
    assert!(failures(&world, 1)[0].contains("nobody that this host can ask"), "{:?}", world.answers(1));
}

#[test]
fn who_has_no_room_says_so_at_once_and_the_others_have_it() {
    let (mut world, _, nodes) = pushed(7, 6, 1);
    world.hosts.get_mut(&HostId(4)).unwrap().set_store_bytes(ALL as u64 - 1);
    world.run_to(5_000);
    let full = NodeSet::one(Node::host(HostId(4)));
    assert_eq!(ok(&world, 1), nodes.difference(&full), "{:?}", world.answers(1));
    let why = &failures(&world, 1)[0];
    assert!(why.contains("no room: the files take 40000 bytes, and this host keeps at most 39999"), "{why}");
}

#[test]
fn whoever_asks_for_what_nobody_has_hears_so() {
    let (mut world, _, _) = pushed(1, 6, 1);
    world.run_to(5_000);
    let link = world.connect(HostId(9), HostId(1), Direction::Parent);
    world.played.insert(link);
    let unknown = ParcelId([9; 32]);
    let say = |world: &mut World, message| world.post(HostId(9), link, Travelling::Message(message));
    let who = PeerRole::Sibling(HostId(1));
    say(&mut world, Message::Hello { version: crate::wire::message::VERSION, who, boot: [9; 16] });
    world.run_to(5_100);
    assert!(world.overheard.iter().any(|said| matches!(said, Message::Refuse(_))), "nobody is his own sibling");
    let (mut world, _, _) = pushed(2, 6, 1);
    world.run_to(5_000);
    let link = world.connect(HostId(2), HostId(1), Direction::Sibling);
    world.played.insert(link);
    let say = |world: &mut World, message| world.post(HostId(2), link, Travelling::Message(message));
    let who = PeerRole::Sibling(HostId(2));
    say(&mut world, Message::Hello { version: crate::wire::message::VERSION, who, boot: [9; 16] });
    let known = ParcelId(hash(&waybill(&chunks())));
    for (parcel, part) in [(unknown, Part::Waybill), (unknown, Part::Chunk(7)), (known, Part::Chunk(CHUNKS as u32))] {
        say(&mut world, Message::Ask { parcel, part });
        world.run_to(world.now_ms + 100);
        assert_eq!(world.overheard.pop(), Some(Message::Lacks { parcel, part }));
    }
    say(&mut world, Message::Ask { parcel: known, part: Part::Chunk(3) });
    world.run_to(world.now_ms + 100);
    assert!(matches!(world.overheard.pop(), Some(Message::Give { part: Part::Chunk(3), .. })));
    say(&mut world, Message::Report(Report::default()));
    world.run_to(world.now_ms + 100);
    assert!(matches!(world.overheard.pop(), Some(Message::Refuse(_))), "a sibling says nothing else");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_dies_everybody_is_told_of_and_nobody_has_other_bytes(
        hosts in 3u32..16,
        fanout in 2u32..7,
        deaths in proptest::collection::vec((2u32..16, 0u64..400), 0..4),
        liar in proptest::option::of(2u32..16),
    ) {
        let (mut world, _, nodes) = pushed(hosts, fanout, 1);
        world.liar = liar.map(HostId);
        for (host, after_ms) in deaths {
            let next = world.now_ms + after_ms;
            world.run_to(next);
            world.kill(HostId(host));
        }
        for _ in 0..700 {
            let next = world.now_ms + 100;
            world.run_to(next);
            world.rejoin();
        }
        let answered = nodes_where(&world.answers(1), |_| true);
        prop_assert_eq!(answered, nodes);
        let there: BTreeSet<HostId> = world.placed.iter().copied().collect();
        prop_assert_eq!(there.len(), world.placed.len(), "started twice");
    }
}
