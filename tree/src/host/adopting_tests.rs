//! Machines without a number: seen through relays, made hosts by whoever may, and never instead of a living one.

use super::*;
use crate::answer::Outcome;
use crate::host::event::{Action, Event};
use crate::host::peers::Direction;
use crate::host::world_tests::{CONSOLE, Travelling, World, key, nodes_where};
use crate::reply::Reply;
use crate::unknown::UNKNOWN_MAX;
use crate::wire::message::VERSION;
use alloc::collections::BTreeSet;
use alloc::vec;
use ed25519_dalek::SigningKey;
use vmatic_plan::{HostNames, Mac, Plan, RangeSet};

fn machine(n: u8) -> UnknownMachine {
    UnknownMachine { id: MachineId([n; 16]), macs: vec![Mac([0, 22, 62, 0, 0, n])], ..UnknownMachine::default() }
}

/// A machine without a number calls a host, and says what is seen of it.
fn call(world: &mut World, host: HostId, n: u8) -> LinkId {
    let link = world.connect(CONSOLE, host, Direction::Parent);
    world.played.insert(link);
    let hello = Message::Hello { version: VERSION, who: PeerRole::Unknown, boot: [n; 16] };
    world.post(CONSOLE, link, Travelling::Message(hello));
    // It says that it is another: what its link has proved counts.
    let said = UnknownMachine { id: MachineId([0; 16]), ..machine(n) };
    world.post(CONSOLE, link, Travelling::Message(Message::Unknown(said)));
    link
}

fn host(n: u32) -> NodeSet {
    NodeSet::one(Node::host(HostId(n)))
}

/// Asks all hosts for machines without a number: which host has which.
fn seen(world: &mut World, at: u32, sequence: u64) -> Vec<(NodeSet, Vec<UnknownMachine>)> {
    let link = world.attach(HostId(at));
    let hosts = NodeSet::product(&world.plan.all_hosts(), &RangeSet::one(0));
    world.command(link, sequence, &hosts, Order::Unknown, 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    let groups = world.answers(sequence);
    assert_eq!(nodes_where(&groups, Outcome::is_ok), hosts, "none of them is down");
    let of = |group: Group| match group.outcome {
        Outcome::Done(Reply::Unknown(machines)) => Some((group.nodes, machines)),
        _ => None,
    };
    let mut seen: Vec<_> = groups.into_iter().filter_map(of).collect();
    seen.sort_by_key(|(nodes, _)| nodes.iter().next());
    seen
}

fn adopt(world: &mut World, sequence: u64, by: u32, (n, number): (u8, u32), key: &SigningKey) -> Vec<Group> {
    let link = world.attach(HostId(2));
    let order = Order::Adopt { machine: MachineId([n; 16]), host: HostId(number) };
    world.command(link, sequence, &host(by), order, 5_000, key);
    world.run_to(world.now_ms + 500);
    world.answers(sequence)
}

/// Host 1 above 2 and 3, those above 4 to 7, and host 4 above 8.
fn tree() -> World {
    World::new(8, 2)
}

#[test]
fn machines_without_a_number_are_seen_through_relays_and_get_one() {
    let mut world = tree();
    let links = [call(&mut world, HostId(4), 103), call(&mut world, HostId(3), 102), call(&mut world, HostId(4), 101)];
    world.run_to(world.now_ms + 3_000);
    let want = vec![(host(3), vec![machine(102)]), (host(4), vec![machine(101), machine(103)])];
    assert_eq!(seen(&mut world, 1, 1), want);
    assert_eq!(seen(&mut world, 8, 2), want, "from wherever one attaches");
    world.kill(HostId(8));
    world.run_to(world.now_ms + 1_000);
    // The order comes to the machine as it was signed, and the machine's answer to the console.
    assert!(adopt(&mut world, 3, 4, (103, 8), &key()).is_empty(), "it waits for the machine");
    let told: Vec<_> = world.overheard.iter().filter(|m| matches!(m, Message::Command { .. })).cloned().collect();
    let [Message::Command { signed, asked, .. }] = &told[..] else { panic!("{told:?}") };
    let (command, _) = crate::auth::authority::Authority::new(key().verifying_key(), [7; 16]).verify(signed).unwrap();
    assert_eq!(command.order, Order::Adopt { machine: MachineId([103; 16]), host: HostId(8) });
    // Its answer counts for nobody else.
    let nodes = asked.union(&world.plan.all_nodes());
    let group = Group { outcome: Outcome::Exit(0), output: crate::answer::Output::default(), nodes };
    world.post(CONSOLE, links[0], Travelling::Message(Message::Answers { op: command.op, groups: vec![group] }));
    world.post(CONSOLE, links[0], Travelling::Closed);
    world.run_to(world.now_ms + 3_000);
    assert_eq!(nodes_where(&world.answers(3), Outcome::is_ok), host(4));
    let rest: Vec<_> = world.hosts[&HostId(1)].unknown_machines().into_values().flatten().collect();
    assert_eq!(rest, [machine(102), machine(101)]);
}

#[test]
fn a_number_that_is_taken_is_refused_and_so_is_a_machine_that_is_gone() {
    let mut world = tree();
    let link = call(&mut world, HostId(4), 9);
    world.run_to(world.now_ms + 2_000);
    let why = |groups: &[Group]| match groups {
        [Group { outcome: Outcome::Failed(why), .. }] => why.clone(),
        other => panic!("{other:?}"),
    };
    let taken = why(&adopt(&mut world, 1, 4, (9, 8), &key()));
    assert_eq!(taken, "refused: another machine is host 8 already, and alive");
    let own = why(&adopt(&mut world, 2, 4, (9, 1), &key()));
    assert!(own.contains("host 1 already"), "{own}");
    let none = why(&adopt(&mut world, 3, 4, (9, 9), &key()));
    assert!(none.contains("host 9 cannot join"), "{none}");
    world.kill(HostId(8));
    world.run_to(world.now_ms + 1_000);
    let elsewhere = why(&adopt(&mut world, 4, 3, (9, 8), &key()));
    assert!(elsewhere.contains("machine 09090909 is not here any more"), "{elsewhere}");
    assert!(world.overheard.iter().all(|message| !matches!(message, Message::Command { .. })));
    // While it is asked, its link breaks.
    assert!(adopt(&mut world, 5, 4, (9, 8), &key()).is_empty());
    world.post(CONSOLE, link, Travelling::Closed);
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(5), |o| matches!(o, Outcome::Unreachable(_))), host(4));
}

