//! What waits until there is room for it above, as the driver sees it: answers from below, and programs of this host.

use super::{Driver, Open};
use crate::node::link::backlog::{Offer, Taken};
use crate::node::link::inbound::Arrival;
use crate::node::link::toll::Toll;
use vmatic_tree::id::{LinkId, OpId};
use vmatic_tree::wire::frame::{FRAME_MAX_BYTES, LENGTH_BYTES};

impl Driver {
    /// An answer that the operator waits for is not its sender's to pay for, nor while it waits here: he
    /// would fall silent.
    pub(super) fn forgive(&self, arrival: &Arrival) {
        let is_waited_for = arrival.answers_to().is_some_and(|op| self.host.waits_for(op, arrival.link));
        let toll = self.links.get(&arrival.link).and_then(|open| open.toll.as_ref());
        toll.filter(|_| is_waited_for).into_iter().for_each(Toll::forgive);
    }

    /// A link ends: what came over it before does not wait.
    pub(super) fn hear_all_of(&mut self, link: LinkId) {
        for arrival in self.backlog.of_link(link) {
            self.hear_now(arrival);
        }
    }

    /// Answers have left, or room has been given back: takes what waited for that.
    pub fn relieve(&mut self) {
        let (links, host) = (&self.links, &mut self.host);
        let waits = |link, op| links.get(&link).map_or(0, |open: &Open| open.link.waits(op));
        self.backlog.look(waits, |op| host.is_full(op));
        if self.backlog.is_empty() {
            return;
        }
        while let Some(arrival) = self.backlog.next() {
            self.hear_now(arrival);
        }
        let (host, inbound, links) = (&self.host, &self.inbound, &self.links);
        self.backlog.take_offers(|Offer { link, op, bytes }| {
            let Some(open) = links.get(&link) else { return Taken::Dropped };
            // What nobody asked for gets no room.
            if bytes > FRAME_MAX_BYTES + LENGTH_BYTES || !host.waits_for(op, link) {
                open.link.outbox().forget(op);
                return Taken::Dropped;
            }
            match inbound.room_below(bytes) {
                Some(room) => {
                    open.link.outbox().grant(op, bytes, room);
                    Taken::Granted
                }
                None => Taken::Waits,
            }
        });
    }

    /// What a program wrote is with the state machine, or above: a program of this host gets room for more
    /// when there is.
    pub(super) fn passed(&mut self, op: OpId, is_ours: bool) {
        if self.host.is_full(op) {
            self.backlog.fill(op);
        }
        if is_ours {
            self.backlog.passed(op);
        }
    }
}
