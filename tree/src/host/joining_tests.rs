//! Who is taken in, who is not, and what is said of hosts that are gone.

use super::world_tests::{CONSOLE, Travelling, World, key, nodes_where, run};
use super::*;
use crate::answer::{Group, Outcome};
use crate::refusal::CommandError;
use crate::reply::Reply;
use crate::twins::{Twins, Whereabouts};
use crate::unreachable::Unreachable;
use crate::wire::message::{VERSION, VERSION_MIN};
use crate::wire::order::Order;
use alloc::vec::Vec;
use core::net::IpAddr;
use vmatic_plan::{HostId, HostNames, Node, NodeSet};

/// What a machine that is in no plan says, and the link that it says it on.
fn stranger(world: &mut World, to: HostId, says: impl IntoIterator<Item = Message>) -> LinkId {
    let link = world.connect(CONSOLE, to, Direction::Parent);
    for message in says {
        world.post(CONSOLE, link, Travelling::Message(message));
    }
    world.run_to(world.now_ms + 100);
    link
}

fn hello(host: u32, boot: u8) -> Message {
    Message::Hello { version: VERSION, who: PeerRole::Host(HostId(host)), boot: [boot; 16] }
}

fn refusals(world: &World) -> Vec<&Refusal> {
    let said = world.heard.iter();
    said.filter_map(|message| if let Message::Refuse(why) = message { Some(why) } else { None }).collect()
}

fn everybody_obeys(world: &mut World, sequence: u64) {
    let (all, link) = (world.plan.all_nodes(), world.attach(HostId(1)));
    world.command(link, sequence, &all, run(), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(sequence), Outcome::is_ok), all);
}

/// Why a host and its guests are not in the tree, as the root says it.
fn gone(world: &mut World, sequence: u64, host: u32) -> Vec<Unreachable> {
    let asked = NodeSet::product(&RangeSet::one(host), &RangeSet::span(0, 3));
    let link = world.attach(HostId(1));
    world.command(link, sequence, &asked, Order::Ping, 2_000, &key());
    world.run_to(world.now_ms + 500);
    let groups = world.answers(sequence);
    assert_eq!(nodes_where(&groups, |outcome| matches!(outcome, Outcome::Unreachable(_))), asked);
    let why = |group: &Group| if let Outcome::Unreachable(why) = &group.outcome { Some(why.clone()) } else { None };
    groups.iter().filter_map(why).collect()
}

#[test]
fn a_machine_elsewhere_does_not_take_the_place_of_a_host_that_lives_further_down() {
    // Host 12 is two levels below the root.
    let mut world = World::new(12, 3);
    for sequence in 1..=2 {
        stranger(&mut world, HostId(1), [hello(12, 9)]);
        assert!(matches!(refusals(&world)[..], [.., Refusal::NumberTaken { host: HostId(12), at: None }]));
        everybody_obeys(&mut world, sequence);
    }
    // What it reports is nothing that is believed either.
    let report = Report { up: NodeSet::one(Node::host(HostId(12))), ..Report::default() };
    stranger(&mut world, HostId(1), [hello(12, 9), Message::Report(report)]);
    everybody_obeys(&mut world, 3);
}

#[test]
fn a_twin_is_told_where_the_other_is() {
    let mut world = World::new(3, 3);
    stranger(&mut world, HostId(1), [hello(2, 9)]);
    let at = world.plan.host_ipv4(HostId(2)).map(IpAddr::from);
    assert_eq!(refusals(&world), [&Refusal::NumberTaken { host: HostId(2), at }]);
    everybody_obeys(&mut world, 1);
}

#[test]
fn a_host_that_lost_its_parent_joins_elsewhere_before_the_parent_knows() {
    let mut world = World::new(12, 3);
    world.connect(HostId(12), HostId(1), Direction::Parent);
    world.run_to(world.now_ms + 500);
    let root = &world.hosts[&HostId(1)];
    assert!(root.peers.child(HostId(12)).is_some(), "it calls from its own address");
    everybody_obeys(&mut world, 1);
}

