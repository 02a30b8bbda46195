//! Hosts that a command passes: who answers, who is missing, and why.

use super::world_tests::{CONSOLE, GUESTS, Travelling, World, key, nodes_where, run};
use super::*;
use crate::answer::Outcome;
use crate::refusal::CommandError;
use crate::unreachable::Unreachable;
use crate::wire::message::VERSION;
use crate::wire::order::{GuestAction, Order};
use ed25519_dalek::SigningKey;
use vmatic_plan::{GuestId, HostId, HostNames, Node, NodeSet};

#[test]
fn every_node_of_a_deep_tree_answers_from_wherever_one_attaches() {
    let mut world = World::new(40, 3);
    let all = world.plan.all_nodes();
    for (sequence, host) in [(1, 1), (2, 2), (3, 40)] {
        let link = world.attach(HostId(host));
        world.command(link, sequence, &all, run(), 5_000, &key());
        world.run_to(world.now_ms + 1_000);
        let groups = world.answers(sequence);
        assert_eq!(nodes_where(&groups, Outcome::is_ok), all, "attached at {host}");
    }
}

#[test]
fn equal_answers_reach_the_console_folded() {
    let mut world = World::new(30, 16);
    let guests = NodeSet::product(&world.plan.all_hosts(), &RangeSet::span(1, GUESTS));
    let link = world.attach(HostId(1));
    world.command(link, 1, &guests, run(), 5_000, &key());
    world.run_to(2_500);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), guests);
    let messages = world.heard.iter().filter(|m| matches!(m, Message::Answers { .. })).count();
    assert!(messages <= 4, "{messages} messages for one equal answer");
}

#[test]
fn a_wrong_key_is_told_so_and_nobody_obeys() {
    let mut world = World::new(3, 2);
    let link = world.attach(HostId(1));
    let all = world.plan.all_nodes();
    world.command(link, 1, &all, run(), 5_000, &SigningKey::from_bytes(&[2; 32]));
    world.run_to(2_000);
    let why = world.heard.iter().find_map(|m| match m {
        Message::Refuse(why) => Some(why.clone()),
        _ => None,
    });
    assert_eq!(why, Some(Refusal::Command(CommandError::WrongKey)));
    assert!(world.answers(1).is_empty());
}

#[test]
fn a_command_is_obeyed_once() {
    let mut world = World::new(3, 2);
    let all = world.plan.all_nodes();
    for attempt in 0..2 {
        world.heard.clear();
        let link = world.attach(HostId(1));
        world.command(link, 1, &all, run(), 5_000, &key());
        world.run_to(world.now_ms + 2_000);
        let ok = nodes_where(&world.answers(1), Outcome::is_ok);
        assert_eq!(ok.is_empty(), attempt == 1);
        let failed = nodes_where(&world.answers(1), |o| matches!(o, Outcome::Failed(w) if w.contains("duplicate")));
        assert_eq!(failed.is_empty(), attempt == 0);
    }
}

#[test]
fn a_guest_that_does_not_answer_costs_only_itself() {
    let mut world = World::new(4, 2);
    world.mute = NodeSet::one(Node::guest(HostId(3), GuestId(2)));
    let all = world.plan.all_nodes();
    let link = world.attach(HostId(1));
    world.command(link, 1, &all, run(), 2_000, &key());
    world.run_to(4_000);
    let groups = world.answers(1);
    assert_eq!(nodes_where(&groups, Outcome::is_ok), all.difference(&world.mute));
    let silent = nodes_where(&groups, |o| *o == Outcome::Unreachable(Unreachable::TimedOut));
    assert_eq!(silent, world.mute);
}

