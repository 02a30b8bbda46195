//! What must hold of the tree and of a command in the end.

use super::net::{At, Net};
use crate::answer::{Group, Outcome};
use crate::id::OpId;
use crate::wire::message::Message;
use std::format;
use std::string::String;
use std::vec::Vec;
use vmatic_plan::{HostId, Node, NodeSet, RangeSet};

extern crate std;

/// How far the tree is from whole: nothing, if it is.
pub fn missing(net: &Net) -> Option<String> {
    let living: RangeSet = hosts(net.living().map(|(at, _)| at));
    let roots: Vec<u32> = net.living().filter(|(_, host)| !host.has_parent()).map(|(at, _)| at as u32 + 1).collect();
    let lowest = living.iter().next();
    if roots.len() != 1 || roots.first().copied() != lowest {
        return Some(format!("{} roots ({:?} first), and not host {lowest:?} alone", roots.len(), roots.first()));
    }
    let root = net.living().next()?.1;
    let up = root.report().up.hosts_themselves();
    (up != living).then(|| {
        let (lost, dead) = (living.difference(&up), up.difference(&living));
        format!("the root reaches {} of {} hosts; not {lost}, and {dead} that are dead", up.len(), living.len())
    })
}

/// Who of those that live is not below its planned parent though that lives, too.
pub fn strays(net: &Net) -> Vec<HostId> {
    let lives = |host: HostId| net.machines[host.0 as usize - 1].power == super::net::Power::On;
    let astray = |at: At, host: &crate::host::Host| {
        let number = HostId(at as u32 + 1);
        let planned = net.plan.parent(Node::host(number)).map(|parent| parent.host).filter(|parent| lives(*parent));
        planned.is_some_and(|planned| host.parent() != Some(planned)).then_some(number)
    };
    net.living().filter_map(|(at, host)| astray(at, host)).collect()
}

/// These machines' numbers, as a set.
pub fn hosts(machines: impl Iterator<Item = At>) -> RangeSet {
    RangeSet::from_ranges(machines.map(|at| (at as u32 + 1, at as u32 + 1)).collect())
}

/// What was answered to a command, and when the last good answer came and the last of all.
pub struct Answered {
    /// Every group that came.
    pub groups: Vec<Group>,
    /// The nodes that did what was asked.
    pub ok: NodeSet,
    /// All nodes that are in an answer.
    pub all: NodeSet,
    /// When the last came that is ok, in milliseconds.
    pub last_ok_ms: u64,
    /// When the last came.
    pub last_ms: u64,
}

/// What consoles heard of a command.
///
/// # Errors
/// A node is in two answers.
pub fn answered(net: &Net, op: OpId) -> Result<Answered, String> {
    let mut got = Answered { groups: Vec::new(), ok: NodeSet::new(), all: NodeSet::new(), last_ok_ms: 0, last_ms: 0 };
    for (at_ms, message) in &net.heard {
        let Message::Answers { op: of, groups } = message else { continue };
        for group in groups.iter().filter(|_| *of == op) {
            let twice = got.all.intersection(&group.nodes);
            if !twice.is_empty() {
                return Err(format!("{twice} answered {op} twice: {:?}", group.outcome));
            }
            got.all = got.all.union(&group.nodes);
            got.last_ms = *at_ms;
            if group.outcome.is_ok() {
                (got.ok, got.last_ok_ms) = (got.ok.union(&group.nodes), *at_ms);
            }
            got.groups.push(group.clone());
        }
    }
    Ok(got)
}

/// Why these nodes are not ok, as they were answered.
pub fn why(got: &Answered, nodes: &NodeSet) -> String {
    let of = |group: &&Group| !group.nodes.intersection(nodes).is_empty() && group.outcome != Outcome::Exit(0);
    let told: Vec<String> = got.groups.iter().filter(of).map(|g| format!("{}: {:?}", g.nodes, g.outcome)).collect();
    told.join("; ")
}