#[test]
fn a_machine_elsewhere_gives_way_to_who_calls_from_the_planned_address() {
    // Host 3 has children; while it is on its way from one parent to another, somebody else takes its number.
    let mut world = World::new(12, 3);
    world.leave(HostId(3));
    stranger(&mut world, HostId(1), [hello(3, 77)]);
    world.connect(HostId(3), HostId(1), Direction::Parent);
    world.run_to(world.now_ms + 500);
    everybody_obeys(&mut world, 1);
    // It tries again, and is one of two from then on.
    for _ in 0..20 {
        stranger(&mut world, HostId(1), [hello(3, 77)]);
        world.run_to(world.now_ms + 900);
    }
    let [first, second] = [HostId(3), CONSOLE].map(|at| world.address(at).map(Whereabouts::Address).unwrap());
    let twins = Twins { host: HostId(3), first, second };
    assert_eq!(pinged(&mut world, 2, 3), [Outcome::Done(Reply::Twins(twins))]);
    everybody_obeys(&mut world, 3);
}

#[test]
fn nobody_calls_from_another_hosts_address() {
    let mut world = World::new(12, 3);
    world.kill(HostId(12));
    world.run_to(world.now_ms + 1_000);
    let from = world.plan.host_ipv4(HostId(5)).map(IpAddr::from);
    world.tell(HostId(1), Event::Opened { link: 9_999, side: Direction::Child, from });
    world.tell(HostId(1), Event::Received { link: 9_999, message: hello(12, 9) });
    assert!(world.hosts[&HostId(1)].peers.child(HostId(12)).is_none());
}

#[test]
fn a_host_of_another_cluster_stays_out_and_is_named() {
    let mut world = World::new(3, 3);
    assert_eq!(gone_after_its_death(&mut world), [Unreachable::Lost { ago_s: 1 }]);
    let other = Plan { cluster: [8; 16], ..world.plan.clone() };
    let host = Host::new(other, HostId(3), key().verifying_key(), [77; 16]);
    world.hosts.insert(HostId(3), host);
    world.connect(HostId(3), HostId(1), Direction::Parent);
    world.run_to(world.now_ms + 1_000);
    assert!(!world.hosts[&HostId(3)].has_parent());
    assert!(!world.hosts[&HostId(1)].report().up.contains(Node::host(HostId(3))));
    assert_eq!(gone(&mut world, 2, 3), [Unreachable::OtherCluster { cluster: [8; 16] }]);
    // With the right image, nothing of that is left.
    let host = Host::new(world.plan.clone(), HostId(3), key().verifying_key(), [78; 16]);
    world.hosts.insert(HostId(3), host);
    world.connect(HostId(3), HostId(1), Direction::Parent);
    world.run_to(world.now_ms + 1_000);
    assert!(world.hosts[&HostId(1)].report().up.contains(Node::host(HostId(3))));
    world.kill(HostId(3));
    world.run_to(world.now_ms + 125_000);
    assert_eq!(gone(&mut world, 3, 3), [Unreachable::Lost { ago_s: 120 }], "in minutes, after the first");
}

fn gone_after_its_death(world: &mut World) -> Vec<Unreachable> {
    world.kill(HostId(3));
    world.run_to(world.now_ms + 1_500);
    gone(world, 1, 3)
}

#[test]
fn a_plan_that_cannot_be_read_is_nobodys_tree() {
    let plan = Plan::new("t", HostNames::count(3).unwrap());
    let mut host = Host::new(plan, HostId(2), key().verifying_key(), [0; 16]);
    host.handle(0, Event::Opened { link: 1, side: Direction::Parent, from: None });
    let welcome = Message::Welcome { host: HostId(1), plan: "no plan".into(), path: Vec::new() };
    let actions = host.handle(0, Event::Received { link: 1, message: welcome });
    assert!(actions.iter().any(|action| matches!(action, Action::Close { link: 1 })));
    assert!(!host.has_parent());
}

