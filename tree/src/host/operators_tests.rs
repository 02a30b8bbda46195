//! Operators in a small world of made-up time: whom they command, whom not, and what is left when they are revoked.

use super::*;
use crate::auth::certificate::Certificate;
use crate::auth::certificate::tests::{certificate, sign};
use crate::auth::command::tests::ISSUED_S;
use crate::auth::public_key::Proof;
use crate::auth::revocation::tests::list;
use crate::host::world_tests::{CONSOLE, Travelling, World, key, nodes_where, run};
use crate::id::OpId;
use crate::session::{Console, LEASE_MS, SessionInput};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use ed25519_dalek::{Signer, SigningKey};
use vmatic_plan::{GuestId, HostId, RangeSet};

/// Whose key an operator's is in these tests.
const ALICE: u8 = 9;

fn alice() -> Certificate {
    let nodes = NodeSet::product(&RangeSet::span(1, 3), &RangeSet::span(1, 2));
    Certificate { nodes, ..certificate(ALICE) }
}

/// Asks with a certificate, signed with the key of this byte.
fn ask(world: &mut World, at: u32, sequence: u64, nodes: &NodeSet, order: Order, by: (&Certificate, u8)) -> LinkId {
    let link = world.attach(HostId(at));
    say(world, link, sequence, nodes, order, by);
    world.run_to(world.now_ms + 1_000);
    link
}

fn say(world: &mut World, link: LinkId, sequence: u64, nodes: &NodeSet, order: Order, by: (&Certificate, u8)) {
    let deadline_ms = if matches!(order, Order::SessionInput(_) | Order::Console(_)) { LEASE_MS } else { 5_000 };
    let op = OpId { session: [5; 8], sequence };
    let (cluster, nodes) = ([7; 16], nodes.clone());
    let command = Command { cluster, issued_s: world.issued_s, op, nodes, deadline_ms, order };
    let unsigned = command.unsigned(Some(&sign(by.0, &key()))).unwrap();
    let signature = SigningKey::from_bytes(&[by.1; 32]).sign(&unsigned.message()).to_bytes();
    let signed = unsigned.with(&Proof { signature, token: None });
    let message = Message::Command { signed, asked: command.nodes, remaining_ms: deadline_ms };
    world.post(CONSOLE, link, Travelling::Message(message));
}

/// Revokes with the cluster's key.
fn revoke(world: &mut World, at: u32, sequence: u64, list: &[u8]) -> NodeSet {
    let link = world.attach(HostId(at));
    let hosts = NodeSet::product(&world.plan.all_hosts(), &RangeSet::one(0));
    world.command(link, sequence, &hosts, Order::Revoke(list.into()), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    nodes_where(&world.answers(sequence), Outcome::is_ok)
}

/// The nodes that were refused with these words.
fn refused(world: &World, sequence: u64, why: &str) -> NodeSet {
    nodes_where(&world.answers(sequence), |outcome| matches!(outcome, Outcome::Failed(text) if text.contains(why)))
}

#[test]
fn an_operator_commands_the_nodes_of_the_certificate_and_no_others() {
    let mut world = World::new(7, 2);
    let all = world.plan.all_nodes();
    for (sequence, at) in [(1, 1), (2, 7), (3, 4)] {
        ask(&mut world, at, sequence, &all, run(), (&alice(), ALICE));
        let ok = nodes_where(&world.answers(sequence), Outcome::is_ok);
        assert_eq!(ok, alice().nodes, "attached at host {at}");
        let told = refused(&world, sequence, "refused: operator alice may not run here: the certificate names 1-3/1-2");
        assert_eq!(told, all.difference(&alice().nodes), "attached at host {at}");
    }
}

#[test]
fn a_verb_that_is_not_allowed_is_refused_by_all() {
    let mut world = World::new(3, 2);
    let order = Order::Guests(crate::wire::order::GuestAction::Stop);
    ask(&mut world, 3, 1, &alice().nodes, order, (&alice(), ALICE));
    assert_eq!(refused(&world, 1, "may not guests (the certificate allows look,run)"), alice().nodes);
    assert!(world.hosts.values().all(|host| host.has_parent() || host.membership.number == HostId(1)), "nobody left");
}

#[test]
fn a_relay_that_lets_too_much_pass_gains_nothing() {
    let mut world = World::new(2, 2);
    // It asks for what the operator asked, and the certificate does not name.
    let all = world.plan.all_nodes();
    let forged = Certificate { nodes: all.clone(), ..alice() };
    ask(&mut world, 2, 1, &all, run(), (&forged, 8));
    let turned_away = world.heard.iter().any(|message| {
        matches!(message, Message::Refuse(Refusal::Command(why)) if why.to_string().contains("certificate's key"))
    });
    assert!(turned_away && world.answers(1).is_empty());
}

#[test]
fn a_host_whose_clock_says_that_the_certificate_is_over_refuses_for_itself() {
    let mut world = World::new(3, 2);
    let ends = Certificate { until_s: Some(ISSUED_S + 10), ..alice() };
    world.hosts.get_mut(&HostId(3)).unwrap().set_clock(ISSUED_S + 7_300);
    ask(&mut world, 1, 1, &ends.nodes, run(), (&ends, ALICE));
    let of_three = NodeSet::product(&RangeSet::one(3), &RangeSet::span(1, 2));
    assert_eq!(refused(&world, 1, "the certificate ended 2 h ago by the host's clock"), of_three);
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), ends.nodes.difference(&of_three));
}

