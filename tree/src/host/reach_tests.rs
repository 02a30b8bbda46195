//! Whom orders reach: guests that are down or paused, on hosts below other hosts.

use super::world_tests::{World, key, nodes_where, run};
use super::*;
use crate::answer::Outcome;
use crate::unreachable::Unreachable;
use crate::wire::order::{GuestAction, LinkOrder, Order, Serial};
use alloc::vec::Vec;
use vmatic_plan::{GuestId, HostId, Node, NodeSet};

/// Small messages that a Unix socket holds while nobody reads: each is charged a whole buffer (measured, Linux 6.18).
const SOCKET_MESSAGES: u32 = 278;

/// Guests 1 of all hosts but the root have no process any more: the operator stopped them.
fn stopped(world: &mut World) -> NodeSet {
    let stopped = NodeSet::product(&RangeSet::span(2, world.plan.host_count()), &RangeSet::one(1));
    for node in stopped.iter() {
        let links = world.hosts[&node.host].peers.links_for_tests();
        let its = links.iter().find(|(_, link)| link.side == Direction::Guest(node.guest)).map(|(id, _)| *id);
        world.tell(node.host, Event::Closed { link: its.unwrap() });
        world.tell(node.host, Event::Guest { guest: node.guest, state: GuestState::Stopped });
    }
    world.run_to(world.now_ms + 2_000);
    stopped
}

#[test]
fn what_their_host_does_with_guests_that_are_down_passes_every_relay() {
    // Three levels: 1, 2 to 4, 5 to 12.
    let mut world = World::new(12, 3);
    let stopped = stopped(&mut world);
    let orders = [Order::Guests(GuestAction::Start), Order::Link(LinkOrder::Show)];
    for (sequence, order) in (1..).zip(orders) {
        let link = world.attach(HostId(1));
        world.command(link, sequence, &stopped, order, 5_000, &key());
        world.run_to(world.now_ms + 1_000);
        assert_eq!(nodes_where(&world.answers(sequence), Outcome::is_ok), stopped);
    }
    // What the guest itself would do is not asked of it.
    let link = world.attach(HostId(1));
    world.command(link, 3, &stopped, run(), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    let down = Outcome::Unreachable(Unreachable::Guest(GuestState::Stopped));
    assert_eq!(nodes_where(&world.answers(3), |outcome| *outcome == down), stopped);
}

#[test]
fn the_serial_port_of_a_guest_that_is_down_is_watched_through_relays() {
    let mut world = World::new(12, 3);
    stopped(&mut world);
    let (node, link) = (Node::guest(HostId(12), GuestId(1)), world.attach(HostId(1)));
    world.command(link, 1, &NodeSet::one(node), Order::Serial(Serial { follow: true }), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert!(world.answers(1).is_empty(), "{:?}", world.answers(1));
    assert!(!world.hosts[&HostId(12)].operations.running_for_tests().is_empty());
}

#[test]
fn guests_of_a_host_that_is_not_there_are_nobodys() {
    let mut world = World::new(12, 3);
    let stopped = stopped(&mut world);
    world.kill(HostId(12));
    world.run_to(world.now_ms + 2_000);
    let link = world.attach(HostId(1));
    world.command(link, 1, &stopped, Order::Guests(GuestAction::Start), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    let groups = world.answers(1);
    let gone = NodeSet::one(Node::guest(HostId(12), GuestId(1)));
    assert_eq!(nodes_where(&groups, |outcome| matches!(outcome, Outcome::Unreachable(_))), gone);
    assert_eq!(nodes_where(&groups, Outcome::is_ok), stopped.difference(&gone));
}

#[test]
fn a_paused_guest_is_told_so_little_that_its_socket_holds_it_for_hours() {
    let mut world = World::new(1, 2);
    let node = Node::guest(HostId(1), GuestId(1));
    world.tell(HostId(1), Event::Guest { guest: GuestId(1), state: GuestState::Paused });
    world.asleep.insert(node, SOCKET_MESSAGES);
    world.run_to(world.now_ms + 2 * 3_600_000);
    assert_eq!(world.asleep[&node], SOCKET_MESSAGES, "nothing is said to a guest that reads nothing");
    world.asleep.clear();
    world.tell(HostId(1), Event::Guest { guest: GuestId(1), state: GuestState::Up });
    let link = world.attach(HostId(1));
    world.command(link, 1, &NodeSet::one(node), run(), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), NodeSet::one(node));
}

#[test]
fn a_guest_that_reads_nothing_without_being_paused_is_lost() {
    let mut world = World::new(1, 2);
    world.asleep.insert(Node::guest(HostId(1), GuestId(1)), SOCKET_MESSAGES);
    world.run_to(world.now_ms + 2 * 60_000);
    let sides: Vec<Direction> = world.hosts[&HostId(1)].peers.links_for_tests().values().map(|l| l.side).collect();
    assert!(!sides.contains(&Direction::Guest(GuestId(1))), "{sides:?}");
}

#[test]
fn a_guest_without_a_leaf_is_up_and_takes_no_commands() {
    let mut world = World::new(2, 2);
    world.run_to(3_000);
    world.tell(HostId(2), Event::Guest { guest: GuestId(1), state: GuestState::Queued });
    let link = world.hosts[&HostId(2)]
        .peers
        .links_for_tests()
        .iter()
        .find(|(_, l)| l.side == Direction::Guest(GuestId(1)))
        .map(|(id, _)| *id)
        .unwrap();
    world.tell(HostId(2), Event::Closed { link });
    let guest = NodeSet::one(Node::guest(HostId(2), GuestId(1)));
    let down = |state: GuestState| (state.clone(), false, Unreachable::Guest(state));
    let up = (GuestState::Unmanaged, true, Unreachable::Unmanaged);
    let states = [up.clone(), down(GuestState::Paused), up, down(GuestState::WaitingForPressure)];
    for (sequence, (state, reached, why)) in (1..).zip(states) {
        world.tell(HostId(2), Event::Guest { guest: GuestId(1), state });
        world.run_to(world.now_ms + 1_000);
        assert_eq!(world.hosts[&HostId(2)].guests_up().contains(1), reached);
        let console = world.attach(HostId(1));
        world.command(console, sequence, &guest, run(), 2_000, &key());
        world.run_to(world.now_ms + 3_000);
        let groups = world.answers(sequence);
        let unreachable = |o: &Outcome| *o == Outcome::Unreachable(why.clone());
        assert_eq!(nodes_where(&groups, unreachable), guest, "{groups:?}");
    }
}
