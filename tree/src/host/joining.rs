//! How links begin and end: who may join, below whom this host is, and what an end means for those who wait.
//!
//! A host learns from its parent by which hosts the way from the root leads to it ([`Message::Path`]), and tells its
//! children. Nobody joins a host whose path names it, so no tree closes to a circle that has no root.

use super::Host;
use super::event::Action;
use super::membership::Newcomer;
use super::peers::Link;
use super::peers::{Direction, LINKS_BELOW_MAX};
use crate::answer::Group;
use crate::id::LinkId;
use crate::refusal::Refusal;
use crate::twins::{Twins, Whereabouts};
use crate::unreachable::{LinkEnd, Peer};
use crate::wire::message::{Message, PATH_MAX, PeerRole, VERSION, understands};
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;
use vmatic_plan::{HostId, Plan};

impl Host {
    pub(super) fn refuse(&mut self, link: LinkId, why: Refusal) {
        self.peers.send(link, Message::Refuse(why), &mut self.out);
        self.close(link, LinkEnd::Refused);
    }

    pub(super) fn close(&mut self, link: LinkId, how: LinkEnd) {
        self.out.push(Action::Close { link });
        self.closed(link, how);
    }

    /// Ends the links that count as dead, and gives signs of life on the others.
    pub(super) fn check_links(&mut self) {
        for (link, how) in self.peers.dead(self.out.now_ms) {
            // A console that waits for an operation has nothing to say.
            if !(self.peers.is_console(link) && self.operations.any_of(link)) {
                self.close(link, how);
            }
        }
        self.look_for_twins();
        self.peers.send_heartbeats(&mut self.out);
    }

    pub(super) fn opened(&mut self, link: LinkId, side: Direction, from: Option<IpAddr>) {
        let full = side == Direction::Child && self.peers.count_children() >= LINKS_BELOW_MAX && !self.make_room();
        self.peers.open(link, side, from, self.out.now_ms);
        if side == Direction::Parent {
            self.peers.send(link, self.membership.hello(), &mut self.out);
        } else if full {
            self.refuse(link, Refusal::TooManyLinks);
        }
    }

    /// Where all links are taken, the oldest goes that waits for nothing and is not of a host that calls from where the
    /// plan has it: strangers that hold links, or call without end, keep nobody out who has something to say. Whether
    /// there was one.
    fn make_room(&mut self) -> bool {
        let is_true_host = |link: &Link| match link.who {
            Some(PeerRole::Host(host)) => self.membership.is_planned(link.from, host),
            _ => false,
        };
        let may_go = |(id, link): &(LinkId, &Link)| !self.operations.any_of(*id) && !is_true_host(link);
        let oldest = self.peers.callers().find(may_go).map(|(id, _)| id);
        if let Some(link) = oldest {
            self.refuse(link, Refusal::TooManyLinks);
        }
        oldest.is_some()
    }

    pub(super) fn hello(&mut self, link: LinkId, side: Direction, version: u16, who: PeerRole, boot: [u8; 16]) {
        let number = self.membership.number;
        if !understands(version) {
            return self.refuse(link, Refusal::Version { host: number, version: VERSION });
        }
        match (side, who) {
            (Direction::Guest(expected), PeerRole::Guest(guest)) if guest == expected => self.status.linked(guest),
            (Direction::Child, PeerRole::Host(host)) => {
                if self.peers.path().contains(&host) {
                    return self.refuse(link, Refusal::Loop { host, below: number });
                }
                let newcomer = Newcomer { host, boot, from: self.peers.from(link) };
                let elsewhere = self.peers.reported_elsewhere(host);
                match self.membership.admit(&newcomer, self.peers.child(host), elsewhere, self.out.now_ms) {
                    Ok(None) => {}
                    Ok(Some(old)) => self.close(old, LinkEnd::Replaced),
                    Err(why) => {
                        self.turned_away(&newcomer, &why);
                        return self.refuse(link, why);
                    }
                }
            }
            (Direction::Child, PeerRole::Console) => {}
            (Direction::Child, PeerRole::Unknown) if self.knows_many() => {
                return self.refuse(link, Refusal::TooManyLinks);
            }
            (Direction::Child, PeerRole::Unknown) => {}
            (Direction::Child, PeerRole::Sibling(host)) if self.membership.may_be(host, self.peers.from(link)) => {
                return self.peers.identify(link, who, boot, self.out.now_ms);
            }
            _ => return self.refuse(link, Refusal::NotANeighbour),
        }
        self.peers.identify(link, who, boot, self.out.now_ms);
        self.misplaced.changed(self.out.now_ms);
        if let (PeerRole::Host(host), true) = (who, version != VERSION) {
            self.out.note(format!("host {host} speaks version {version} of the protocol, and this one {VERSION}"));
        }
        if side == Direction::Child {
            let (plan, path) = (self.membership.plan.encode(), self.path());
            self.peers.send(link, Message::Welcome { host: number, plan, path }, &mut self.out);
            if who != PeerRole::Console {
                self.tell_revocations(link);
            }
        }
        self.changed();
    }

    /// Says who was turned away, and remembers it where two machines are one host.
    fn turned_away(&mut self, newcomer: &Newcomer, why: &Refusal) {
        let Newcomer { host, boot, from } = *newcomer;
        let second = from.map_or(Whereabouts::Unknown, Whereabouts::Address);
        let mine = host == self.membership.number && boot != self.membership.boot;
        if mine || matches!(why, Refusal::NumberTaken { .. }) {
            self.out.note(format!("a machine at {second} says that it is host {host}, too: {why}"));
            self.twins.note(Twins { host, first: self.peers.place_of(host), second }, self.out.now_ms);
        }
    }

