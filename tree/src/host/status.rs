//! What a host says of its subtree, and what it believes of its children's.

use crate::answer::Group;
use crate::guest::GuestState;
use crate::host::{Host, LinkId, Side};
use crate::unreachable::Unreachable;
use crate::wire::message::{Report, Who};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use vmatic_plan::{Node, NodeSet, RangeSet};

/// Most different states in a report; further ones are folded into one.
const STATES_MAX: usize = 16;

impl Host {
    /// What is up and down in this host's subtree.
    pub fn report(&self) -> Report {
        let mut up = NodeSet::one(Node::host(self.number));
        let mut down: BTreeMap<GuestState, NodeSet> = BTreeMap::new();
        let guests_up = self.guests_up();
        up = up.union(&NodeSet::product(&RangeSet::span(self.number, self.number), guests_up));
        for (&guest, state) in self.guests_down.iter().filter(|(g, _)| !guests_up.contains(**g)) {
            down.entry(state.clone()).or_default().insert(Node::guest(self.number, guest));
        }
        for link in self.links.values().filter(|l| l.side == Side::Below) {
            up = up.union(&link.report.up);
            for (state, nodes) in &link.report.down {
                let known = down.len() < STATES_MAX || down.contains_key(state);
                let set = down.entry(if known { state.clone() } else { GuestState::Other }).or_default();
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
        let mut down = report.down;
        down.truncate(STATES_MAX + 1);
        down.retain_mut(|(state, nodes)| {
            *nodes = nodes.intersection(&may);
            !state.is_up() && !nodes.is_empty()
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

    /// The launcher says what a guest is doing.
    pub(crate) fn guest_state(&mut self, guest: u32, state: GuestState) {
        match state {
            GuestState::Up => self.guest_paused(guest, false),
            GuestState::Unmanaged => self.guest_up(guest),
            GuestState::Paused => {
                self.guest_paused(guest, true);
                self.guest_down(guest, state);
            }
            _ => self.guest_down(guest, state),
        }
        self.changed();
    }

    /// A guest is paused, or goes on.
    fn guest_paused(&mut self, guest: u32, paused: bool) {
        let one = RangeSet::span(guest, guest);
        self.guests_down.remove(&guest);
        for link in self.links.values_mut().filter(|l| l.side == Side::Guest(guest)) {
            (link.paused, link.heard_ms) = (paused, self.now_ms);
            let up = link.who.is_some() && !paused;
            self.guests_up = if up { self.guests_up.union(&one) } else { self.guests_up.difference(&one) };
        }
    }

    /// A guest without an agent runs.
    fn guest_up(&mut self, guest: u32) {
        self.guests_down.remove(&guest);
        self.guests_up.insert(guest);
        self.leafless.insert(guest);
    }

    /// A guest is not up. What has an agent is up until its link says otherwise.
    fn guest_down(&mut self, guest: u32, state: GuestState) {
        if self.leafless.contains(guest) {
            let one = RangeSet::span(guest, guest);
            self.leafless = self.leafless.difference(&one);
            self.guests_up = self.guests_up.difference(&one);
        }
        self.guests_down.insert(guest, state);
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
        for (state, set) in self.report().down {
            let part = nodes.intersection(&set);
            nodes = nodes.difference(&part);
            groups.push(Group::unreachable(part, Unreachable::Guest(state)));
        }
        let leafless = NodeSet::product(&RangeSet::span(self.number, self.number), &self.leafless);
        groups.push(Group::unreachable(nodes.intersection(&leafless), Unreachable::Unmanaged));
        nodes = nodes.difference(&leafless);
        let own = self.own_guests().union(&NodeSet::one(Node::host(self.number)));
        groups.push(Group::unreachable(nodes.intersection(&own), Unreachable::NotReported));
        groups.push(Group::unreachable(nodes.difference(&own), Unreachable::NotJoined));
        groups.retain(|g| !g.nodes.is_empty());
        groups
    }
}
