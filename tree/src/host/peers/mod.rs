//! The links of a host: who is at the other end, and what it reported.
//!
//! * `claims`: whose a host is that several children claim, and how much of all reports is kept.

mod claims;

pub use super::event::Direction;
use super::event::{Action, Outbox};
use crate::id::LinkId;
use crate::twins::{Twins, Whereabouts};
use crate::unreachable::{LinkEnd, Peer};
use crate::wire::message::{Message, PeerRole, Report};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use vmatic_plan::{GUESTS_MAX, GuestId, HostId, Node, NodeSet, RangeSet};

/// How often a host that has nothing to say gives its parent a sign of life, which the parent answers: so an idle link
/// carries a packet a second, the acknowledgement among them.
pub const HOST_HEARTBEAT_MS: u64 = 3_000;
/// How long a host may be silent: a machine that boots a hundred guests stalls for seconds.
pub const HOST_SILENCE_MS: u64 = 10_000;
/// How often something is said on a link to a guest: each time wakes it.
pub const GUEST_HEARTBEAT_MS: u64 = 5_000;
/// How long a guest may be silent.
pub const GUEST_SILENCE_MS: u64 = 60_000;
/// How long a console may be silent while nothing runs for it.
pub const CONSOLE_SILENCE_MS: u64 = 600_000;
/// How long nothing may be asked of a sibling until the link is closed.
pub const SIBLING_SILENCE_MS: u64 = 60_000;
/// How long a new link may take to say who it is.
pub const HELLO_MS: u64 = 10_000;

/// Most hosts of a child that are told to be claimed by others, too.
const TWINS_PER_LINK_MAX: usize = 4;

/// Most links that were opened by others (hosts and consoles).
pub const LINKS_BELOW_MAX: usize = 256;

/// One link: who is at its other end, what that one reports, and when the two last spoke.
#[derive(Debug)]
pub(super) struct Link {
    pub side: Direction,
    /// The address at its other end, if somebody on a network opened it.
    pub from: Option<IpAddr>,
    /// Who it is, once it has said so and was accepted.
    pub who: Option<PeerRole>,
    pub boot: [u8; 16],
    /// To a parent: the hosts from the root to it.
    path: Vec<HostId>,
    /// What is up and down behind it, of hosts that are no other link's; nothing until a child has reported.
    pub report: Report,
    /// All that the child last said of that.
    told: Report,
    /// The hosts of which the child says that they are below it; and those of them that are, of no other link.
    pub claims: RangeSet,
    pub owned: RangeSet,
    /// Whether it has reported.
    pub reported: bool,
    pub heard_ms: u64,
    /// Whether it leads to a guest that is held: it may be silent.
    pub paused: bool,
    pub said_ms: u64,
}

impl Link {
    fn new(side: Direction, from: Option<IpAddr>, now_ms: u64) -> Self {
        Link {
            side,
            from,
            who: None,
            boot: [0; 16],
            path: Vec::new(),
            report: Report::default(),
            told: Report::default(),
            claims: RangeSet::new(),
            owned: RangeSet::new(),
            reported: false,
            heard_ms: now_ms,
            paused: false,
            said_ms: now_ms,
        }
    }

    /// To a parent: the hosts from the root to it.
    pub fn path(&self) -> &[HostId] {
        &self.path
    }

    /// Whether this is a parent that has welcomed us.
    fn is_parent(&self) -> bool {
        self.side == Direction::Parent && self.who.is_some()
    }

    /// The nodes that commands reach over this link, of `host`'s subtree.
    fn reach(&self, host: HostId) -> NodeSet {
        match (self.side, self.who) {
            (Direction::Child, Some(PeerRole::Host(_))) => self.report.up.clone(),
            (Direction::Guest(_), Some(PeerRole::Guest(guest))) => NodeSet::one(Node::guest(host, guest)),
            _ => NodeSet::new(),
        }
    }

    /// The host that is at its other end, if that is a child that has reported.
    fn direct(&self) -> Option<HostId> {
        match (self.side, self.who) {
            (Direction::Child, Some(PeerRole::Host(host))) if self.reported => Some(host),
            _ => None,
        }
    }