    /// Notes hosts that two children claim, and tells what has become certain.
    pub(super) fn look_for_twins(&mut self) {
        for twins in self.peers.twins() {
            self.twins.note(twins, self.out.now_ms);
        }
        let (new, changed) = self.twins.advance(self.out.now_ms);
        for twins in new {
            self.out.note(format!("{twins}"));
        }
        if changed {
            self.changed();
        }
    }

    /// A parent takes us in, if we are of its tree: by two plans, two hosts would take each other for others. From
    /// another parent we come over when nobody waits for anything that passes it.
    pub(super) fn welcomed(&mut self, link: LinkId, host: HostId, plan: &str, path: Vec<HostId>) {
        let own = self.membership.plan.cluster;
        match Plan::decode(plan).map(|plan| plan.cluster) {
            Ok(tree) if tree != own => {
                let why = Refusal::OtherCluster { own, tree };
                self.out.note(format!("host {host} is none to join: {why}"));
                return self.refuse(link, why);
            }
            Ok(_) => {}
            Err(_) => return self.refuse(link, Refusal::UnexpectedMessage),
        }
        let number = self.membership.number;
        if path.contains(&number) || path.len() >= PATH_MAX {
            self.out.note(format!("host {host} is below this one, and cannot be its parent"));
            return self.refuse(link, Refusal::Loop { host: number, below: host });
        }
        if let Some(old) = self.peers.parent() {
            if self.operations.involves(old) {
                self.seeker.put_off(self.out.now_ms);
                return self.refuse(link, Refusal::HasParent);
            }
            self.close(old, LinkEnd::Replaced);
        }
        self.peers.identify(link, PeerRole::Host(host), [0; 16], self.out.now_ms);
        self.peers.set_path(link, path);
        self.tell_revocations(link);
        self.status.report_now(self.out.now_ms);
        self.out.note(format!("joined the tree below host {host}"));
        self.has_place(link);
        self.operations_found(link);
    }

    /// The hosts from the root to this one.
    pub(super) fn path(&self) -> Vec<HostId> {
        let mut path = self.peers.path().to_vec();
        path.push(self.membership.number);
        path
    }

    /// The parent's place has changed. Where two hosts joined below each other at one moment, each finds itself in its
    /// parent's path: the one with the least number of those in the circle leaves it, and is the root.
    pub(super) fn moved(&mut self, link: LinkId, path: Vec<HostId>) {
        let number = self.membership.number;
        let circle = path.iter().position(|host| *host == number).map(|at| &path[at..]);
        if path.len() >= PATH_MAX || circle.is_some_and(|circle| circle.iter().min() == Some(&number)) {
            self.out.note("the parent is below this host: left it".into());
            return self.refuse(link, Refusal::Loop { host: number, below: path.last().copied().unwrap_or(number) });
        }
        let rest = circle.map(|circle| circle[1..].to_vec());
        let root = self.root();
        self.peers.set_path(link, rest.unwrap_or(path));
        if self.root() != root {
            self.has_other_root();
        }
    }

    /// Tells the children where this host is, if that has changed.
    pub(super) fn tell_path(&mut self) {
        let path = self.path();
        if path != self.told_path {
            for link in self.peers.hosts_below() {
                self.peers.send(link, Message::Path(path.clone()), &mut self.out);
            }
            self.told_path = path;
        }
    }

    /// The other end turns us away: a parent, or a child that we welcomed. Commands are answered, not refused.
    pub(super) fn refused(&mut self, link: LinkId, why: &Refusal) {
        self.out.note(format!("{}: {why}", self.peers.name(link)));
        self.operations.give_up(link, self.out.now_ms, |nodes| Group::failed(nodes, format!("refused: {why}")));
        if let (Refusal::OtherCluster { own, .. }, Peer::Host(host)) = (why, self.peers.name(link)) {
            self.status.see_stranger(host, *own);
        }
        self.close(link, LinkEnd::Refused);
    }

    pub(super) fn closed(&mut self, link: LinkId, how: LinkEnd) {
        let Some(gone) = self.peers.remove(link) else { return };
        let peer = gone.peer();
        match (gone.side, gone.who) {
            (Direction::Parent, None) => self.seeker.closed(link, self.out.now_ms),
            (Direction::Parent, Some(_)) if how != LinkEnd::Replaced => self.seeker.lost(gone.path(), self.out.now_ms),
            _ => {}
        }
        if let (Direction::Guest(guest), Some(_)) = (gone.side, gone.who)
            && !self.peers.has_guest(guest)
        {
            self.status.unlinked(guest);
        }
        self.parcels.lost(link, &mut self.peers, &mut self.out);
        if gone.side == Direction::Sibling || matches!(gone.who, Some(PeerRole::Sibling(_))) {
            return;
        }
        self.operations_lost(link, &gone, how);
        self.unknowns.forget(link, self.out.now_ms);
        self.misplaced.forget(link, self.out.now_ms);
        self.misplaced.changed(self.out.now_ms);
        if gone.who.is_some_and(|who| who != PeerRole::Console) {
            self.out.note(format!("the link to {peer} {how}"));
            self.changed();
        }
    }
}
