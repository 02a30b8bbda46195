//! What commands outlive, one kind of accident each: the worlds are small and nothing else goes wrong in them.

use super::net::{At, Net};
use super::promises::{answered, hosts, missing};
use super::{Setting, run};
use crate::answer::{Group, Outcome};
use crate::id::OpId;
use std::vec::Vec;
use vmatic_plan::{NodeSet, RangeSet};

extern crate std;

/// A tree of so many hosts, whole.
fn grown(seed: u64, hosts: u32, fanout: u32) -> Net {
    let setting =
        Setting { fanout, loss_permille: 0, partition: false, twins: 0, liars: 0, ..Setting::of(seed, hosts) };
    let mut net = Net::new(setting).unwrap();
    (0..hosts as usize).for_each(|at| net.boot(at));
    wait_for_whole(&mut net);
    pass(&mut net, 5_000);
    net
}

fn pass(net: &mut Net, ms: u64) {
    let end = net.now_ms + ms;
    net.run_to(end);
    net.promises.kept().unwrap();
}

fn wait_for_whole(net: &mut Net) {
    let end = net.now_ms + 30_000;
    while let Some(why) = missing(net) {
        assert!(net.now_ms < end, "{why}");
        pass(net, 50);
    }
}

fn all(net: &Net) -> NodeSet {
    NodeSet::product(&net.plan.all_hosts(), &RangeSet::one(0))
}

/// A command to all from a console at this machine, which has just reached it.
fn command(net: &mut Net, at: At, deadline_ms: u32) -> OpId {
    let (console, asked) = (net.attach(at), all(net));
    pass(net, 20);
    net.command(console, 1, &asked, deadline_ms)
}

/// Waits until all have answered: those who did what was asked, and the others with what is said of them.
fn outcomes(net: &mut Net, op: OpId, within_ms: u64) -> (NodeSet, Vec<Group>) {
    let end = net.now_ms + within_ms;
    loop {
        let got = answered(net, op).unwrap();
        if got.all == all(net) {
            let others = got.groups.into_iter().filter(|group| group.outcome != Outcome::Exit(0)).collect();
            return (got.ok, others);
        }
        let silent = all(net).difference(&got.all);
        assert!(net.now_ms < end, "nothing of {silent} after {within_ms} ms");
        pass(net, 50);
    }
}

fn but(net: &Net, dead: &[At]) -> NodeSet {
    all(net).difference(&NodeSet::product(&hosts(dead.iter().copied()), &RangeSet::one(0)))
}

#[test]
fn the_root_may_die_while_a_command_is_on_its_way_to_it() {
    for on_the_way_ms in 0..12 {
        let mut net = grown(on_the_way_ms + 1, 60, 4);
        let op = command(&mut net, 59, 30_000);
        pass(&mut net, on_the_way_ms);
        net.kill(0);
        let (ok, others) = outcomes(&mut net, op, 10_000);
        assert_eq!(ok, but(&net, &[0]), "{on_the_way_ms} ms: {others:?}");
    }
}

#[test]
fn who_is_on_its_way_to_another_parent_is_asked_there() {
    let mut net = grown(7, 60, 4);
    net.kill(2);
    for (sequence, back) in
        [(1..=10, false), (11..=60, true)].into_iter().flat_map(|(all, back)| all.map(move |n| (n, back)))
    {
        if sequence == 11 {
            // It comes back, and its children go home to it one by one.
            net.boot(2);
        }
        pass(&mut net, if back { 117 } else { 13 });
        let (console, asked) = (net.attach(0), all(&net));
        let op = net.command(console, sequence, &asked, 10_000);
        let (ok, others) = outcomes(&mut net, op, 5_000);
        assert!(but(&net, &[2]).difference(&ok).is_empty(), "command {sequence}: {others:?}");
    }
}

#[test]
fn who_has_booted_since_a_command_was_given_does_not_begin_it_anew() {
    for back_ms in [50, 1_000, 3_000] {
        let mut net = grown(back_ms, 60, 4);
        net.task_ms = 8_000;
        let op = command(&mut net, 59, 30_000);
        pass(&mut net, 1_000);
        net.kill(2);
        pass(&mut net, back_ms);
        // What it starts a second time breaks a promise.
        net.boot(2);
        let (ok, others) = outcomes(&mut net, op, 20_000);
        assert_eq!(ok, but(&net, &[2]), "{back_ms} ms: {others:?}");
    }
}

/// Seeds that broke a promise once.
#[test]
fn what_was_mended_stays_so() {
    let kept = |seed, hosts, fanout| run(&Setting { fanout, ..Setting::of(seed, hosts) }).err();
    // A host comes to another parent with a child and loses it there: what it promised of that, it does not keep.
    assert_eq!(kept(5382, 100, 16), None);
    // A part whose root gathered an operation, for one who was elsewhere, comes below another.
    assert_eq!(kept(8, 100, 16), None);
    // A machine at another address has the number of a host that has just lost its parent.
    assert_eq!(kept(5279, 100, 16), None);
    // The planned parent answers a moment too late.
    assert_eq!(kept(5190, 100, 16), None);
}
