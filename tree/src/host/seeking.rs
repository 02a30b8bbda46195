//! A host's way into the tree: it asks others where they are, and says where it is itself.
//!
//! Whom it calls is the [`seeker`](super::seeker)'s choice; here is what is said on the links.

use super::Host;
use super::event::{Action, CallError, Target};
use super::peers::Direction;
use super::seeker::{FirstWord, Position, Step};
use crate::id::LinkId;
use crate::refusal::Refusal;
use crate::unreachable::LinkEnd;
use crate::wire::message::{Message, OTHERS_MAX, PATH_MAX, VERSION, understands};
use alloc::vec::Vec;
use vmatic_plan::{HostId, Node};

/// How often a host passes on what it heard of others.
const HEARD_MS: u64 = 1_000;
/// Hosts that may come between the root and a host beyond those that it takes in itself.
const PATH_SPARE: usize = 8;

impl Host {
    /// From now on the host looks for a parent by itself; `given` is how many addresses the operator named.
    pub fn seek(&mut self, given: u16) {
        self.seeker.start(given, self.membership.boot, self.out.now_ms);
    }

    /// The root of the part of the tree that this host is in.
    pub fn root(&self) -> HostId {
        self.peers.path().first().copied().unwrap_or(self.membership.number)
    }

    /// Whether this host may still find a parent soon: it speaks for nobody yet.
    pub(super) fn is_between(&self) -> bool {
        self.peers.parent().is_none() && self.seeker.is_climbing()
    }

    fn steps(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Call(target) => self.out.push(Action::Call { target }),
                Step::Hello(link) => self.peers.send(link, self.membership.hello(), &mut self.out),
                Step::Drop(link) if self.peers.side(link).is_some() => self.close(link, LinkEnd::Refused),
                Step::Drop(_) => {}
                Step::Settled => self.settled(),
            }
        }
    }

    /// Lets the seeker see where the host is.
    fn with_seeker(&mut self, act: impl FnOnce(&mut super::seeker::Seeker, &Position, u64) -> Vec<Step>) {
        let parent = self.peers.parent();
        let busy = parent.is_some_and(|parent| self.operations.involves(parent));
        let steps = {
            let children = |host| self.peers.child(host).is_some();
            let (plan, number) = (&self.membership.plan, self.membership.number);
            let place = Position { plan, number, path: self.peers.path(), busy, children: &children };
            act(&mut self.seeker, &place, self.out.now_ms)
        };
        self.steps(steps);
    }

    pub(super) fn advance_seeker(&mut self) {
        if self.seeker.is_on() {
            self.with_seeker(|seeker, place, now_ms| seeker.advance(place, now_ms));
        }
    }

    /// What became of a call.
    pub(super) fn called(&mut self, target: Target, link: Result<LinkId, CallError>) {
        let now_ms = self.out.now_ms;
        if let Target::Sibling(host) = target {
            let own = (self.membership.number, self.membership.boot);
            return self.parcels.called_sibling(host, link.ok(), &mut self.peers, own, &mut self.out);
        }
        let link = match link {
            Ok(link) => link,
            Err(why) => return self.seeker.failed(target, why, now_ms),
        };
        self.peers.open(link, Direction::Parent, None, now_ms);
        match self.seeker.called(target, link, now_ms) {
            Some(FirstWord::Seek) => {
                let seek = Message::Seek { version: VERSION, host: self.membership.number, root: self.root() };
                self.peers.send(link, seek, &mut self.out);
            }
            Some(FirstWord::Hello) => self.peers.send(link, self.membership.hello(), &mut self.out),
            None => self.close(link, LinkEnd::Refused),
        }
    }

    /// Calls a host to hear whether it lives; false where it is called already.
    pub(super) fn probe(&mut self, host: HostId) -> bool {
        let step = self.seeker.probe(host, self.out.now_ms);
        let is_called = step.is_some();
        self.steps(step.into_iter().collect());
        is_called
    }

    /// Another host asks where this one is.
    pub(super) fn asked_where(&mut self, link: LinkId, version: u16, host: HostId, root: HostId) {
        let number = self.membership.number;
        if !understands(version) {
            return self.refuse(link, Refusal::Version { host: number, version: VERSION });
        }
        let from = self.peers.from(link);
        if host == number || !self.membership.may_be(host, from) {
            return self.refuse(link, Refusal::CannotJoin { host, below: number });
        }
        let path = self.path();
        let planned = self.membership.plan.parent(Node::host(host)).is_some_and(|parent| parent.host == number);
        let is_planned = |child: HostId| self.membership.plan.child_hosts(number).contains(child.0);
        let taken = self.peers.host_children().filter(|child| !is_planned(*child)).count();
        let wide = planned || taken < self.membership.plan.fanout as usize;
        let room = host > number && wide && path.len() + PATH_SPARE < PATH_MAX;
        let mut others: Vec<HostId> = self.peers.host_children().filter(|child| *child < host).collect();
        // Others each time, so that who comes after them does not call the same.
        let turn = (self.out.now_ms as usize).wrapping_add(host.0 as usize) % others.len().max(1);
        others.rotate_left(turn);
        others.truncate(if room { 0 } else { OTHERS_MAX });
        self.peers.send(link, Message::Here { path, room, others }, &mut self.out);
        let is_parent = self.membership.plan.parent(Node::host(number)).is_some_and(|parent| parent.host == host);
        if root < self.root() || is_parent {
            self.heard([root, host].into());
        }
    }

    /// Whoever was called says where it is.
    pub(super) fn here(&mut self, link: LinkId, path: &[HostId], room: bool, others: &[HostId]) {
        if let (Some(root), Some(host)) = (path.first(), path.last())
            && *root < self.root()
            && self.peers.parent().is_some()
        {
            self.heard([*root, *host].into());
        }
        self.with_seeker(|seeker, place, now_ms| seeker.here(link, path, room, others, place, now_ms));
    }

    /// Other hosts are there: the root is to know.
    pub(super) fn heard(&mut self, mut hosts: Vec<HostId>) {
        hosts.retain(|host| self.membership.plan.has(Node::host(*host)) && *host != self.membership.number);
        if let Some(parent) = self.peers.parent()
            && hosts.iter().any(|host| *host < self.root())
            && self.heard_ms + HEARD_MS <= self.out.now_ms
        {
            self.heard_ms = self.out.now_ms;
            self.peers.send(parent, Message::Heard(hosts.clone()), &mut self.out);
        }
        self.with_seeker(|seeker, place, now_ms| {
            seeker.heard(&hosts, place, now_ms);
            Vec::new()
        });
    }

    /// Nobody was found: this host is the root of what it has.
    pub(super) fn settled(&mut self) {
        self.late.settled(self.out.now_ms);
        self.operations_settled();
    }

    /// The host is in another tree now: those who were away from their place may go back to it.
    pub(super) fn has_other_root(&mut self) {
        self.with_seeker(|seeker, place, now_ms| {
            seeker.has_other_root(place, now_ms);
            Vec::new()
        });
    }

    /// A parent has taken the host in.
    pub(super) fn has_place(&mut self, link: LinkId) {
        self.with_seeker(|seeker, place, now_ms| seeker.welcomed(link, place, now_ms));
    }
}
