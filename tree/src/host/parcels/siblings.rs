//! Who takes parcels from whom: children of one parent from each other.
//!
//! Owns, as a parent, the row of children that each parcel goes along; as a child, the links to siblings.

use super::{CALL_MS, Parcels, Source};
use crate::host::event::{Action, Outbox, Target};
use crate::host::peers::{Direction, Peers};
use crate::id::LinkId;
use crate::parcel::ParcelId;
use crate::wire::message::{Message, PeerRole};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use vmatic_plan::HostId;

/// Most parcels whose rows are kept; the first that was named goes.
const ROWS_MAX: usize = 64;

/// A child that a parcel goes to, and the last of those below it that have it.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) struct InRow {
    pub host: HostId,
    pub link: LinkId,
    pub last: HostId,
}

/// Both sides of it.
#[derive(Debug, Default)]
pub(in crate::host) struct Siblings {
    /// The children that a parcel goes to, in the order in which it goes along them.
    rows: BTreeMap<ParcelId, Vec<InRow>>,
    /// Links to siblings; none while one is called.
    links: BTreeMap<HostId, Option<LinkId>>,
}

impl Siblings {
    /// A parcel goes to these children: each hears from whom to take it, before it hears of the parcel.
    pub fn line_up(&mut self, id: ParcelId, mut children: Vec<InRow>, peers: &mut Peers, out: &mut Outbox) {
        children.sort_unstable_by_key(|child| child.host);
        for pair in children.windows(2) {
            peers.send(pair[1].link, Message::Sibling { parcel: id, host: Some(pair[0].last) }, out);
        }
        if self.rows.len() >= ROWS_MAX {
            self.rows.pop_first();
        }
        self.rows.insert(id, children);
    }

    /// A child is gone: whoever took parcels from it takes them from the one before, or from here.
    fn leave_row(&mut self, link: LinkId, peers: &mut Peers, out: &mut Outbox) {
        for (id, row) in &mut self.rows {
            let Some(at) = row.iter().position(|child| child.link == link) else { continue };
            row.remove(at);
            if let Some(next) = row.get(at) {
                let host = at.checked_sub(1).map(|before| row[before].last);
                peers.send(next.link, Message::Sibling { parcel: *id, host }, out);
            }
        }
        self.rows.retain(|_, row| row.len() > 1);
    }
}

impl Parcels {
    /// The parent says from which sibling a parcel is to be taken; from itself, if from none.
    pub fn told_sibling(&mut self, id: ParcelId, host: Option<HostId>, out: &mut Outbox) {
        let now_ms = out.now_ms;
        let known = host.and_then(|host| self.siblings.links.get(&host).copied());
        let parcel = self.parcel(id, now_ms);
        (parcel.sibling, parcel.calls_until_ms) = (host, 0);
        match (host, known) {
            (None, _) => {}
            (Some(_), Some(Some(link))) => parcel.provide(link, Source::Sibling, now_ms),
            (Some(host), called) => {
                parcel.calls_until_ms = now_ms + CALL_MS;
                if called.is_none() {
                    self.siblings.links.insert(host, None);
                    out.push(Action::Call { target: Target::Sibling(host) });
                }
            }
        }
    }

    /// What became of the call to a sibling; false if nobody waits for it.
    pub fn called_sibling(
        &mut self,
        host: HostId,
        link: Option<LinkId>,
        peers: &mut Peers,
        own: (HostId, [u8; 16]),
        out: &mut Outbox,
    ) {
        let now_ms = out.now_ms;
        let Some(link) = link else {
            self.siblings.links.remove(&host);
            self.parcels
                .values_mut()
                .filter(|parcel| parcel.sibling == Some(host))
                .for_each(|parcel| parcel.calls_until_ms = 0);
            return;
        };
        peers.open(link, Direction::Sibling, None, now_ms);
        peers.identify(link, PeerRole::Host(host), [0; 16], now_ms);
        self.siblings.links.insert(host, Some(link));
        let (number, boot) = own;
        let hello = Message::Hello { version: crate::wire::message::VERSION, who: PeerRole::Sibling(number), boot };
        peers.send(link, hello, out);
        for parcel in self.parcels.values_mut().filter(|parcel| parcel.sibling == Some(host)) {
            parcel.calls_until_ms = 0;
            parcel.provide(link, Source::Sibling, now_ms);
        }
    }

    /// A link is gone, which may be to a sibling, or to a child that others take parcels from.
    pub fn lost(&mut self, link: LinkId, peers: &mut Peers, out: &mut Outbox) {
        self.closed(link);
        self.siblings.links.retain(|_, its| *its != Some(link));
        self.siblings.leave_row(link, peers, out);
    }
}