#[test]
fn an_operators_clock_makes_the_clusters_own_commands_old_on_no_host() {
    let mut world = World::new(3, 2);
    let own = Certificate { until_s: None, ..alice() };
    world.issued_s = ISSUED_S + 1_000_000_000;
    ask(&mut world, 1, 1, &own.nodes, run(), (&own, ALICE));
    assert_eq!(nodes_where(&world.answers(1), Outcome::is_ok), own.nodes);
    world.issued_s = ISSUED_S;
    let link = world.attach(HostId(1));
    world.command(link, 2, &own.nodes, run(), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(2), Outcome::is_ok), own.nodes);
}

#[test]
fn who_is_revoked_stays_out_of_hosts_that_boot_later_too() {
    let mut world = World::new(7, 2);
    let revoked = list(4, &[alice().serial], &key());
    assert_eq!(revoke(&mut world, 5, 1, &revoked).len(), 7);
    for (sequence, at) in [(2, 1), (3, 7)] {
        ask(&mut world, at, sequence, &alice().nodes, run(), (&alice(), ALICE));
        assert_eq!(refused(&world, sequence, "certificate 5 was revoked"), alice().nodes);
    }
    // One that forgets all, and one below which others are; each hears it anew where it joins.
    for host in [HostId(6), HostId(2), HostId(1)] {
        world.kill(host);
        world.run_to(world.now_ms + 1_000);
        world.boot(host);
        assert_eq!(world.hosts[&host].authority.revocations(), None);
        world.rejoin();
        world.run_to(world.now_ms + 3_000);
        assert_eq!(world.hosts[&host].authority.revocations(), Some(&revoked[..]), "{host}");
    }
    // An older list changes nothing, nor does one of another key, nor one that an operator sends.
    assert_eq!(revoke(&mut world, 5, 4, &list(3, &[], &key())).len(), 7);
    assert_eq!(revoke(&mut world, 5, 5, &list(9, &[], &SigningKey::from_bytes(&[8; 32]))).len(), 0);
    let every = Certificate { verbs: Verb::ALL.into_iter().collect(), serial: 6, ..alice() };
    ask(&mut world, 1, 6, &every.nodes, Order::Revoke(list(9, &[], &key())), (&every, ALICE));
    assert_eq!(refused(&world, 6, "only who holds the cluster's key may"), every.nodes);
    assert!(world.hosts.values().all(|host| host.authority.revocations() == Some(&revoked[..])));
    ask(&mut world, 2, 7, &alice().nodes, run(), (&alice(), ALICE));
    assert_eq!(refused(&world, 7, "certificate 5 was revoked"), alice().nodes);
}

