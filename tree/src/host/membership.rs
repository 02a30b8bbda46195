//! Who this host is by the plan, for whom it answers, and whom it lets join below.

use super::peers::{HOST_HEARTBEAT_MS, Link};
use crate::id::LinkId;
use crate::refusal::Refusal;
use crate::wire::message::{Message, PeerRole, VERSION};
use crate::wire::order::Order;
use vmatic_plan::{GuestId, HostId, Node, NodeSet, Plan, RangeSet};

/// A host's place in the cluster; it does not change while the host lives.
pub(super) struct Membership {
    pub plan: Plan,
    /// The host's own number.
    pub number: HostId,
    /// Drawn at random at each boot.
    pub boot: [u8; 16],
}

impl Membership {
    /// What this host says to its parent first.
    pub fn hello(&self) -> Message {
        Message::Hello { version: VERSION, who: PeerRole::Host(self.number), boot: self.boot }
    }

    /// One of this host's guests.
    pub fn guest(&self, guest: GuestId) -> Node {
        Node::guest(self.number, guest)
    }

    /// This host and its guests, by the plan.
    pub fn subtree_of(&self, host: HostId) -> NodeSet {
        NodeSet::product(&RangeSet::one(host.0), &self.members())
    }

    fn members(&self) -> RangeSet {
        RangeSet::span(0, self.plan.guests_per_host)
    }

    fn own_guests(&self) -> NodeSet {
        match self.plan.guests_per_host {
            0 => NodeSet::new(),
            last => NodeSet::product(&RangeSet::one(self.number.0), &RangeSet::span(1, last)),
        }
    }

    /// The nodes for which this host itself carries out an order.
    pub fn answers_for(&self, order: &Order) -> NodeSet {
        let host = NodeSet::one(Node::host(self.number));
        match order {
            Order::Capture(_) => host.union(&self.own_guests()),
            order if order.is_for_guests_host() => self.own_guests(),
            _ => host,
        }
    }

    /// The nodes whose answer to an order comes over a link behind which `up` is up. What guests' hosts carry out does
    /// not ask whether the guests are up: it may be what starts them.
    pub fn reached(&self, up: NodeSet, order: &Order) -> NodeSet {
        if order.is_for_guests_host() { NodeSet::product(&up.hosts_themselves(), &self.members()) } else { up }
    }

    /// What a child may report: nodes of the plan, none of ours, none of a host that is linked itself.
    pub fn may_report(&self, linked: RangeSet) -> NodeSet {
        let others = linked.union(&RangeSet::one(self.number.0));
        self.plan.all_nodes().difference(&NodeSet::product(&others, &self.members()))
    }

    /// Whether a host may join below: a number is taken while the machine that has it is alive. Gives the link that
    /// the same machine had before, or that of a dead one.
    pub fn admit(
        &self,
        host: HostId,
        boot: [u8; 16],
        old: Option<(LinkId, &Link)>,
        now_ms: u64,
    ) -> Result<Option<LinkId>, Refusal> {
        if !self.plan.has(Node::host(host)) || host == self.number {
            return Err(Refusal::CannotJoin { host, below: self.number });
        }
        let Some((link, old)) = old else { return Ok(None) };
        let silent_ms = now_ms.saturating_sub(old.heard_ms);
        if old.boot != boot && silent_ms < 3 * HOST_HEARTBEAT_MS {
            return Err(Refusal::NumberTaken { host });
        }
        Ok(Some(link))
    }
}
