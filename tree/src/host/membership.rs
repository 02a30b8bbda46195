//! Who this host is by the plan, for whom it answers, and whom it lets join below.

use super::peers::{HOST_HEARTBEAT_MS, Link};
use crate::id::LinkId;
use crate::refusal::Refusal;
use crate::wire::message::{Message, PATH_MAX, PeerRole, VERSION};
use crate::wire::order::Order;
use core::net::IpAddr;
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
        self.subtrees_of(&RangeSet::one(host.0))
    }

    /// These hosts and their guests, by the plan.
    pub fn subtrees_of(&self, hosts: &RangeSet) -> NodeSet {
        NodeSet::product(hosts, &self.members())
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
        if order.is_for_guests_host() { self.subtrees_of(&up.hosts_themselves()) } else { up }
    }

    /// The last host of a subtree that a parcel comes to, if it goes to each of these: the last child's last, by the
    /// plan.
    pub fn last_of(&self, mut host: HostId, hosts: &RangeSet) -> HostId {
        for _ in 0..PATH_MAX {
            let Some(child) = self.plan.child_hosts(host).intersection(hosts).iter().last() else { break };
            host = HostId(child);
        }
        host
    }

    /// What a child may report: nodes of the plan, none of ours.
    pub fn may_report(&self) -> NodeSet {
        self.plan.all_nodes().difference(&self.subtree_of(self.number))
    }

    /// Whether who calls from there may be this host, another than ours.
    pub fn may_be(&self, host: HostId, from: Option<IpAddr>) -> bool {
        self.plan.has(Node::host(host)) && host != self.number && !self.is_anothers(from, host)
    }

    /// Whether a host may join below: a number is taken while the machine that has it is alive, here or, as a child
    /// reports (`elsewhere`), further down. Only who calls from the address that the plan gives the number, or from
    /// where that machine called, may take its place as long as the link is there: it has lost its parent, which does
    /// not know yet, or booted anew. A machine elsewhere gives way to who calls from the planned address: it may have
    /// come first only because that had just lost its parent. Gives the link that the same machine had before, or that
    /// of a dead one.
    pub fn admit(
        &self,
        newcomer: &Newcomer,
        old: Option<(LinkId, &Link)>,
        elsewhere: bool,
        now_ms: u64,
    ) -> Result<Option<LinkId>, Refusal> {
        let Newcomer { host, boot, from } = *newcomer;
        if !self.may_be(host, from) {
            return Err(Refusal::CannotJoin { host, below: self.number });
        }
        let taken = |at| Err(Refusal::NumberTaken { host, at });
        let is_planned = self.is_planned(from, host);
        match old {
            Some((link, old)) if is_planned && !self.is_planned(old.from, host) => Ok(Some(link)),
            Some((_, old)) if old.boot != boot && now_ms.saturating_sub(old.heard_ms) < 2 * HOST_HEARTBEAT_MS => {
                taken(old.from)
            }
            // Silence may be ours; and what tells machines apart can be overheard.
            Some((_, old)) if old.from != from && !is_planned => taken(old.from),
            None if elsewhere && !is_planned => taken(None),
            old => Ok(old.map(|(link, _)| link)),
        }
    }

    /// Whether `host` has this address by the plan. Who calls from this machine itself is not asked: on one machine,
    /// whoever may start hosts may start any.
    pub fn is_planned(&self, from: Option<IpAddr>, host: HostId) -> bool {
        from.is_none_or(|address| match address {
            IpAddr::V4(address) => address.is_loopback() || self.plan.host_ipv4(host) == Some(address),
            IpAddr::V6(address) => address.is_loopback() || self.plan.host_ipv6(host) == Some(address),
        })
    }

    /// Whether this is the address of another host of the plan.
    fn is_anothers(&self, from: Option<IpAddr>, host: HostId) -> bool {
        let node = from.and_then(|address| match address {
            IpAddr::V4(address) => self.plan.node_by_ipv4(address),
            IpAddr::V6(address) => self.plan.node_by_ipv6(address),
        });
        node.is_some_and(|node| node != Node::host(host))
    }
}

/// A host that wants to join, as it says of itself.
pub(super) struct Newcomer {
    pub host: HostId,
    /// Drawn at random at each boot.
    pub boot: [u8; 16],
    /// Where it calls from, if it is not this machine.
    pub from: Option<IpAddr>,
}
