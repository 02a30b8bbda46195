//! Places in the tree of hosts: who is above and below whom, by number.
//!
//! Without racks the hosts are one heap: host n is above hosts `fanout` * (n - 1) + 2 to `fanout` * n + 1. With racks,
//! which are ranges of numbers, each rack is a heap below its first host, and these heads are a heap among themselves,
//! so that what is sent down passes a rack's uplink once. A head has half of its children in other racks, half in its
//! own.

use crate::host_table::HostTable;
use crate::ids::HostId;
use crate::plan::Plan;
use crate::sets::{Node, RangeSet};

/// The racks of a plan, with what follows from its fanout.
struct RackTree<'a> {
    table: &'a HostTable,
    racks: u32,
    fanout: u64,
}

impl RackTree<'_> {
    /// Most heads below a head, and most hosts of its own rack.
    fn heads(&self) -> u64 {
        self.fanout / 2
    }

    fn own(&self) -> u64 {
        self.fanout - self.heads()
    }

    fn start(&self, rack: u64) -> u64 {
        let rack = u32::try_from(rack).unwrap_or(u32::MAX).min(self.racks);
        self.table.rack_start(rack).map_or(1, |HostId(host)| host.into())
    }

    /// A host's rack, its place there from 0, and how many the rack has.
    fn place(&self, host: HostId) -> (u64, u64, u64) {
        let rack = u64::from(self.table.rack_of(host).unwrap_or_default());
        let start = self.start(rack);
        (rack, u64::from(host.0) - start, self.start(rack + 1) - start)
    }

    fn parent(&self, host: HostId) -> Option<u64> {
        let (rack, place, _) = self.place(host);
        Some(match place {
            0 => self.start(rack.checked_sub(1)? / self.heads()),
            place if place <= self.own() => self.start(rack),
            place => self.start(rack) + (place - self.own() - 1) / self.fanout + 1,
        })
    }

    fn children(&self, host: HostId) -> RangeSet {
        let (rack, place, size) = self.place(host);
        let start = self.start(rack);
        let (first, last) = match place {
            0 => (1, self.own()),
            place => (self.own() + (place - 1) * self.fanout + 1, self.own() + place * self.fanout),
        };
        let (first, last) = (first.min(size), last.min(size - 1));
        let mut ranges = alloc::vec![((start + first) as u32, (start + last) as u32)];
        if place == 0 {
            let heads = rack * self.heads() + 1..=(rack * self.heads() + self.heads());
            let heads = heads.take_while(|rack| *rack < self.racks.into()).map(|rack| self.start(rack) as u32);
            ranges.extend(heads.map(|head| (head, head)));
        }
        RangeSet::from_ranges(ranges)
    }

    /// The hosts that are so far from the root.
    fn level(&self, level: u32) -> RangeSet {
        let mut ranges = alloc::vec::Vec::new();
        for rack in 0..u64::from(self.racks) {
            let (mut above, mut depth) = (rack, 0);
            while above > 0 {
                above = (above - 1) / self.heads();
                depth += 1;
            }
            let Some(depth) = level.checked_sub(depth) else { continue };
            let (start, size) = (self.start(rack), self.start(rack + 1) - self.start(rack));
            let (mut first, mut width) = (0u64, 1u64);
            for step in 0..depth {
                first = first.saturating_add(width);
                width = width.saturating_mul(if step == 0 { self.own() } else { self.fanout });
                if first >= size {
                    break;
                }
            }
            if first < size {
                let last = first.saturating_add(width - 1).min(size - 1);
                ranges.push(((start + first) as u32, (start + last) as u32));
            }
        }
        RangeSet::from_ranges(ranges)
    }
}

impl Plan {
    fn rack_tree(&self) -> Option<RackTree<'_>> {
        let table = self.host_table.as_ref()?;
        let racks = table.rack_count();
        // Of less there is no half; `check` refuses such a plan.
        let usable = racks > 0 && self.fanout >= crate::plan::RACK_FANOUT_MIN;
        usable.then_some(RackTree { table, racks, fanout: self.fanout.into() })
    }

    /// The node above: a guest's is its host, a host's is told by the tree, host 1 has none.
    pub fn parent(&self, node: Node) -> Option<Node> {
        if !self.has(node) {
            return None;
        }
        if !node.is_host() {
            return Some(Node::host(node.host));
        }
        let parent = match self.rack_tree() {
            Some(racks) => racks.parent(node.host)? as u32,
            None => (node.host.0.checked_sub(2)?) / self.fanout + 1,
        };
        Some(Node::host(HostId(parent)))
    }

    /// The hosts below a host.
    pub fn child_hosts(&self, host: HostId) -> RangeSet {
        if !self.has(Node::host(host)) {
            return RangeSet::new();
        }
        if let Some(racks) = self.rack_tree() {
            return racks.children(host);
        }
        let (host, fanout) = (u64::from(host.0), u64::from(self.fanout));
        let clamp = |n: u64| n.min(u64::from(self.host_count()) + 1) as u32;
        RangeSet::span(clamp(fanout * (host - 1) + 2), clamp(fanout * host + 1).min(self.host_count()))
    }

    /// How far a host is from the root: host 1 is at 0.
    pub fn level(&self, host: HostId) -> u32 {
        let (mut host, mut level) = (host, 0);
        while let Some(parent) = self.parent(Node::host(host)) {
            host = parent.host;
            level += 1;
        }
        level
    }

    /// The hosts that are so far from the root.
    pub fn level_hosts(&self, level: u32) -> RangeSet {
        if let Some(racks) = self.rack_tree() {
            return racks.level(level);
        }
        let (mut first, mut width) = (1u64, 1u64);
        for _ in 0..level {
            first += width;
            width *= u64::from(self.fanout);
            if first > u64::from(self.host_count()) {
                return RangeSet::new();
            }
        }
        RangeSet::span(first as u32, (first + width - 1).min(u64::from(self.host_count())) as u32)
    }

    /// The hosts that may stand in for a lost parent: the level of the grandparent,
    /// or the root where there is no grandparent.
    pub fn stand_ins(&self, host: HostId) -> RangeSet {
        self.level_hosts(self.level(host).saturating_sub(2)).difference(&RangeSet::one(host.0))
    }
}