    /// Where a host is that is behind it.
    fn place_of(&self, host: HostId) -> Whereabouts {
        match (self.who, self.from) {
            (Some(PeerRole::Host(own)), Some(address)) if own == host => Whereabouts::Address(address),
            (Some(PeerRole::Host(own)), _) if own != host => Whereabouts::Below(own),
            _ => Whereabouts::Unknown,
        }
    }

    /// Sums up what is behind it, by what was told and what is its own.
    fn sum_up(&mut self) {
        self.report = self.told.clone();
        if self.owned != self.claims {
            self.report.up = of_hosts(&self.told.up, &self.owned);
        }
        self.report.down.retain_mut(|(_, nodes)| {
            *nodes = of_hosts(nodes, &self.owned);
            !nodes.is_empty()
        });
    }

    /// How often something is said on it, and how long the other end may be silent, in milliseconds.
    fn timing(&self) -> (u64, u64) {
        match (self.side, self.who) {
            (Direction::Guest(_), None) => (u64::MAX, u64::MAX),
            (Direction::Guest(_), Some(_)) => (GUEST_HEARTBEAT_MS, GUEST_SILENCE_MS),
            (Direction::Child, Some(PeerRole::Console)) => (u64::MAX, CONSOLE_SILENCE_MS),
            (Direction::Child, Some(PeerRole::Sibling(_))) | (Direction::Sibling, _) => (u64::MAX, SIBLING_SILENCE_MS),
            // It begins, and is answered; one of an older version may not.
            (Direction::Child, Some(_)) => (2 * HOST_HEARTBEAT_MS, HOST_SILENCE_MS),
            (_, Some(_)) => (HOST_HEARTBEAT_MS, HOST_SILENCE_MS),
            (_, None) => (u64::MAX, HELLO_MS),
        }
    }

    /// Whether it is time to say something.
    fn heartbeat_due(&self, now_ms: u64) -> bool {
        // One that is paused reads nothing: what is said to it would fill its socket, and the link would be lost.
        !self.paused && now_ms.saturating_sub(self.said_ms) >= self.timing().0
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        match (self.side, self.who) {
            (Direction::Parent, Some(PeerRole::Host(host))) => Peer::Parent(Some(host)),
            (Direction::Parent, _) => Peer::Parent(None),
            (Direction::Guest(guest), _) => Peer::Guest(guest),
            (_, Some(PeerRole::Host(host) | PeerRole::Sibling(host))) => Peer::Host(host),
            (_, Some(PeerRole::Console)) => Peer::Console,
            _ => Peer::Unknown,
        }
    }

    /// How the link ended, if it counts as dead.
    fn dead(&self, now_ms: u64) -> Option<LinkEnd> {
        if self.paused || now_ms.saturating_sub(self.heard_ms) < self.timing().1 {
            return None;
        }
        Some(if self.who.is_none() { LinkEnd::NoHello } else { LinkEnd::Silent })
    }
}

/// The nodes of a set that are these hosts' or they themselves.
fn of_hosts(nodes: &NodeSet, hosts: &RangeSet) -> NodeSet {
    nodes.intersection(&NodeSet::product(hosts, &RangeSet::span(0, GUESTS_MAX)))
}

/// The links of a host.
#[derive(Debug, Default)]
pub(super) struct Peers {
    links: BTreeMap<LinkId, Link>,
}

impl Peers {
    #[cfg(test)]
    pub fn links_for_tests(&self) -> &BTreeMap<LinkId, Link> {
        &self.links
    }

    /// A link has opened: nobody has said yet who is there.
    pub fn open(&mut self, link: LinkId, side: Direction, from: Option<IpAddr>, now_ms: u64) {
        self.links.insert(link, Link::new(side, from, now_ms));
    }

    /// A link is gone; what was known of it, if it was open.
    pub fn remove(&mut self, link: LinkId) -> Option<Link> {
        let gone = self.links.remove(&link)?;
        if !gone.owned.is_empty() {
            self.settle().into_iter().for_each(|id| self.sum_up(id));
        }
        Some(gone)
    }

    /// Something came over a link; where it leads, and who is there. Whoever has not said who it is has only so long to
    /// do that, whatever else it says.
    pub fn heard(&mut self, link: LinkId, now_ms: u64) -> Option<(Direction, Option<PeerRole>)> {
        let link = self.links.get_mut(&link)?;
        if link.who.is_some() {
            link.heard_ms = now_ms;
        }
        Some((link.side, link.who))
    }

