//! What is said of parcels on a host's links, and what waits for them: all of it is for [`parcels`](super).

use super::InRow;
use crate::host::Host;
use crate::host::event::{Action, Direction};
use crate::id::{LinkId, OpId};
use crate::refusal::Refusal;
use crate::reply::Stored;
use crate::unreachable::LinkEnd;
use crate::wire::message::{Message, PeerRole};
use crate::wire::order::Order;
use alloc::vec::Vec;
use vmatic_plan::{HostId, RangeSet};

/// Most hosts that a parcel goes along one after another: each costs the time of a chunk and a way, a millisecond or
/// two.
const ROW_HOSTS_MAX: u64 = 512;

impl Host {
    /// Most bytes of parcels that are kept.
    pub fn set_store_bytes(&mut self, bytes: u64) {
        self.parcels.set_budget(bytes);
    }

    /// What is kept of parcels.
    pub fn stored(&self) -> Stored {
        self.parcels.stored()
    }

    /// Takes what is said of parcels; gives back what is said of something else, by whoever says such things.
    pub(in crate::host) fn of_parcels(
        &mut self,
        link: LinkId,
        side: Direction,
        who: Option<PeerRole>,
        message: Message,
    ) -> Option<Message> {
        let (peers, out) = (&mut self.peers, &mut self.out);
        match (message, who) {
            // A console gives, and asks for nothing.
            (Message::Ask { parcel, part }, Some(PeerRole::Host(_) | PeerRole::Guest(_) | PeerRole::Sibling(_))) => {
                self.parcels.asked(link, parcel, part, peers, out);
            }
            (Message::Give { parcel, part, bytes }, Some(_)) => {
                self.parcels.given(link, parcel, part, bytes, peers, out);
            }
            (Message::Lacks { parcel, part }, Some(_)) => self.parcels.lacked(link, parcel, part, out.now_ms),
            (Message::Sibling { parcel, host }, Some(_)) if side == Direction::Parent => {
                self.parcels.told_sibling(parcel, host, out);
            }
            (_, Some(PeerRole::Sibling(_))) => self.refuse(link, Refusal::UnexpectedMessage),
            (_, Some(_)) if side == Direction::Sibling => self.close(link, LinkEnd::Refused),
            (message, _) => return Some(message),
        }
        None
    }

    /// Whoever sent a command may have the parcel that it needs.
    pub(in crate::host) fn may_have_parcel(&mut self, order: &Order, link: LinkId) {
        if let Some(parcel) = order.parcel() {
            self.parcels.provide(parcel, link, self.peers.is_parent_side(link), self.out.now_ms);
        }
    }

    /// Starts a task of this host, at once or when its parcel is here.
    pub(in crate::host) fn start(&mut self, op: OpId, guests: RangeSet, order: Order, remaining_ms: u32) {
        let now_ms = self.out.now_ms;
        match order.parcel() {
            Some(parcel) => self.parcels.await_for(op, parcel, order, now_ms + u64::from(remaining_ms), now_ms),
            None => self.out.push(Action::Start { op, guests, order, remaining_ms }),
        }
    }

    /// Sends commands and tasks. Where they need a parcel, these children hear first from whom each takes it.
    pub(in crate::host) fn send_out(
        &mut self,
        order: &Order,
        row: Vec<(HostId, LinkId)>,
        messages: Vec<(LinkId, Message)>,
    ) {
        if let Some(parcel) = order.parcel() {
            let hosts = |message: &Message| match message {
                Message::Command { asked, .. } | Message::Again { asked, .. } => asked.hosts(),
                _ => RangeSet::new(),
            };
            let hosts = messages.iter().fold(RangeSet::new(), |all, (_, message)| all.union(&hosts(message)));
            let short = hosts.len() <= ROW_HOSTS_MAX;
            let last = |host| if short { self.membership.last_of(host, &hosts) } else { host };
            let row = row.into_iter().map(|(host, link)| InRow { host, link, last: last(host) }).collect();
            self.parcels.siblings.line_up(parcel, row, &mut self.peers, &mut self.out);
        }
        messages.into_iter().for_each(|(link, message)| self.peers.send(link, message, &mut self.out));
    }
}
