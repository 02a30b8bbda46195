//! What happens in one seed: machines boot, a command runs while others die, the tree heals, the dead come back.

use super::faults::{self, Struck};
use super::net::{At, Net};
use super::promises::{self, Answered, answered, missing, strays};
use super::setting::Measured;
use crate::host::HOST_SILENCE_MS;
use crate::id::OpId;
use std::format;
use std::string::String;
use std::vec::Vec;
use vmatic_plan::{Node, NodeSet, RangeSet};

extern crate std;

/// How long a tree may take to be whole after the last boot or the last end of a machine that is told to its
/// neighbours.
const WHOLE_MS: u64 = 10_000;
/// The same after something that nobody is told of: first it has to be noticed.
const WHOLE_AFTER_SILENCE_MS: u64 = WHOLE_MS + HOST_SILENCE_MS + 2_000;
/// How long the program of the long command runs, its deadline, and when the faults strike after it was given.
const PROGRAM_MS: u64 = 5_000;
const DEADLINE_MS: u32 = 60_000;
const STRIKE_MS: u64 = 1_500;
/// How long after its deadline a command may end.
const LATE_MS: u64 = 2_000;
/// How long after the last answer of one that lives a command may end, where the dead are known to be gone.
const END_MS: u64 = 3_000;
/// The same where some were out of reach: that has to be noticed first, and they are called.
const END_AFTER_SILENCE_MS: u64 = END_MS + HOST_SILENCE_MS + 7_000;
/// How long the network is apart.
const PARTED_MS: u64 = 20_000;
/// How long all is watched while nothing happens.
const IDLE_MS: u64 = 60_000;
/// How long it may take until everybody is below the planned parent again.
const RETURNED_MS: u64 = 15_000;

/// Tells it.
///
/// # Errors
/// A promise was broken.
pub fn tell(net: &mut Net) -> Result<Measured, String> {
    let mut measured = Measured::default();
    let absent = boot_all(net);
    measured.formed_ms = whole(net, WHOLE_MS, "after the last boot")?;
    let count = net.machines.len() as u64;
    measured.calls = net.machines.iter().map(|machine| machine.calls).sum::<u64>() / count;
    settle(net, 20_000)?;
    idle(net, &mut measured)?;
    let twins = net.setting.hosts as usize..net.machines.len();
    twins.clone().for_each(|twin| net.boot(twin));
    settle(net, 10_000)?;
    let struck = command_under_fire(net, &mut measured)?;
    // One that took the place of a host that died would keep it.
    twins.for_each(|twin| net.kill(twin));
    net.parted = false;
    let bound = if struck.silent || struck.cut { WHOLE_AFTER_SILENCE_MS } else { WHOLE_MS };
    measured.healed_ms = whole(net, bound, "after the last fault")?;
    // What was cut and is not noticed yet takes a command with it.
    if struck.silent || struck.cut {
        settle(net, HOST_SILENCE_MS)?;
    }
    quick_command(net, 2, "after it healed")?;
    for at in struck.gone.iter().chain(&absent) {
        net.boot(*at);
    }
    measured.returned_ms = whole(net, WHOLE_MS, "after the dead came back")?;
    let start_ms = net.now_ms;
    while !strays(net).is_empty() {
        if net.now_ms > start_ms + RETURNED_MS + WHOLE_MS {
            let lost = strays(net);
            return Err(format!("{} hosts are not below their planned parent, {:?} first", lost.len(), lost.first()));
        }
        settle(net, 250)?;
    }
    measured.returned_ms += net.now_ms - start_ms;
    quick_command(net, 3, "after all came back")?;
    measured.steps = net.steps;
    Ok(measured)
}

/// Boots all but those who come later; gives these.
fn boot_all(net: &mut Net) -> Vec<At> {
    let (hosts, percent) = (net.setting.hosts as usize, net.setting.absent_percent as usize);
    let (count, place) = (hosts * percent / 100, net.random.below(4));
    let first = match place {
        0 => 0,
        1 => hosts - count,
        _ => net.random.below((hosts - count) as u64 + 1) as usize,
    };
    let mut absent: Vec<At> = (first..first + count).collect();
    if place == 3 {
        absent = (0..hosts).filter(|_| percent > 0 && net.random.below(100) < percent as u64).collect();
    }
    let mut present: Vec<At> = (0..hosts).filter(|at| !absent.contains(at)).collect();
    if net.random.below(2) == 0 {
        for last in (1..present.len()).rev() {
            let other = net.random.below(last as u64 + 1) as usize;
            present.swap(last, other);
        }
    }
    let per_ms = present.len() / 3_000 + 1;
    for some in present.chunks(per_ms) {
        some.iter().for_each(|at| net.boot(*at));
        let next = net.now_ms + 1;
        net.run_to(next);
    }
    absent
}

/// Lets time pass, and looks whether all is kept.
fn settle(net: &mut Net, ms: u64) -> Result<(), String> {
    let end = net.now_ms + ms;
    net.run_to(end);
    net.promises.kept()
}

/// Waits until the tree is whole; gives how long it took.
fn whole(net: &mut Net, bound_ms: u64, when: &str) -> Result<u64, String> {
    let start_ms = net.now_ms;
    while let Some(why) = missing(net) {
        if net.now_ms >= start_ms + bound_ms {
            return Err(format!("no whole tree {bound_ms} ms {when}: {why}"));
        }
        settle(net, 250)?;
    }
    Ok(net.now_ms - start_ms)
}