    /// The other end has said who it is.
    pub fn identify(&mut self, link: LinkId, who: PeerRole, boot: [u8; 16], now_ms: u64) {
        if let Some(link) = self.links.get_mut(&link) {
            (link.who, link.boot, link.heard_ms) = (Some(who), boot, now_ms);
        }
    }

    /// Has a message sent, unless the link is gone.
    pub fn send(&mut self, link: LinkId, message: Message, out: &mut Outbox) {
        if let Some(l) = self.links.get_mut(&link) {
            l.said_ms = out.now_ms;
            out.push(Action::Send { link, message });
        }
    }

    /// A child has given a sign of life: so that both go in one turn, it is answered at once.
    pub fn answer_heartbeat(&mut self, link: LinkId, out: &mut Outbox) {
        let said_lately = |link: &Link| out.now_ms.saturating_sub(link.said_ms) < HOST_HEARTBEAT_MS / 2;
        if self.links.get(&link).is_some_and(|link| !said_lately(link)) {
            self.send(link, Message::Heartbeat, out);
        }
    }

    /// Says something wherever nothing was said for long.
    pub fn send_heartbeats(&mut self, out: &mut Outbox) {
        let due = self.links.iter().filter(|(_, link)| link.heartbeat_due(out.now_ms));
        for link in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.send(link, Message::Heartbeat, out);
        }
    }

    /// The links that count as dead, and how each ended.
    pub fn dead(&self, now_ms: u64) -> Vec<(LinkId, LinkEnd)> {
        self.links.iter().filter_map(|(id, link)| link.dead(now_ms).map(|how| (*id, how))).collect()
    }

    /// The link to the parent that has welcomed this host.
    pub fn parent(&self) -> Option<LinkId> {
        self.links.iter().find(|(_, link)| link.is_parent()).map(|(id, _)| *id)
    }

    /// The child link of this host.
    pub fn child(&self, host: HostId) -> Option<(LinkId, &Link)> {
        let its = |link: &Link| link.side == Direction::Child && link.who == Some(PeerRole::Host(host));
        self.links.iter().find(|(_, link)| its(link)).map(|(id, link)| (*id, link))
    }

    fn children(&self) -> impl Iterator<Item = (&LinkId, &Link)> {
        self.links.iter().filter(|(_, link)| link.side == Direction::Child)
    }

    /// Where the machine is that is this host, of those below.
    pub fn place_of(&self, host: HostId) -> Whereabouts {
        let its = self.links.values().find(|link| link.owned.contains(host.0) || link.direct() == Some(host));
        its.map_or(Whereabouts::Unknown, |link| link.place_of(host))
    }

    /// Hosts that are claimed a second time, a few of each child's.
    pub fn twins(&self) -> Vec<Twins> {
        let denied = |link: &Link| link.claims.difference(&link.owned);
        let claimed = self.links.values().filter(|link| link.claims != link.owned);
        let each = claimed.flat_map(|link| {
            let hosts: Vec<u32> = denied(link).iter().take(TWINS_PER_LINK_MAX).collect();
            hosts.into_iter().map(move |host| (HostId(host), link.place_of(HostId(host))))
        });
        each.map(|(host, second)| Twins { host, first: self.place_of(host), second }).collect()
    }

    /// The links to children that are hosts.
    pub fn hosts_below(&self) -> Vec<LinkId> {
        let hosts = self.children().filter(|(_, link)| matches!(link.who, Some(PeerRole::Host(_))));
        hosts.map(|(id, _)| *id).collect()
    }

    /// The host at the other end, if it is a child.
    pub fn host_at(&self, link: LinkId) -> Option<HostId> {
        let link = self.links.get(&link).filter(|link| link.side == Direction::Child)?;
        if let Some(PeerRole::Host(host)) = link.who { Some(host) } else { None }
    }

    /// The hosts that are children.
    pub fn host_children(&self) -> impl Iterator<Item = HostId> {
        self.children()
            .filter_map(|(_, link)| if let Some(PeerRole::Host(host)) = link.who { Some(host) } else { None })
    }

    /// The hosts from the root to this host's parent, if it has one.
    pub fn path(&self) -> &[HostId] {
        let parent = self.links.values().find(|link| link.is_parent());
        parent.map(|link| link.path.as_slice()).unwrap_or_default()
    }

    /// The parent says where it is in the tree.
    pub fn set_path(&mut self, link: LinkId, path: Vec<HostId>) {
        if let Some(link) = self.links.get_mut(&link) {
            link.path = path;
        }
    }

    /// How many links others have opened.
    pub fn count_children(&self) -> usize {
        self.children().count()
    }

    /// The links that others opened, the oldest first.
    pub fn callers(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.children().map(|(id, link)| (*id, link))
    }

    /// What each child last reported of its subtree.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.children().map(|(_, link)| &link.report)
    }

    /// The hosts that children report as up.
    pub fn hosts_up(&self) -> RangeSet {
        self.reports().fold(RangeSet::new(), |all, report| all.union(&report.up.hosts_themselves()))
    }

    /// Whether a child over another link than `host`'s own reports that host as up.
    pub fn reported_elsewhere(&self, host: HostId) -> bool {
        let others = self.children().filter(|(_, link)| link.who != Some(PeerRole::Host(host)));
        others.into_iter().any(|(_, link)| link.report.up.contains(Node::host(host)))
    }

    /// Whether the other end of a link may turn us away: it has not said yet whether we are welcome.
    pub fn may_turn_away(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| match link.side {
            Direction::Parent => link.who.is_none(),
            Direction::Child => matches!(link.who, Some(PeerRole::Host(_))) && !link.reported,
            Direction::Guest(_) | Direction::Sibling => false,
        })
    }

    /// The address at the other end of a link.
    pub fn from(&self, link: LinkId) -> Option<IpAddr> {
        self.links.get(&link)?.from
    }

    /// Whether a guest's link waits for it to go on.
    pub fn guest_is_paused(&self, guest: GuestId) -> bool {
        self.links.values().any(|link| link.side == Direction::Guest(guest) && link.paused)
    }

    /// A guest is paused, or goes on: whether it is up by a link of its own.
    pub fn pause_guest(&mut self, guest: GuestId, paused: bool, now_ms: u64) -> bool {
        let mut up = false;
        for link in self.links.values_mut().filter(|link| link.side == Direction::Guest(guest)) {
            (link.paused, link.heard_ms) = (paused, now_ms);
            up |= link.who.is_some() && !paused;
        }
        up
    }

    /// The links on which a guest's agent has said hello.
    pub fn links_of(&self, guest: GuestId) -> Vec<LinkId> {
        let of_guest = |link: &&Link| link.side == Direction::Guest(guest) && link.who.is_some();
        self.links.iter().filter(|(_, link)| of_guest(link)).map(|(id, _)| *id).collect()
    }

    /// Whether a guest's agent has said hello on some link.
    pub fn has_guest(&self, guest: GuestId) -> bool {
        self.links.values().any(|link| link.side == Direction::Guest(guest) && link.who.is_some())
    }

    /// What commands reach of `host`'s subtree, link by link. A paused guest is not asked: it cannot answer.
    pub fn reach(&self, host: HostId) -> Vec<(LinkId, Direction, NodeSet)> {
        let awake = self.links.iter().filter(|(_, link)| !link.paused);
        awake.map(|(id, link)| (*id, link.side, link.reach(host))).collect()
    }

    /// In which direction of the tree a link leads; none if it is gone.
    pub fn side(&self, link: LinkId) -> Option<Direction> {
        self.links.get(&link).map(|link| link.side)
    }

    /// Whether a link leads to the parent, welcome or not.
    pub fn is_parent_side(&self, link: LinkId) -> bool {
        self.side(link) == Some(Direction::Parent)
    }

    /// Whether a console is at the other end.
    pub fn is_console(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| link.who == Some(PeerRole::Console))
    }

    /// What the one at the other end drew when it booted; nothing of whom is not known yet.
    pub fn boot(&self, link: LinkId) -> [u8; 16] {
        self.links.get(&link).map_or([0; 16], |link| link.boot)
    }

    /// How many have said that they are this.
    pub fn count_of(&self, who: PeerRole) -> usize {
        self.links.values().filter(|link| link.who == Some(who)).count()
    }

    /// The address from which this child calls.
    pub fn address_of(&self, host: HostId) -> Option<IpAddr> {
        self.child(host)?.1.from
    }

    /// Who is at the other end.
    pub fn name(&self, link: LinkId) -> Peer {
        self.links.get(&link).map_or(Peer::Unknown, Link::peer)
    }
}