#[test]
fn a_refusal_that_nobody_waits_for_says_nothing_and_ends_its_link() {
    let mut world = World::new(3, 3);
    let why = || Message::Refuse(Refusal::Command(CommandError::BeyondLimit("\u{1b}[2J".into())));
    let children = |world: &World| {
        let links = world.hosts[&HostId(1)].peers.links_for_tests();
        links.values().filter(|link| link.from.is_some()).count()
    };
    stranger(&mut world, HostId(1), [why()]);
    assert_eq!(children(&world), 2);
    everybody_obeys(&mut world, 1);
    let consoles = children(&world) - 2;
    world.kill(HostId(2));
    world.run_to(world.now_ms + 1_000);
    stranger(&mut world, HostId(1), [hello(2, 9), why()]);
    assert_eq!(children(&world), 1 + consoles);
}

#[test]
fn who_does_not_say_who_it_is_has_only_so_long() {
    let plan = Plan::new("t", HostNames::count(3).unwrap());
    let mut host = Host::new(plan, HostId(1), key().verifying_key(), [0; 16]);
    let from = Some(IpAddr::from([192, 0, 2, 9]));
    host.handle(0, Event::Opened { link: 1, side: Direction::Child, from });
    let closed = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::Close { link: 1 }));
    assert!(!closed(host.handle(HELLO_MS - 1, Event::Tick)));
    assert!(closed(host.handle(HELLO_MS + TICK_MS, Event::Tick)));
}

#[test]
fn a_command_that_a_host_turns_away_is_answered_and_what_else_it_does_goes_on() {
    let mut world = World::new(3, 2);
    world.task_ms = 1_000;
    let (all, link) = (NodeSet::product(&RangeSet::span(1, 3), &RangeSet::one(0)), world.attach(HostId(1)));
    world.command(link, 1, &all, run(), 5_000, &key());
    world.run_to(world.now_ms + 500);
    // What it is told next is not its operator's.
    let other = ed25519_dalek::SigningKey::from_bytes(&[2; 32]).verifying_key();
    world.hosts.get_mut(&HostId(2)).unwrap().authority = Authority::new(other, [7; 16]);
    world.command(link, 2, &all, run(), 5_000, &key());
    world.run_to(world.now_ms + 4_000);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), all, "obeyed before, answered after");
    let turned_away = nodes_where(&world.answers(2), |outcome| !outcome.is_ok());
    assert_eq!(turned_away, NodeSet::one(Node::host(HostId(2))));
    let why = world.answers(2).into_iter().find(|group| !group.outcome.is_ok()).unwrap().outcome;
    assert!(matches!(&why, Outcome::Failed(why) if why.starts_with("refused: ")), "{why:?}");
    assert!(world.hosts[&HostId(2)].has_parent(), "the link goes on");
}

#[test]
fn strangers_that_hold_all_links_keep_no_operator_out_and_nobody_out_who_waits() {
    let mut world = World::new(3, 2);
    world.task_ms = 3_000;
    let (hosts, link) = (NodeSet::product(&RangeSet::span(1, 3), &RangeSet::one(0)), world.attach(HostId(1)));
    world.command(link, 1, &hosts, run(), 5_000, &key());
    world.run_to(world.now_ms + 500);
    for _ in 0..LINKS_BELOW_MAX {
        world.attach(HostId(1));
    }
    let link = world.attach(HostId(1));
    world.command(link, 2, &hosts, Order::Ping, 2_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(2), Outcome::is_ok), hosts, "the newest is let in");
    assert!(refusals(&world).contains(&&Refusal::TooManyLinks));
    world.run_to(world.now_ms + 4_000);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), hosts, "who waits is not sent away");
    assert!(world.hosts[&HostId(1)].peers.count_children() <= LINKS_BELOW_MAX);
}

