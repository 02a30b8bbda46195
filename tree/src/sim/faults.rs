//! What goes wrong while a command runs.

use super::net::{At, Net, Power};
use crate::answer::{Group, Outcome, Output};
use crate::id::OpId;
use crate::wire::message::{Message, Report};
use std::vec;
use std::vec::Vec;
use vmatic_plan::{HostId, NodeSet, RangeSet};

extern crate std;

/// What was done, and to whom.
#[derive(Debug, Default)]
pub struct Struck {
    /// Machines that ended or lost their power.
    pub gone: Vec<At>,
    /// Whether anything happened that nobody is told of.
    pub silent: bool,
    /// Whether anything happened that may cost those an answer that live: links cut, parts of the network.
    pub cut: bool,
}

/// Ends so many percent of the machines, some of them silently; but never this one.
pub fn kill_some(net: &mut Net, percent: u32, but: At, silently: bool) -> Struck {
    let mut struck = Struck { silent: silently, ..Struck::default() };
    for at in 0..net.setting.hosts as usize {
        let hit = net.random.below(100) < u64::from(percent);
        if hit && at != but && net.machines[at].power == Power::On {
            if silently && net.random.below(2) == 0 {
                net.silence(at)
            } else {
                net.kill(at)
            }
            struck.gone.push(at);
        }
    }
    struck
}

/// Takes the network apart: whoever is on the far side is reached by nobody else.
pub fn part(net: &mut Net, near: At) {
    let (hosts, cut) = (u64::from(net.setting.hosts), net.random.below(2) == 0);
    let middle = net.random.below(hosts) as usize;
    for at in 0..net.machines.len() {
        // A rack, or anybody.
        let far = if cut { at > middle && at < middle + hosts as usize / 4 } else { net.random.below(4) == 0 };
        net.machines[at].side = u8::from(far && at != near);
    }
    net.parted = true;
}

/// A host that says anything to all its neighbours.
pub fn lie(net: &mut Net, at: At, op: OpId) {
    for link in net.links(at).to_vec() {
        let (a, b) = (1 + net.random.below(net.setting.hosts.into()) as u32, net.random.below(50) as u32);
        let nodes = NodeSet::product(&RangeSet::span(a, a + b), &RangeSet::one(0));
        let message = match net.random.below(9) {
            0 => Message::Report(Report { up: nodes, ..Report::default() }),
            1 => {
                let (outcome, output) = (Outcome::Failed("a lie".into()), Output::default());
                Message::Answers { op, groups: vec![Group { outcome, output, nodes }] }
            }
            2 => Message::Adrift { op, nodes, silent: false },
            3 => Message::Owes { op, nodes, remaining_ms: 5_000 },
            4 => Message::Resume { signed: vec![7; 99], asked: nodes, remaining_ms: 5_000 },
            5 => Message::Heard(vec![HostId(1), HostId(a)]),
            6 => Message::Cancel(op),
            7 => Message::Path(vec![HostId(a)]),
            _ => Message::Heartbeat,
        };
        net.send(link, message);
    }
}
