//! What a host says of its subtree, and what it believes of its children's.

use crate::answer::{Group, REASON_MAX_BYTES};
use crate::host::{Host, LinkId, Side};
use crate::wire::message::{Report, Who};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use vmatic_plan::{Node, NodeSet, RangeSet};

/// Most different reasons in a report; further ones are folded into one.
const REASONS_MAX: usize = 16;
/// Why a guest of another system that is up takes no commands.
const NO_LEAF: &str = "has no leaf: it is another system, which `vmatic console --serial` shows";

impl Host {
    /// What is up and down in this host's subtree.
    pub fn report(&self) -> Report {
        let mut up = NodeSet::one(Node::host(self.number));
        let mut down: BTreeMap<String, NodeSet> = BTreeMap::new();
        let guests_up = self.guests_up();
        up = up.union(&NodeSet::product(&RangeSet::span(self.number, self.number), guests_up));
        for (&guest, why) in self.guests_down.iter().filter(|(g, _)| !guests_up.contains(**g)) {
            down.entry(why.clone()).or_default().insert(Node::guest(self.number, guest));
        }
        for link in self.links.values().filter(|l| l.side == Side::Below) {
            up = up.union(&link.report.up);
            for (why, nodes) in &link.report.down {
                let known = down.len() < REASONS_MAX || down.contains_key(why);
                let set = down.entry(if known { why.clone() } else { "for other reasons".into() }).or_default();
                *set = set.union(nodes);
            }
        }
        Report { up, down: down.into_iter().collect() }
    }

    /// What a child may report: nodes of the plan, none of ours, none of a host that is linked itself.
    pub(crate) fn credible(&self, link: LinkId, report: Report) -> Report {
        let mut others = RangeSet::span(self.number, self.number);
        for (_, other) in self.links.iter().filter(|(id, l)| **id != link && l.side == Side::Below) {
            if let Some(Who::Host(host)) = other.who {
                others.insert(host);
            }
        }
        let members = RangeSet::span(0, self.plan.guests_per_host);
        let may = self.plan.all_nodes().difference(&NodeSet::product(&others, &members));
        let mut down: Vec<(String, NodeSet)> = report.down;
        down.truncate(REASONS_MAX + 1);
        down.retain_mut(|(why, nodes)| {
            *nodes = nodes.intersection(&may);
            why.len() <= REASON_MAX_BYTES && !nodes.is_empty()
        });
        Report { up: report.up.intersection(&may), down }
    }

    /// Takes a host as a child: what another child reported of it holds no more.
    pub(crate) fn adopt(&mut self, link: LinkId, host: u32) {
        let its = NodeSet::product(&RangeSet::span(host, host), &RangeSet::span(0, self.plan.guests_per_host));
        for (id, l) in &mut self.links {
            if *id == link {
                l.report.up = NodeSet::one(Node::host(host));
            } else {
                l.report.up = l.report.up.difference(&its);
            }
        }
    }

    /// The launcher says that a guest without a leaf runs.
    pub(crate) fn guest_up(&mut self, guest: u32) {
        self.guests_down.remove(&guest);
        self.guests_up.insert(guest);
        self.leafless.insert(guest);
        self.changed();
    }

    /// The launcher says why a guest is not up. What has a leaf is up until its link says otherwise.
    pub(crate) fn guest_down(&mut self, guest: u32, why: String) {
        if self.leafless.contains(guest) {
            let one = RangeSet::span(guest, guest);
            self.leafless = self.leafless.difference(&one);
            self.guests_up = self.guests_up.difference(&one);
        }
        self.guests_down.insert(guest, why);
        self.changed();
    }

    /// This host's guests, by the plan.
    pub(crate) fn own_guests(&self) -> NodeSet {
        match self.plan.guests_per_host {
            0 => NodeSet::new(),
            last => NodeSet::product(&RangeSet::span(self.number, self.number), &RangeSet::span(1, last)),
        }
    }

    /// Nodes that cannot be asked, by the reason.
    pub(crate) fn absent(&self, mut nodes: NodeSet) -> Vec<Group> {
        let mut groups = Vec::new();
        for (why, set) in self.report().down {
            let part = nodes.intersection(&set);
            nodes = nodes.difference(&part);
            groups.push(Group::unreachable(part, &why));
        }
        let leafless = NodeSet::product(&RangeSet::span(self.number, self.number), &self.leafless);
        groups.push(Group::unreachable(nodes.intersection(&leafless), NO_LEAF));
        nodes = nodes.difference(&leafless);
        let own = self.own_guests().union(&NodeSet::one(Node::host(self.number)));
        groups.push(Group::unreachable(nodes.intersection(&own), "has not reported yet"));
        groups.push(Group::unreachable(nodes.difference(&own), "has not joined"));
        groups.retain(|g| !g.nodes.is_empty());
        groups
    }
}
