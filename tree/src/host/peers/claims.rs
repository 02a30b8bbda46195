//! What children report: whose a host is that several claim, and how much of it all is kept.

use super::{Link, Peers};
use crate::bytes::JOINT_MAX_BYTES;
use crate::id::LinkId;
use crate::wire::message::Report;
use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use vmatic_plan::{Node, NodeSet, RangeSet};

/// What makes room where children together report more than is kept: first reasons, then reports, the longest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::host) struct Relief {
    /// The links whose reports lost the reasons why nodes are down.
    pub without_reasons: Vec<LinkId>,
    /// The links whose reports were not kept.
    pub too_much: Vec<LinkId>,
}

impl Link {
    /// The sets of nodes of which all others are made that are known of it: what was told, and which hosts are its own
    /// where others have had some of them, whatever they claim now.
    fn sets(&self) -> impl Iterator<Item = Cow<'_, NodeSet>> {
        let hosts = |hosts: &RangeSet| NodeSet::product(hosts, &RangeSet::one(0));
        let own = (self.owned != self.claims).then(|| Cow::Owned(hosts(&self.owned)));
        let itself = self.direct().map(|host| Cow::Owned(NodeSet::one(Node::host(host))));
        let told = [&self.told.up].into_iter().chain(self.told.down.iter().map(|(_, nodes)| nodes));
        told.map(Cow::Borrowed).chain(own).chain(itself)
    }

    /// About how many bytes it takes to say why nodes behind it are down, and which are up: reasons go first.
    fn told_bytes(&self) -> (usize, usize) {
        (self.told.down.iter().map(|(_, nodes)| nodes.size()).sum(), self.told.up.size())
    }
}

impl Peers {
    /// Takes what a child reports of what is below it; gives the links for which there is no room any more, and those
    /// whose reasons there is none for.
    pub fn set_report(&mut self, link: LinkId, mut told: Report) -> Relief {
        let Some(child) = self.links.get_mut(&link) else { return Relief::default() };
        let claims = told.up.hosts();
        told.twins.retain(|twins| claims.contains(twins.host.0));
        let settled = child.reported && child.claims == claims;
        (child.told, child.claims, child.reported) = (told, claims, true);
        let mut changed = if settled { BTreeSet::new() } else { self.settle() };
        changed.insert(link);
        let mut relief = Relief::default();
        while self.joint_bytes() > JOINT_MAX_BYTES {
            let longest = self.links.iter_mut().max_by_key(|(_, link)| link.told_bytes());
            let Some((id, longest)) = longest.filter(|(_, link)| link.reported) else { break };
            if longest.told.down.is_empty() {
                (longest.told, longest.claims) = Default::default();
                relief.too_much.push(*id);
                relief.without_reasons.retain(|other| other != id);
                changed.append(&mut self.settle());
            } else {
                longest.told.down = Default::default();
                relief.without_reasons.push(*id);
                changed.insert(*id);
            }
        }
        changed.into_iter().for_each(|id| self.sum_up(id));
        relief
    }

    /// Most bytes that any set takes that is made of what children report.
    fn joint_bytes(&self) -> u64 {
        let sets: Vec<_> = self.links.values().filter(|link| link.reported).flat_map(Link::sets).collect();
        NodeSet::joint_size(&sets.iter().map(|set| &**set).collect::<Vec<_>>())
    }

    pub(super) fn sum_up(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.sum_up();
        }
    }

    /// Gives each host that several children claim to one of them: the child that it is itself, or else the one that
    /// had it first, for as long as that claims it. So no child is lost by another's word, and sets of nodes that are
    /// joined have no host in common. Gives the links that have others than before, which are to be summed up.
    pub(super) fn settle(&mut self) -> BTreeSet<LinkId> {
        let direct: Vec<u32> = self.links.values().filter_map(Link::direct).map(|host| host.0).collect();
        let direct = RangeSet::from_ranges(direct.into_iter().map(|host| (host, host)).collect());
        let mut taken = direct.clone();
        let mut owned: BTreeMap<LinkId, RangeSet> = BTreeMap::new();
        for (id, link) in self.links.iter().filter(|(_, link)| link.reported) {
            let kept = link.owned.intersection(&link.claims).difference(&direct);
            taken = taken.union(&kept);
            let itself = link.direct().map_or_else(RangeSet::new, |host| RangeSet::one(host.0));
            owned.insert(*id, kept.union(&itself.intersection(&link.claims)));
        }
        let mut changed = BTreeSet::new();
        for (id, mut owned) in owned {
            let Some(link) = self.links.get_mut(&id) else { continue };
            let more = link.claims.difference(&taken);
            taken = taken.union(&more);
            owned = owned.union(&more);
            if link.owned != owned {
                link.owned = owned;
                changed.insert(id);
            }
        }
        changed
    }
}