#[test]
fn a_console_tells_the_newest_list_to_whoever_it_attaches_to() {
    let mut world = World::new(3, 2);
    let link = world.attach(HostId(3));
    world.run_to(world.now_ms + 100);
    for (list, turned_away) in
        [(list(2, &[7], &key()), false), (list(3, &[7], &SigningKey::from_bytes(&[8; 32])), true)]
    {
        world.post(CONSOLE, link, Travelling::Message(Message::Revocations(list)));
        world.run_to(world.now_ms + 1_000);
        assert_eq!(world.heard.iter().any(|message| matches!(message, Message::Refuse(_))), turned_away);
        assert!(world.hosts.values().all(|host| host.authority.revocations().is_some()));
    }
}

#[test]
fn what_runs_for_somebody_who_is_revoked_is_ended() {
    let mut world = World::new(7, 2);
    world.task_ms = 100_000;
    world.mute = world.plan.all_nodes();
    let hosts = NodeSet::product(&RangeSet::span(1, 7), &RangeSet::one(0));
    let own = Certificate { nodes: hosts.clone(), ..alice() };
    let link = world.attach(HostId(4));
    say(&mut world, link, 1, &hosts, run(), (&own, ALICE));
    let other = world.attach(HostId(4));
    world.command(other, 2, &hosts, run(), 5_000, &key());
    world.run_to(world.now_ms + 500);
    revoke(&mut world, 1, 3, &list(4, &[own.serial], &key()));
    assert_eq!(refused(&world, 1, "revoked meanwhile"), hosts);
    let stopped = |sequence| world.stopped.iter().filter(|(_, op)| op.sequence == sequence).count();
    assert_eq!((stopped(1), stopped(2)), (7, 0));
}

/// Who has a certificate too, and sits on a relay, could else type into another's terminal on nodes of that other's.
#[test]
fn nobody_types_into_anothers_session() {
    let mut world = World::new(3, 2);
    let node = NodeSet::one(Node::guest(HostId(3), GuestId(1)));
    world.mute = node.clone();
    let console = Order::Console(Console { argv: vec![], env: vec![], terminal: None });
    let link = ask(&mut world, 1, 1, &node, console, (&alice(), ALICE));
    let feed =
        |text: &[u8]| Order::SessionInput(SessionInput { opened: 1, bytes: text.into(), ..SessionInput::default() });
    let bob = Certificate { serial: 6, name: "bob".into(), ..certificate(8) };
    let bytes = |world: &World| world.fed.iter().map(|(_, _, feed)| feed.bytes.clone()).collect::<Vec<_>>();
    say(&mut world, link, 2, &node, feed(b"bob's"), (&bob, 8));
    world.run_to(world.now_ms + 100);
    world.command(link, 2, &node, feed(b"the key's"), LEASE_MS, &key());
    world.run_to(world.now_ms + 100);
    assert_eq!(bytes(&world), Vec::<Vec<u8>>::new());
    say(&mut world, link, 2, &node, feed(b"alice's"), (&alice(), ALICE));
    world.run_to(world.now_ms + 100);
    assert_eq!(bytes(&world), [b"alice's".to_vec()]);
    revoke(&mut world, 1, 9, &list(4, &[alice().serial], &key()));
    assert_eq!(refused(&world, 1, "revoked meanwhile"), node);
}

#[test]
fn a_parent_that_knows_no_operators_is_not_asked_for_one() {
    let mut world = World::new(3, 2);
    world.hosts.get_mut(&HostId(3)).unwrap().knows_operators = None;
    ask(&mut world, 3, 1, &alice().nodes, run(), (&alice(), ALICE));
    assert_eq!(refused(&world, 1, "knows no operators but the cluster's key: upgrade it"), alice().nodes);
    let link = world.attach(HostId(3));
    world.command(link, 2, &alice().nodes, run(), 5_000, &key());
    world.run_to(world.now_ms + 1_000);
    assert_eq!(nodes_where(&world.answers(2), Outcome::is_ok), alice().nodes);
}