#[test]
fn reach_says_who_is_missing_and_why() {
    let mut world = World::new(4, 2);
    world.tell(HostId(2), Event::Guest { guest: GuestId(1), state: GuestState::WaitingForPressure });
    world.kill(HostId(4));
    let guest_link = *world.guests.iter().find(|((h, _), g)| *h == HostId(2) && **g == GuestId(1)).unwrap().0;
    world.tell(HostId(2), Event::Closed { link: guest_link.1 });
    world.run_to(3_000);
    let link = world.attach(HostId(1));
    world.command(link, 1, &world.plan.all_nodes(), Order::Ping, 2_000, &key());
    world.run_to(4_000);
    let groups = world.answers(1);
    let why = |why: Unreachable| nodes_where(&groups, |o| *o == Outcome::Unreachable(why.clone()));
    assert_eq!(
        why(Unreachable::Guest(GuestState::WaitingForPressure)),
        NodeSet::one(Node::guest(HostId(2), GuestId(1)))
    );
    let lost = nodes_where(&groups, |o| matches!(o, Outcome::Unreachable(Unreachable::Lost { ago_s: 1..=2 })));
    assert_eq!(lost.hosts(), RangeSet::span(4, 4));
    assert_eq!(nodes_where(&groups, Outcome::is_ok).len(), 3 * 4 - 1);
}

#[test]
fn a_second_machine_with_a_living_hosts_number_is_refused() {
    let mut world = World::new(2, 2);
    let link = world.attach(HostId(1));
    world.run_to(1_100);
    let twin = Message::Hello { version: VERSION, who: PeerRole::Host(HostId(2)), boot: [9; 16] };
    let other = world.connect(CONSOLE, HostId(1), Direction::Parent);
    world.post(CONSOLE, other, Travelling::Message(twin));
    world.run_to(1_200);
    assert!(world.heard.iter().any(|m| matches!(m, Message::Refuse(Refusal::NumberTaken { .. }))));
    world.command(link, 1, &world.plan.all_nodes(), run(), 1_000, &key());
    world.run_to(2_400);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), world.plan.all_nodes());
}

#[test]
fn a_console_that_leaves_frees_everybody() {
    let mut world = World::new(4, 2);
    world.task_ms = 100_000;
    let link = world.attach(HostId(4));
    world.command(link, 1, &world.plan.all_nodes(), run(), 60_000, &key());
    world.run_to(1_500);
    assert!(world.hosts.values().all(|h| !h.operations.running_for_tests().is_empty()));
    world.post(CONSOLE, link, Travelling::Closed);
    world.run_to(2_000);
    assert!(world.hosts.values().all(|h| h.operations.running_for_tests().is_empty()));
}

#[test]
fn hosts_answer_for_what_is_done_to_their_guests_even_when_those_hang() {
    let mut world = World::new(12, 3);
    let asked = NodeSet::product(&RangeSet::span(2, 9), &RangeSet::span(1, 1));
    world.mute = asked.clone();
    let link = world.attach(HostId(5));
    world.command(link, 1, &asked, Order::Guests(GuestAction::Restart), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), asked);
}

#[test]
fn a_guest_that_is_held_is_not_lost_and_does_not_hold_up_answers() {
    let mut world = World::new(3, 2);
    let (held, link) = (NodeSet::one(Node::guest(HostId(2), GuestId(1))), world.attach(HostId(1)));
    world.mute = held.clone();
    world.tell(HostId(2), Event::Guest { guest: GuestId(1), state: GuestState::Paused });
    world.run_to(world.now_ms + 1_000);
    let all = NodeSet::product(&world.plan.all_hosts(), &RangeSet::span(1, GUESTS));
    world.command(link, 1, &all, run(), 30_000, &key());
    world.run_to(world.now_ms + 1_000);
    let groups = world.answers(1);
    assert_eq!(nodes_where(&groups, |o| *o == Outcome::Unreachable(Unreachable::Guest(GuestState::Paused))), held);
    assert_eq!(nodes_where(&groups, Outcome::is_ok), all.difference(&held));
    // This world's guests say nothing by themselves: after the longest silence, only the held one is still linked.
    world.run_to(world.now_ms + 2 * GUEST_SILENCE_MS);
    let linked: Vec<Direction> = world.hosts[&HostId(2)].peers.links_for_tests().values().map(|l| l.side).collect();
    assert!(
        linked.contains(&Direction::Guest(GuestId(1))) && !linked.contains(&Direction::Guest(GuestId(2))),
        "{linked:?}"
    );
    world.mute = NodeSet::new();
    world.tell(HostId(2), Event::Guest { guest: GuestId(1), state: GuestState::Up });
    world.run_to(world.now_ms + 1_000);
    world.command(link, 2, &held, run(), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(2), Outcome::is_ok), held, "it goes on where it was");
}