/// What is said while nothing happens.
fn idle(net: &mut Net, measured: &mut Measured) -> Result<(), String> {
    net.machines.iter_mut().for_each(|machine| (machine.bytes, machine.messages) = (0, 0));
    settle(net, IDLE_MS)?;
    let (hosts, seconds) = (u64::from(net.setting.hosts), IDLE_MS / 1_000);
    let planned = || net.machines.iter().take(hosts as usize);
    let bytes = || planned().map(|machine| machine.bytes);
    measured.idle_bytes_s = (bytes().sum::<u64>() / hosts / seconds, bytes().max().unwrap_or(0) / seconds);
    measured.idle_messages_10s = planned().map(|m| m.messages).sum::<u64>() * 10 / hosts / seconds;
    measured.links_max = (0..hosts as usize).map(|at| net.links(at).len()).max().unwrap_or(0);
    measured.depth_max = net.living().map(|(_, host)| host.depth()).max().unwrap_or(0);
    // A host says something to its parent and to each child, however many hosts there are.
    let most = 40 * (2 * u64::from(net.setting.fanout) + 2);
    match measured.idle_bytes_s.1 {
        said if said > most => {
            Err(format!("a host says {said} bytes a second while nothing happens, more than {most}"))
        }
        _ => Ok(()),
    }
}

fn all(net: &Net) -> NodeSet {
    NodeSet::product(&net.plan.all_hosts(), &RangeSet::one(0))
}

/// Some living machine, and not this one.
fn somebody(net: &mut Net, but: Option<At>) -> At {
    let living: Vec<At> = net.living().map(|(at, _)| at).filter(|at| Some(*at) != but).collect();
    living[net.random.below(living.len() as u64) as usize]
}

/// Waits until a command has ended, at most until its time is over.
fn wait(net: &mut Net, op: OpId, end_ms: u64) -> Result<Answered, String> {
    let asked = all(net);
    loop {
        let got = answered(net, op)?;
        if got.all == asked {
            return Ok(got);
        }
        if net.now_ms >= end_ms {
            let silent = asked.difference(&got.all);
            return Err(format!("nothing was answered for {silent} when the time was over"));
        }
        settle(net, 100)?;
    }
}

/// A command that takes a while, during which machines die, links break, and the network falls apart.
fn command_under_fire(net: &mut Net, measured: &mut Measured) -> Result<Struck, String> {
    net.task_ms = PROGRAM_MS;
    let at = somebody(net, None);
    let (console, asked) = (net.attach(at), all(net));
    settle(net, 50)?;
    let asked_of = promises::hosts(net.living().map(|(at, _)| at));
    let start_ms = net.now_ms;
    let op = net.command(console, 1, &asked, DEADLINE_MS);
    settle(net, STRIKE_MS)?;
    let silently = net.setting.seed % 4 > 1;
    let mut struck = faults::kill_some(net, net.setting.dead_percent, at, silently);
    let root = net.living().next().map(|(root, _)| root);
    if let Some(root) = root.filter(|root| *root != at && net.setting.seed % 2 == 1) {
        net.kill(root);
        struck.gone.push(root);
    }
    let (mut end_ms, parted) = (start_ms + u64::from(DEADLINE_MS) + LATE_MS, net.setting.partition);
    if parted {
        faults::part(net, at);
        struck.cut = true;
        settle(net, PARTED_MS)?;
        net.parted = false;
    }
    for _ in 0..net.setting.hosts / 200 + 1 {
        let (stalled, one) = (somebody(net, None), somebody(net, Some(at)));
        net.stall(stalled, 3_000);
        if net.setting.seed.is_multiple_of(5) {
            net.cut_one(one);
            struck.cut = true;
        }
    }
    for _ in 0..net.setting.liars {
        let liar = somebody(net, Some(at));
        for _ in 0..10 {
            faults::lie(net, liar, op);
            settle(net, 300)?;
        }
        net.kill(liar);
        struck.gone.push(liar);
        struck.cut = true;
    }
    end_ms = end_ms.max(net.now_ms);
    let got = wait(net, op, end_ms)?;
    let lived = asked_of.difference(&promises::hosts(struck.gone.iter().copied()));
    let lost = NodeSet::product(&lived, &RangeSet::one(0)).difference(&got.ok);
    // Those below a parent that lies may have been told that nobody waits any more.
    let liars = net.setting.liars > 0;
    if !liars && !lost.is_empty() {
        let why = promises::why(&got, &lost);
        return Err(format!("{} of {} hosts lived, obeyed, and are not ok: {lost}: {why}", lost.len(), lived.len()));
    }
    measured.ended_after_ms = got.last_ms.saturating_sub(got.last_ok_ms);
    // Who fell silent may only be out of reach, and is waited for until the command's time is over.
    let bound_ms = if struck.cut { END_AFTER_SILENCE_MS } else { END_MS };
    if !liars && !struck.silent && measured.ended_after_ms > bound_ms {
        return Err(format!("the command ended {} ms after the last good answer", measured.ended_after_ms));
    }
    Ok(struck)
}

/// A command that all who live carry out at once.
fn quick_command(net: &mut Net, sequence: u64, when: &str) -> Result<(), String> {
    net.task_ms = 5;
    let at = somebody(net, None);
    let (console, asked) = (net.attach(at), all(net));
    settle(net, 50)?;
    let living: Vec<Node> = net.living().map(|(at, _)| Node::host(net.machines[at].number)).collect();
    let op = net.command(console, sequence, &asked, 10_000);
    let got = wait(net, op, net.now_ms + 10_000 + LATE_MS)?;
    match living.iter().find(|node| !got.ok.contains(**node)) {
        Some(node) => {
            let why = promises::why(&got, &NodeSet::one(*node));
            Err(format!("host {node} lives and did not obey {when}: {why}"))
        }
        None => Ok(()),
    }
}