#[test]
fn versions_one_step_apart_understand_each_other_and_others_are_told_why_not() {
    let mut world = World::new(3, 3);
    let before = VERSION > VERSION_MIN;
    for (version, understood) in
        [(VERSION - 2, false), (VERSION - 1, before), (VERSION, true), (VERSION + 1, true), (VERSION + 2, false)]
    {
        world.heard.clear();
        let hello = Message::Hello { version, who: PeerRole::Console, boot: [0; 16] };
        stranger(&mut world, HostId(1), [hello]);
        let welcomed = world.heard.iter().any(|message| matches!(message, Message::Welcome { .. }));
        assert_eq!(welcomed, understood, "{version}");
        let refused = refusals(&world).iter().any(|why| matches!(why, Refusal::Version { version: VERSION, .. }));
        assert_eq!(refused, !understood, "{version}");
    }
}

#[test]
fn hosts_that_join_below_each_other_at_one_moment_have_one_root() {
    // One boot line for all, `vmatic.join=` with the addresses of hosts 1 and 2: each calls the other.
    let mut world = World::new(2, 2);
    world.leave(HostId(2));
    world.connect(HostId(1), HostId(2), Direction::Parent);
    world.connect(HostId(2), HostId(1), Direction::Parent);
    world.run_to(world.now_ms + 2_000);
    assert_eq!(world.roots(), [HostId(1)]);
    everybody_obeys(&mut world, 1);

    // Without host 1, 2 (with 4 and 5) joins host 6 below 3 while 3 joins host 4 below 2.
    let mut world = World::new(6, 2);
    world.kill(HostId(1));
    world.run_to(world.now_ms + 1_000);
    world.connect(HostId(2), HostId(6), Direction::Parent);
    world.connect(HostId(3), HostId(4), Direction::Parent);
    world.run_to(world.now_ms + 2_000);
    let roots = world.roots();
    assert_eq!(roots.len(), 1, "{roots:?}");
    assert_eq!(world.hosts[&roots[0]].report().up.hosts(), RangeSet::span(2, 6));
}

#[test]
fn a_root_does_not_join_below_itself() {
    for below in [1, 2, 6] {
        let mut world = World::new(6, 2);
        world.connect(HostId(1), HostId(below), Direction::Parent);
        world.run_to(world.now_ms + 1_000);
        assert_eq!(world.roots(), [HostId(1)], "below {below}");
        everybody_obeys(&mut world, 1);
    }
}

#[test]
fn who_is_below_a_stand_in_goes_back_to_its_parent_unless_somebody_waits() {
    let mut world = World::new(7, 2);
    world.leave(HostId(7));
    world.run_to(world.now_ms + 1_000);
    world.connect(HostId(7), HostId(1), Direction::Parent);
    world.run_to(world.now_ms + 1_000);
    let path = |world: &World| world.hosts[&HostId(7)].path();
    assert_eq!(path(&world), [1, 7].map(HostId));
    let console = world.attach(HostId(7));
    let asked = NodeSet::one(Node::guest(HostId(1), vmatic_plan::GuestId(1)));
    world.mute = asked.clone();
    world.command(console, 1, &asked, run(), 3_000, &key());
    world.run_to(world.now_ms + 500);
    world.rejoin();
    world.run_to(world.now_ms + 500);
    assert_eq!(path(&world), [1, 7].map(HostId), "while a command is on its way");
    world.run_to(world.now_ms + 4_000);
    world.mute = NodeSet::new();
    world.rejoin();
    world.run_to(world.now_ms + 1_000);
    assert_eq!(path(&world), [1, 3, 7].map(HostId));
    everybody_obeys(&mut world, 2);
}

/// What `vmatic nodes` is told of a host at host 1.
fn pinged(world: &mut World, sequence: u64, host: u32) -> Vec<Outcome> {
    let link = world.attach(HostId(1));
    world.command(link, sequence, &NodeSet::one(Node::host(HostId(host))), Order::Ping, 2_000, &key());
    world.run_to(world.now_ms + 500);
    world.answers(sequence).into_iter().map(|group| group.outcome).collect()
}