#[test]
fn only_a_guest_that_said_who_it_is_is_told_the_time() {
    let plan = Plan { guests_per_host: 1, ..Plan::new("t", HostNames::count(1).unwrap()) };
    let mut host = Host::new(plan, HostId(1), key().verifying_key(), [0; 16]);
    let guest = Direction::Guest(GuestId(1));
    let hello = |who| Message::Hello { version: VERSION, who, boot: [1; 16] };
    let ask = |link| Event::Received { link, message: Message::AskTime };
    let told = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::TellTime { .. }));
    for (link, side) in [(1, guest), (2, Direction::Child), (3, guest)] {
        host.handle(0, Event::Opened { link, side, from: None });
    }
    host.handle(0, Event::Received { link: 1, message: hello(PeerRole::Guest(GuestId(1))) });
    host.handle(0, Event::Received { link: 2, message: hello(PeerRole::Console) });
    assert!(told(host.handle(0, ask(1))));
    for link in [2, 3] {
        assert!(!told(host.handle(0, ask(link))), "link {link}");
    }
    // Unasked, when it goes on.
    let mut becomes = |state| told(host.handle(0, Event::Guest { guest: GuestId(1), state }));
    assert!(!becomes(GuestState::Up) && !becomes(GuestState::Paused) && !becomes(GuestState::Paused));
    assert!(becomes(GuestState::Up) && !becomes(GuestState::Up));
}

#[test]
fn who_missed_a_command_refuses_it_later() {
    let mut world = World::new(7, 2);
    let all = world.plan.all_nodes();
    // Host 3, with 6 and 7, is cut off, and misses one.
    world.leave(HostId(3));
    world.run_to(world.now_ms + 1_000);
    let signed = world.signed(1, &all, run(), 2_000, &key());
    let recording =
        |asked: &NodeSet| Message::Command { signed: signed.clone(), asked: asked.clone(), remaining_ms: 2_000 };
    let link = world.attach(HostId(1));
    world.post(CONSOLE, link, Travelling::Message(recording(&all)));
    world.run_to(world.now_ms + 2_500);
    let below = NodeSet::product(&RangeSet::from_ranges([(3, 3), (6, 7)].into()), &RangeSet::span(0, GUESTS));
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), all.difference(&below));
    // Days later it obeys another one; somebody who has no key has kept the first.
    world.issued_s += 3 * 24 * 3600;
    let link = world.attach(HostId(3));
    world.command(link, 2, &below, run(), 2_000, &key());
    world.run_to(world.now_ms + 2_500);
    assert_eq!(nodes_where(&world.answers(2), Outcome::is_ok), below);
    world.heard.clear();
    world.post(CONSOLE, link, Travelling::Message(recording(&below)));
    world.run_to(world.now_ms + 2_500);
    let groups = world.answers(1);
    let expired = |outcome: &Outcome| matches!(outcome, Outcome::Failed(why) if why.contains("expired"));
    assert_eq!(nodes_where(&groups, expired), below, "{groups:?}");
}

#[test]
fn a_host_whose_clock_is_wrong_costs_only_itself() {
    let mut world = World::new(7, 2);
    let all = world.plan.all_nodes();
    for (host, clock_s) in [(1, world.issued_s + 400_000_000), (2, 0), (3, world.issued_s - 30_000_000)] {
        world.hosts.get_mut(&HostId(host)).unwrap().set_clock(clock_s);
    }
    let link = world.attach(HostId(7));
    world.command(link, 1, &all, run(), 2_000, &key());
    world.run_to(world.now_ms + 2_500);
    let groups = world.answers(1);
    let ahead = NodeSet::product(&RangeSet::one(1), &RangeSet::span(0, GUESTS));
    let expired = |outcome: &Outcome| matches!(outcome, Outcome::Failed(why) if why.contains("by the host's clock"));
    assert_eq!(nodes_where(&groups, expired), ahead, "{groups:?}");
    assert_eq!(nodes_where(&groups, Outcome::is_ok), all.difference(&ahead), "one that is behind obeys");
}