#[test]
fn a_host_has_room_for_some_and_tells_of_some() {
    let plan = Plan { cluster: [7; 16], ..Plan::new("t", HostNames::count(3).unwrap()) };
    let mut host = Host::new(plan, HostId(1), key().verifying_key(), [0; 16]);
    let mut hello = |link: LinkId, who| {
        host.handle(0, Event::Opened { link, side: Direction::Child, from: None });
        let boot = [link as u8; 16];
        let done = host.handle(0, Event::Received { link, message: Message::Hello { version: VERSION, who, boot } });
        let said = |action: &Action| matches!(action, Action::Send { message: Message::Welcome { .. }, .. });
        let welcome = done.iter().any(said);
        if who == PeerRole::Unknown {
            host.handle(0, Event::Received { link, message: Message::Unknown(machine(link as u8)) });
        }
        welcome
    };
    assert!((1..=UNKNOWN_LINKS_MAX as u64).all(|link| hello(link, PeerRole::Unknown)));
    assert!(!hello(99, PeerRole::Unknown), "one more has to call another host");
    assert!(
        hello(100, PeerRole::Host(HostId(2))) && hello(101, PeerRole::Host(HostId(3))),
        "who has a number has room"
    );
    for (link, by) in [(100, 2), (101, 3)] {
        let seen = |n| SeenMachine { by: HostId(by), machine: machine(n) };
        // One that has just gone from the one to the other is told of by both.
        let machines = (100..140).map(|n| seen(n + by as u8)).chain([seen(200)]).collect();
        host.handle(0, Event::Received { link, message: Message::Unknowns(machines) });
    }
    let all = host.unknowns.all(HostId(1));
    assert_eq!(all.len(), UNKNOWN_MAX);
    let ids: BTreeSet<MachineId> = all.iter().map(|seen| seen.machine.id).collect();
    assert_eq!(ids.len(), UNKNOWN_MAX);
    // A child that says that our own machines are its own, or those of no host, is not believed.
    let liar = vec![
        SeenMachine { by: HostId(1), machine: machine(250) },
        SeenMachine { by: HostId(77), machine: machine(251) },
    ];
    host.handle(0, Event::Received { link: 100, message: Message::Unknowns(liar) });
    assert!(host.unknowns.told.below_for_tests(100).is_empty());
}