#[test]
fn two_machines_with_one_number_are_both_named_and_the_first_keeps_its_place() {
    let mut world = World::new(7, 2);
    world.guests_speak = true;
    let console = world.address(CONSOLE).map(Whereabouts::Address).unwrap();
    assert_eq!(pinged(&mut world, 1, 7), [Outcome::Exit(0)]);
    // Host 7 is below host 3: a machine elsewhere calls that, and the root, again and again.
    for (sequence, to, first) in
        [(2, 3, Whereabouts::Address(world.address(HostId(7)).unwrap())), (3, 1, Whereabouts::Below(HostId(3)))]
    {
        for _ in 0..20 {
            stranger(&mut world, HostId(to), [hello(7, 77)]);
            world.run_to(world.now_ms + 900);
        }
        let twins = Twins { host: HostId(7), first, second: console };
        assert_eq!(pinged(&mut world, sequence, 7), [Outcome::Done(Reply::Twins(twins))], "at host {to}");
        world.run_to(world.now_ms + 40_000);
    }
    assert_eq!(pinged(&mut world, 4, 7), [Outcome::Exit(0)], "it is gone");
    // Below host 2, which has never heard of the first, it gets in.
    let up = NodeSet::one(Node::host(HostId(7)));
    let link = stranger(&mut world, HostId(2), [hello(7, 77), Message::Report(Report { up, ..Report::default() })]);
    for _ in 0..20 {
        world.post(CONSOLE, link, Travelling::Message(Message::Heartbeat));
        world.run_to(world.now_ms + 1_000);
    }
    let twins = Twins { host: HostId(7), first: Whereabouts::Below(HostId(3)), second: Whereabouts::Below(HostId(2)) };
    assert_eq!(pinged(&mut world, 5, 7), [Outcome::Done(Reply::Twins(twins))]);
    everybody_obeys(&mut world, 6);
}

#[test]
fn a_host_that_reboots_or_goes_to_another_parent_is_no_twin() {
    let mut world = World::new(7, 2);
    world.guests_speak = true;
    for _ in 0..3 {
        world.dark.insert(HostId(7));
        world.run_to(world.now_ms + 500);
        world.boot(HostId(7));
        for to in [3, 1, 2] {
            for _ in 0..24 {
                let parents = world.hosts[&HostId(7)].peers.links_for_tests().values();
                if parents.filter(|link| link.side == Direction::Parent).count() == 0 {
                    world.connect(HostId(7), HostId(to), Direction::Parent);
                }
                world.run_to(world.now_ms + 500);
            }
            assert!(world.hosts[&HostId(7)].has_parent(), "below host {to}");
            world.leave(HostId(7));
        }
    }
    assert!(!world.notes.iter().any(|(_, note)| note.contains("two machines")), "{:?}", world.notes);
}

#[test]
fn a_host_that_is_silent_for_a_moment_keeps_its_place_and_fake_hosts_keep_nobody_out() {
    let mut world = World::new(3, 2);
    // The root itself stands still, and hears a stranger first.
    world.now_ms += HOST_SILENCE_MS - 2_000;
    let link = world.connect(CONSOLE, HostId(1), Direction::Parent);
    world.post(CONSOLE, link, Travelling::Message(hello(2, 77)));
    world.run_to(world.now_ms + 2_000);
    everybody_obeys(&mut world, 1);

    let mut world = World::new(600, 2);
    // Each is a host when the next one calls; those of our own subtree are turned away.
    for host in 100..=550 {
        let link = world.connect(CONSOLE, HostId(7), Direction::Parent);
        world.post(CONSOLE, link, Travelling::Message(hello(host, 9)));
        world.run_to(world.now_ms + 10);
    }
    assert!(world.hosts[&HostId(7)].peers.count_children() > LINKS_BELOW_MAX - 2, "all places are taken");
    let link = world.attach(HostId(7));
    let asked = NodeSet::one(Node::host(HostId(7)));
    world.command(link, 1, &asked, Order::Ping, 2_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), asked);
}
